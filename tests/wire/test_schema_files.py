"""The published schemas are those of the types, and say of messages what the decoders do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import typer
from messages_in import TS, feature, fill, without

from monitor.cli.schema import schema
from monitor.policy.events import DecisionData, EventType, HeartbeatData, build, encode, heartbeat
from monitor.wire.messages import LatchState, PredictionRecord, RoleAnswer, StatusRecord

SCHEMAS = Path(__file__).parents[2] / "schemas"


def valid(name: str, message: Any) -> bool:
    document = json.loads((SCHEMAS / f"{name}.schema.json").read_bytes())
    return bool(jsonschema.Draft202012Validator(document).is_valid(message))


def test_published_schemas_are_up_to_date() -> None:
    schema(out=SCHEMAS, check=True)


def test_a_stale_schema_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema(out=tmp_path)
    schema(out=tmp_path, check=True)
    (tmp_path / "orders.schema.json").write_text("{}")
    (tmp_path / "status.schema.json").unlink()
    (tmp_path / "gone.schema.json").write_text("{}")
    capsys.readouterr()
    with pytest.raises(typer.Exit) as exit_:
        schema(out=tmp_path, check=True)
    assert exit_.value.exit_code == 1
    stale = [line.split(" is stale")[0] for line in capsys.readouterr().out.splitlines()]
    assert [Path(name).name for name in stale] == [
        "orders.schema.json",
        "status.schema.json",
        "gone.schema.json",
    ]
    assert (tmp_path / "orders.schema.json").read_text() == "{}"


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.schema.json")), ids=lambda p: p.name)
def test_schemas_are_schemas(path: Path) -> None:
    document = json.loads(path.read_bytes())
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$id"] == f"urn:shadow-monitor:schema:{path.name.removesuffix('.schema.json')}:1"
    assert document["description"]


OUTCOME = {"event_id": "e", "ts_ns": TS, "symbol": "S", "label": 1}
COMMAND = {
    "command_id": "c",
    "ts_ns": TS,
    "actor": "a",
    "reason": "r",
    "action": "kill",
    "deployment": "d",
}
UNDOES = {"side": "buy", "last_quantity": 1, "last_price": 2}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("features", feature(bid="1.5", served={"status": "ok"}, extra=1), feature(ts_ns="1")),
        ("features", feature(features={"a": None}, schema_crc32=None), without(feature(), "schema_crc32")),
        ("features", feature(features=["x", True, None]), feature(features="1,2")),
        ("orders", fill(last_price=100.25, fee="0.1"), fill(last_price=True)),
        ("orders", fill(kind="new", side=None), fill(side=None)),
        ("orders", fill(kind="correct", undoes=UNDOES), fill(kind="correct")),
        ("outcomes", OUTCOME, without(OUTCOME, "label")),
        ("commands", COMMAND, COMMAND | {"action": "explode"}),
    ],
)
def test_schemas_tell_good_from_bad(name: str, good: Any, bad: Any) -> None:
    assert valid(name, good)
    assert not valid(name, bad)


def test_what_is_written_follows_its_schema() -> None:
    prediction = PredictionRecord(
        deployment="d",
        event_id="e",
        ts_ns=TS,
        symbol="S",
        roles={
            "active": RoleAnswer(value=0.5, latency_ns=120_000, status="ok"),
            "shadow": RoleAnswer(value=None, latency_ns=None, status="timeout"),
        },
    )
    status = StatusRecord(
        deployment="d",
        epoch=3,
        latches={
            "deployment": LatchState(state="HALTED", scope="trading", scopes=("trading",)),
            "active": LatchState(state="SERVING"),
        },
        last_event_id=None,
        as_of_ns=TS,
        valid_until_ns=TS + 1,
    )
    assert valid("predictions", json.loads(msgspec.json.encode(prediction)))
    assert valid("status", json.loads(msgspec.json.encode(status)))


def test_published_events_follow_their_schema() -> None:
    data = DecisionData(
        deployment="d",
        tenant=None,
        subject="shadow",
        epoch=1,
        reason="drill",
        value=0.25,
        inputs={"features-0": (3, 9)},
        policy_sha256="p",
        config_sha256="c",
    )
    head = HeartbeatData(deployment="d", tenant="t", epoch=1, as_of_ns=TS, sequence=4, hash="h")
    for name, event in (
        ("decision", build(EventType.DEMOTE, "id", TS, data)),
        ("heartbeat", heartbeat(head)),
    ):
        document = json.loads(encode(event))
        assert valid(name, document)
        assert document["dataschema"] == json.loads((SCHEMAS / f"{name}.schema.json").read_bytes())["$id"]
        assert not valid(name, without(document, "id"))
