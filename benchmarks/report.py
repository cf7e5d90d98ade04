"""The table of a run: medians over rounds, ratios to stock Celery of the same round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median, quantiles
from typing import Any

Result = dict[str, Any]
#: Workloads that are told as jobs per CPU-second.
COUNTED = ("submit-one", "submit-sync", "submit-concurrent", "submit-many", "drain", "io")


def cpu_seconds(result: Result) -> float:
    """Return the CPU seconds of clients, workers and servers together; the clock of the kernel has 10 ms."""
    return max(result["client"] + result["workers"] + result["servers"], 0.001)


def per_cpu(result: Result) -> float:
    """Return jobs per CPU-second."""
    return float(result["jobs"] / cpu_seconds(result))


def ratios(results: Sequence[Result], workload: str, system: str, stock: str) -> list[float]:
    """Return, by round, how many times stock's jobs per CPU-second a system does.

    What stock has no way of its own for is held against its submitting one by one.
    """
    base = {r["round"]: per_cpu(r) for r in pick(results, workload, stock)}
    if workload == "submit-sync":
        base = {r["round"]: per_cpu(r) for r in pick(results, "submit-one", stock)}
    found = pick(results, workload, system)
    return [per_cpu(r) / base[r["round"]] for r in found if r["round"] in base]


def pick(results: Iterable[Result], workload: str, system: str) -> list[Result]:
    """Return the results of one system and workload."""
    return [r for r in results if (r["workload"], r["system"]) == (workload, system)]


def text(about: dict[str, Any], results: Sequence[Result], stock: str) -> str:
    """Return the report in Markdown."""
    systems = list(dict.fromkeys(r["system"] for r in results))
    systems.sort(key=lambda name: (not name.startswith("hopyard"), name != stock))
    parts = [
        "### Jobs per CPU-second of clients or workers and servers (× stock Celery in the same round)\n",
        _table(["", *COUNTED], [_counted(results, name, stock) for name in systems]),
        "\n### CPU-seconds per 1000 jobs: client or workers + servers; jobs per second on the wall\n",
        _table(["", *COUNTED], [_parts(results, name) for name in systems]),
        "\n### Latency, start, memory\n",
        _table(
            ["", "p50 ms", "p95", "p99", "first job s", "idle RSS MiB", "PSS", "largest process",
             "idle CPU %", "peak drain MiB", "peak I/O MiB"],
            [_others(results, name, stock) for name in systems],
        ),
    ]  # fmt: skip
    for workload in ("backlog", "history", "5000"):
        if found := [r for r in results if r["workload"] == workload]:
            parts += [f"\n### {workload}\n", *(_rare(r) for r in found)]
    parts += ["\n### Systems\n"]
    parts += [f"- {n}: {s['versions']}. {s['settings']}" for n, s in about["systems"].items()]
    kind = ", ".join(f"{key} {value}" for key, value in about["machine"].items())
    rounds = len({r["round"] for r in results})
    parts += [f"\n{rounds} rounds in {about['seconds']:.0f} s; {kind}."]
    parts += [f"\nFAILED {error}" for error in about["errors"]]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counted(results: Sequence[Result], name: str, stock: str) -> list[str]:
    cells = [name]
    for workload in COUNTED:
        found = [per_cpu(r) for r in pick(results, workload, name)]
        times = ratios(results, workload, name, stock)
        cells.append(f"{median(found):.0f}{f' ({median(times):.3g}×)' if times else ''}" if found else "-")
    return cells


def _parts(results: Sequence[Result], name: str) -> list[str]:
    cells = [name]
    for workload in COUNTED:
        found = pick(results, workload, name)
        if not found:
            cells.append("-")
            continue
        own = median((r["client"] + r["workers"]) / r["jobs"] * 1000 for r in found)
        servers = median(r["servers"] / r["jobs"] * 1000 for r in found)
        rate = median(r["jobs"] / r["wall"] for r in found)
        cells.append(f"{own:.3f} + {servers:.3f}; {rate:.0f}/s")
    return cells


def _others(results: Sequence[Result], name: str, stock: str) -> list[str]:
    def figure(workload: str, of: str, key: str) -> float | None:
        if key in ("p50", "p95", "p99"):
            ms = [one for r in pick(results, workload, of) for one in r["ms"]]
            return quantiles(ms, n=100)[int(key[1:]) - 1] if ms else None
        found = [r[key] for r in pick(results, workload, of)]
        return median(found) if found else None

    cells = [name]
    keys = [("latency", "p50"), ("latency", "p95"), ("latency", "p99"), ("start", "seconds")]
    keys += [("memory", key) for key in ("rss", "pss", "largest", "idle_cpu_percent")]
    keys += [("drain", "peak"), ("io", "peak")]
    for workload, key in keys:
        value, base = figure(workload, name, key), figure(workload, stock, key)
        told = f" ({value / base:.2f})" if value and base and key in ("p50", "seconds", "rss", "pss") else ""
        cells.append("-" if value is None else f"{value:.3g}{told}")
    return cells


def _rare(result: Result) -> str:
    name, workload = result["system"], result["workload"]
    if workload == "backlog":
        return f"- {name}: {result['idle']:.0f} MiB idle, {result['peak']:.0f} with {result['queued']} queued"
    if workload == "history":
        share = per_cpu(result) / per_cpu(result["without"])
        return f"- {name}: {share:.2f} of the drain without history; pages {result['pages']}"
    return (
        f"- {name}: {result['jobs']} jobs, {result['together']} at the same time, all started within "
        f"{result['spread']:.2f} s, peak {result['peak']:.0f} MiB"
    )
