"""The picture of the README: curves of one or more demo runs.

python benchmarks/curves.py runs/demo runs/demo-tiny --out docs/demo.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

from r1zero.report import read

CURVES = {
    "accuracy": "accuracy of the rollouts",
    "response_length": "response length (tokens)",
    "reflection_rate": "reflection rate",
    "entropy": "entropy (nats per token)",
}
RATES = ("accuracy", "reflection_rate")


def draw(runs: list[Path], out: Path) -> None:
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(len(runs), len(CURVES), figsize=(12, 2.4 * len(runs)), squeeze=False)
    for run, row in zip(runs, axes, strict=True):
        curves = {curve.name: curve for curve in read.curves(run, list(CURVES))}
        evaluations = read.evaluations(run)
        for axis, (name, title) in zip(row, CURVES.items(), strict=True):
            axis.plot(curves[name].steps, curves[name].values, color="#2457c5", linewidth=1.6)
            held_out = [
                (step, numbers[f"evaluation/{name}"])
                for step, numbers in evaluations
                if f"evaluation/{name}" in numbers
            ]
            axis.plot(*zip(*held_out, strict=True), "o", color="#d9480f", markersize=5) if held_out else None
            axis.set_title(title, loc="left")
            highest = max(*curves[name].values, *(value for _, value in held_out), 0)
            axis.set_ylim(0, 1.02 if name in RATES else 1.1 * highest)
        row[0].set_ylabel(run.name)
    for axis in axes[-1]:
        axis.set_xlabel("RL step (dots: held-out problems)")
    figure.tight_layout()
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("docs/demo.png"))
    arguments = parser.parse_args()
    draw(arguments.runs, arguments.out)
