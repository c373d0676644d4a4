"""The TLS files of the listener that were accepted last; workers that have older ones are replaced.

The HTTP server reads them when it starts, and never again. On Linux it reads copies that the parent
holds in memory: a worker that takes the place of a dead one in the middle of a renewal gets what was
accepted, whatever is on disk by then.
"""

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PosixPath

from engine.config.compile.listener_tls import TlsFileError, check_tls_files, read_tls_file
from engine.plan.tls import ListenerTls
from engine.server.log import log
from engine.server.watch import FolderWatch


class HeldFile(PosixPath):
    """The path of a file in memory, which leads nowhere once it is resolved, as the server does."""

    def resolve(self, strict: bool = False) -> "HeldFile":  # noqa: ARG002, FBT001, FBT002 as Path has it
        return self


class TlsRenewal:
    """Counts the renewals of `tls`, if there is any. Files that cannot be used are none.

    Raises:
        TlsFileError: those that are there at the start cannot be used.
    """

    def __init__(self, tls: ListenerTls | None) -> None:
        self._tls = tls
        self._watch = FolderWatch(lambda: tls.files() if tls else ())
        self._handles = ExitStack()
        self.accepted = None if tls is None else self._accept(tls)
        self.count = 0

    def tick(self) -> None:
        """Read the files if they have changed; the log says when they cannot be used."""
        if self._tls is None or not self._watch.has_changed():
            return
        try:
            self.accepted = self._accept(self._tls)
        except TlsFileError as error:
            log(f"TLS files have changed and are not used: the `{error.name}` {error}", "error")
            return
        self.count += 1
        log("TLS files have changed: workers are replaced one after another")

    def _accept(self, tls: ListenerTls) -> ListenerTls:
        with ExitStack() as handles:
            held = _held(tls, handles) if hasattr(os, "memfd_create") else tls
            check_tls_files(held)
            self._handles.close()  # workers have handles of their own
            self._handles = handles.pop_all()
        return held


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
