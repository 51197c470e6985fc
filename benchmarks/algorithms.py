"""The same base, the same task, nine algorithms: final held-out accuracy over seeds, as a table and as curves.

python benchmarks/algorithms.py                              # all recipes of recipes/algorithms, seeds 0 1 2: hours
python benchmarks/algorithms.py --names grpo ppo --seeds 0
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
from results import save

from r1zero.config.load import RECIPES
from r1zero.report import read
from r1zero.run.metrics import read_metrics

CURVES = Path(__file__).parent.parent / "docs" / "results" / "algorithms.png"
WITHIN = 0.03  # of GRPO's accuracy: what PPO as Open-Reasoner-Zero runs it must reach


@dataclass(frozen=True)
class Result:
    """One finished run."""

    name: str
    seed: int
    base: float
    accuracy: float  # held out, sampled
    greedy: float
    rollouts: int
    seconds: float
    steps: list[int]
    curve: list[float]  # accuracy of the rollouts


def run(name: str, seed: int, runs: Path, overrides: list[str]) -> Result:
    """Train a recipe with a seed. A run that is finished already is not repeated; one that was stopped goes on."""
    folder = runs / f"{name}-{seed}"
    command = [sys.executable, "-m", "r1zero.cli.main", "train", f"algorithms/{name}"]
    command += [f"run.dir={folder}", f"run.seed={seed}", *overrides, "--resume"]
    if not (folder / "report.html").exists():
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (_, base), *_, (_, final) = read.evaluations(folder)
    records = [record for record in read_metrics(folder / "metrics.jsonl") if "seconds/step" in record]
    points = [(int(record["step"]), record["accuracy"]) for record in records]
    return Result(
        name=name,
        seed=seed,
        base=base["evaluation/accuracy"],
        accuracy=final["evaluation/accuracy"],
        greedy=final["evaluation/greedy_accuracy"],
        rollouts=int(sum(record["verdict/graded"] for record in records)),
        seconds=sum(record["seconds/step"] - record.get("seconds/evaluate", 0) for record in records),
        steps=[step for step, _ in points],
        curve=[value for _, value in points],
    )


def table(results: list[Result]) -> str:
    lines = [
        "| algorithm | seeds | before | after, sampled | each | greedy | rollouts |",
        "|---|--:|--:|--:|---|--:|--:|",
    ]
    for name in dict.fromkeys(result.name for result in results):
        own = [result for result in results if result.name == name]
        each = " ".join(f"{result.accuracy:.3f}" for result in own)
        cells = [
            f"`{name}`",
            str(len(own)),
            f"{fmean(result.base for result in own):.3f}",
            f"**{fmean(result.accuracy for result in own):.3f}**",
            each,
            f"{fmean(result.greedy for result in own):.3f}",
            f"{fmean(result.rollouts for result in own):,.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results: list[Result], out: Path) -> None:
    """Accuracy of the rollouts over steps: a thin line per seed, a dot for the held-out result."""
    names = list(dict.fromkeys(result.name for result in results))
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4 * columns, 2.4 * rows), squeeze=False, sharex=True, sharey=True
    )
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        for result in (result for result in results if result.name == name):
            axis.plot(result.steps, result.curve, color="#2457c5", linewidth=1, alpha=0.7)
            axis.plot(result.steps[-1], result.accuracy, "o", color="#d9480f", markersize=4)
        axis.set_title(name, loc="left")
        axis.set_ylim(0, 1)
    for axis in axes[-1]:
        axis.set_xlabel("RL step (dots: held out)")
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


def main() -> None:
    names = sorted(file.stem for file in (RECIPES / "algorithms").glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/algorithms"), help="the run folders; finished ones count"
    )
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--set", nargs="*", default=[], metavar="a.b=c", help="overrides for all runs")
    arguments = parser.parse_args()
    results = [run(name, seed, arguments.runs, arguments.set) for name in arguments.names for seed in arguments.seeds]
    print(table(results))
    draw(results, arguments.curves)
    flat = {
        f"{result.name}/{result.seed}/{key}": getattr(result, key)
        for result in results
        for key in ("accuracy", "greedy", "rollouts", "seconds")
    }
    save(__file__, flat)
    mean = {name: fmean(one.accuracy for one in results if one.name == name) for name in arguments.names}
    if {"grpo", "ppo"} <= mean.keys():
        kept = mean["ppo"] >= mean["grpo"] - WITHIN
        print(f"ppo - grpo = {mean['ppo'] - mean['grpo']:+.3f}, at least {-WITHIN} wanted: {'yes' if kept else 'NO'}")
        sys.exit(not kept)


if __name__ == "__main__":
    main()
