"""Names of environment variables in place of literal secrets, and what `.env.example` says of each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PLACEHOLDER = re.compile(
    r"(?i)|none|null|empty|no[-_ ]?key|not[-_ ]?(?:needed|required|used)|na|n/a|dummy|fake|sk-(?:1234|dummy|fake|none|no-?key|"
    r"not-?needed|xxx*|local|\.*)|anything|test|x+|local|unused|placeholder|.*(?:fake|dummy)[-_]?(?:api[-_]?)?key.*"
)


@dataclass(slots=True)
class Variables:
    """The environment variables that the written files name. A literal secret gets a name of its own, once."""

    used: dict[str, str] = field(default_factory=dict)
    _named: dict[str, str] = field(default_factory=dict)

    def use(self, name: str, comment: str = "") -> tuple[str, bool]:
        """A variable that the source names: the name to write, and whether it is another one."""
        clean = re.sub(r"[^A-Z0-9_]", "_", name.upper())
        clean = clean if clean[:1].isalpha() or clean[:1] == "_" else f"_{clean}"
        self.used.setdefault(clean, comment)
        return clean, clean != name

    def name_secret(self, secret: str, wanted: str, comment: str = "") -> str:
        """The variable that takes the place of a literal secret; the same one for the same secret."""
        if secret not in self._named:
            name = base = re.sub(r"[^A-Z0-9]+", "_", wanted.upper()).strip("_") or "SECRET"
            name = base = base if base[:1].isalpha() else f"KEY_{base}"
            taken, number = {*self.used, *self._named.values()}, 2
            while name in taken:
                name, number = f"{base}_{number}", number + 1
            self._named[secret] = name
            self.used[name] = comment
        return self._named[secret]

    def secrets(self) -> Mapping[str, str]:
        return self._named

    def example(self, needed: set[str]) -> str:
        """The text of `.env.example`: every variable, without a value."""
        lines = [
            "# What the configuration reads from the environment. Set the values where the server starts; keep them out of version control."
        ]
        for name in sorted(needed | set(self.used) & needed):
            comment = self.used.get(name, "")
            lines += [f"# {comment}"] if comment else []
            lines.append(f"{name}=")
        return "\n".join(lines) + "\n"


def is_placeholder(secret: Any) -> bool:
    """Whether a literal key only fills a place that some client wants filled."""
    return isinstance(secret, str) and _PLACEHOLDER.fullmatch(secret.strip()) is not None
