"""How often a policy solves each problem, by samples that are kept: the next look at them costs nothing.

A chunk of problems is sampled, graded and written as one file, complete or absent. A problem is looked up by everything
that shapes its samples (prompt tokens, reference answer, model, sampling, verifiers), so another band, another order of
steps or a run that was killed finds what is there and samples only the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from r1zero.base import device, seeds
from r1zero.base.errors import UsageError
from r1zero.base.log import Progress, log
from r1zero.config import Recipe, load
from r1zero.config.curation import PassRate
from r1zero.data.curation.removal import Outcome, Removal
from r1zero.data.prompts import to_prompts
from r1zero.engine.base import RolloutEngine
from r1zero.engine.open import open_engine
from r1zero.engine.policy import Policy, load_policy, longest_prompt
from r1zero.grading import rollouts
from r1zero.grading.combine import Verifiers
from r1zero.grading.scorer import Scorer, rule_scorer
from r1zero.models import fetch
from r1zero.types import Problem, Prompt, Sampling

PASS_RATE = "pass_rate"
Records = Mapping[str, dict[str, Any]]  # key of a prompt -> its group as `rollouts.records` writes it


def filtered(
    problems: Sequence[Problem], step: PassRate, *, samples: Path, seed: int, check: Callable[[], None]
) -> Outcome:
    """Keep problems whose pass rate lies strictly between `step.low` and `step.high`; kept ones have it in `extra`."""
    recipe = load(Recipe, step.recipe, step.overrides)
    chosen = device.select(recipe.run.device, recipe.model.dtype, recipe.run.threads, recipe.run.deterministic)
    Verifiers.of(recipe)  # names first, then the model
    policy = load_policy(recipe, chosen)
    with rule_scorer(recipe.rewards) as pool:
        engine = open_engine(recipe.rollout, policy.model, policy.tokenizer)
        sampler = Sampler.of(recipe, policy, engine, pool, step.samples, Path(samples))
        prompts, unusable = to_prompts(problems, recipe.data, policy.tokenizer, policy.rendered)
        engine.check_room(longest_prompt(prompts), sampler.sampling)
        records = sampler.records(prompts, chunk=step.prompts_per_chunk, seed=seed, check=check)
    reasons = {(row.source, row.line): row.reason for row in unusable}
    rates = {prompt.problem.id: pass_rate(records[sampler.key(prompt)]) for prompt in prompts}
    return band(problems, rates, reasons, low=step.low, high=step.high)


def pass_rate(record: Mapping[str, Any]) -> float | None:
    """Mean accuracy over the samples whose verdict counts; None without any. A verifier that failed says nothing of a
    response; one that ran out of time on it says that it is not right."""
    marks = [
        rollout["accuracy"] if rollout["verdict"] == "graded" else 0.0
        for rollout in record["rollouts"]
        if rollout["verdict"] in ("graded", "timeout")
    ]
    return fmean(marks) if marks else None


def band(
    problems: Sequence[Problem],
    rates: Mapping[str, float | None],
    unusable: Mapping[tuple[str, int], str],
    *,
    low: float,
    high: float,
) -> Outcome:
    """Split problems by their rate (id -> rate), strictly inside (low, high) or not."""
    kept, removed = [], []
    for problem in problems:
        rate = rates.get(problem.id)
        if problem.id not in rates:
            detail = unusable.get((problem.source, problem.line), "")
            removed.append(Removal(problem=problem, reason="no usable prompt", detail=detail))
        elif rate is None:
            removed.append(Removal(problem=problem, reason="no verdict", detail="no sample could be judged"))
        elif rate <= low or rate >= high:
            reason = f"too hard: pass rate <= {low:g}" if rate <= low else f"too easy: pass rate >= {high:g}"
            removed.append(Removal(problem=problem, reason=reason, detail=f"pass rate {rate:.3g}"))
        else:
            kept.append(replace(problem, extra={**problem.extra, PASS_RATE: rate}))
    known = [rate for rate in rates.values() if rate is not None]
    return Outcome(kept=kept, removed=removed, notes={"mean pass rate": round(fmean(known), 4)} if known else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """Samples prompts with any engine, or finds the samples that are there."""

    engine: RolloutEngine
    pool: Scorer
    verifiers: Verifiers
    sampling: Sampling
    decode: Callable[[Any], str]
    identity: str  # of the model
    folder: Path

    @classmethod
    def of(
        cls, recipe: Recipe, policy: Policy, engine: RolloutEngine, pool: Scorer, samples: int, folder: Path
    ) -> Sampler:
        verifiers = Verifiers.of(recipe)
        if all(
            verifiers.first(Problem(id="", question="", answer="", source=""), kind) is None for kind in ("accuracy",)
        ):
            raise UsageError("rewards.verifier_function: none measures accuracy; a pass rate needs one, such as acc")
        return cls(
            engine=engine,
            pool=pool,
            verifiers=verifiers,
            sampling=replace(policy.sampling, n=samples),
            decode=policy.decode,
            identity=_identity(recipe.model.path),
            folder=folder,
        )

    def key(self, prompt: Prompt) -> str:
        """SHA-256 of everything that shapes the samples of a prompt and their grades, but for the random seed."""
        sampling = asdict(replace(self.sampling, seed=0)) | {"stop_token_ids": sorted(self.sampling.stop_token_ids)}
        parts = [
            self.identity,
            prompt.token_ids.tolist(),
            prompt.problem.answer,
            dict(self.verifiers.of_problem(prompt.problem)),
            sampling,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def records(
        self, prompts: Sequence[Prompt], *, chunk: int, seed: int, check: Callable[[], None]
    ) -> dict[str, dict[str, Any]]:
        """The groups of all prompts by `key`. `check` is called between groups and may raise to stop."""
        known = dict(_read(self.folder))
        wanted = {self.key(prompt): prompt for prompt in prompts}
        missing = {key: prompt for key, prompt in wanted.items() if key not in known}
        if len(missing) < len(wanted):
            log.info(f"samples of {len(wanted) - len(missing)} problems are in {self.folder}")
        progress = Progress("pass rate", len(missing) * self.sampling.n, "samples")

        def on_group() -> None:
            progress.advance(self.sampling.n)
            check()

        keys = list(missing)
        for start in range(0, len(keys), chunk):
            part = keys[start : start + chunk]
            known |= self._sample({key: missing[key] for key in part}, seed, on_group)
        return {key: known[key] for key in wanted}

    def _sample(self, chunk: Mapping[str, Prompt], seed: int, on_group: Callable[[], None]) -> Records:
        """Sample, grade and keep one chunk. Its random numbers depend on what is in it, and not on what came before."""
        name = hashlib.sha256("".join(chunk).encode()).hexdigest()[:16]
        sampling = replace(self.sampling, seed=seeds.derive(seed, "pass_rate", name))
        prompts = list(chunk.values())
        pending = rollouts.sample(self.engine, self.pool, prompts, sampling, self.verifiers, self.decode, on_group)
        groups = rollouts.grade(prompts, pending, self.verifiers)
        records = dict(zip(chunk, rollouts.records(0, groups), strict=True))
        _write(self.folder / f"{name}.jsonl", records)
        return records


def _read(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(folder.glob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                yield record.pop("key"), record


def _write(file: Path, records: Records) -> None:
    """A file that appears complete or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as out:
        for key, record in records.items():
            out.write(json.dumps({"key": key, **record}, ensure_ascii=False) + "\n")
    temporary.replace(file)


def _identity(path: str) -> str:
    """A model's name, and of a folder also the size and time of its files: another checkpoint is another policy."""
    folder = Path(fetch.resolve(path))
    if not folder.is_dir():
        return path
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return json.dumps([path, [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]])
