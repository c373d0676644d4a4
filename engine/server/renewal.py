"""The TLS files of the listener that were accepted last; workers that have older ones are replaced.

The HTTP server reads them when it starts, and never again. On Linux it reads copies that the parent
holds in memory: a worker that takes the place of a dead one in the middle of a renewal gets what was
accepted, whatever is on disk by then.
"""

import os
from contextlib import ExitStack
from dataclasses import replace
from math import inf
from pathlib import Path, PosixPath

from engine.config.checks.registry import SERVER
from engine.config.compile.listener_tls import (
    TlsFileError,
    check_tls_files,
    read_tls_file,
    validity_problem,
)
from engine.config.compile.x509 import Certificate
from engine.plan.tls import ListenerTls
from engine.server.log import log
from engine.server.reload import RefusedReload, now_text
from engine.server.watch import FolderWatch
from engine.telemetry.server_counts import ServerCounts


class HeldFile(PosixPath):
    """The path of a file in memory, which leads nowhere once it is resolved, as the server does."""

    def resolve(self, strict: bool = False) -> "HeldFile":  # noqa: ARG002, FBT001, FBT002 as Path has it
        return self


class TlsRenewal:
    """Counts the renewals of `tls`, if there is any. Files that cannot be used now are none.

    `refused` is there while those on disk are not the ones that were accepted.

    Raises:
        TlsFileError: those that are there at the start cannot be used.
    """

    def __init__(self, tls: ListenerTls | None, counts: ServerCounts) -> None:
        self._tls = tls
        self._counts = counts
        self._watch = FolderWatch(lambda: tls.files() if tls else ())
        self._handles = ExitStack()
        self._due = inf  # when a certificate that was refused becomes valid
        self.refused: RefusedReload | None = None
        self.accepted = None if tls is None else self._accept(tls)
        self.count = 0

    def tick(self, now: float) -> bool:
        """Read the files if they have changed or become valid; whether they were accepted or refused."""
        has_changed = self._watch.has_changed()
        if self._tls is None or not (has_changed or now >= self._due):
            return False
        self._due = inf
        try:
            self.accepted = self._accept(self._tls, now)
        except TlsFileError as error:
            self.refused = RefusedReload(now_text(), (f"{SERVER} tls.{error.name}",))
            self._counts.count_tls_refusal()
            log(f"TLS files have changed and are not used: the `{error.name}` {error}", "error")
            return True
        self.count += 1
        self.refused = None
        self._counts.count_tls_renewal()
        log("TLS files have changed: workers are replaced one after another")
        return True

    def _accept(self, tls: ListenerTls, now: float | None = None) -> ListenerTls:
        """Hold the files; with `now`, only if the certificate is valid then."""
        with ExitStack() as handles:
            held = _held(tls, handles) if hasattr(os, "memfd_create") else tls
            certificate = check_tls_files(held)
            if now is not None:
                self._refuse_invalid(certificate, now)
            self._handles.close()  # workers have handles of their own
            self._handles = handles.pop_all()
        self._counts.set_certificate_end(certificate.end)
        return held

    def _refuse_invalid(self, certificate: Certificate, now: float) -> None:
        _, words = validity_problem(certificate, now)
        if now < certificate.start:
            self._due = certificate.start
        if words:
            raise TlsFileError("certificate", words)


def _held(tls: ListenerTls, handles: ExitStack) -> ListenerTls:
    """`tls` with copies of its files, which last as long as `handles`."""

    def hold(name: str, path: Path) -> Path:
        raw = read_tls_file(name, path)
        number = os.memfd_create(name)
        handles.callback(os.close, number)
        HeldFile(f"/proc/self/fd/{number}").write_bytes(raw)
        return HeldFile(f"/proc/self/fd/{number}")

    trusted = None if tls.client_ca is None else hold("client_ca", tls.client_ca)
    certificate, key = hold("certificate", tls.certificate), hold("key", tls.key)
    return replace(tls, certificate=certificate, key=key, client_ca=trusted)
