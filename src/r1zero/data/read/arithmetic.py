"""Generated tasks: sums with disjoint splits, and the corpus that the miniature base model is pretrained on.

Nothing here depends on anything but its arguments, so a recipe names its data completely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from r1zero.base import registry, seeds
from r1zero.base.errors import UsageError

_LARGEST_UNIVERSE = 5_000_000


def sums(
    split: str,
    *,
    terms: int,
    low: int,
    high: int,
    count: int = 0,
    heldout_one_in: int = 6,
    text: str = "What is {sum}?",
    plus: str = " + ",
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Sums of `terms` numbers from `low` to `high`, in a seeded order; `count` 0 yields all of the split.

    One multiset of numbers in `heldout_one_in` is held out: no order of its numbers occurs in `train`, and `heldout`
    has each in one order only.
    """
    for numbers in _operands(split, terms, low, high, heldout_one_in, seed)[: count or None]:
        shown = plus.join(str(number) for number in numbers)
        yield {"question": text.replace("{sum}", shown), "answer": str(int(numbers.sum()))}


def reasoning_corpus(
    split: str,
    *,
    terms: int,
    low: int,
    high: int,
    count: int,
    terse: float,
    steps: float,
    check: float,
    broken: float,
    terse_right: float,
    slip: float,
    heldout_one_in: int = 6,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Documents "question, newline, response" in four manners whose shares are `terse`, `steps`, `check` and `broken`.

    terse    answers at once and is right with probability `terse_right`; otherwise it forgets the last number
    steps    adds one number at a time; each partial sum is off by 1 or 10 with probability `slip`
    check    the same, then "wait", adds again in another order without slips, and answers with that
    broken   right or wrong, but without the tags or the box that a verifier asks for
    """
    if abs(terse + steps + check + broken - 1) > 1e-6:
        raise UsageError(f"options: terse + steps + check + broken = {terse + steps + check + broken}: must be 1")
    operands = _operands(split, terms, low, high, heldout_one_in, seed)
    rng = seeds.generator(seed, "corpus")
    for _ in range(count):
        numbers = [int(number) for number in operands[rng.integers(len(operands))]]
        question = "+".join(str(number) for number in numbers) + "=?"
        manner = rng.choice(4, p=[terse, steps, check, broken])
        if manner == 0:
            answer = sum(numbers) if rng.random() < terse_right else sum(numbers[:-1])
            response = _tagged("", answer)
        elif manner == 1:
            thought, answer = _add(numbers, slip, rng)
            response = _tagged(thought, answer)
        elif manner == 2:
            first, _ = _add(numbers, slip, rng)
            second, answer = _add(numbers[1:] + numbers[:1], 0.0, rng)
            response = _tagged(f"{first} wait, let me check. {second}", answer)
        else:
            thought, answer = _add(numbers, slip, rng)
            response = [f"{thought}", f"{answer}", f"<think>{thought} {answer}", f"\\boxed{{{answer}}}"][
                rng.integers(4)
            ]
        yield {"text": f"{question}\n{response}"}


TASKS: dict[str, Callable[..., Iterator[dict[str, Any]]]] = registry.with_installed(
    "tasks", {"sums": sums, "reasoning_corpus": reasoning_corpus}
)


def _operands(split: str, terms: int, low: int, high: int, heldout_one_in: int, seed: int) -> np.ndarray:
    """The split's tuples of numbers in a seeded order: [count, terms]."""
    if split not in ("train", "heldout"):
        raise UsageError(f"split = '{split}': this task has 'train' and 'heldout'")
    size = (high - low + 1) ** terms
    if not 0 < size <= _LARGEST_UNIVERSE:
        raise UsageError(
            f"options: {terms} numbers from {low} to {high} are {size} problems; at most {_LARGEST_UNIVERSE}"
        )
    axes = np.meshgrid(*[np.arange(low, high + 1)] * terms, indexing="ij")
    operands = np.stack([axis.ravel() for axis in axes], axis=1)
    ordered = np.sort(operands, axis=1)
    held = _mix(ordered, seed) % np.uint64(heldout_one_in) == 0
    rng = seeds.generator(seed, "sums", split)
    if split == "train":
        return rng.permutation(operands[~held])
    unique = np.unique(ordered[held], axis=0)
    return rng.permuted(rng.permutation(unique), axis=1)


def _mix(rows: np.ndarray, seed: int) -> np.ndarray:
    """A well-mixed 64-bit number per row (splitmix64 of the row's numbers): [count] uint64."""
    with np.errstate(over="ignore"):
        state = np.full(len(rows), np.uint64(seed), dtype=np.uint64)
        for column in rows.T.astype(np.uint64):
            state = (state ^ column) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state ^= state >> np.uint64(31)
    return state


def _add(numbers: list[int], slip: float, rng: np.random.Generator) -> tuple[str, int]:
    """Adds one number at a time, slipping now and then. Example: `12+34=46. 46+56=102.`"""
    total, lines = numbers[0], []
    for number in numbers[1:]:
        partial = total + number
        if rng.random() < slip:
            partial += int(rng.choice([-10, -1, 1, 10]))
        lines.append(f"{total}+{number}={partial}.")
        total = partial
    return " ".join(lines), total


def _tagged(thought: str, answer: int) -> str:
    return f"<think>{thought}</think><answer>\\boxed{{{answer}}}</answer>"
