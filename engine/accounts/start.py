"""The first start of a store: the account `default`, and a person who can sign in to it."""

from sqlalchemy import Connection

from engine.accounts.accounts import create_account, find_account
from engine.accounts.audit import SYSTEM
from engine.accounts.changes import wait_for_writers
from engine.accounts.members import Role, add_member
from engine.accounts.people import count_people, create_person
from engine.accounts.sessions import create_sign_in_link

FIRST_ACCOUNT = "default"


def create_first_account(connection: Connection, now: float | None = None) -> str | None:
    """Make the first account and person, and the token of a sign-in link for them.

    None when there are people already: then `engine accounts sign-in-link` makes a link.
    """
    wait_for_writers(connection)
    if count_people(connection):
        return None
    account = find_account(connection, FIRST_ACCOUNT)
    if account is None:
        account = create_account(connection, FIRST_ACCOUNT, SYSTEM, now)
    person = create_person(
        connection, name="Operator", email=None, actor=SYSTEM, is_operator=True, now=now
    )
    add_member(connection, account.id, person.id, Role.OWNER, SYSTEM, now)
    return create_sign_in_link(connection, person.id, SYSTEM, now=now)
