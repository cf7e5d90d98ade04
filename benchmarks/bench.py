"""Systems side by side, round by round, and a report. How and why: docs/performance.md."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks import environments, reading, report, speech, submitting, workloads
from benchmarks.session import FailedSystem, Servers, Session, System, running_servers

_MODULES = "benchmarks.systems"
STOCK = "celery"
SYSTEMS = {
    system.name: system
    for system in (
        System(STOCK, "celery", f"{_MODULES}.celery_stock"),
        *(
            System(
                f"hopyard-{ledger}",
                "hopyard",
                f"{_MODULES}.hopyard",
                uses=("redis", "postgres") if ledger == "postgres" else ("redis",),
                scale=6,
                env={"BENCH_LEDGER": ledger},
            )
            for ledger in ("postgres", "sqlite", "sqlite-normal")
        ),
        System(
            "hopyard-hooks",
            "hopyard",
            f"{_MODULES}.hopyard",
            uses=("redis", "postgres"),
            scale=6,
            env={"BENCH_LEDGER": "postgres", "BENCH_HOOKS": "1"},
        ),
        System("celery-tuned", "celery", f"{_MODULES}.celery_stock", env={"BENCH_TUNED": "1"}),
        System("dramatiq", "dramatiq", f"{_MODULES}.dramatiq", scale=2),
        System("huey", "huey", f"{_MODULES}.huey", scale=2),
        System("taskiq", "taskiq", f"{_MODULES}.taskiq", scale=2),
        System("saq", "saq", f"{_MODULES}.saq", scale=2),
        System("arq", "arq", f"{_MODULES}.arq"),
        System("procrastinate", "procrastinate", f"{_MODULES}.procrastinate", uses=("postgres",)),
        System("pgqueuer", "pgqueuer", f"{_MODULES}.pgqueuer", uses=("postgres",), scale=6),
    )
}
#: Measured only where it is asked for by name.
_ASKED_FOR = "hopyard-hooks"
#: Those that only some systems can do.
_ABLE = {
    "submit-sync": ("hopyard-",),
    "history": ("hopyard-",),
    "5000": ("hopyard-",),
    "backlog": ("hopyard-", STOCK),
}


def main(arguments: Sequence[str]) -> int:
    """Run; return how many systems failed."""
    options = parsed(arguments)
    for part in (speech, submitting, reading):
        if part.NAME in options.only:
            print(part.report())
            options.only.remove(part.NAME)
    if not options.only:
        return 0
    chosen = [SYSTEMS[name] for name in options.systems]
    results: list[dict[str, Any]] = []
    about: dict[str, Any] = {"machine": machine(), "systems": {}, "errors": []}
    pythons = made(chosen, about)
    shutil.rmtree(environments.PLACE / "sessions", ignore_errors=True)
    place = environments.PLACE / "results.json"
    begun = time.monotonic()
    with running_servers() as shared:
        for number in range(options.rounds):
            turn = number % len(chosen)
            for system in chosen[turn:] + chosen[:turn]:
                if system.environment in pythons:
                    measure(system, pythons[system.environment], shared, options, number, results, about)
                    about["seconds"] = time.monotonic() - begun
                    place.write_text(json.dumps({"about": about, "results": results}))
    text = report.text(about, results, STOCK)
    (environments.PLACE / "report.md").write_text(text)
    print(text)
    plot(place, environments.PLACE / "performance.svg")
    return min(len(about["errors"]), 1)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options. Exits with what is wrong."""
    every = [*workloads.EVERYDAY, *workloads.RARE]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--systems",
        type=lambda value: value.split(","),
        default=[name for name in SYSTEMS if name != _ASKED_FOR],
    )
    parser.add_argument("--only", type=lambda value: value.split(","), default=[*workloads.EVERYDAY, "5000"])
    parser.add_argument("--rounds", type=int, default=2)
    for field in dataclasses.fields(workloads.Options):
        parser.add_argument(f"--{field.name}", type=int, default=field.default)
    options = parser.parse_args([word for word in arguments if word])
    # `submit` stands for all of its kinds.
    kinds = [name for name in every if name.startswith("submit-")]
    options.only = [name for given in options.only for name in (kinds if given == "submit" else [given])]
    for given, known in (
        (options.systems, SYSTEMS),
        (options.only, [*every, speech.NAME, submitting.NAME, reading.NAME]),
    ):
        if unknown := set(given) - set(known):
            parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return options


def made(chosen: Sequence[System], about: dict[str, Any]) -> dict[str, Path]:
    """Make the environments; one that cannot be made is an error of its systems."""
    found = {}
    for name in sorted({system.environment for system in chosen}):
        try:
            found[name] = environments.python(name)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            about["errors"].append(f"no environment for {name}: {error}")
    return found


def measure(
    system: System,
    python: Path,
    shared: Servers,
    options: argparse.Namespace,
    number: int,
    results: list[dict[str, Any]],
    about: dict[str, Any],
) -> None:
    """Measure one system for one round; a failure is kept with the results."""
    able = {
        name for name in options.only if any(system.name.startswith(one) for one in _ABLE.get(name, ("",)))
    }
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(workloads.Options)}
    print(f"round {number + 1}: {system.name}", end="", file=sys.stderr, flush=True)
    try:
        with Session(system, python, shared) as session:
            about["systems"][system.name] = session.order("describe", within=90)
            for workload, figures in workloads.run(session, able, workloads.Options(**fields)):
                results.append({"round": number, "system": system.name, "workload": workload, **figures})
                print(f" {workload}", end="", file=sys.stderr, flush=True)
    except FailedSystem as error:
        about["errors"].append(f"round {number + 1}: {error}")
        print(f"\n{error}", end="", file=sys.stderr)
    print(file=sys.stderr)


def machine() -> dict[str, Any]:
    """Say what this runs on, without names."""
    describe = ["git", "-C", str(environments.ROOT), "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, capture_output=True, text=True, check=False)
    return {
        "cores": psutil.cpu_count(),
        "memory": f"{psutil.virtual_memory().total / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
    }


def plot(results: Path, picture: Path) -> None:
    """Draw the bars, in the environment that has matplotlib; the table is there without them."""
    try:
        python = environments.python("plot")
        command = [str(python), "-m", "benchmarks.plot", str(results), str(picture)]
        subprocess.run(command, cwd=environments.ROOT, check=True, timeout=120)
        print(f"plots: {picture}")
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"no plots: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
