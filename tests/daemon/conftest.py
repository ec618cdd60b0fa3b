"""One house for all simulations: a group is immutable, so that replicas may share it."""

from __future__ import annotations

from pathlib import Path

import pytest
from house import build_house, group_of

from monitor.daemon.group import Group


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of artifacts, reference and `config.yaml`."""
    return build_house(tmp_path_factory.mktemp("house")).parent


@pytest.fixture(scope="session")
def group(house: Path) -> Group:
    """The group of `config.yaml`."""
    return group_of(house / "config.yaml")
