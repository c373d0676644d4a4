"""The default client: keep-alive connections of http1 by origin, with an age and a bound."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from time import monotonic

from engine.plan.plan import Origin
from engine.upstream import Attempt, Failure, UpstreamError
from engine.upstream.http1.connecting import Resolve, addresses, open_connection
from engine.upstream.http1.connection import KEEPALIVE_SECONDS, Connection
from engine.upstream.http1.idle import DISTRUST_SECONDS, MAX_AGE_SECONDS, Pool
from engine.upstream.http1.response import HeaderNames
from engine.upstream.tls import client_context


class Http1Client:
    """Keep-alive connections by origin, the one used last first; one client for each worker.

    `warn` takes what the operator should know of an origin.
    """

    def __init__(
        self, resolve: Resolve = addresses, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        self._resolve = resolve
        self._warn = warn
        self._names = HeaderNames()
        self._idle: dict[str, Pool[Connection]] = {}
        self._tls: dict[str | None, ssl.SSLContext] = {None: _trusting(None)}
        self._sweep: asyncio.TimerHandle | None = None

    def send(self, attempt: Attempt) -> Awaitable[Connection]:
        """Send `attempt` and wait for the head of the response."""
        pool = self._idle.get(attempt.head.origin.key)
        if pool is None:
            pool = self._add_pool(attempt.head.origin)
        connection = _take(pool)
        if connection is None:
            return self._send_on_new(attempt, pool)
        return connection.exchange(attempt)

    async def _send_on_new(self, attempt: Attempt, pool: Pool[Connection]) -> Connection:
        connection = await self._connect(attempt, pool)
        return await connection.exchange(attempt)

    async def close(self) -> None:
        """Drop every idle connection."""
        if self._sweep is not None:
            self._sweep.cancel()
        for pool in self._idle.values():
            pool.drop_all()

    def _add_pool(self, origin: Origin) -> Pool[Connection]:
        pool = self._idle[origin.key] = Pool[Connection](
            lambda: self._warn(
                f"{origin.url} has sent bytes that no request asked for: for {DISTRUST_SECONDS:.0f} s "
                "it gets one request for each connection"
            )
        )
        self._plan_sweep()
        return pool

    def _plan_sweep(self) -> None:
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(KEEPALIVE_SECONDS / 2, self._drop_stale)

    def _drop_stale(self) -> None:
        now = monotonic()
        for pool in self._idle.values():
            pool.restore_trust(now)
            for connection in [c for c in pool if c.is_stale(now)]:
                pool.remove(connection)
                connection.retire()
        self._sweep = None
        self._plan_sweep()

    def _context(self, ca: str | None) -> ssl.SSLContext:
        """The context that trusts `ca`, made once: making it reads every certificate."""
        if ca not in self._tls:
            self._tls[ca] = _trusting(ca)
        return self._tls[ca]

    async def _connect(self, attempt: Attempt, pool: Pool[Connection]) -> Connection:
        """A fresh connection; nothing has been sent when this fails."""
        loop = asyncio.get_running_loop()
        origin = attempt.head.origin
        is_tls = origin.scheme == "https"
        try:
            async with asyncio.timeout(attempt.connect):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, pool, self._names),
                    sock=await open_connection(origin.host, origin.port, self._resolve),
                    ssl=self._context(origin.ca) if is_tls else None,
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


def _trusting(ca: str | None) -> ssl.SSLContext:
    context = client_context(ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _take(pool: Pool[Connection]) -> Connection | None:
    """The idle connection used last that can still be used."""
    now = monotonic()
    while pool:
        connection = pool.pop()
        if not connection.is_stale(now):
            is_old = now - connection.opened > MAX_AGE_SECONDS
            connection.left = 0 if is_old else connection.left - 1
            return connection
        connection.retire()
    return None
