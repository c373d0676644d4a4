"""What surrounds the code: workflows, templates, the site and the change log say what there is."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from engine import __version__
from tests.servers import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
RELEASE = ROOT / ".ci/release.py"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_pins_its_actions_and_may_only_read(path: Path) -> None:
    text = path.read_text("utf-8")
    used = re.findall(r"uses: (.*)", text)
    assert used
    pinned = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [one for one in used if not pinned.fullmatch(one)] == []
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")
    targets = {name for line in re.findall(r"\bmake ([\w -]+)", text) for name in line.split()}
    assert {name for name in targets if f"\n{name}:" not in MAKEFILE} == set()


def test_one_action_has_one_version() -> None:
    text = "".join(path.read_text("utf-8") for path in WORKFLOWS)
    seen: dict[str, set[str]] = {}
    for name, version in re.findall(r"uses: (\S+)@(.*)", text):
        seen.setdefault(name, set()).add(version)
    assert {name for name in seen if len(seen[name]) > 1} == set()


def test_folders_that_are_watched_for_updates_have_something_to_update() -> None:
    files = {"docker": "Containerfile", "docker-compose": "compose.yaml", "npm": "package.json"}
    bot = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text("utf-8"))
    for update in bot["updates"]:
        for folder in update.get("directories", [update.get("directory")]):
            name = files.get(update["package-ecosystem"])
            assert name is None or (ROOT / folder.lstrip("/") / name).is_file(), folder


@pytest.mark.parametrize("name", ["bug", "idea"])
def test_a_template_for_issues_has_a_name_and_questions(name: str) -> None:
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text("utf-8"))
    assert form["name"]
    assert form["description"]
    assert len({field["id"] for field in form["body"] if field["type"] != "markdown"}) >= 2


def test_a_tag_is_released_only_if_it_is_the_version_of_the_code() -> None:
    def run(tag: str) -> "subprocess.CompletedProcess[str]":
        command = (sys.executable, RELEASE, tag)
        return subprocess.run(command, capture_output=True, text=True, check=False)

    made = run(f"v{__version__}")
    assert made.returncode == 0
    assert made.stdout.strip() in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert len(made.stdout.splitlines()) > 3
    refused = run("v0.0.9")
    assert refused.returncode == 1
    assert __version__ in refused.stderr


def test_every_page_is_in_the_contents_of_the_site_and_is_reached_from_the_readme() -> None:
    config = (ROOT / "mkdocs.yml").read_text("utf-8")
    nav = re.findall(r": ((?:[\w-]+/)*[\w-]+\.md)$", config.partition("\nnav:")[2], re.MULTILINE)
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")]
    assert sorted(nav) == sorted(str(page.relative_to(ROOT)) for page in pages)
    readme = (ROOT / "README.md").read_text("utf-8")
    linked = set(re.findall(r"\]\(([\w/-]+\.md)", readme))
    assert {page for page in nav if page not in linked} == {"README.md"}


def test_the_pythons_are_those_that_are_tested_and_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [one for line in project["classifiers"] for one in re.findall(r":: (3\.\d+)$", line)]
    assert project["requires-python"] == f">={named[0]}"
    tested = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text("utf-8"))
    assert tested["jobs"]["test"]["strategy"]["matrix"]["python"] == named
    promised = ", ".join(named[:-1]) + f" and {named[-1]}"
    assert f"| Python | {promised};" in (ROOT / "docs/upgrade.md").read_text("utf-8")
