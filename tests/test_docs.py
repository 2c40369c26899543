"""README.md, docs/ and the tracked files: links lead somewhere, commands exist, nothing tells of one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]
LINK = re.compile(r"!?\[[^]]*]\(([^)\s]+)[^)]*\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
MAKE = re.compile(r"(?:^ *|`)make ([a-z][a-z-]*)", re.MULTILINE)

# Written in pieces, or this file would be the first to be found.
ONE_MACHINE = re.compile(
    "|".join(["/wo" + "rk/", "/ro" + r"ot/\.(pyenv|cache|local|config)", r"/ho" + "me/[a-z]", "/tmp/ba" + "sh_jobs"])
)
REGISTRY = re.compile(
    "|".join(["pypi" + r"\.org", "files" + r"\.pythonhosted", "deb" + r"\.debian\.org", "registry" + r"\.npmjs"])
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return a page's text without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    headings = (re.sub(r"[`*]", "", heading).strip().lower() for heading in HEADING.findall(prose(page)))
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}


def tracked_texts() -> list[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    contents = [(named(path), path.read_bytes()) for path in paths if path.is_file()]
    return [(name, content.decode()) for name, content in contents if b"\0" not in content]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.exists(), f"{target} in {named(page)}"
        if anchor:
            assert anchor in anchors(goal), f"{target} in {named(page)}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(MAKE.findall(page.read_text())) <= targets


def test_the_two_commands_are_on_the_first_screen():
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:30])
    assert {"run", "test"} <= set(MAKE.findall(first_screen))


@pytest.mark.parametrize("found", [ONE_MACHINE, REGISTRY], ids=["path of one machine", "host of a registry"])
def test_no_file_names_a(found):
    hits = [f"{name}: {match.group()}" for name, text in tracked_texts() for match in [found.search(text)] if match]
    assert not hits
