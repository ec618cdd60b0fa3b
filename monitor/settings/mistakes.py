"""Mistakes in a configuration: raised in validators with a remedy, collected as `Problem`s."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from monitor.errors import Problem
from monitor.settings.document import Document, Location, WrittenFloat, problem_at

SHAPES = ("[mapping]", "[name]")
"""Tags of the shapes that one key may be written in; they are part of no location."""

_NUMBER = ("is not a number", "write a number")
_WHOLE = ("is not a whole number", "write a whole number")
_BOOLEAN = ("is neither true nor false", "write true or false")
_MAPPING = ("is not a mapping of keys to values", "write a mapping of keys to values")
_WORDS = {
    "greater_than": ("must be more than {gt}", "write more than {gt}"),
    "greater_than_equal": ("must be at least {ge}", "write {ge} or more"),
    "less_than": ("must be less than {lt}", "write less than {lt}"),
    "less_than_equal": ("must be at most {le}", "write {le} or less"),
    "int_parsing": _WHOLE,
    "int_parsing_size": ("is beyond 64 bits", "write a smaller number"),
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": ("is not a finite number", "write a finite number"),
    "bool_parsing": _BOOLEAN,
    "bool_type": _BOOLEAN,
    "string_type": ("is not text", "write text; in quotes where it looks like something else"),
    "string_too_short": ("is empty", "write at least one character"),
    "model_type": _MAPPING,
    "mapping_type": _MAPPING,
    "dict_type": _MAPPING,
    "path_type": ("is not the path of a file", "write the path of a file"),
    "tuple_type": ("is not a list", "write a list: [..., ...]"),
    "too_short": ("is empty", "add an entry"),
}
"""What pydantic finds, for a person: what is wrong, and what to do."""


def mistake(message: str, remedy: str) -> PydanticCustomError:
    """What a validator raises: a message for a person, and what to do about it."""
    return PydanticCustomError("mistake", "{message}", {"message": message, "remedy": remedy})


def not_yet(what: str, remedy: str) -> PydanticCustomError:
    """What a validator raises at a value that this version knows of and cannot serve."""
    return mistake(f"not yet: {what} is not supported by this version", remedy)


def suggestion(given: str, known: Iterable[str]) -> str:
    """A remedy for a misspelt name: the nearest known one, else all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(given.lower(), names, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else f"use one of: {', '.join(names)}"


def problem(document: Document, location: Location, message: str, remedy: str) -> Problem:
    """A `Problem` at the place where the nearest existing ancestor of `location` is written."""
    return problem_at(document.origin(location), location, message, remedy)


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """Every mistake pydantic found in `document`, which was validated against `model`."""
    found = error.errors(include_url=False)
    return [_translate(details, document, model) for details in found if not _follows(details)]


def _follows(details: ErrorDetails) -> bool:
    """Whether it is that nothing is left of a list whose every entry is mistaken: that has been said."""
    return details["type"] == "too_short" and bool(details["input"])


def _translate(details: ErrorDetails, document: Document, model: type[BaseModel]) -> Problem:
    location = tuple(part for part in details["loc"] if part not in ("[key]", *SHAPES))
    kind, context = details["type"], details.get("ctx", {})
    key = str(location[-1]) if location else ""
    if kind == "mistake":
        return problem(document, location, context["message"], context["remedy"])
    if kind == "extra_forbidden":
        return problem(document, location, "unknown key", suggestion(key, _known_keys(model, location[:-1])))
    if kind == "missing":
        return problem(document, location, "is required and missing", f"add `{key}: ...`")
    given = "" if location[:2] == ("transport", "client") else f" (it is {_short(details['input'])})"
    if kind == "literal_error":
        known = _literals(context["expected"])
        remedy = suggestion(str(details["input"]), known) if len(known) > 1 else f"write {known[0]}"
        return problem(
            document, location, f"must be {context['expected'].replace(chr(39), '')}{given}", remedy
        )
    if kind in _WORDS:
        kind = "string_too_short" if kind == "too_short" and details["input"] == "" else kind
        written = {bound: _short(value) for bound, value in context.items()}
        what, remedy = (text.format(**written) for text in _WORDS[kind])
        return problem(document, location, f"{what}{given}", remedy)
    message = details["msg"][0].lower() + details["msg"][1:] + given
    return problem(document, location, message, "correct the value")


def _short(value: object) -> str:
    """As it would be written in the file, or nearly."""
    if value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, WrittenFloat):
        text = value.text
    elif isinstance(value, Decimal):
        text = f"{value:f}"
    elif isinstance(value, float):
        text = f"{value:g}"
    else:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _literals(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").replace("'", "").split(", ")


def _known_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Keys of the section at `location` under `model`, walking mappings and lists of sections."""
    annotation: Any = model
    for part in location:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
            annotation = _section(fields[str(part)].annotation)
        else:
            annotation = _section(get_args(annotation)[0 if get_origin(annotation) is tuple else 1])
    return [field.alias or name for name, field in annotation.model_fields.items()]


def _section(annotation: Any) -> Any:
    """The type without `Annotated` and `| None`; mappings and tuples stay as they are."""
    if get_origin(annotation) is Annotated:
        return _section(get_args(annotation)[0])
    if get_origin(annotation) in (UnionType, Union):
        return _section(next(a for a in get_args(annotation) if a is not type(None)))
    return annotation
