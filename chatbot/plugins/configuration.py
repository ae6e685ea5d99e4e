"""A plugin's section of the configuration, checked against its model before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chatbot.plugins.errors import Problem, Problems
from chatbot.plugins.plugin import Plugin
from chatbot.settings_errors import in_words


def validate_config(
    plugin: Plugin, section: Mapping[str, Any] | None
) -> tuple[object, list[Problem]]:
    """Make `[plugins.NAME]` an instance of the plugin's model.

    Keys that the model does not know are wrong, unless it says `extra="allow"` or `"ignore"`.
    No problem's text holds a value: it may be a password.

    Returns:
        The instance, None for a plugin without a model, and what is wrong, each with the path of
        its key.
    """
    problems = Problems(plugin.name)
    if plugin.config is None:
        for key in section or {}:
            problems.add(f"plugins.{plugin.name}.{key}: the plugin takes no configuration")
        return None, problems.found
    return _validated(plugin, plugin.config, section or {}, problems), problems.found


def _validated(
    plugin: Plugin, model: Any, section: Mapping[str, Any], problems: Problems
) -> object:
    from pydantic import BaseModel, ValidationError  # noqa: PLC0415 - heavy, and rarely needed

    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        problems.add(f"config={model!r} is not a pydantic model", plugin.source)
        return None
    extra = model.model_config.get("extra", "forbid")
    try:
        return model.model_validate(dict(section), extra=extra)
    except ValidationError as error:
        for wrong in error.errors(include_input=False, include_url=False):
            path = ".".join(map(str, ("plugins", plugin.name, *wrong["loc"])))
            problems.add(f"{path}: {in_words(wrong, model, show=False)}")
    except Exception as error:  # noqa: BLE001 - an author's validator may raise anything
        problems.add(f"plugins.{plugin.name}: its model failed with {type(error).__name__}")
    return None
