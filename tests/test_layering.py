"""Who may import whom: each part of chronos_py only what stands left of it, and never a neighbour."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "chronos_py"

ORDER = """
errors < clock | zookeeper | flags | flagfiles | machine < config | logs < model < executor
< scheduler | persistence | drivers | notify | election | metrics | inbox | edits | feed | durations | graphite | tls
< loading | simulation | outlets | publishing < planner | front < service < api < ui | examples < app
< serving | doctor | inquiries | simulate | transfer < cli < __main__
"""
LEVELS = {part.strip(): level for level, parts in enumerate(ORDER.split("<")) for part in parts.split("|")}

# A decision is a function of its arguments: whatever asks the world is passed in.
WORLDLY = {"asyncio", "logging", "os", "random", "secrets", "select", "signal", "socket", "sqlite3", "subprocess"}
WORLDLY |= {"tempfile", "threading", "time", "uuid", "requests", "kazoo", "pymesos", "flask", "structlog", "sqlalchemy"}
ASKING_THE_CLOCK = {"now", "utcnow", "today"}


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Yield the full dotted name of every import in a file, those inside functions and under TYPE_CHECKING too."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = [*base, node.module] if node.module else [*base]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def uses(path: Path) -> set[str]:
    """Return the parts of chronos_py that a file imports, other than its own; `__version__` is everybody's."""
    names = (name.split(".") for name in imports(path))
    found = {name[1] for name in names if name[0] == "chronos_py" and len(name) > 1}
    return found - {part_of(path), "__version__"}


@pytest.mark.parametrize("path", sources(PACKAGE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_is_below_it(path):
    if path == PACKAGE / "__init__.py":
        assert not uses(path)
        return
    part = part_of(path)
    assert part in LEVELS, f"{part} has no place in the order"
    for used in sorted(uses(path)):
        assert used in LEVELS, f"{used} has no place in the order"
        assert LEVELS[used] < LEVELS[part], f"{part} imports {used}"


def test_only_the_mesos_driver_knows_pymesos():
    users = {path for path in sources(PACKAGE) if any(name.split(".")[0] == "pymesos" for name in imports(path))}
    assert users == {PACKAGE / "drivers" / "mesos" / "link.py"}


@pytest.mark.parametrize(
    "path", [*sources(PACKAGE / "scheduler"), *sources(PACKAGE / "simulation")], ids=lambda path: path.stem
)
def test_a_decision_does_not_ask_the_world(path):
    assert not {name.split(".")[0] for name in imports(path)} & WORLDLY
    attributes = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not attributes & ASKING_THE_CLOCK


@pytest.mark.parametrize("path", sources(ROOT / "compat_tests"), ids=lambda path: path.stem)
def test_the_compatibility_tests_could_be_pointed_at_the_original(path):
    assert not any(name.split(".")[0] in {"chronos_py", "tests"} for name in imports(path))
