"""Sections that all deployments share: transport, topics, time, instruments, the daemon's own affairs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from monitor.errors import ConfigError, Problem
from monitor.settings.calendars import WrittenCalendar
from monitor.settings.instruments import DEFAULT_STEP, Instrument
from monitor.settings.mistakes import mistake
from monitor.settings.quantities import (
    MILLISECOND,
    SECOND,
    Duration,
    Exact,
    Name,
    Number,
    PositiveDuration,
    Whole,
    parse_instant,
)
from monitor.settings.section import Section
from monitor.trading.units import InstrumentUnits
from monitor.transport import contract

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,200}")
_SECRET_FILE = "_file"


def _topic(value: str) -> str:
    if not _TOPIC.fullmatch(value):
        raise mistake(f"{value!r} is not a topic name", "use letters, digits and . _ -, at most 200 of them")
    return value


Topic = Annotated[str, AfterValidator(_topic)]


def _start(value: object) -> Any:
    return value if value in ("latest", "earliest") else parse_instant(value)


class TransportSettings(Section):
    """Where the streams come from and how a task commits."""

    kind: Literal["kafka", "memory", "files"] = "kafka"
    group: Name = "shadow-monitor"
    """Consumer group, and prefix of the transactional ids."""
    partitioner: Literal["murmur2", "crc32", "unchecked"] = "murmur2"
    start: Annotated[Literal["latest", "earliest"] | int, BeforeValidator(_start)] = "latest"
    """Where to begin without state; an integer is nanoseconds since the Unix epoch."""
    create_topics: bool = True
    commit_interval_ns: PositiveDuration = Field(default=100 * MILLISECOND, alias="commit_interval")
    replication_factor: Whole = Field(default=1, ge=1)
    """Replicas of topics that are created."""
    client: Mapping[str, Any] = Field(default_factory=dict, repr=False)
    """Every option of the client as it is written; may hold secrets. See `client_options`."""

    def client_options(self, directory: Path) -> dict[str, Any]:
        """The client's options, `<option>_file: PATH` replaced by the text in that file.

        An option that is also given itself wins over its file. Relative paths are relative to `directory`.

        Raises:
            ConfigError: a file cannot be read.
        """
        options = dict(self.client)
        problems = []
        for key, path in self.client.items():
            if not key.endswith(_SECRET_FILE):
                continue
            del options[key]
            option = key.removesuffix(_SECRET_FILE)
            if option in options:
                continue
            try:
                options[option] = (directory / str(path)).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                message = f"cannot be read: {error}"
                problems.append(
                    Problem(str(path), f"transport.client.{key}", message, "put the secret in that file")
                )
        if problems:
            raise ConfigError(problems)
        return options


class TopicSettings(Section):
    """Names of the topics; those that are not named here take the prefix."""

    features: Topic = "features"
    orders: Topic = "orders"
    outcomes: Topic | None = None
    commands: Topic | None = "commands"
    predictions: Topic | None = None
    prefix: Annotated[str, AfterValidator(lambda value: value and _topic(value))] = "sm-"

    @property
    def alerts(self) -> str:
        return f"{self.prefix}{contract.ALERTS}"

    @property
    def status(self) -> str:
        return f"{self.prefix}{contract.STATUS}"

    @property
    def journal(self) -> str:
        return f"{self.prefix}{contract.JOURNAL}"

    @property
    def partials(self) -> str:
        return f"{self.prefix}{contract.PARTIALS}"

    @property
    def state(self) -> str:
        return f"{self.prefix}{contract.STATE}"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}{contract.DEAD_LETTERS}"

    def by_stream(self) -> dict[str, str]:
        """Topic by logical name (`transport.contract`), without those that are not used."""
        names = {
            contract.FEATURES: self.features,
            contract.ORDERS: self.orders,
            contract.OUTCOMES: self.outcomes,
            contract.COMMANDS: self.commands,
            contract.PREDICTIONS: self.predictions,
            contract.ALERTS: self.alerts,
            contract.STATUS: self.status,
            contract.JOURNAL: self.journal,
            contract.PARTIALS: self.partials,
            contract.STATE: self.state,
            contract.DEAD_LETTERS: self.dead_letters,
        }
        return {stream: topic for stream, topic in names.items() if topic is not None}

    @model_validator(mode="after")
    def _distinct(self) -> TopicSettings:
        seen: dict[str, str] = {}
        for stream, topic in self.by_stream().items():
            if topic in seen:
                raise mistake(
                    f"{seen[topic]} and {stream} are both {topic!r}", "give each its own topic, or a prefix"
                )
            seen[topic] = stream
        return self


class EventTimeSettings(Section):
    """How time is read off the streams; the words are those of `event_time`."""

    clock: Literal["event", "record"] = "event"
    allowed_lateness_ns: Duration = Field(default=200 * MILLISECOND, alias="allowed_lateness")
    idle_after_ns: PositiveDuration = Field(default=250 * MILLISECOND, alias="idle_after")
    idle_grace_ns: PositiveDuration = Field(default=2 * SECOND, alias="idle_grace")
    max_future_ns: Duration = Field(default=60 * SECOND, alias="max_future")
    dedupe_window_ns: Duration = Field(default=10 * SECOND, alias="dedupe_window")
    join_window_ns: Duration = Field(default=5 * SECOND, alias="join_window")
    buffer_limit: Whole = Field(default=200_000, ge=1)
    """Rows that wait for their watermark, per task."""


class InstrumentSettings(Section):
    """One entry of `instruments`."""

    tick_size: Exact = DEFAULT_STEP
    lot_size: Exact = DEFAULT_STEP
    multiplier: Exact = Decimal(1)
    currency: Name | None = None
    calendar: WrittenCalendar = "always"
    """`always`, or that of the deployments: outside it their rules sleep anyway."""

    @model_validator(mode="after")
    def _representable(self) -> InstrumentSettings:
        try:
            InstrumentUnits.of(
                "", self.tick_size, self.lot_size, self.multiplier, self.currency or "of the currency"
            )
        except ValueError as error:
            reason = str(error).removeprefix("instrument : ")
            raise mistake(reason, "write positive steps whose product is coarser") from None
        return self

    def instrument(self, symbol: str, currency: str) -> Instrument:
        """As a value of the domain; `currency` is taken where the entry names none."""
        return Instrument(
            symbol=symbol,
            tick_size=self.tick_size,
            lot_size=self.lot_size,
            multiplier=self.multiplier,
            currency=self.currency or currency,
        )


class CommandSettings(Section):
    trust_topic: bool = False
    """Whether commands that need a signature are believed without one."""


class DeadLetterSettings(Section):
    """How much may be bad before the daemon stops loudly."""

    max_share: Number = Field(default=0.5, gt=0, le=1)
    max_run: Whole = Field(default=1000, ge=1)
    """Consecutive bad records."""


class HttpSettings(Section):
    host: str = Field(default="127.0.0.1", min_length=1)
    port: Whole = Field(default=9464, ge=0, le=65535)
    """0: any free port."""


class LogSettings(Section):
    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"
