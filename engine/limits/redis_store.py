"""Limits that several machines share, counted in Redis or Valkey: one round trip for a request.

What a request has used is sent when it is over, and nobody waits for that. What it holds there
expires after LEASE_SECONDS unless this worker renews it, so a killed worker's is given back.
"""

import asyncio
import os
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from engine.limits.core import NO_REMAINING, Amounts, Refused, Scope
from engine.limits.ledger import capped
from engine.limits.resp import LimitStoreError, command, encode
from engine.limits.specs import MAX_SPECS, Spec, member_of, pad_amounts, parse_reply, spec_of
from engine.limits.store import Grant, Store, UnavailableError
from engine.limits.store_client import StoreClient
from engine.limits.windows import Windows
from engine.plan.limit_store import STORE_TIMEOUT, StoreServer
from engine.plan.limits import Budget, StorePolicy

LEASE_SECONDS = 30
LEASE_MICROSECONDS = LEASE_SECONDS * 1_000_000
RENEW_SECONDS = 10
MAX_UNSETTLED = 10_000
MAX_CLOCK = 1 << 53  # microseconds since 1970
MAX_TRIES = 3
SCRIPT = Path(__file__).with_name("limits.lua").read_bytes()
_Reply = tuple[bytes, list[int]]
_ASKED, _USED = struct.Struct("<5d"), struct.Struct("<3d")
_ARGUMENTS = b"$%d\r\n%b\r\n" * 3  # as `encode` writes three, in a third of the time


