"""Long proofs: run by `make proof`, recorded in proofs.json with the hash of the code they ran on.

`@pytest.mark.proof(*paths)` names the code that a test proves, from the root of the repository. An ordinary
run leaves proofs out, and fails where the recorded ones were run on other code (`test_proofs_are_current`).
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Generator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "tests" / "proofs.json"

PROOFS = pytest.StashKey[list[pytest.Item]]()
_MEASURED = pytest.StashKey[dict[str, Any]]()
_PASSED = pytest.StashKey[dict[str, Any]]()


def code_sha256(item: pytest.Item) -> str:
    """Of the files that a proof names, and of its own."""
    marker = item.get_closest_marker("proof")
    assert marker is not None
    assert marker.args, f"{item.nodeid}: name the code that is proven"
    files: list[Path] = [item.path]
    for named in marker.args:
        path = ROOT / named
        files += path.rglob("*.py") if path.is_dir() else [path]
    digest = hashlib.sha256()
    for path in sorted(set(files)):
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def recorded() -> dict[str, dict[str, Any]]:
    """Results by node id."""
    results: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text())["proofs"] if RESULTS.exists() else {}
    return results


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--proof", action="store_true", help="run the long proofs, and nothing else")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    proofs = [item for item in items if item.get_closest_marker("proof")]
    others = [item for item in items if not item.get_closest_marker("proof")]
    config.stash[PROOFS] = proofs
    config.stash[_PASSED] = {}
    kept, left = (proofs, others) if config.getoption("--proof") else (others, proofs)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Figures that the result file is to hold."""
    return request.node.stash.setdefault(_MEASURED, {})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call" and report.passed and item.get_closest_marker("proof"):
        figures = item.stash.get(_MEASURED, {})
        item.config.stash[_PASSED][item.nodeid] = {
            "code_sha256": code_sha256(item),
            "seconds": round(call.duration),
            "measured": {name: figures[name] for name in sorted(figures)},
        }
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if not config.getoption("--proof") or config.option.collectonly or hasattr(config, "workerinput"):
        return
    write(config.stash[_PASSED], [item.nodeid for item in session.items])


def write(passed: Mapping[str, Any], collected: Sequence[str]) -> None:
    """Put results that passed into the file; of what was run now, what did not pass is taken out."""
    results = {
        node: result
        for node, result in recorded().items()
        if node not in collected and (ROOT / node.partition("::")[0]).exists()
    }
    body = {
        "platform": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "numpy": version("numpy"),
            "scipy": version("scipy"),
        },
        "proofs": dict(sorted({**results, **passed}.items())),
    }
    RESULTS.write_text(json.dumps(body, indent=1, default=float) + "\n")
