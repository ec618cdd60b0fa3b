"""The desk's own decoder, found by its name `package.module:function`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, cast

from monitor.errors import ConfigError, Problem


def resolve_decoder(name: str) -> Callable[..., Any]:
    """The function that `decoder` names.

    Raises:
        ConfigError: the module cannot be imported, or holds no such function.
    """
    module_name, _, function_name = name.partition(":")
    remedy = f"install the package that holds `{module_name}`, or correct the name (package.module:function)"
    try:
        found = getattr(importlib.import_module(module_name), function_name)
    except ImportError as error:
        raise ConfigError(
            [Problem("configuration", "decoder", f"cannot import {module_name}: {error}", remedy)]
        ) from error
    except AttributeError as error:
        message = f"{module_name} has no function {function_name}"
        raise ConfigError([Problem("configuration", "decoder", message, remedy)]) from error
    if not callable(found):
        raise ConfigError([Problem("configuration", "decoder", f"{name} is not a function", remedy)])
    return cast(Callable[..., Any], found)
