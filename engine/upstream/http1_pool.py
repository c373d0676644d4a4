"""The default client: keep-alive connections of http1 by origin, with an age and a bound."""

import asyncio
import socket
import ssl

from engine.plan import Origin
from engine.upstream import Attempt, Failure, UpstreamError
from engine.upstream.http1 import Connection, State

KEEPALIVE_SECONDS = 30.0
MAX_AGE_SECONDS = 300.0  # so that a change of DNS reaches busy pools
MAX_IDLE = 256


class Http1Reply:
    """An answer being read from a connection."""

    def __init__(self, client: "Http1Client", origin: Origin, connection: Connection) -> None:
        self.status = connection.status
        self.headers = connection.headers
        self.length = connection.length
        self.pieces = connection.pieces
        self._client = client
        self._origin = origin
        self._connection = connection

    async def close(self) -> None:
        """Pool the connection, or drop it."""
        self._client.give_back(self._origin, self._connection)


class Http1Client:
    """Keep-alive connections by origin, youngest first; one for each worker."""

    def __init__(self) -> None:
        self._idle: dict[Origin, list[Connection]] = {}
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._sweep: asyncio.TimerHandle | None = None

    async def send(self, attempt: Attempt) -> Http1Reply:
        """Send `attempt` and wait for the head of the answer."""
        connection = self._take(attempt.origin) or await self._connect(attempt)
        try:
            await connection.exchange(attempt)
        except BaseException:
            connection.abort()
            raise
        return Http1Reply(self, attempt.origin, connection)

    async def close(self) -> None:
        """Drop every idle connection."""
        if self._sweep is not None:
            self._sweep.cancel()
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """End an exchange, keeping its connection if it can be used again."""
        loop = asyncio.get_running_loop()
        if not connection.finish(loop.time()):
            return
        pool = self._idle.setdefault(origin, [])
        pool.append(connection)
        if len(pool) > MAX_IDLE:
            pool.pop(0).abort()
        if self._sweep is None:
            self._sweep = loop.call_later(KEEPALIVE_SECONDS / 2, self._drop_old)

    def _take(self, origin: Origin) -> Connection | None:
        now = asyncio.get_running_loop().time()
        pool = self._idle.get(origin)
        while pool:
            connection = pool.pop()
            if connection.state is State.IDLE and not _is_old(connection, now):
                return connection
            connection.abort()
        return None

    def _drop_old(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for origin, pool in list(self._idle.items()):
            kept = []
            for connection in pool:
                if connection.state is State.IDLE and not _is_old(connection, now):
                    kept.append(connection)
                else:
                    connection.abort()
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        again = KEEPALIVE_SECONDS / 2
        self._sweep = loop.call_later(again, self._drop_old) if self._idle else None

    async def _connect(self, attempt: Attempt) -> Connection:
        """A fresh connection; nothing has been sent when this fails."""
        loop = asyncio.get_running_loop()
        origin = attempt.origin
        is_tls = origin.scheme == "https"
        try:
            async with asyncio.timeout(attempt.connect):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop.time()),
                    origin.host,
                    origin.port,
                    ssl=self._tls if is_tls else None,
                    server_hostname=origin.host if is_tls else None,
                )
        except TimeoutError:
            raise UpstreamError(Failure.CONNECT_TIMEOUT) from None
        except socket.gaierror:
            raise UpstreamError(Failure.DNS_FAILED) from None
        except ssl.SSLError:
            raise UpstreamError(Failure.TLS_FAILED) from None
        except OSError as error:
            handshake = is_tls and isinstance(error, ConnectionAbortedError | ConnectionResetError)
            failure = Failure.TLS_FAILED if handshake else Failure.CONNECT_FAILED
            raise UpstreamError(failure) from None
        return connection


def _is_old(connection: Connection, now: float) -> bool:
    return (
        now - connection.idle_since > KEEPALIVE_SECONDS or now - connection.opened > MAX_AGE_SECONDS
    )
