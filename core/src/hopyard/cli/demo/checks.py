"""What the demo has to show, and whether it has."""

from __future__ import annotations

import json
from typing import Any

from hopyard.cli.demo.listener import Listener
from hopyard.cli.demo.servers import EVENT, Servers


def missing(
    asked: dict[str, str], jobs: list[dict[str, Any]], listener: Listener, servers: Servers
) -> list[str]:
    """Return what the demo has not shown yet."""
    runs: dict[str, list[dict[str, Any]]] = {what: [] for what in asked}
    for job in jobs:
        if job["task"] == "ai.act" and job["state"] == "succeeded":
            for what, request in asked.items():
                if job["arguments"]["request"] == request:
                    runs[what].append(job["result"])
    done = {what: [run for run in found if run["state"] == "done"] for what, found in runs.items()}
    told = {
        message["data"]["request"] for message in listener.messages if message["data"].get("state") == "done"
    }
    checks = {
        "the one-off was done": bool(done["one-off"]),
        "the recurring one was done twice": len(done["recurring"]) >= 2,
        "two tools were called in one run": any(len(_tools(run)) >= 2 for run in done["two tools"]),
        "one was postponed, then done": bool(done["postponed"])
        and any(r["postponed"] for r in done["postponed"]),
        "a tool failed and was retried": bool(done["retried"])
        and any(job["task"] == "site.exchange_rate" and job["attempt"] > 1 for job in jobs),
        "a call was approved, then made": any(
            job["task"] == "site.open_gate" and job["state"] == "succeeded" for job in jobs
        )
        and bool(done["approved"]),
        "every answer contains what the tools returned": all(
            _quotes(r) for found in done.values() for r in found
        ),
        "everybody was told": told >= set(asked.values()),
    }
    if servers.mailbox is not None:
        checks["a mail was approved, then sent"] = bool(done["mail"]) and len(servers.mails()) == 1
    if servers.calendar is not None:
        checks["the calendar was looked at"] = any(EVENT in run["answer"] for run in done["calendar"])
    return [what for what, shown in checks.items() if not shown]


def _tools(run: dict[str, Any]) -> set[str]:
    return {call["name"] for call in run["calls"] if call["ok"]}


def _quotes(run: dict[str, Any]) -> bool:
    """Say whether an answer has the fresh reference of each tool result."""
    results = [json.loads(call["result"]) for call in run["calls"] if call["ok"]]
    references = [result.get("reference", "") for result in results if isinstance(result, dict)]
    return all(reference in run["answer"] for reference in references)
