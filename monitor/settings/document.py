"""A configuration as written: plain values with the file and line each comes from. Knows no key's meaning.

Scalars are read more plainly than YAML 1.1 does: only `true` and `false` are booleans, only decimal numbers
are numbers (`NO`, `1:30` and dates stay text), and a number with a fraction remembers its text, so that money
is never rounded. A key written twice is a mistake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from monitor.errors import Problem

Location = tuple[str | int, ...]
"""Keys and list positions from the root."""

ENVIRONMENT_PREFIX = "SHADOW_MONITOR__"

_NULLS = frozenset(["", "~", "null", "Null", "NULL"])
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,39})")
_FRACTION = re.compile(r"[-+]?[0-9]{0,40}\.[0-9]{1,40}(?:[eE][-+]?[0-9]{1,3})?")
_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{t}" for t in ("null", "bool", "int", "float", "timestamp", "value")
)
_TEXT_TAG = "tag:yaml.org,2002:str"


class WrittenFloat(float):
    """A float that remembers how it was written."""

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> WrittenFloat:
        value = super().__new__(cls, text)
        value.text = text
        return value


class Origin(NamedTuple):
    """Where a value is written; `line` is 0 where there is none (an environment variable)."""

    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


def problem_at(origin: Origin | str, location: Location, message: str, remedy: str) -> Problem:
    """A `Problem` at the file and line where the mistake is written."""
    return Problem(
        str(origin), dotted(location), f"{message}.", f"{remedy}{'' if remedy.endswith('?') else '.'}"
    )


def dotted(location: Location) -> str:
    """`("deployments", "btc", "policy", "rules", 2, "above")` -> `deployments.btc.policy.rules[2].above`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(the whole file)"


class Document:
    """Nested dicts, lists and scalars with the origin of each."""

    def __init__(self, source: str, data: Any = None, origins: dict[Location, Origin] | None = None) -> None:
        self.source = source
        self.data = {} if data is None else data
        self.origins = origins if origins is not None else {}
        self.problems: list[Problem] = []

    def origin(self, location: Location) -> Origin:
        """Origin of the value at `location`, or of its nearest ancestor that is written somewhere."""
        for end in range(len(location), 0, -1):
            if (found := self.origins.get(location[:end])) is not None:
                return found
        return Origin(self.source, 0)

    def graft(self, location: Location, other: Document) -> None:
        """Put `other` in place of the value at `location`, keeping where it comes from."""
        parent: Any = self.data
        for part in location[:-1]:
            parent = parent[part]
        parent[location[-1]] = other.data
        self.origins[location] = Origin(other.source, 0)
        for inner, origin in other.origins.items():
            self.origins[location + inner] = origin
        self.problems.extend(other.problems)

    def override(self, environment: Mapping[str, str]) -> None:
        """Lay `SHADOW_MONITOR__SECTION__KEY=value` over what is written.

        Names match keys without regard to case, `-` read as `_`; `null` is no value; a value that begins with
        `[` or `{`, or belongs to the broker client, is read as YAML (but `sasl_...` stays text). An empty
        variable overrides nothing.
        """
        for name in sorted(environment):
            if name.upper().startswith(ENVIRONMENT_PREFIX) and environment[name]:
                self._override(name, environment[name])

    def _override(self, name: str, text: str) -> None:
        origin = Origin(f"environment variable {name}", 0)
        parts = name[len(ENVIRONMENT_PREFIX) :].split("__")
        location: Location = ()
        here: Any = self.data
        for position, part in enumerate(parts):
            last = position == len(parts) - 1
            key: str | int
            if isinstance(here, list) and part.isdecimal() and int(part) < len(here):
                key = int(part)
            elif isinstance(here, dict) and part:
                key = _matching(here, part)
            else:
                what, remedy = "has no such key to override", "check the name of the variable"
                self.problems.append(problem_at(origin, location, what, remedy))
                return
            location += (key,)
            if last:
                here[key] = self._environment_value(location, text, origin)
                self.origins[location] = origin
            else:
                if isinstance(here, dict) and here.get(str(key)) is None:
                    here[key] = {}
                    self.origins[location] = origin
                here = here[key]

    def _environment_value(self, location: Location, text: str, origin: Origin) -> Any:
        client = location[:2] == ("transport", "client")
        if str(location[-1]).startswith("sasl_") or not (client or text[0] in "[{" or text == "null"):
            return text
        inner = parse(text, str(origin))
        self.problems.extend(inner.problems)
        return inner.data


