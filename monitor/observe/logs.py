"""Logs: one JSON object a line on stderr, or words and colours for a person; secrets are blotted out.

Knows nothing of what is logged. What libraries log through `logging` takes the same way.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog

REDACTED = "[redacted]"

LIBRARIES = ("aiokafka", "aiohttp", "asyncio")
"""Talk about their own life at `info`; that is for who debugs."""

REPEAT_S = 10.0
"""How often a library may say the same again."""

_REMEMBERED = 500

_SECRET = r"pass(?:word|wd|phrase)|secret|token|credential|authorization|cookie|(?:private|api|audit)_?key"
_NAME = re.compile(_SECRET, re.IGNORECASE)
_SPOKEN = re.compile(
    rf"""((?:{_SECRET})[\w.-]{{0,40}}["']?\s{{0,4}}[=:]\s{{0,4}})"""
    r"""("[^"]*"|'[^']*'|(?:(?:bearer|basic)\s+)?[^\s,;)}\]"']+)""",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(\w://)[^/\s@]{1,500}@")
_DEPTH = 8


def configure(
    format: Literal["json", "console"], level: Literal["debug", "info", "warning", "error"]
) -> structlog.stdlib.BoundLogger:
    """Send all logs of this process to stderr, in UTC, and return the program's own logger.

    Called again, it replaces what it set up before.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(sys.stderr)
    if threshold > logging.DEBUG:
        handler.addFilter(Sparing())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(format)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for library in LIBRARIES:
        quiet = threshold if threshold <= logging.DEBUG else max(threshold, logging.WARNING)
        logging.getLogger(library).setLevel(quiet)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("shadow_monitor")
    return logger


class Sparing(logging.Filter):
    """Lets a library say the same (but for its arguments) once in `REPEAT_S`, with the count of what was not
    said: a client without its broker would write hundreds of lines a second."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to say it."""
        if record.name.partition(".")[0] not in LIBRARIES:
            return True
        what = record.name, str(record.msg)
        said, unsaid = self._said.get(what, (-math.inf, 0))
        if record.created - said < REPEAT_S:
            self._said[what] = said, unsaid + 1
            return False
        if len(self._said) >= _REMEMBERED:
            self._said.clear()
        self._said[what] = record.created, 0
        if unsaid:
            record.msg = f"{record.msg} [and {unsaid} times since this was last said]"
        return True


def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Processor: no value under a secret's name, nor one that a text gives away, at any depth.

    What is left can be written as JSON: other objects become text, numbers that are not finite too.
    """
    private = {key: event[key] for key in ("_record", "_from_structlog") if key in event}
    clean = {key: _clean(key, value, 0) for key, value in event.items() if key not in private}
    return {**clean, **private}


def _clean(key: str, value: object, depth: int) -> Any:
    if _NAME.search(key) and value is not None and not isinstance(value, bool):
        return REDACTED
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth < _DEPTH and isinstance(value, Mapping):
        return {str(k): _clean(str(k), v, depth + 1) for k, v in value.items()}
    if depth < _DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_clean("", v, depth + 1) for v in value]
    text = str(value)
    return _IN_ADDRESS.sub(rf"\1{REDACTED}@", _SPOKEN.sub(rf"\1{REDACTED}", text))


def _renderer(format: Literal["json", "console"]) -> structlog.typing.Processor:
    if format == "json":
        return structlog.processors.JSONRenderer(serializer=json.dumps, ensure_ascii=False)
    # Tracebacks are text by now: a pretty one would show local variables, and with them secrets.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
