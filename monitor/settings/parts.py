"""`Parts`: what of a configuration is valid by itself, so that a mistake in one hides none in another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from monitor.settings.configuration import Settings
from monitor.settings.deployment import Deployment
from monitor.settings.rules import RuleSettings


class Parts:
    """The values of a section that are valid by themselves."""

    def __init__(self, model: type[BaseModel], written: Any, context: dict[str, Any]) -> None:
        self._values: dict[str, Any] = {}
        keys = written if isinstance(written, Mapping) else {}
        for name, field in model.model_fields.items():
            key = field.alias or name
            if key in keys:
                try:
                    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
                    self._values[key] = adapter.validate_python(keys[key], context=context)
                except ValidationError:
                    continue
            elif not field.is_required():
                self._values[key] = field.get_default(call_default_factory=True)

    def has(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> Any:
        """The value, None where it is not valid."""
        return self._values.get(key)


def shared_parts(written: Mapping[str, Any], context: dict[str, Any]) -> Parts:
    """What all deployments of a configuration share."""
    return Parts(Settings, {**written, "deployments": {}}, context)


def deployment_parts(written: Mapping[str, Any], context: dict[str, Any]) -> Parts:
    """A deployment's section without its policy, which is judged rule by rule (`valid_rules`)."""
    return Parts(Deployment, {**written, "policy": {"name": "none"}}, context)


def deployments_of(written: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The sections of a configuration's deployments, by name."""
    found = written.get("deployments")
    named = found.items() if isinstance(found, Mapping) else ()
    return {name: section for name, section in named if isinstance(section, Mapping)}


def rules_of(deployment: Mapping[str, Any]) -> list[Any]:
    """The rules of a deployment's section as they are written."""
    policy = deployment.get("policy")
    rules = policy.get("rules") if isinstance(policy, Mapping) else None
    return rules if isinstance(rules, list) else []


def valid_rules(deployment: Mapping[str, Any]) -> dict[int, RuleSettings]:
    """Those of them that are valid, by position."""
    found = {}
    for position, written in enumerate(rules_of(deployment)):
        try:
            found[position] = RuleSettings.model_validate(written)
        except ValidationError:
            continue
    return found
