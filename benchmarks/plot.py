"""Draws a run as bars: `python -m benchmarks.plot results.json picture.svg`, where matplotlib is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

import matplotlib as mpl
from matplotlib import pyplot

from benchmarks.report import COUNTED, ratios

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "hopyard"


def main(results_file: str, picture: str) -> None:
    """Draw one panel per workload."""
    results = json.loads(Path(results_file).read_text())["results"]
    names = sorted({r["system"] for r in results}, reverse=True)
    figure, panels = pyplot.subplots(2, 3, figsize=(15, 9), layout="constrained")
    for panel, workload in zip(panels.flat, COUNTED, strict=True):
        told = {name: ratios(results, workload, name, "celery") for name in names}
        bars = {name: median(values) for name, values in told.items() if values}
        colours = ["#2f6f4f" if name.startswith("hopyard") else "#9aa5ad" for name in bars]
        drawn = panel.barh(list(bars), list(bars.values()), color=colours)
        panel.bar_label(drawn, fmt=lambda value: f"{value:.3g}×", padding=3)
        panel.set_title(workload)
        panel.margins(x=0.15)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Jobs per CPU-second of clients or workers and servers, relative to stock Celery")
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
