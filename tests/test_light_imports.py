"""A daemon that starts loads neither `scipy.stats` nor river: tens of megabytes that it seldom needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("scipy.stats", "river", "matplotlib", "pandas")


@pytest.mark.parametrize(
    "module", ["monitor.daemon.app", "monitor.cli", "monitor.cli.run", "monitor.daemon.replay"]
)
def test_importing_it_loads_nothing_heavy(module):
    script = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
