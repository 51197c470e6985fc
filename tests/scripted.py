"""Whole runs whose rollouts are scripted, so that their numbers do not hang on one sampled token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from r1zero.base import device
from r1zero.config import Recipe, load
from r1zero.grading.pool import ScorerPool
from r1zero.rl.loop import train
from r1zero.rl.parts import rl_parts
from r1zero.run.folder import RunFolder
from r1zero.run.interrupt import Stop
from r1zero.run.session import Session
from r1zero.trainer.base import Trainer
from r1zero.types import Completion, Prompt, Sampling

from .fakes import ScriptedEngine
from .recipes import metrics, write_recipe

ANSWERS = (
    "<think></think><answer>\\boxed{100}</answer>",
    "<think>wait</think><answer>\\boxed{ANSWER}</answer>",
    "\\boxed{ANSWER}",
    "12+13=25",
)


class Truthful(ScriptedEngine):
    """Puts the reference answer where a text says ANSWER."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        for index, prompt in enumerate(prompts):
            texts = [text.replace("ANSWER", prompt.problem.answer) for text in self.answers(prompt)]
            yield index, tuple(self._completion(texts[number % len(texts)]) for number in range(sampling.n))

    def answers(self, prompt: Prompt) -> Sequence[str]:
        return self.texts


def run(
    folder: Path,
    *overrides: str,
    engine: type[Truthful] = Truthful,
    trainer: Callable[[Trainer[Any]], Trainer[Any]] = lambda local: local,
) -> list[dict[str, float]]:
    """The metrics of a run of two steps, by what `trainer` makes of the one of this process."""
    recipe = load(Recipe, write_recipe(folder), ["run.steps=2", *overrides])
    run_folder = RunFolder.create(folder / "run", resume=False)
    chosen = device.select("cpu", "fp32", threads=1, deterministic=True)
    with Stop() as stop, ScorerPool.of(recipe.rewards) as pool:
        parts = rl_parts(recipe, chosen, pool, run_folder.quarantine_rows)
        object.__setattr__(parts.rollouts, "engine", engine(parts.trainer.tokenizer, ANSWERS))
        parts = replace(parts, trainer=trainer(parts.trainer))
        with Session(recipe, run_folder, chosen, parts, stop, parts.stream.fingerprints) as session:
            train(parts, session)
    return metrics(folder / "run")


def weights(folder: Path, part: str = "") -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "run" / "checkpoints" / "step_000002" / part / "model.safetensors")
