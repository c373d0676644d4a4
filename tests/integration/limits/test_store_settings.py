"""What server.yaml says of the store arrives where it counts."""

import asyncio
from pathlib import Path

import pytest

from engine.config.load import load
from engine.limits.redis_store import SCRIPT
from engine.server.hooks.limits import LimitHooks
from tests.servers import ship

DELAY = 0.06  # seconds until the store replies
PROBE = (SCRIPT, b"$40\r\n" + b"0" * 40 + b"\r\n"), (b"1000\r\n", b"+OK\r\n")


async def status_of(folder: Path, more: str) -> str | None:
    """What the hooks make of a slow store that these settings name."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for asked, reply in PROBE:
                await reader.readuntil(asked)
                await asyncio.sleep(DELAY)
                writer.write(reply)
            await reader.read(65536)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the hooks have given it up
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        text = f"version: 1\nlimits: {{store: 'redis://127.0.0.1:{port}'{more}}}\n"
        (folder / "server.yaml").write_text(text)
        settings = load(folder, {}, 0.0).server
        assert settings is not None
        hooks = LimitHooks(None, settings.limits, lambda _message: None)
        await hooks.start()
        status = hooks.status
        closing = asyncio.ensure_future(hooks.close())
        await asyncio.sleep(DELAY)
        server.close()
        await closing
    return status


@pytest.mark.parametrize(("more", "status"), [("", "local"), (", store_timeout: 1s", "ok")])
def test_how_long_the_store_may_take_is_set_in_server_yaml(
    more: str, status: str, tmp_path: Path
) -> None:
    assert asyncio.run(status_of(ship(tmp_path), more)) == status
