"""What curation finds and what it takes by mistake: `python benchmarks/curate.py [folder of the data sets] [--model
PATH]`.

Decontamination: Open-R1's rule and ours on the field's sets, then ours on planted rewritten copies. Near duplicates:
planted copies with edited wording (to be removed) and with edited numbers (to be kept).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import planted_errors
import torch

from r1zero.data.curation import decontaminate, duplicates
from r1zero.data.curation.removal import Removal
from r1zero.models.embed import Embedder
from r1zero.types import Problem

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
COLUMN = {"gsm8k_train": "question", "gsm8k_test": "question"}
OPEN_R1 = {  # what Open-R1's script flags (counted with an independent reading of it)
    ("math_train", "math500"): 619,
    ("math_train", "aime24"): 105,
    ("math_train", "amc23"): 78,
    ("gsm8k_train", "gsm8k_test"): 70,
    ("aime_1983_2023", "math500"): 216,
    ("aime_1983_2023", "aime24"): 227,
    ("aime_1983_2023", "amc23"): 144,
}


def problems(folder: Path, name: str) -> list[Problem]:
    rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    column = COLUMN.get(name, "problem")
    return [
        Problem(id=f"{name}:{line}", question=row[column], answer=str(row["answer"]), source=name, line=line)
        for line, row in enumerate(rows, start=1)
    ]


def planted(originals: Sequence[Problem], edit, count: int, seed: int) -> list[tuple[Problem, Problem]]:
    """(copy, original) pairs; the copies keep the answer, so that only the question can tell."""
    rng = random.Random(seed)
    pairs = []
    for original in rng.sample(list(originals), len(originals)):
        text = edit(original.text, rng)
        if text is not None and text != original.text:
            identity = f"plant:{len(pairs)}"
            pairs.append(
                (
                    Problem(id=identity, question=text, answer=original.answer, source="plants", line=len(pairs)),
                    original,
                )
            )
        if len(pairs) == count:
            break
    return pairs


def decontamination(folder: Path) -> None:
    print("| train set | evaluation set | open_r1 | expected | strict | seconds |\n|---|---|---|---|---|---|")
    alarms = []
    for (train, test), expected in OPEN_R1.items():
        rows, held_out = problems(folder, train), {test: problems(folder, test)}
        theirs = decontaminate.open_r1(rows, held_out).notes[test]
        start = time.monotonic()
        ours = decontaminate.strict(rows, held_out)
        seconds = time.monotonic() - start
        alarms += ours.removed
        print(f"| {train} | {test} | {theirs} | {expected} | {ours.notes[test]} | {seconds:.1f} |")
        assert theirs == expected, "open_r1 mode does not count as Open-R1's script does"
    print("\nEvery problem that strict mode flags there (false alarms, or leaks nobody planted):")
    for removal in alarms:
        assert removal.like is not None
        print(f"- {removal.problem.id} as {removal.like.id}: {removal.detail}")
        print(f"    train {_line(removal.problem.text)}\n    test  {_line(removal.like.text)}")


def recall(folder: Path, count: int, seed: int) -> None:
    """Rewritten copies of evaluation problems, hidden in the training set they would leak into."""
    print(
        "\n| evaluation set | train set | planted | open_r1 finds | strict finds | recall |\n|---|---|---|---|---|---|"
    )
    shares = {("math500", "math_train"): 0.5, ("gsm8k_test", "gsm8k_train"): 0.35, ("amc23", "aime_1983_2023"): 0.15}
    found_all = 0
    for (test, train), share in shares.items():
        held_out = problems(folder, test)
        pairs = planted(held_out, planted_errors.paraphrase, round(count * share), seed)
        mixed = [*problems(folder, train), *(copy for copy, _ in pairs)]
        finds = {
            name: {removal.problem.id for removal in rule(mixed, {test: held_out}).removed}
            for name, rule in (("open_r1", decontaminate.open_r1), ("strict", decontaminate.strict))
        }
        theirs, ours = (sum(copy.id in finds[name] for copy, _ in pairs) for name in ("open_r1", "strict"))
        found_all += ours
        print(f"| {test} | {train} | {len(pairs)} | {theirs} | {ours} | {ours / len(pairs):.3f} |")
        for copy, original in pairs:
            if copy.id not in finds["strict"]:
                print(f"    missed {_line(copy.text)}\n    of     {_line(original.text)}")
    print(f"strict recall on all {count} planted copies: {found_all / count:.3f}")


def remembering(embed: duplicates.Embed) -> duplicates.Embed:
    """Embeds a text once, however often it is asked for: the rows of this table share most of theirs."""
    known: dict[str, np.ndarray] = {}

    def wrapped(texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, embed(new) if new else [], strict=True))
        return np.stack([known[text] for text in texts])

    return wrapped


def duplication(folder: Path, count: int, seed: int, model: str) -> None:
    """Copies planted in two thousand problems: with edited wording (to be removed), edited numbers or a word turned
    round (to be kept). Copies keep the answer, so that only the question can tell."""
    rng = random.Random(seed)
    base = rng.sample(problems(folder, "math_train"), 1000) + rng.sample(problems(folder, "gsm8k_train"), 1000)
    base = duplicates.exact(base).kept
    # the last two say where the step ends: copies rewritten beyond recognition of words, and questions turned round
    edits = {
        "reworded": (planted_errors.reworded, True),
        "renumbered": (planted_errors.renumbered, False),
        "rewritten": (planted_errors.paraphrase, True),
        "turned round": (planted_errors.turned, False),
    }
    pairs = {name: planted(base, edit, count, seed + place) for place, (name, (edit, _)) in enumerate(edits.items())}
    steps = {"near_duplicates": lambda rows: duplicates.near(rows, threshold=0.4, ngram=2)}
    if model:
        embed = remembering(Embedder(model, torch.device("cpu")))
        steps["similar"] = lambda rows: duplicates.similar(rows, embed, threshold=0.85)
    print("\n| step | edit | planted | removed | should be | seconds |\n|---|---|---|---|---|---|")
    for step, rule in steps.items():
        right = wrong = of = 0
        originals: list[Removal] = []
        for name, (_, same) in edits.items():
            start = time.monotonic()
            outcome = rule([*base, *(replace(copy, id=f"{name}:{copy.id}") for copy, _ in pairs[name])])
            gone = [removal for removal in outcome.removed if removal.problem.source == "plants"]
            originals = [removal for removal in outcome.removed if removal.problem.source != "plants"]
            hits = sum(removal.like == pairs[name][removal.problem.line][1] for removal in gone) if same else 0
            if name in ("reworded", "renumbered"):
                right, wrong, of = right + hits, wrong + len(gone) - hits, of + len(pairs[name]) * same
            wanted, seconds = "removed" if same else "kept", time.monotonic() - start
            print(f"| {step} | {name} | {len(pairs[name])} | {len(gone)} | {wanted} | {seconds:.1f} |")
        print(
            f"{step}, reworded and renumbered: precision {right / max(1, right + wrong):.3f}, recall {right / of:.3f}"
        )
        print(f"{step}: {len(originals)} problems of the sets themselves, of {len(base)}:")
        for removal in originals:
            assert removal.like is not None
            print(f"    {_line(removal.problem.text)}\n    {_line(removal.like.text)}  [{removal.detail}]")


def _line(text: str, length: int = 160) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 3] + "..."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=SHARED)
    parser.add_argument("--plants", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="", help="sentence-embedding model for `similar`; left out without one")
    options = parser.parse_args()
    decontamination(options.folder)
    recall(options.folder, options.plants, options.seed)
    duplication(options.folder, options.plants, options.seed, options.model)


if __name__ == "__main__":
    main()
