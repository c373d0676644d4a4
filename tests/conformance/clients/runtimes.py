"""What runs the scripts of cases: how each language is installed in a folder, and how it is called.

Everything is pinned by the files in the folder of the language. A language whose tools are not on
this machine is skipped, with the tool it lacks as the reason.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
INSTALL_SECONDS = 600

# Nobody is called but the gateway: no statistics, no update check, no list of prices.
QUIET = {
    "ANONYMIZED_TELEMETRY": "false",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True)
class Runtime:
    """`install` are commands, run in the folder of the language; `command` runs a script there."""

    name: str
    tools: tuple[str, ...]
    install: tuple[tuple[str, ...], ...]
    command: Callable[[Path, Path], tuple[str, ...]]

    def lacks(self) -> str | None:
        """The first tool that this machine does not have."""
        return next((tool for tool in self.tools if shutil.which(tool) is None), None)

    def prepare(self, root: Path) -> Path:
        """Install once for each state of the pinning files; the folder it is in."""
        folder = root / self.name
        sources = sorted(path for path in (HERE / self.name).iterdir() if path.is_file())
        parts = [repr(self.install).encode(), *(path.read_bytes() for path in sources)]
        state = hashlib.sha256(b"\0".join(parts)).hexdigest()
        stamp = folder / ".installed"
        if stamp.is_file() and stamp.read_text() == state:
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        for path in sources:
            shutil.copy(path, folder)
        for command in self.install:
            subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_SECONDS)
        stamp.write_text(state)
        return folder

    def words(self, folder: Path, script: Path) -> tuple[str, ...]:
        """The command for a script. Node finds packages from where a script stands: so it is copied."""
        if self.name == "node":
            script = Path(shutil.copy(script, folder))
        return self.command(folder, script)


# Built when they are installed, which takes a minute.
GO_MODULES = ("github.com/openai/openai-go/v3", "github.com/anthropics/anthropic-sdk-go")
_PIP = ("python/bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet", "install")

RUNTIMES = {
    ".py": Runtime(
        "python",
        (),
        (
            (sys.executable, "-m", "venv", "python"),
            (*_PIP, "--require-hashes", "-r", "requirements.lock"),
        ),
        lambda folder, script: (str(folder / "python/bin/python"), str(script)),
    ),
    ".mjs": Runtime(
        "node",
        ("node", "npm"),
        (("npm", "ci", "--silent", "--no-audit", "--no-fund"),),
        lambda _, script: ("node", str(script)),
    ),
    ".go": Runtime(
        "go",
        ("go",),
        (("go", "build", *GO_MODULES),),
        lambda _, script: ("go", "run", str(script)),
    ),
    ".java": Runtime(
        "java",
        ("java", "mvn"),
        (("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"),),
        lambda folder, script: ("java", "-cp", f"{folder}/jars/*", str(script)),
    ),
}
# Command lines come with the packages of Node.
RUNTIMES[".sh"] = Runtime(
    "node", ("node", "npm"), RUNTIMES[".mjs"].install, lambda _, script: ("bash", "-e", str(script))
)


def environment(folder: Path, scratch: Path, base: str, key: str, log: Path) -> Mapping[str, str]:
    """What a script finds: a home of its own, and the gateway where each SDK looks for it.

    A compiler keeps its caches in the home it had.
    """
    home = os.environ.get("HOME", "/root")
    return {
        **QUIET,
        "PATH": f"{folder}/node_modules/.bin:{folder}/python/bin:{os.environ['PATH']}",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "GOPATH": os.environ.get("GOPATH", f"{home}/go"),
        "GOCACHE": os.environ.get("GOCACHE", f"{home}/.cache/go-build"),
        "BASE": base,
        "KEY": key,
        "LOG": str(log),
        "OPENAI_BASE_URL": f"{base}/v1",
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": base,
        "ANTHROPIC_API_KEY": key,
        "CO_API_URL": base,
        "CO_API_KEY": key,
    }
