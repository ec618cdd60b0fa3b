"""Whatever is written is refused with its key, or everything that is made of it can be made."""

from pathlib import Path

import pytest
from configurations import EXAMPLE, changed, only_problem, problems

from monitor.cli.configuration import known_metrics
from monitor.errors import ConfigError
from monitor.settings.digest import config_sha256, policy_sha256
from monitor.settings.loading import from_mapping, load

AT = "deployments.btc"


@pytest.mark.parametrize(
    "key",
    [
        f"{AT}.markouts.limit",
        f"{AT}.labels.limit",
        f"{AT}.skill.limit",
        f"{AT}.samples.rank_k",
        f"{AT}.performance.min_returns",
        f"{AT}.orders.open_limit",
        f"{AT}.policy.rules.0.for",
        f"{AT}.policy.rules.0.min_samples",
        "event_time.buffer_limit",
        "transport.replication_factor",
        "dead_letters.max_run",
        "http.port",
        "version",
    ],
)
@pytest.mark.parametrize("value", [10**30, str(10**30), 2**63])
def test_a_number_beyond_64_bits_is_refused_with_its_key(key, value):
    shown = key.replace(".rules.0", ".rules[0]")
    assert only_problem({key: value}).key == shown


@pytest.mark.parametrize(
    "key", [f"{AT}.capital.amount", f"{AT}.policy.rules.1.above", f"{AT}.paper.quantity"]
)
def test_what_is_not_refused_has_a_digest(key):
    for exponent in (0, 6, 15, 36):
        changes = {key: 10**exponent}
        if problems(changes):
            continue
        read = from_mapping(changed(changes), Path("/x"), known_metrics=known_metrics())
        assert config_sha256(read, "btc")
        assert policy_sha256(read.deployments["btc"].policy)


def test_a_deployment_has_a_window_also_without_a_rule_that_needs_one():
    found = only_problem({f"{AT}.windows": [], f"{AT}.policy.rules": []})
    assert (found.key, found.message) == (f"{AT}.windows", "there is no window.")


@pytest.mark.parametrize("key", ["tenant", "filter.account", "policy.name", "policy.rules.0.id"])
@pytest.mark.parametrize("text", ["\ud800", "a\nb", "x" * 201, "\x00", "\u2028"])
def test_names_are_one_line_that_can_be_shown(key, text):
    assert only_problem({f"{AT}.{key}": text}).key == f"{AT}.{key}".replace(".0.", "[0].")


@pytest.mark.parametrize("reason", ["x" * 5000, "two\nlines"])
def test_a_reason_that_would_be_no_label_is_refused(reason):
    found = only_problem({f"{AT}.orders.reject_reasons": ["risk_limit", reason]})
    assert found.key == f"{AT}.orders.reject_reasons[1]"
    assert "in one line" in found.remedy


@pytest.mark.parametrize("key", ["grids.tick", "books.mark_staleness"])
def test_books_are_looked_at_once_a_millisecond_at_most(key):
    found = only_problem({f"{AT}.{key}": "1ns"})
    assert found.key == f"{AT}.{key}"
    assert "write 1ms or more" in found.remedy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            EXAMPLE.read_text().replace("strategy: btc-mm", 'strategy: "\\ud800"'),
            "half a character is no text",
        ),
        (EXAMPLE.read_text().replace("BTCUSD: {", '"\\ud800": {'), "half a character is no text"),
        ("version: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("version: " + "9" * 5000, "version"),
    ],
)
def test_text_that_nothing_can_be_made_of_is_refused(tmp_path, text, says):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(path, {}, known_metrics=known_metrics())
    said = " ".join(str(problem) for problem in refused.value.problems)
    assert says in said
    assert said.encode()
