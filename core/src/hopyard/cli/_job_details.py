"""`hopyard jobs show` for people: what a job is, then every attempt, effect and child."""

from __future__ import annotations

from typing import Any

from hopyard.cli._output import say, table
from hopyard.display import to_json

_APART = ("error", "attempts", "effects", "children")
_MEGABYTE = 1_000_000


def render(found: dict[str, Any]) -> None:
    """Print what `ledger.details.job` returned."""
    error = found["error"] or {}
    facts = [(name, _cell(value)) for name, value in found.items() if name not in _APART]
    facts.append(("error", _what(error)))
    table(f"Job {found['id']}", ("", ""), [fact for fact in facts if fact[1]])
    if found["attempts"]:
        table("Attempts", ("n", "how", "worker", "began (UTC)", "seconds", "what happened"), _attempts(found))
    if found["effects"]:
        table(
            "Effects",
            ("name", "state", "attempt", "began (UTC)", "last written (UTC)", "intent", "outcome"),
            [
                (
                    one["name"],
                    one["state"],
                    one["attempt"],
                    at(one["began"]),
                    at(one["at"]),
                    _cell(one["intent"]),
                    _cell(one["outcome"]),
                )
                for one in found["effects"]
            ],
        )
    if found["children"]:
        rows = [(one["id"], one["task"], one["state"]) for one in found["children"]]
        table("Children", ("id", "task", "state"), rows)
    for attempt in found["attempts"]:
        _last_words(attempt)
    if error.get("traceback"):
        say(str(error["traceback"]))


def _attempts(found: dict[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            one.get("attempt"),
            one["outcome"],
            _worker(one),
            at(one.get("began")),
            "" if one["seconds"] is None else f"{one['seconds']:.2f}",
            _what(one),
        )
        for one in found["attempts"]
    ]


def _worker(attempt: dict[str, Any]) -> str:
    number, name, host = attempt.get("worker"), attempt.get("name"), attempt.get("host")
    told = f"{name or ''} ({number})" if number is not None else ""
    return told if not host or str(name).endswith(f"@{host}") else f"{told} on {host}"


def _what(attempt: dict[str, Any]) -> str:
    """Say what an attempt met: the error with its category, and how much memory a dead process had."""
    kind, category = attempt.get("kind"), attempt.get("category")
    said = attempt.get("message") or ""
    if kind:
        said = f"{kind}{f' ({category})' if category else ''}: {said}"
    memory = (attempt.get("evidence") or {}).get("memory")
    return f"{said}, {memory / _MEGABYTE:.0f} MB in memory" if memory else said


def _last_words(attempt: dict[str, Any]) -> None:
    lines = (attempt.get("evidence") or {}).get("log")
    if lines:
        say(f"Last log lines of attempt {attempt.get('attempt')}:")
        say("\n".join(f"  {line}" for line in lines))


def at(value: str | None) -> str:
    """Return an ISO time as people read it, without its zone."""
    return value[:19].replace("T", " ") if value else ""


def _cell(value: Any) -> str:
    if value in (None, [], {}):
        return ""
    return str(value) if isinstance(value, str | int | float) else to_json(value)
