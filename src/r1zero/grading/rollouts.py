"""Sample and grade: prompts become groups, and groups become numbers to look at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from r1zero.engine.base import RolloutEngine
from r1zero.grading import combine
from r1zero.grading.combine import Verifiers
from r1zero.grading.scorer import Scorer
from r1zero.run import interrupt
from r1zero.types import Completion, Group, Prompt, Rollout, Sampling

# Words of a model that looks back at its own reasoning (Open-Reasoner-Zero's list, and "let me check").
_REFLECTION = re.compile(r"\b(wait|re-?check|retry|alternatively|however|let me check|double-?check)\b", re.IGNORECASE)


# a prompt's completions with their text and the verdicts to come
Pending = list[tuple[Completion, str, dict[str, Any]]]


def sample(
    engine: RolloutEngine,
    pool: Scorer,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    verifiers: Verifiers,
    decode: Callable[[Any], str],
    on_group: Callable[[], None],
) -> list[Pending]:
    """Sample `sampling.n` rollouts per prompt, in the order of the prompts, and hand each group to the graders as soon
    as it is there. `on_group` is called then and may raise to abandon the work."""
    pending: dict[int, Pending] = {}
    for index, completions in engine.generate(prompts, sampling):
        prompt = prompts[index]
        texts = [prompt.prefill + decode(completion.token_ids) for completion in completions]
        pending[index] = [
            (completion, text, combine.submit(pool, verifiers, prompt.problem, text, _facts(completion)))
            for completion, text in zip(completions, texts, strict=True)
        ]
        on_group()
    return [pending[index] for index in range(len(prompts))]


def grade(prompts: Sequence[Prompt], pending: Sequence[Pending], verifiers: Verifiers) -> list[Group]:
    """Wait for the verdicts that are still out. Raises Interrupted if a stop is asked for meanwhile."""
    interrupt.settled(future for results in pending for _, _, futures in results for future in futures.values())
    return [_group(prompt, results, verifiers) for prompt, results in zip(prompts, pending, strict=True)]


def reflects(text: str) -> bool:
    """Whether a response looks back at itself."""
    return _REFLECTION.search(text) is not None


def summary(groups: Sequence[Group], verifiers: Verifiers) -> dict[str, float]:
    """Means over the rollouts of a step; `accuracy` and `format` exist if a verifier measures them. Rewards and marks
    are of the rollouts whose verifiers did not fail, where there are any."""
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    judged = [rollout for rollout in rollouts if rollout.score.verdict != "error"] or rollouts
    lengths = [len(rollout.completion.token_ids) for rollout in rollouts]
    spreads = [float(np.ptp(group.rewards)) for group in groups]
    verdicts = Counter(rollout.score.verdict for rollout in rollouts)
    values = {
        "reward": fmean(rollout.score.value for rollout in judged),
        "reward_std": fmean(float(group.rewards.std()) for group in groups),
        "response_length": fmean(lengths),
        "response_length/min": min(lengths),
        "response_length/max": max(lengths),
        "prompt_length": fmean(len(group.prompt.token_ids) for group in groups),
        "reflection_rate": fmean(reflects(rollout.text) for rollout in rollouts),
        "truncated_rate": fmean(rollout.completion.finish_reason == "length" for rollout in rollouts),
        "groups/without_spread": fmean(spread == 0 for spread in spreads),
        "groups/unverifiable": sum(not group.verifiable for group in groups),
        **{f"verdict/{verdict}": verdicts[verdict] for verdict in ("graded", "unverifiable", "error", "timeout")},
        **{f"reward/{name}": fmean(given) for name, given in _given(judged, verifiers.names()).items()},
    }
    for measure in ("accuracy", "format"):
        marks = [combine.full_marks(rollout.score, measure) for rollout in judged]
        known = [mark for mark in marks if mark is not None]
        if known:
            values[measure] = fmean(known)
    return values


def _given(rollouts: Sequence[Rollout], names: Sequence[str]) -> dict[str, list[float]]:
    """The values each verifier gave, if it was asked: sources may have their own."""
    values = {name: [part[name] for rollout in rollouts if name in (part := rollout.score.parts)] for name in names}
    return {name: given for name, given in values.items() if given}


def records(step: int, groups: Sequence[Group]) -> Iterator[dict[str, Any]]:
    """What a person wants to see of each group later, and a machine to train on again: one JSON object per group."""
    for group in groups:
        problem = group.prompt.problem
        yield {
            "step": step,
            "problem": problem.id,
            "question": problem.text,
            "answer": problem.answer,
            "prompt_ids": group.prompt.token_ids.tolist(),
            "rollouts": [_record(rollout) for rollout in group.rollouts],
        }


def _record(rollout: Rollout) -> dict[str, Any]:
    completion, score = rollout.completion, rollout.score
    return {
        "text": rollout.text,
        "token_ids": completion.token_ids.tolist(),
        "logprobs": [round(float(value), 5) for value in completion.logprobs],
        "finish_reason": completion.finish_reason,
        "versions": completion.versions,
        "reward": score.value,
        "accuracy": combine.full_marks(score, "accuracy"),
        "parts": dict(score.parts),
        "verdict": score.verdict,
        "detail": score.detail,
    }


def _group(prompt: Prompt, pending: Pending, verifiers: Verifiers) -> Group:
    problem = prompt.problem
    lengths = [len(completion.token_ids) for completion, _, _ in pending]
    alone = [combine.combined(verifiers, problem, futures) for _, _, futures in pending]
    scores = combine.in_group(verifiers, problem, alone, lengths)
    rollouts = (
        Rollout(prompt=prompt, completion=completion, text=text, score=score)
        for (completion, text, _), score in zip(pending, scores, strict=True)
    )
    return Group(prompt=prompt, rollouts=tuple(rollouts))


def _facts(completion: Completion) -> dict[str, Any]:
    """What a verifier knows of a response beside its text."""
    return {"response_tokens": len(completion.token_ids), "finish_reason": completion.finish_reason}
