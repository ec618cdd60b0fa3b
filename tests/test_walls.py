"""The import walls of docs/architecture.md, and what must stand in no file of the repository."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "monitor"

PURE = ("event_time", "stats", "trading", "policy", "engine", "state")
SHELL = ("asyncio", "time", "random", "logging", "aiokafka", "onnxruntime")
"""What a pure package imports neither itself nor through another module of ours."""

ONLY = {
    "aiokafka": "monitor.transport.kafka",
    "onnxruntime": "monitor.models",
    "prometheus_client": "monitor.observe",
}

MUST_NOT_KNOW = {
    "stats": ("trading", "policy", "engine", "transport", "daemon"),
    "event_time": ("stats", "trading", "policy", "engine", "transport", "daemon"),
    "trading": ("policy", "engine", "transport", "daemon", "event_time"),
    "policy": ("event_time", "engine", "transport", "daemon"),
    "engine": ("daemon", "transport.kafka", "transport.memory", "transport.files"),
    "state": ("daemon", "transport.kafka", "transport.memory", "transport.files"),
    "models": ("transport.kafka", "transport.memory", "daemon"),
    "wire": ("transport.kafka", "transport.memory", "transport.files", "models", "daemon"),
    "transport": ("stats", "trading", "policy", "engine", "event_time", "state", "models", "daemon"),
}
"""Package -> packages of ours that none of its own modules may import."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    """Modules that a file imports when it runs, by absolute name; those for type checkers are left out."""
    tree = ast.parse(path.read_text(), str(path))
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for part in node.body
        for child in ast.walk(part)
    }
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
IMPORTS = {name: set(imports_of(path)) for name, path in MODULES.items()}


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def reached_from(name: str) -> dict[str, str]:
    """Modules that importing `name` loads, ours and what ours ask for -> the one of ours that asks."""
    reached: dict[str, str] = {}
    todo = [name]
    seen = {name}
    while todo:
        asking = todo.pop()
        wanted: set[str] = set()
        for imported in IMPORTS[asking]:
            parents = imported.split(".")
            wanted |= {".".join(parents[: n + 1]) for n in range(len(parents))}
        for imported in wanted:
            reached.setdefault(imported, asking)
            if imported in MODULES and imported not in seen:
                seen.add(imported)
                todo.append(imported)
    return reached


def modules_in(package: str) -> list[str]:
    return [name for name in MODULES if within(name, f"monitor.{package}")]


@pytest.mark.parametrize("package", PURE)
def test_the_core_has_no_clock_no_io_no_randomness(package: str) -> None:
    found = [
        f"{name} reaches {imported} through {asking}"
        for name in modules_in(package)
        for imported, asking in reached_from(name).items()
        if imported.split(".")[0] in SHELL
    ]
    assert found == []


@pytest.mark.parametrize(("library", "home"), ONLY.items())
def test_a_library_has_one_home(library: str, home: str) -> None:
    found = [
        name
        for name, imports in IMPORTS.items()
        if any(within(i, library) for i in imports) and not within(name, home)
    ]
    assert found == []


@pytest.mark.parametrize(("package", "others"), MUST_NOT_KNOW.items())
def test_a_package_does_not_know_what_is_not_its_business(package: str, others: Iterable[str]) -> None:
    found = [
        f"{name} imports {imported}"
        for name in modules_in(package)
        for imported in IMPORTS[name]
        if any(within(imported, f"monitor.{other}") for other in others)
    ]
    assert found == []


def test_the_daemon_does_not_load_what_it_need_not_pay_for() -> None:
    found = [name for name, imports in IMPORTS.items() if any(within(i, "scipy.stats") for i in imports)]
    assert found == []


def test_the_core_says_the_same_when_really_imported() -> None:
    """The parsed walls against the interpreter: loading the pure packages loads none of the clients."""
    names = [name for package in PURE for name in modules_in(package)]
    script = f"import sys, importlib\nfor n in {names!r}: importlib.import_module(n)\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"aiokafka", "onnxruntime", "prometheus_client", "structlog", "scipy.stats"} & set(
        done.stdout.split()
    ) == set()


FORBIDDEN = {
    "a registry's host": r"pyp[i]\.org|python[h]osted|mave[n]\.org|repo\.mave[n]|npm[j]s\.|artifactor[y]",
    "a path of somebody's machine": r"(?<![\w.\]}*-])/(?:home|root|Users|work|workspace)/[\w.]",
    "an index address for pip": r"--(?:extra-)?index-url|--find-links|--trusted-host",
}


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name]


@pytest.mark.parametrize(("what", "pattern"), FORBIDDEN.items())
def test_no_tracked_file_names(what: str, pattern: str) -> None:
    found = []
    for path in tracked_files():
        if path == Path(__file__).resolve() or not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {what}: {m.group()}" for m in re.finditer(pattern, text)]
    assert found == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_pins_every_package_by_hash_and_holds_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 30
    assert [
        e.splitlines()[0] for e in entries if not re.match(r"[\w.-]+==\S+ .*--hash=sha256:", e, re.DOTALL)
    ] == []
