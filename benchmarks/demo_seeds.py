"""Does the demo keep its promise, for every seed? Runs both demos and prints the table of the README.

python benchmarks/demo_seeds.py                # seeds 0..4 of the miniature, 0..2 of SmolLM2-135M: an hour
python benchmarks/demo_seeds.py --tiny 0 1 --smollm2
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from results import save

# what each demo must show: name of a number in summary.json -> (comparison, bound)
PROMISES = {
    "tiny": {
        "base_accuracy": ("at most", 0.40),
        "final_accuracy": ("at least", 0.90),
        "base_greedy_accuracy": ("at most", 0.50),
        "final_greedy_accuracy": ("at least", 0.95),
        "length_ratio": ("at least", 1.5),
        "total_seconds": ("at most", 360),
    },
    "smollm2-135m": {
        "base_accuracy": ("at most", 0.30),
        "final_accuracy": ("at least", 0.65),
        "total_seconds": ("at most", 900),
    },
}


def run(model: str, seed: int, runs: Path) -> dict[str, Any]:
    """The demo's summary and whether it kept its promise. A run that is there already is not repeated."""
    folder = runs / f"{model}-{seed}"
    if not (folder / "summary.json").exists():
        command = [sys.executable, "-m", "r1zero.cli.main", "demo", f"run.dir={folder}", f"run.seed={seed}"]
        command += ["--tiny"] if model == "tiny" else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    summary = json.loads((folder / "summary.json").read_text())
    summary["length_ratio"] = summary["final_response_length"] / summary["base_response_length"]
    summary["kept"] = all(
        summary[name] <= bound if comparison == "at most" else summary[name] >= bound
        for name, (comparison, bound) in PROMISES[model].items()
    )
    return summary


def table(summaries: list[dict[str, Any]]) -> str:
    lines = [
        "| model | seed | accuracy, sampled | greedy | response length | reflection rate | RL | all | as promised |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for one in summaries:
        change = [
            f"{one[f'base_{name}']:{form}} → {one[f'final_{name}']:{form}}"
            for name, form in (
                ("accuracy", ".3f"),
                ("greedy_accuracy", ".3f"),
                ("response_length", ".1f"),
                ("reflection_rate", ".2f"),
            )
        ]
        seconds = [f"{one[name]:.0f} s" for name in ("rl_seconds", "total_seconds")]
        cells = [one["model"], str(one["seed"]), *change, *seconds, "yes" if one["kept"] else "NO"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", type=int, nargs="*", default=[0, 1, 2, 3, 4], help="seeds of the miniature")
    parser.add_argument("--smollm2", type=int, nargs="*", default=[0, 1, 2], help="seeds of SmolLM2-135M")
    parser.add_argument("--runs", type=Path, default=Path("runs/seeds"), help="the run folders; finished ones count")
    arguments = parser.parse_args()
    summaries = [run("smollm2-135m", seed, arguments.runs) for seed in arguments.smollm2]
    summaries += [run("tiny", seed, arguments.runs) for seed in arguments.tiny]
    print(table(summaries))
    flat = {f"{one['model']}/{one['seed']}/{name}": value for one in summaries for name, value in one.items()}
    save(__file__, flat)
    sys.exit(not all(one["kept"] for one in summaries))


if __name__ == "__main__":
    main()
