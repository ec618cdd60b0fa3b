"""`Settings`: the whole configuration, typed and immutable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr

from monitor.settings.deployment import Deployment, Identifier
from monitor.settings.instruments import USUAL, Instruments
from monitor.settings.mistakes import mistake
from monitor.settings.quantities import FilePath, Name, refuse_boolean
from monitor.settings.section import Section
from monitor.settings.sections import (
    CommandSettings,
    DeadLetterSettings,
    EventTimeSettings,
    HttpSettings,
    InstrumentSettings,
    LogSettings,
    TopicSettings,
    TransportSettings,
)

_DECODER = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def _open(value: object) -> Any:
    return None if value == "open" else value


def _decoder(value: str) -> str:
    if not _DECODER.fullmatch(value):
        raise mistake(f"{value!r} is not a function", "write package.module:function")
    return value


class Settings(Section):
    """The configuration file with the environment laid over it; made by `monitor.settings.loading`."""

    version: Annotated[Literal[1], BeforeValidator(refuse_boolean)] = 1
    transport: TransportSettings = Field(default_factory=TransportSettings)
    topics: TopicSettings = Field(default_factory=TopicSettings)
    event_time: EventTimeSettings = Field(default_factory=EventTimeSettings)
    listed_instruments: Annotated[Mapping[str, InstrumentSettings] | None, BeforeValidator(_open)] = Field(
        default=None, alias="instruments"
    )
    """None: open. See `instruments`."""
    fx: Mapping[str, Name] = Field(default_factory=dict)
    """Symbol by pair: the mark of `fx: {EURUSD: SYMBOL}` is the price of one EUR in USD."""
    feature_schemas: tuple[FilePath, ...] = ()
    decoder: Annotated[str, AfterValidator(_decoder)] | None = None
    """`package.module:function` that turns any bytes into the fields of a message."""
    commands: CommandSettings = Field(default_factory=CommandSettings)
    dead_letters: DeadLetterSettings = Field(default_factory=DeadLetterSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    deployments: Mapping[Identifier, Deployment] = Field(min_length=1)

    _directory: Path = PrivateAttr(default_factory=Path)

    @property
    def directory(self) -> Path:
        """Where the configuration file lies; relative paths start here."""
        return self._directory

    @cached_property
    def instruments(self) -> Instruments:
        """By symbol; one that names no currency has that of the deployments' capital (or USD)."""
        currencies = {d.capital.currency for d in self.deployments.values() if d.capital is not None}
        currency = min(currencies, default=USUAL)
        listed = self.listed_instruments or {}
        return Instruments(
            listed={symbol: entry.instrument(symbol, currency) for symbol, entry in sorted(listed.items())},
            open=self.listed_instruments is None,
            currency=currency,
        )

    def model_post_init(self, context: Any, /) -> None:
        self._directory = (context or {}).get("directory", Path())
