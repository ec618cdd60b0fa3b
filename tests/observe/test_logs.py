"""Logs: one JSON object a line, in UTC, whoever logs; and no secret in any of them."""

import json
import logging
import re

import pytest
import structlog

from monitor.observe.logs import LIBRARIES, configure

SECRET = "hunter2-Zk9"


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, library in levels.items():
        logging.getLogger(name).setLevel(library)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def lines(capsys):
    """What stderr holds so far, each line as the object it is."""

    def read():
        captured = capsys.readouterr()
        assert captured.out == ""
        return [json.loads(line) for line in captured.err.splitlines()]

    return read


def test_a_line_is_an_object_with_time_level_logger_and_fields(lines):
    configure("json", "info").info("assigned", partitions=[1, 2], lag_ms=1.5, where=None)
    (line,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {
        "event": "assigned",
        "level": "info",
        "logger": "shadow_monitor",
        "partitions": [1, 2],
        "lag_ms": 1.5,
        "where": None,
    }


def test_what_libraries_log_takes_the_same_way(lines):
    configure("json", "info")
    logging.getLogger("aiokafka.consumer").warning("topic %s not found", "features")
    logging.getLogger("aiokafka.consumer").info("heartbeat")
    (line,) = lines()
    assert line["event"] == "topic features not found"
    assert (line["level"], line["logger"]) == ("warning", "aiokafka.consumer")


def test_the_level_is_kept_and_debug_shows_libraries_too(lines):
    configure("json", "warning").info("quiet")
    assert lines() == []
    log = configure("json", "debug")
    log.debug("loud")
    logging.getLogger("aiokafka").debug("loud too")
    assert [line["event"] for line in lines()] == ["loud", "loud too"]


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "sasl_plain_password",
        "SSL_PASSWORD",
        "token",
        "access_token",
        "secret",
        "client_secret",
        "api_key",
        "audit_key",
        "private_key",
        "Authorization",
        "passphrase",
    ],
)
def test_a_value_under_the_name_of_a_secret_is_blotted_out_at_any_depth(capsys, name):
    log = configure("json", "info")
    log.info("x", **{name: SECRET})
    log.info("x", client={"options": [{name: SECRET}, {name: {"value": SECRET}}], "bootstrap_servers": "h:1"})
    log.info(f"connecting with {name}={SECRET} to h:1")
    log.info("x", error=repr({name: SECRET}), config=f"{name}: {SECRET}")
    text = capsys.readouterr().err
    assert SECRET not in text
    assert text.count("[redacted]") >= 6
    assert "h:1" in text


@pytest.mark.parametrize("format", ["json", "console"])
def test_neither_a_traceback_nor_a_library_nor_an_address_gives_a_secret_away(capsys, format):
    log = configure(format, "info")
    password = SECRET
    try:
        raise ValueError(f"refused: sasl_plain_password='{password}'")
    except ValueError:
        log.warning("task_crashed", exc_info=True)
        logging.getLogger("aiokafka").exception("failed")
    logging.getLogger("aiokafka").error("options: %s", {"sasl_plain_password": SECRET})
    log.info("proxy", url=f"https://user:{SECRET}@proxy:8080/x", header=f"Authorization: Bearer {SECRET}")
    text = capsys.readouterr().err
    assert SECRET not in text
    assert "ValueError" in text
    assert "proxy:8080/x" in text


def test_whatever_is_logged_the_line_stays_json(lines):
    log = configure("json", "info")
    odd = {1: object(), "nan": float("nan"), "big": 10**40, "bytes": b"\xff", "error": OSError(2, "gone")}
    log.info("odd\nline", odd=odd, deep=[[[[[[[[[[[1]]]]]]]]]]])
    (line,) = lines()
    assert line["event"] == "odd\nline"
    assert line["odd"]["big"] == 10**40
    assert line["odd"]["nan"] == "nan"


def test_a_long_text_is_searched_in_a_moment(lines):
    log = configure("json", "info")
    log.info("x", text="token" * 40_000, other="a." * 100_000, more="passwordpassword " * 10_000)
    assert len(lines()) == 1


def test_the_console_speaks_to_people(capsys):
    configure("console", "info").info("assigned", partitions=[1, 2])
    text = capsys.readouterr().err
    assert "assigned" in text
    assert "partitions" in text
    assert not text.startswith("{")


def test_configured_again_nothing_is_said_twice(lines):
    configure("json", "info")
    configure("json", "info").info("once")
    assert len(lines()) == 1


def test_a_library_that_says_the_same_again_and_again_is_heard_now_and_then(lines):
    """A client without its broker says so hundreds of times a second."""
    configure("json", "info")
    handler = logging.getLogger().handlers[0]

    def say(name, message, at, *args):
        said = {"name": name, "levelno": logging.ERROR, "levelname": "ERROR", "created": at}
        handler.handle(logging.makeLogRecord({**said, "msg": message, "args": args}))

    for node, at in enumerate((0.0, 1.0, 2.0, 9.9, 10.1)):
        say("aiokafka.client", "cannot connect to node %s", at, node)
    say("aiokafka.client", "something else", 10.2)
    for _ in range(2):
        say("shadow_monitor", "our own words", 10.3)
    assert [line["event"] for line in lines()] == [
        "cannot connect to node 0",
        "cannot connect to node 4 [and 3 times since this was last said]",
        "something else",
        "our own words",
        "our own words",
    ]