class RedisStore:
    """A Store on one server; while that fails, `policy` says what is done, with `local` for one.

    `log` takes messages to the operator, `changed` is called after `status` has changed. `errors` are
    the requests that it has not counted.
    """

    def __init__(  # noqa: PLR0913, PLR0917 what it is made of
        self,
        server: StoreServer,
        policy: StorePolicy,
        local: Store,
        log: Callable[[str], None],
        changed: Callable[[], None],
        timeout: float = STORE_TIMEOUT,
        script: bytes = SCRIPT,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._policy, self._local = policy, local
        self._log, self._changed = log, changed
        self._timeout = timeout
        self._wall = wall
        self._client = StoreClient(server, script, timeout, self._report, self._release_late)
        self._whole = encode([b"EVAL", script])
        self._windows = Windows()
        self._specs: dict[tuple[tuple[str, int], ...], Spec] = {}  # by names and ids of limits
        self._offset = 0.0  # seconds by which the server's clock is ahead of this one
        self._name, self._numbers = os.urandom(6).hex(), count()
        self._leases: dict[str, tuple[str, float]] = {}  # key prefix, and when it was renewed
        self._unsettled: deque[tuple[Grant, Amounts]] = deque()
        self.status, self.lost, self.errors = "ok", 0, 0
        self.warn: Callable[[str, Budget], None] = lambda _scope, _budget: None  # as of a Ledger

    async def start(self) -> None:
        """Connect, if the server is there."""
        await self._client.connect()

    async def close(self) -> None:
        """End the connection, after what was sent."""
        self._send_unsettled()
        await self._client.close()

    # -- the store ---------------------------------------------------------------------------------

    def reserve(
        self, scopes: Sequence[Scope], estimate: Amounts
    ) -> Grant | Refused | Coroutine[Any, Any, Grant | Refused]:
        """As `Store.reserve`; the caller awaits the reply of the server.

        Raises:
            UnavailableError: the server fails, and the policy is to refuse.
        """
        if self._client.is_up:
            return self._reserve(scopes, estimate)
        return self._without(scopes, estimate)

    def settle(self, grant: Grant, used: Amounts) -> None:
        """As `Store.settle`: what cannot be sent now is sent later."""
        if isinstance(grant.lease, int):
            self._local.settle(grant, used)
        elif grant.lease is not None:
            self._leases.pop(grant.lease, None)
            self._settle(grant, capped(used))

    def tick(self) -> None:
        """Renew the leases, and try again what has failed."""
        self._local.tick()
        self._client.tick()
        if self._client.is_up:
            self._send_unsettled()
            self._renew()

    # -- reserve -----------------------------------------------------------------------------------

    async def _reserve(self, scopes: Sequence[Scope], estimate: Amounts) -> Grant | Refused:
        script: bytes | None = None
        try:
            for _ in range(MAX_TRIES):
                spec = self._spec(scopes)
                lease = f"{self._name}{next(self._numbers):x}" if spec.holds else ""
                deadline = (self._wall() + self._offset + self._timeout) * 1e6
                asked = _ASKED.pack(LEASE_MICROSECONDS, deadline, *pad_amounts(estimate))
                rest = _ARGUMENTS % (7, b"reserve", len(lease), lease.encode(), len(asked), asked)
                command = self._command(spec, rest, script)
                try:
                    word, numbers = await self._client.call(command, self._read, (spec, lease))
                except LimitStoreError as error:
                    if script is not None or str(error) != "NOSCRIPT":
                        raise
                    script = self._whole
                    continue
                if word != b"stale":
                    made = self._made(word, numbers, spec, lease)
                    self._client.record_success()
                    return made
            self._client.record_failure("stale")
        except LimitStoreError as error:
            if str(error) == "NOSCRIPT":  # in reply to the script itself
                self._client.record_failure("the script is refused")
        except (ValueError, IndexError):
            self._client.record_failure("a reply that the script does not give")
        return self._without(scopes, estimate)

    def _spec(self, scopes: Sequence[Scope]) -> Spec:
        """What is sent of `scopes`; made once for the same limits in the same windows."""
        now = self._wall() + self._offset
        key = tuple([(name, id(limits)) for name, limits in scopes])  # which the Spec keeps alive
        known = self._specs.get(key)
        if known is not None and known.since <= now < known.after:
            return known
        if len(self._specs) >= MAX_SPECS:
            self._specs.clear()
        made = self._specs[key] = spec_of(scopes, self._windows, now)
        return made

    def _command(self, spec: Spec, rest: bytes, script: bytes | None = None) -> bytes:
        """The script with the keys of `spec`, three further arguments, and what it reads of the scopes."""
        sha = self._client.sha
        head = script or b"$7\r\nEVALSHA\r\n$%d\r\n%b\r\n" % (len(sha), sha)
        return b"*%d\r\n%b%b%b%b" % (5 + spec.count, head, spec.keys, rest, spec.texts)

    def _read(self, reply: bytes) -> _Reply:
        """The word and the numbers of a reply; its time sets the offset of the clock.

        Raises:
            LimitStoreError: it is none of the script.
        """
        word, _, rest = reply.partition(b" ")
        try:
            now, *numbers = struct.unpack(f"<{len(rest) // 8}q", rest)
        except (struct.error, ValueError):
            now = -1
        if not 0 <= now < MAX_CLOCK:
            raise LimitStoreError("a reply that the script does not give")
        self._offset = now / 1e6 - self._wall()
        return word, numbers

    def _made(self, word: bytes, numbers: list[int], spec: Spec, lease: str) -> Grant | Refused:
        now = self._wall()
        made = parse_reply(word, spec.scopes, numbers, self._windows, now + self._offset)
        if not lease or isinstance(made, Refused):
            return made
        member = member_of(spec, lease, made.held)
        self._leases[member] = spec.key_prefix, now
        return Grant(made.scopes, made.held, member, made.left)

    def _without(self, scopes: Sequence[Scope], estimate: Amounts) -> Grant | Refused:
        """What the policy says while the server fails."""
        self.errors += 1
        if self._policy is StorePolicy.LOCAL:
            made = self._local.reserve(scopes, estimate)
            if isinstance(made, Grant | Refused):
                return made
        if self._policy is StorePolicy.ALLOW:
            return Grant(scopes, estimate, None, NO_REMAINING)
        raise UnavailableError

    def _release_late(self, about: object, reply: bytes) -> None:
        """Give back what was granted after its request had given up."""
        try:
            word, numbers = self._read(reply)
            if word == b"ok" and isinstance(about, tuple) and about[1]:
                spec, lease = about
                made = parse_reply(word, spec.scopes, numbers, self._windows, self._wall())
                if isinstance(made, Grant):
                    late = Grant(
                        made.scopes, made.held, member_of(spec, lease, made.held), made.left
                    )
                    self._settle(late, (0, 0))
        except (LimitStoreError, ValueError, IndexError):
            self._client.record_failure("a reply that the script does not give")

    # -- settle, renew -----------------------------------------------------------------------------

    def _settle(self, grant: Grant, used: Amounts, script: bytes | None = None) -> None:
        spec = self._spec(grant.scopes)
        member, numbers = str(grant.lease).encode(), _USED.pack(*pad_amounts(used))
        rest = _ARGUMENTS % (6, b"settle", len(member), member, len(numbers), numbers)
        try:
            future = self._client.send(self._command(spec, rest, script))
        except LimitStoreError:
            self._keep(grant, used)
        else:
            future.add_done_callback(partial(self._settled, grant, used, script))

    def _settled(
        self, grant: Grant, used: Amounts, script: bytes | None, future: asyncio.Future[bytes]
    ) -> None:
        try:
            word, reached = self._read(future.result())
            if word != b"stale":
                for scope, place in zip(reached[::2], reached[1::2], strict=True):
                    name, limits = grant.scopes[scope - 1]
                    self.warn(name, limits.budgets[place - 1])
                return
        except LimitStoreError as error:
            if str(error) == "NOSCRIPT" and script is None:
                self._settle(grant, used, self._whole)
                return
            self._client.record_failure(str(error))
        self._keep(grant, used)

    def _keep(self, grant: Grant, used: Amounts) -> None:
        """Settle it later; sent twice, it counts once."""
        if len(self._unsettled) >= MAX_UNSETTLED:
            self._unsettled.popleft()
            self.lost += 1
        self._unsettled.append((grant, used))

    def _send_unsettled(self) -> None:
        for _ in range(len(self._unsettled)):
            self._settle(*self._unsettled.popleft())

    def _renew(self) -> None:
        """Renew leases of requests that take long, those of one key prefix together."""
        now = self._wall()
        by_prefix: dict[str, list[str]] = {}
        for member, (key_prefix, at) in self._leases.items():
            if not 0 <= now - at < RENEW_SECONDS:
                by_prefix.setdefault(key_prefix, []).append(member)
        for key_prefix, members in by_prefix.items():
            self._leases.update((member, (key_prefix, now)) for member in members)
            encoded = [member.encode() for member in members]
            self._send_renewal(key_prefix, [b"renew", b"%d" % LEASE_MICROSECONDS, *encoded])

    def _send_renewal(
        self, key_prefix: str, rest: Sequence[bytes], script: bytes | None = None
    ) -> None:
        def sent(future: asyncio.Future[bytes]) -> None:
            error = future.exception()
            if script is None and error is not None and str(error) == "NOSCRIPT":
                self._send_renewal(key_prefix, rest, self._whole)

        parts = [b"1", f"{key_prefix}leases".encode(), *rest]
        head = script or encode([b"EVALSHA", self._client.sha])
        with suppress(LimitStoreError):
            future = self._client.send(command(2 + len(parts), head + encode(parts)))
            future.add_done_callback(sent)

    # -- the operator ------------------------------------------------------------------------------

    def _report(self, why: str | None) -> None:
        self.status = "ok" if why is None else str(self._policy)
        self._log(
            "the store of limits works again"
            if why is None
            else f"the store of limits fails ({why}): {_DONE[self._policy]}"
        )
        self._changed()


_DONE = {
    StorePolicy.LOCAL: "each host counts alone",
    StorePolicy.REFUSE: "limited requests are refused",
    StorePolicy.ALLOW: "limited requests are not limited",
}