def _matching(mapping: dict[str, Any], part: str) -> str:
    wanted = part.lower()
    return next((key for key in mapping if key.lower().replace("-", "_") == wanted.replace("-", "_")), wanted)


def read(path: Path, name: str | None = None) -> Document:
    """The document in a YAML or JSON file; what cannot be read is a problem of the document.

    `name` is what messages call the file (default: its path).
    """
    name = name or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        document = Document(name)
        document.problems.append(
            problem_at(name, (), f"cannot be read: {reason}", "give the path of a UTF-8 YAML file")
        )
        return document
    return parse(text, name)


def parse(text: str, name: str) -> Document:
    """The document in `text`; syntax mistakes become problems of the document."""
    document = Document(name)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None:
            document.data = _Reading(loader, document).value(node, (), ())
    except RecursionError:
        document.problems.append(
            problem_at(name, (), "is nested too deeply", "write it as config/example.yaml is written")
        )
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = str(Origin(name, mark.line + 1)) if mark is not None else name
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        document.problems.append(
            problem_at(where, (), f"is not YAML: {reason}", "correct the syntax at this line")
        )
    return document


def _text(node: yaml.ScalarNode) -> str:
    """What is written; half a character (an escape such as `\\ud800`) could be neither shown nor sent."""
    text = str(node.value)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise yaml.MarkedYAMLError(None, None, "half a character is no text", node.start_mark)
    return text


class _Reading:
    """One walk over the nodes of a YAML text."""

    def __init__(self, loader: yaml.SafeLoader, document: Document) -> None:
        self._loader = loader
        self._document = document
        self._flattened: set[int] = set()

    def value(self, node: yaml.Node, location: Location, inside: tuple[int, ...]) -> Any:
        """Plain value of `node`; `inside` are the nodes around it: an alias of one of them would not end."""
        self._document.origins[location] = self._origin(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location)
        if id(node) in inside:
            raise yaml.MarkedYAMLError(None, None, "an alias refers to itself", node.start_mark)
        inside = (*inside, id(node))
        if not isinstance(node, yaml.MappingNode):
            return [self.value(item, (*location, i), inside) for i, item in enumerate(node.value)]
        if id(node) not in self._flattened:
            self._flattened.add(id(node))
            self._check_keys(node, location)
            self._loader.flatten_mapping(node)  # `<<: *anchor`: merged pairs come first, written ones win
        mapping: dict[str, Any] = {}
        for key, item in node.value:
            at = (*location, _text(key))
            mapping[key.value] = self.value(item, at, inside)
            self._document.origins[at] = self._origin(key)
        return mapping

    def _check_keys(self, node: yaml.MappingNode, location: Location) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(None, None, "a key must be plain text", key.start_mark)
            if key.value in seen:
                self._problem(key, (*location, key.value), "is written twice", "keep one of the two")
            seen.add(key.value)

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> Any:
        text = _text(node)
        if node.tag not in _PLAIN_TAGS:
            if node.tag != _TEXT_TAG:
                self._problem(node, location, f"unknown tag {node.tag}", "remove the tag")
            return text
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if _INTEGER.fullmatch(text):
            return int(text)
        return WrittenFloat(text) if _FRACTION.fullmatch(text) else text

    def _origin(self, node: yaml.Node) -> Origin:
        return Origin(self._document.source, node.start_mark.line + 1)

    def _problem(self, node: yaml.Node, location: Location, message: str, remedy: str) -> None:
        self._document.problems.append(problem_at(self._origin(node), location, message, remedy))
