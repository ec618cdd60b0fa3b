"""Memory does not grow with the number of rows: ten million through both folds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.proof(
    "monitor/engine/task.py",
    "monitor/engine/evidence.py",
    "monitor/engine/rings.py",
    "monitor/engine/panes.py",
    "monitor/engine/deployment.py",
    "monitor/engine/memories",
    "monitor/event_time/joins.py",
    "tests/engine/ten_million_rows.py",
)
def test_resident_size_is_flat_over_ten_million_rows(measured):
    paths = os.pathsep.join(str(path) for path in (HERE, HERE.parent.parent))
    done = subprocess.run(
        [sys.executable, str(HERE / "ten_million_rows.py"), "10"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    found = json.loads(done.stdout)
    measured.update(found)
    sizes = [found["resident_mb"][str(million)] for million in range(1, 11)]
    # All windows are full after 300 s, 1.5 million rows.
    assert max(sizes[2:]) - sizes[1] < 0.05 * sizes[1]
