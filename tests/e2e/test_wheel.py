"""What a wheel of this project brings along, and that it is nothing else; `make wheel` installs it as well."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT

ALLOWED = re.compile(
    r"engine/(?:[a-z0-9_]+/)*[a-z0-9_]+\.py"
    r"|engine/config/(?:checks/examples\.yaml|checks/guesses\.txt|source/key_shapes\.txt|price_lists\.yaml)"
    r"|engine/(?:importers/tables/[a-z_]+\.yaml|limits/limits\.lua)"
    r"|engine/admin/(?:first_calls\.json|static/[a-z]+\.(?:css|js|svg)|templates/[a-z_]+\.html)"
    r"|engine/mock/(?:responses\.json|curl\.txt)"
    r"|engine/shipped/(?:routes|providers)\.yaml"
    r"|engine/shipped/docs/codes\.md"
    r"|engine/cli/starter/(?:(?:routes|providers)\.yaml|vscode-(?:settings|extensions)\.json)"
    r"|engine/shipped/schemas/(?:output/)?[a-z]+\.schema\.json"
    r"|engine/py\.typed"
    r"|orqen-[0-9.]+\.dist-info/(?:METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel as it would be published, built without any network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_nothing_else_is_in_it(wheel: zipfile.ZipFile) -> None:
    """No `.pth` that runs at every start of Python, no tests, no keys, no leftovers."""
    assert [name for name in wheel.namelist() if not ALLOWED.fullmatch(name)] == []


def test_every_module_is_in_it(wheel: zipfile.ZipFile) -> None:
    ours = {p.relative_to(ROOT).as_posix() for p in (ROOT / "engine").rglob("*.py")}
    assert ours <= set(wheel.namelist())


@pytest.mark.parametrize("name", ["routes.yaml", "providers.yaml", "schemas/routes.schema.json"])
def test_what_is_shipped_is_in_it(wheel: zipfile.ZipFile, name: str) -> None:
    assert wheel.read(f"engine/shipped/{name}") == (ROOT / name).read_bytes()


def test_its_one_command_is_engine(wheel: zipfile.ZipFile) -> None:
    (name,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
    assert wheel.read(name).decode().split() == [
        "[console_scripts]",
        "engine",
        "=",
        "engine.cli:main",
    ]


@pytest.mark.parametrize("lock", sorted(Path(ROOT).glob("requirements*.lock")), ids=str)
def test_every_requirement_of_a_lock_has_a_hash(lock: Path) -> None:
    entries = re.split(r"\n(?=[a-z])", re.sub(r"(?m)^ *#.*\n", "", lock.read_text("utf-8")))
    names = [entry for entry in entries if "==" in entry]
    assert names
    assert [entry.split()[0] for entry in names if "--hash=sha256:" not in entry] == []
