"""What `import r1zero` gives: the programs of the command line as functions. Examples: docs/python.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from r1zero import config
from r1zero.base import device
from r1zero.base.errors import UsageError
from r1zero.config import Recipe, Rewards, TuningRecipe
from r1zero.data.chat.templates import apply_template
from r1zero.data.responses import response_text
from r1zero.engine.base import RolloutEngine
from r1zero.engine.open import open_engine
from r1zero.engine.sampling import sampling_of
from r1zero.grading.pool import ScorerPool
from r1zero.models.load import load_model as _load
from r1zero.run import metrics
from r1zero.types import Message, Problem, Prompt, Score


def load_recipe(name: str | Path, *overrides: str) -> Recipe | TuningRecipe:
    """A recipe of `r1zero train`: a YAML file, or the name of one that comes with r1zero. Overrides are
    `"section.key=value"`. Raises UsageError with everything that is wrong with it."""
    return config.load_training(name, overrides)


def train(recipe: Recipe | TuningRecipe, *, resume: bool = False) -> Path:
    """Train by a recipe; returns the run's folder (docs/run-folder.md). Raises UsageError before any work for what the
    recipe gets wrong."""
    if isinstance(recipe, Recipe):
        from r1zero.rl.run import run

        return run(recipe, resume=resume)
    if not isinstance(recipe, TuningRecipe):
        raise UsageError(f"train: needs a recipe, not {recipe!r}; write train(load_recipe(...))")
    from r1zero.tuning.run import run as tune

    return tune(recipe, resume=resume)


def evaluate(what: str | Path, *overrides: str) -> dict[str, float]:
    """The numbers of `r1zero evaluate`: of a run folder's newest intact checkpoint, or of a recipe's model, on the
    recipe's evaluation set."""
    from r1zero.evaluation.run import run

    report, _ = run(config.load(Recipe, what, overrides), str(what))
    return {name.removeprefix("evaluation/"): value for name, value in report.metrics.items()}


def grade(
    responses: Sequence[str], answers: Sequence[str], verifier: str = "math", *, timeout_seconds: float = 5.0
) -> list[Score]:
    """The verdict on each response, given its reference answer, by a verifier of docs/rewards.md. Verifiers run in
    processes of their own, which no text can stop: one that takes too long is the verdict `timeout`."""
    if isinstance(responses, str) or isinstance(answers, str) or len(responses) != len(answers):
        raise UsageError(f"grade: needs a list of responses and one of as many answers, not {type(responses).__name__}")
    with ScorerPool.of(Rewards(timeout_seconds=timeout_seconds)) as pool:
        pairs = enumerate(zip(responses, answers, strict=True))
        futures = [
            pool.submit(verifier, Problem(id=str(number), question="", answer=answer, source="grade"), response)
            for number, (response, answer) in pairs
        ]
        return [future.result() for future in futures]


def read_metrics(run: str | Path) -> list[dict[str, float]]:
    """Every complete record of a run's `metrics.jsonl`, oldest first."""
    file = Path(run) / "metrics.jsonl"
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file; give a run's folder")
    return metrics.read_metrics(file)


def load_model(path: str, *, device: str = "auto", dtype: str = "auto", kv_cache_gib: float = 2.0) -> Model:
    """A model to sample from: a folder, a checkpoint of a run, a Hugging Face id, or a name of `r1zero model list`.
    Raises UsageError for one that cannot be loaded whole."""
    return Model.load(path, device, dtype, kv_cache_gib)


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model and its engine; `load_model` makes one. `transformers` is the transformers model that computes."""

    transformers: Any
    tokenizer: Any
    engine: RolloutEngine

    @classmethod
    def load(cls, path: str, kind: str, dtype: str, kv_cache_gib: float) -> Model:
        chosen = device.select(kind, dtype)  # pyright: ignore[reportArgumentType]
        model, tokenizer = _load(path, dtype=chosen.dtype, device=chosen.torch_device)
        settings = config.Rollout(max_new_tokens=1, kv_cache_gib=kv_cache_gib)
        return cls(model, tokenizer, open_engine(settings, model, tokenizer))

    def generate(
        self,
        prompts: Sequence[str | Sequence[Message]],
        *,
        n: int = 1,
        max_new_tokens: int = 256,
        temperature: float = 1.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[list[str]]:
        """`n` texts for each prompt: a text is continued, a chat is answered by the tokenizer's template. Temperature 0
        is greedy. The same prompts and settings on the same machine give the same texts."""
        if isinstance(prompts, str):
            raise UsageError("generate: needs a list of prompts, not one text; write [prompt]")
        try:
            settings = config.Rollout(
                temperature=temperature or 1.0, top_p=top_p, max_new_tokens=max_new_tokens, stop=tuple(stop)
            )
        except ValidationError as error:
            wrong = error.errors()[0]
            raise UsageError(f"generate: {wrong['loc'][0]} = {wrong['input']!r}: {wrong['msg']}") from None
        if n < 1:
            raise UsageError(f"generate: n = {n}: must be at least 1")
        sampling = sampling_of(settings, n=n, stop=(), model=self.transformers, tokenizer=self.tokenizer)
        sampling = replace(sampling, temperature=temperature, seed=seed)
        asked = [self._prompt(prompt, number) for number, prompt in enumerate(prompts)]
        texts: dict[int, list[str]] = {}
        for index, completions in self.engine.generate(asked, sampling):
            texts[index] = [
                response_text(self.tokenizer, done.token_ids, sampling.stop_token_ids) for done in completions
            ]
        return [texts[index] for index in range(len(asked))]

    def _prompt(self, prompt: str | Sequence[Message], number: int) -> Prompt:
        if isinstance(prompt, str):
            ids = self.tokenizer(prompt)["input_ids"]
        else:
            text = apply_template(self.tokenizer, prompt, add_generation_prompt=True)
            ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if not ids:
            raise UsageError(f"generate: prompt {number} has no token; give it a text")
        problem = Problem(id=str(number), question="", answer="", source="generate")
        return Prompt(problem=problem, token_ids=np.array(ids, dtype=np.int32))
