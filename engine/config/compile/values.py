"""What the environment gives a provider, and where findings about it are collected."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.config.checks.registry import PROVIDERS, CheckContext
from engine.config.checks.values import written_badly
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.model import Credential, Provider, Variable
from engine.config.source.document import Path
from engine.config.template import Template, checked_output
from engine.plan.plan import UnusableValueError


@dataclass(frozen=True, slots=True, repr=False)
class ProviderValues:
    """The secrets and variables of one provider, names of what is missing, and its CA certificates.

    `accounts` are the same for each of its accounts. `ca` is PEM: empty when the file that the
    provider names cannot be used, None when it names none.
    """

    credentials: Mapping[str, str]
    variables: Mapping[str, str]
    missing: tuple[str, ...]
    accounts: tuple["ProviderValues", ...] = ()
    ca: str | None = None


@dataclass(slots=True)
class Resolving:
    """One provider while its values are looked up: its templates, what is missing, and the findings so far.

    Without an `environ` every value is a placeholder, and nothing is looked up.
    """

    context: CheckContext
    provider: Provider
    environ: Mapping[str, str] | None
    templates: Mapping[Path, Template]
    missing: list[str] = field(default_factory=list)
    found: list[Diagnostic] = field(default_factory=list)

    def report(
        self,
        code: str,
        message: str,
        at: Path,
        help: str = "",  # noqa: A002 the field's name
        place: EntryPart = EntryPart.VALUE,
    ) -> None:
        """Add a finding at an entry of providers.yaml."""
        self.found.append(self.context.at(code, message, PROVIDERS, at, place, help=help))

    def first_defined(self, names: tuple[str, ...]) -> str | None:
        """The value of the first of the environment variables `names` that is set and not empty."""
        given = self.environ or {}
        return next((value for name in names if (value := given.get(name))), None)

    def report_unset(self, name: str, at: Path) -> None:
        """Report that the environment variable `name` is not set, which the provider needs."""
        self.missing.append(name)
        message = f"`{name}` is not set, so provider `{self.provider.name}` cannot be called"
        self.report("E401", message, at)

    def can_send(self, value: str, at: Path, source: str) -> bool:
        """Whether a header or URL can hold `value`; a stray line end is the usual reason not."""
        try:
            checked_output(value)
        except UnusableValueError:
            self.missing.append(str(at[-1]))
            problem = written_badly(value) or "is longer than 8 KiB"
            message = f"{source} {problem}; provider `{self.provider.name}` cannot be called"
            self.report("E403", message, at, place=EntryPart.KEY)
            return False
        return True

    def source(self, declared: Credential | Variable) -> str:
        """What messages call the origin of a value: the variable that is set, or the file."""
        if isinstance(declared, Credential) and declared.file is not None:
            return f"the file of `{declared.name}`"
        names = (name for name in declared.env if (self.environ or {}).get(name))
        return f"`{next(names, next(iter(declared.env), declared.name))}`"
