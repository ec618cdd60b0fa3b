"""The long proofs passed on the code that is here: `make proof` records them with its hash."""

from __future__ import annotations

import pytest
from proofs import PROOFS, code_sha256, recorded


def test_every_long_proof_passed_on_this_code(request: pytest.FixtureRequest) -> None:
    results = recorded()
    stale = [
        item.nodeid
        for item in request.config.stash[PROOFS]
        if results.get(item.nodeid, {}).get("code_sha256") != code_sha256(item)
    ]
    assert not stale, "not proven on this code: `make proof`, then commit tests/proofs.json"
