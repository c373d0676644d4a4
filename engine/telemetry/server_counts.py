"""What the parent of the workers counts: configurations, and the ends of workers."""

from collections.abc import MutableSequence
from time import time

from engine.telemetry.families import MICROSECONDS, SERVER
from engine.telemetry.memory import ProcessCounters


class ServerCounts:
    """The counters of the parent. Without a `part`, they are exposed nowhere."""

    def __init__(self, part: ProcessCounters | None = None) -> None:
        self._words: MutableSequence[int] | memoryview = [0] * SERVER.width
        self._at = 0
        if part is not None:
            self._words, self._at = part.words, part.block(SERVER)

    def start(self) -> None:
        """The first configuration runs."""
        self._set("orqen_config_generation", 1)
        self._set("orqen_config_loaded_timestamp_seconds", int(time() * MICROSECONDS))

    def count_reload(self) -> None:
        """Another configuration runs."""
        self._add("orqen_config_reloads_total")
        self._add("orqen_config_generation")
        self._set("orqen_config_refused", 0)
        self._set("orqen_config_loaded_timestamp_seconds", int(time() * MICROSECONDS))

    def count_refusal(self) -> None:
        """A configuration was refused."""
        self._add("orqen_config_reloads_refused_total")
        self._set("orqen_config_refused", 1)

    def count_death(self) -> None:
        """A worker has died, and another takes its place."""
        self._add("orqen_worker_deaths_total")

    def count_replacement(self) -> None:
        """A worker has taken too much memory, and another takes its place."""
        self._add("orqen_worker_replacements_total")

    def set_certificate_end(self, end: float) -> None:
        """The certificate towards callers is one that expires at `end`, in Unix time."""
        self._set("orqen_tls_certificate_expiry_timestamp_seconds", int(end))

    def count_tls_renewal(self) -> None:
        """Other TLS files are used."""
        self._add("orqen_tls_renewals_total")
        self._set("orqen_tls_refused", 0)

    def count_tls_refusal(self) -> None:
        """TLS files were refused."""
        self._set("orqen_tls_refused", 1)

    def _add(self, name: str) -> None:
        self._words[self._at + SERVER.places[name]] += 1

    def _set(self, name: str, value: int) -> None:
        self._words[self._at + SERVER.places[name]] = value
