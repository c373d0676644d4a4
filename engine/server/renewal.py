"""Whether the TLS files of the listener were renewed; workers that have older ones are replaced.

The HTTP server reads them when it starts, and never again.
"""

from engine.config.compile.listener_tls import TlsFileError, check_tls_files
from engine.plan.tls import ListenerTls
from engine.server.log import log
from engine.server.watch import FolderWatch


class TlsRenewal:
    """Counts the renewals of `tls`, if there is any. Files that cannot be used are none."""

    def __init__(self, tls: ListenerTls | None) -> None:
        self._tls = tls
        self._watch = FolderWatch(lambda: tls.files() if tls else ())
        self.count = 0

    def tick(self) -> None:
        """Read the files if they have changed; the log says when they cannot be used."""
        if self._tls is None or not self._watch.has_changed():
            return
        try:
            check_tls_files(self._tls)
        except TlsFileError as error:
            log(f"TLS files have changed and are not used: the `{error.name}` {error}", "error")
            return
        self.count += 1
        log("TLS files have changed: workers are replaced one after another")
