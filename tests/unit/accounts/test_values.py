"""Ids order what is written, the audit log above all."""

import uuid

from engine.accounts.values import new_id


def test_ids_are_of_version_7_and_in_the_order_in_which_they_were_made() -> None:
    ids = [new_id() for _ in range(2000)]
    assert ids == sorted(set(ids))
    assert {(made.version, made.variant) for made in map(uuid.UUID, ids)} == {(7, uuid.RFC_4122)}
