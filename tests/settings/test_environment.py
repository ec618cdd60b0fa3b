"""Environment variables win over the file, and a mistake in one names the variable."""

import pytest
from configurations import EXAMPLE

from monitor.errors import ConfigError
from monitor.settings.loading import load


def under(**environment):
    return load(EXAMPLE, {f"SHADOW_MONITOR__{name}": value for name, value in environment.items()})


def test_variables_win_over_the_file_at_any_depth():
    settings = under(
        HTTP__PORT="9500",
        transport__commit_interval="250ms",
        COMMANDS__TRUST_TOPIC="true",
        TOPICS__COMMANDS="null",
        DEPLOYMENTS__BTC__CAPITAL__AMOUNT="500000.10",
        DEPLOYMENTS__BTC__WINDOWS="[5m, 1h, 1d]",
        DEPLOYMENTS__BTC__POLICY__RULES__0__BELOW="0.25",
        INSTRUMENTS__BTCUSD__TICK_SIZE="0.05",
    )
    deployment = settings.deployments["btc"]
    assert settings.http.port == 9500
    assert settings.transport.commit_interval_ns == 250_000_000
    assert settings.commands.trust_topic
    assert settings.topics.commands is None
    assert str(deployment.capital.amount) == "500000.10"
    assert deployment.windows_ns[-1] == 86_400 * 10**9
    assert deployment.policy.rules[0].threshold == 0.25
    assert str(settings.instruments.listed["BTCUSD"].tick_size) == "0.05"


def test_client_options_keep_their_types_and_secrets_stay_text():
    client = under(
        TRANSPORT__CLIENT__REQUEST_TIMEOUT_MS="40000",
        TRANSPORT__CLIENT__BOOTSTRAP_SERVERS="a:1,b:2",
        TRANSPORT__CLIENT__SASL_PLAIN_PASSWORD="123",
    ).transport.client
    assert client == {
        "bootstrap_servers": "a:1,b:2",
        "request_timeout_ms": 40000,
        "sasl_plain_password": "123",
    }


def test_names_with_a_dash_are_reached_by_an_underscore(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(EXAMPLE.read_text().replace("  btc:\n", "  btc-usd:\n"))
    settings = load(path, {"SHADOW_MONITOR__DEPLOYMENTS__BTC_USD__TENANT": "7"})
    assert settings.deployments["btc-usd"].tenant == "7"


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("HTPP__PORT", "1", "htpp"),
        ("HTTP__PRT", "1", "http.prt"),
        ("HTTP__PORT", "x", "http.port"),
        ("HTTP__PORT__DEEPER", "1", "http.port"),
        ("HTTP____PORT", "1", "http"),
        ("DEPLOYMENTS__BTC__POLICY__RULES__9__BELOW", "1", "deployments.btc.policy.rules"),
        ("DEPLOYMENTS__BTC__WINDOWS", "[5m", "(the whole file)"),
    ],
)
def test_a_mistaken_variable_is_named(name, value, key):
    with pytest.raises(ConfigError) as caught:
        under(**{name: value})
    found = caught.value.problems[0]
    assert found.key == key
    assert f"SHADOW_MONITOR__{name}" in found.file


def test_other_and_empty_variables_change_nothing():
    assert load(
        EXAMPLE, {"PATH": "/bin", "SHADOW_MONITOR_HOME": "x", "SHADOW_MONITOR__LOG__LEVEL": ""}
    ) == load(EXAMPLE)
