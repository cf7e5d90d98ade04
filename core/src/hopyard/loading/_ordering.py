"""The order in which plugins are loaded: what is required or named in `after` comes first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from hopyard.checks import nearest
from hopyard.loading._records import Failure
from hopyard.plugin import Plugin

Classes = Mapping[str, type[Plugin[Any]]]


def load_order(classes: Classes, fail: Callable[[str, Failure], None]) -> list[str]:
    """Names in loading order. Plugins on a cycle are handed to `fail` and left out."""
    left = dict(classes)
    while True:
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for name in sorted(left):
            before = (*left[name].requires, *left[name].after)
            sorter.add(name, *sorted(other for other in before if other in left))
        try:
            return list(sorter.static_order())
        except CycleError as error:
            cycle = list(reversed(error.args[1]))
            for name in dict.fromkeys(cycle):
                fail(name, _cycle(name, cycle))
                del left[name]


def check_required(
    name: str, requires: tuple[str, ...], enabled: Collection[str], known: Mapping[str, str]
) -> None:
    """Raise Failure where a required plugin is not enabled. `known` is the state of the others by name."""
    for required in requires:
        if required in enabled:
            continue
        if required in known:
            state, hint = known[required], f"see what `hopyard plugins` says about `{required}`"
        else:
            close = nearest(required, known)
            state = "not installed"
            hint = f"did you mean `{close}`?" if close else f"install it: pip install hopyard-{required}"
        raise Failure("requires", f"it requires the plugin `{required}`, which is {state}", hint)


def _cycle(name: str, cycle: list[str]) -> Failure:
    path = " → ".join(cycle)
    return Failure(
        "order",
        f"its `requires` and `after` go round in a circle: {path}",
        f"take one of them out, e.g. from `{name}`",
    )
