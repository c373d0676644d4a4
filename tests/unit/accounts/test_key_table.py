"""The table of keys: bounded, keeps what is used, and never returns an old state of an account."""

import gc
import tracemalloc
from dataclasses import replace
from hashlib import sha256
from math import inf

from engine.accounts.key_table import ACCOUNT_BYTES, KEY_BYTES, KeyTable
from engine.plan.plan import Account, Caller

MIB = 1024 * 1024


def caller(number: int, account: Account) -> Caller:
    digest = sha256(str(number).encode()).digest()
    name = f"@{account.id}/01890000-0000-7000-8000-{number:012}"
    return Caller(name, None, None, (), inf, account, digest)


def account(number: int = 0, **values: str) -> Account:
    return Account(f"01890000-0000-7000-8000-{number:012}", {"openai": values} if values else {})


def test_what_is_used_stays_and_the_rest_goes() -> None:
    table = KeyTable(2 * (ACCOUNT_BYTES + 10 * KEY_BYTES))
    ours = account()
    kept = caller(0, ours)
    table.put([kept])
    for number in range(1, 1000):
        table.put([caller(number, ours)])
        assert table.get(kept.digest) is not None
    assert len(table) <= 21
    assert table.get(caller(1, ours).digest) is None


def test_a_caller_has_the_newest_state_of_its_account() -> None:
    table = KeyTable(MIB)
    one, two = caller(1, account(key="old")), caller(2, account(key="old"))
    table.put([one, two])
    first = table.get(two.digest)
    assert first is table.get(two.digest), "the same one as long as nothing changes"
    assert first is not None
    assert first.account is one.account, "equal states are one object"
    new = account(key="new")
    table.put_account(new.id, new)
    for digest in (one.digest, two.digest):
        found = table.get(digest)
        assert found is not None
        assert found.account is new
    assert table.get(two.digest) is not first


def test_a_key_that_is_read_anew_renews_the_account_of_the_others() -> None:
    table = KeyTable(MIB)
    one, two = caller(1, account(key="old")), caller(2, account(key="new"))
    table.put([one])
    table.put([two])
    found = table.get(one.digest)
    assert found is not None
    assert found.account is two.account


def test_the_keys_of_an_account_that_is_refused_are_gone() -> None:
    table = KeyTable(MIB)
    ours, theirs = caller(1, account(1)), caller(2, account(2))
    table.put([ours, theirs])
    table.put_account(account(1).id, None)
    assert table.get(ours.digest) is None
    assert table.get(theirs.digest) is theirs
    table.put_account(account(1).id, account(1))
    assert table.get(ours.digest) is None, "it is searched for when it is used again"


def test_what_is_not_known_is_not_put_by_a_change() -> None:
    table = KeyTable(MIB)
    one, two = caller(1, account()), caller(2, account())
    table.put([one])
    table.put_known(two.digest, two)
    assert table.get(two.digest) is None
    narrowed = replace(one, endpoints=frozenset())
    table.put_known(one.digest, narrowed)
    assert table.get(one.digest) == narrowed
    table.put_known(one.digest, None)
    assert table.get(one.digest) is None


def test_its_memory_is_what_it_counts() -> None:
    """More keys are offered than fit, each of an account of its own."""
    bound = MIB // 4
    table = KeyTable(bound)
    gc.collect()
    tracemalloc.start()
    for number in range(950):
        table.put([caller(number, account(number, key=f"sk-{number:045}"))])
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert bound / 4 < taken < bound


def test_a_key_that_was_read_anew_is_gone_once_it_is_revoked() -> None:
    """Whatever the table had of it before."""
    table = KeyTable(2 * (ACCOUNT_BYTES + 2 * KEY_BYTES))
    kept = caller(0, account())
    table.put([kept, caller(1, account()), caller(2, account())])
    table.put([kept])
    table.put_known(kept.digest, None)
    assert table.get(kept.digest) is None
