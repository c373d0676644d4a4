"""What callers of the store have to handle. No message holds a secret or a value of a statement.

StoreError
├── StoreUnavailableError   the database cannot be used now: unreachable, locked, without tables
├── StoreVersionError       a newer version of this program has changed its tables
├── NotFoundError           there is no such row in that account
├── ConflictError           it exists already, or something forbids it
├── InvalidValueError       a value that the store does not take; has the name of the field
└── VaultError              a secret cannot be decrypted
"""


class StoreError(Exception):
    """An operation of the store failed, and nothing was changed."""


class StoreUnavailableError(StoreError):
    """The database cannot be used now. Trying again later may help."""


class StoreVersionError(StoreError):
    """The tables are of another version than this program."""


class NotFoundError(StoreError):
    """There is no such row, or it belongs to another account."""


class ConflictError(StoreError):
    """What is wanted exists already, or what exists forbids it."""


class InvalidValueError(StoreError):
    """A value is not accepted; `field` names it and the message says why, without the value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"`{field}` {reason}")
        self.field = field
        self.reason = reason


class VaultError(StoreError):
    """A secret cannot be decrypted: its vault key is missing, or the row was changed or moved."""
