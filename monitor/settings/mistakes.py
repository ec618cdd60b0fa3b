"""Mistakes in a configuration: raised in validators with a remedy, collected as `Problem`s."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from monitor.errors import Problem
from monitor.settings.document import Document, Location, problem_at

SHAPES = ("[mapping]", "[name]")
"""Tags of the shapes that one key may be written in; they are part of no location."""

_REMEDIES = {
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "finite_number": "write a finite number",
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "string_type": "write text; in quotes where it looks like something else",
    "string_too_short": "write at least one character",
    "model_type": "write a mapping of keys to values",
    "mapping_type": "write a mapping of keys to values",
    "dict_type": "write a mapping of keys to values",
    "path_type": "write the path of a file",
    "tuple_type": "write a list: [..., ...]",
    "too_short": "add an entry",
}


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
    return [_translate(details, document, model) for details in error.errors(include_url=False)]


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
    message = details["msg"][0].lower() + details["msg"][1:] + given
    if kind == "literal_error":
        remedy = suggestion(str(details["input"]), (str(value) for value in _literals(context["expected"])))
    else:
        remedy = _REMEDIES.get(kind, "correct the value")
    return problem(document, location, message, remedy)


def _short(value: object) -> str:
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
