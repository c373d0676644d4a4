"""How much the store holds."""

from sqlalchemy import Connection, func, select

from engine.accounts.tables import accounts, gateway_keys, people, provider_keys

_NAMES = {
    "accounts": accounts,
    "gateway keys": gateway_keys,
    "provider values": provider_keys,
    "people": people,
}


def count_rows(connection: Connection) -> dict[str, int]:
    """The number of rows of what people make, by their names; those that have ended count."""
    return {
        name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
        for name, table in _NAMES.items()
    }
