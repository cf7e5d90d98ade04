"""Validates a plugin's settings by the plugin's own model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from hopyard.errors import Fault
from hopyard.loading._importing import error_text, traceback_text
from hopyard.loading._records import Failure, PluginState
from hopyard.plugin import Plugin
from hopyard.settings import Settings, explain


def validated(name: str, cls: type[Plugin[Any]], settings: Settings) -> BaseModel:
    """The plugin's settings; Failure with every fault in them."""
    faults = list(settings.plugin_faults.get(name, ()))
    values = settings.plugin(name).settings
    model = cls.settings_model()
    try:
        result = model.model_validate(values)
    except ValidationError as error:
        found = explain(
            error,
            model,
            values,
            prefix=("plugins", name, "settings"),
            source=lambda key: settings.nearest_source(*key),
            masked=lambda key: settings.masked(*key),
            plugin=name,
        )
        known = {fault.key for fault in faults}
        faults += [fault for _, fault in found if fault.key not in known]
    except Exception as error:
        reason = f"the check of its settings raised {error_text(error)}"
        hint = "a validator says what is wrong by raising ValueError"
        raise _failure(reason, hint, traceback=traceback_text(error)) from error
    if faults:
        raise _misconfigured(faults)
    return result


def _misconfigured(faults: list[Fault]) -> Failure:
    reason = "; ".join(f"{fault.key}: found {fault.found}, expected {fault.expected}" for fault in faults)
    guesses = [f"did you mean `{fault.nearest}`?" for fault in faults if fault.nearest]
    hint = " ".join([*guesses, f"mend it in {faults[0].source}"])
    return _failure(reason, hint, faults=tuple(faults))


def _failure(reason: str, hint: str, *, faults: tuple[Fault, ...] = (), traceback: str = "") -> Failure:
    return Failure(
        "settings", reason, hint, state=PluginState.MISCONFIGURED, faults=faults, traceback=traceback
    )
