"""`metrics`: every metric explains itself, and the document is what the code says."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from command_cases import call

from monitor.cli.metrics import handbook, metrics
from monitor.engine.catalogue import FAMILIES
from monitor.observe.series import metric_name

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def run(*args: str):
    return call(metrics, *args)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_a_metric_names_what_explains_it(family):
    assert family.made_of
    assert all(inspect.getdoc(statistic) for statistic in family.made_of)


def test_the_document_is_what_the_code_says():
    assert DOCUMENT.read_text() == handbook(), "shadow-monitor metrics --write docs/metrics.md"


def test_a_stale_document_is_found(tmp_path):
    page = tmp_path / "metrics.md"
    assert run("--write", str(page)).exit_code == 0
    assert run("--check", str(page)).exit_code == 0
    page.write_text(page.read_text() + "more\n")
    assert run("--check", str(page)).exit_code == 1


def test_a_document_that_is_not_there_or_cannot_be_written_is_said_plainly(tmp_path):
    absent = run("--check", str(tmp_path / "none.md"))
    assert absent.exit_code == 1
    assert "none.md does not exist. Remedy: " in absent.output
    directory = run("--check", str(tmp_path))
    assert directory.exit_code == 1
    assert "cannot be read: Is a directory" in directory.output
    for path in (tmp_path / "no" / "x.md", tmp_path):
        refused = run("--write", str(path))
        assert refused.exit_code == 2
        assert f"{path}: cannot be written" in refused.output


def test_one_metric_is_explained_and_an_unknown_one_suggested():
    told = run("kendall_tau")
    assert told.exit_code == 0
    assert "Knight" in told.output
    refused = run("kendal")
    assert refused.exit_code == 2
    assert "kendall_tau" in refused.output
    listed = run()
    assert listed.output.count("\n") == len(FAMILIES)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("PSI", "psi"),
        ("psi{feature=f05}", "psi"),
        ("psi_nats", "psi"),
        ("shadow_monitor_psi", "psi"),
        ("shadow_monitor_psi_nats", "psi"),
        ('shadow_monitor_psi{feature="f05",window="300"}', "psi"),
        *((metric_name(family), family.name) for family in FAMILIES),
    ],
)
def test_a_metric_is_known_by_its_other_names(text, name):
    result = run(text)
    assert result.exit_code == 0, result.output
    assert result.output.split()[0].split("{")[0] == name


def test_a_name_near_that_of_prometheus_is_suggested():
    refused = run("shadow_monitor_kendal_tau{role='v8'}")
    assert refused.exit_code == 2
    assert "kendall_tau" in refused.output
    assert run("[/x]").exit_code == 2
