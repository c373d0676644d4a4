"""Writes the files in secrets/ that compose.yaml names, with random values; leaves those that are there."""

import secrets
from pathlib import Path

FOLDER = Path(__file__).parent / "secrets"


def kept(name: str, value: str) -> str:
    """The value of a secret: the one that is there, or else `value`, which is written."""
    path = FOLDER / name
    if not path.exists():
        path.write_text(value)
        path.chmod(0o444)  # the users in the containers read it; the folder keeps others out
    return path.read_text()


if __name__ == "__main__":
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    password = kept("postgres-password", secrets.token_hex(24))
    kept("database-url", f"postgresql://orqen:{password}@postgres/orqen")
    for name in ("grafana-password", "metrics-token"):
        kept(name, secrets.token_hex(24))
    kept("vault-key", secrets.token_hex(32))
