"""Draws the main panels of the dashboards from what Prometheus has recorded: draw.py RECORDED.json PICTURE.png"""

import json
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

# The panels, and the objective of each in its unit, if there is one.
PANELS = {
    "players: Open sockets": None,
    "players: Intents by outcome": None,
    "players: Request time": 0.3,
    "players: Logins by outcome": None,
    "database: Characters that wait": 5000,
    "database: Write time": 0.1,
    "database: From change to commit": 1.5,
    "database: Dead letters": 0,
    "database: Cache hits": 0.95,
    "cluster: Shards owned": None,
    "overview: Not served": 0.001,
    "runtime: Processor": 0.8,
}

UNITS = {"s": "seconds", "ops": "a second", "percentunit": "share", "short": "", "reqps": "a second", "bytes": "bytes"}


def name(query, series):
    """What Grafana calls a series."""
    text = query["legend"]
    for label, value in series["metric"].items():
        text = text.replace("{{" + label + "}}", value)
    return text


def main(recorded, picture):
    with open(recorded, encoding="utf-8") as file:
        queries = json.load(file)
    began = min(float(value[0]) for query in queries for series in query["series"] for value in series["values"])
    figure, axes = pyplot.subplots(4, 3, figsize=(16, 14), layout="constrained")
    for axis, (panel, objective) in zip(axes.flat, PANELS.items(), strict=True):
        shown = [query for query in queries if query["panel"] == panel]
        if not shown:
            raise SystemExit(f"no dashboard has the panel {panel}")
        lines = [(name(query, series), series["values"]) for query in shown for series in query["series"]]
        for label, values in lines:
            minutes = [(float(at) - began) / 60 for at, _ in values]
            axis.plot(minutes, [float(value) for _, value in values], linewidth=1.2, label=label)
        if objective is not None:
            axis.axhline(objective, color="red", linestyle="--", linewidth=1)
        axis.set_title(panel, fontsize=11, loc="left")
        axis.set_ylabel(UNITS[shown[0]["unit"]], fontsize=8)
        axis.set_ylim(bottom=0)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        if 0 < len(lines) <= 6:
            axis.legend(fontsize=7, frameon=False)
    figure.supxlabel("minutes", fontsize=9)
    figure.savefig(picture, dpi=75)


if __name__ == "__main__":
    main(*sys.argv[1:])
