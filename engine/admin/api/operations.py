"""The table of all operations of the account API."""

from engine.admin.api.account import ACCOUNT_OPERATIONS
from engine.admin.api.keys import KEY_OPERATIONS
from engine.admin.api.operation import Operation
from engine.admin.api.providers import PROVIDER_OPERATIONS
from engine.admin.api.usage import USAGE_OPERATIONS

OPERATIONS: tuple[Operation, ...] = (
    *ACCOUNT_OPERATIONS,
    *KEY_OPERATIONS,
    *PROVIDER_OPERATIONS,
    *USAGE_OPERATIONS,
)
