"""Showing what the demo did."""

from __future__ import annotations

from typing import Any

from hopyard.cli._output import emit, say, table


def show(report: dict[str, Any], as_json: bool) -> None:
    """Print the report."""
    emit(report, as_json, _render)


def _render(report: dict[str, Any]) -> None:
    say("")
    table(
        "What ran",
        ("task", "for", "state", "attempts", "seconds", "result"),
        [
            (
                job["task"],
                job["person"],
                job["state"],
                job["attempt"],
                job["seconds"] and f"{job['seconds']:.2f}",
                _result(job),
            )
            for job in sorted(report["jobs"], key=lambda job: job["started"] or job["created"])
        ],
    )
    table(
        "What people were told",
        ("who", "title", "text"),
        [(message["person"], message["title"], message["body"]) for message in report["notifications"]],
    )
    say(f"model {report['model']}, {len(report['jobs'])} jobs, {report['seconds']} s")
    for what in report["missing"]:
        say(f"MISSING: {what}", err=True)
    say("ok" if report["ok"] else "the demo did not show everything")


def _result(job: dict[str, Any]) -> str:
    result = job["result"]
    if job["task"] == "ai.act" and result:
        decision = (result["decision"] or {}).get("action", "")
        tools = ", ".join(call["name"] for call in result["calls"])
        return f"{result['state']} ({decision})" + (f" with {tools}" if tools else "")
    if job["error"]:
        return f"{job['error'].get('kind')}: {job['error'].get('message')}"[:100]
    return job["reason"] or ""
