"""How responses are scored: verifiers, reward models, a judge."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from r1zero.config.section import Conflicts, FilledLocation, Section


class RewardModel(Section):
    path: FilledLocation
    """A sequence-classification model with one label (its logit is the reward) or two (the second's probability)."""
    max_tokens: int = Field(default=4096, ge=1)
    """Of a longer question and response the end is scored."""
    batch_size: int = Field(default=8, ge=1)
    """Responses of one forward pass; a deterministic run takes them one by one."""
    sigmoid: bool = False
    """Squash the logit to 0..1."""


class ProcessReward(Section):
    path: FilledLocation
    """A token-classification model; with good_token a causal one."""
    max_tokens: int = Field(default=4096, ge=1)
    """A longer question and response is an error."""
    batch_size: int = Field(default=8, ge=1)
    step_separator: str = "\n\n"
    """What divides a response into steps."""
    step_mark: str = ""
    """What the model was trained to see after a step, if not the separator."""
    good_token: str = ""
    """Next token of a causal model that says a step is good."""
    bad_token: str = ""
    aggregate: Literal["min", "mean", "product", "last"] = "min"
    """How the steps' probabilities make the response's reward."""


class Judge(Section):
    model: FilledLocation
    """Name at the endpoint; without one, a model to load here."""
    url: str = ""
    """OpenAI-compatible endpoint up to /v1; its key is the environment variable R1ZERO_JUDGE_KEY."""
    cache: str = ""
    """File that keeps judgements across runs."""
    max_new_tokens: int = Field(default=512, ge=1)
    kv_cache_gib: float = Field(default=1.0, gt=0)
    """Memory for a model loaded here."""


class Rewards(Section):
    verifier_function: tuple[str, ...] = ("acc",)
    """Names of docs/rewards.md, with arguments if need be: `cosine(max_tokens=4096)`; `my_file.py:name` is one of
    your own."""
    verifier_weight: tuple[float, ...] = (1.0,)
    """The reward is the sum of weight x value."""
    timeout_seconds: float = Field(default=5.0, gt=0, le=86_400)
    """Wall-clock limit of one verdict; the worker is killed and replaced."""
    cpu_seconds: float = Field(default=0.0, ge=0, le=86_400)
    """Processor time of one verdict; 0 is timeout_seconds. On a crowded machine: raise timeout_seconds, set this."""
    memory_mib: int = Field(default=1024, ge=256, le=2**24)
    """Address space of a worker process."""
    workers: int = Field(default=0, ge=0, le=4096)
    """Worker processes; 0 is one per usable core, at most 8."""
    uncontained: tuple[str, ...] = ()
    """Verifiers of verifier_function that run outside the graders' container, with network, files and environment: for
    those of your own that need them, and for machines that cannot contain any."""
    remote: str = ""
    """URL of `r1zero serve-rewards`, which runs the verifiers with limits of its own; empty runs them here."""
    reward_model: RewardModel | None = None
    """Scores for the verifier `reward_model`."""
    process_reward: ProcessReward | None = None
    """Scores for the verifier `process_reward`."""
    judge: Judge | None = None
    """Re-checks what the accuracy verifiers reject."""
    on_error: Literal["leave_out", "zero"] = "leave_out"
    """A response whose verifier failed (verdict `error`: a service away, a crash): neither in its group's baseline nor
    in the loss, or a reward of 0 for that verifier. A group with fewer than two judged responses teaches nothing."""
    on_timeout: Literal["zero", "leave_out"] = "zero"
    """The same of a response whose verifier ran out of time, which is mostly the text's own doing."""
    truncated: Literal["zero", "mask", "penalise"] = "zero"
    """Training on a response cut off at rollout.max_new_tokens: it earns nothing (a reward above 0 becomes 0); its
    tokens are not learned from, though its reward counts in its group; or it keeps its reward less
    truncated_penalty."""
    truncated_penalty: float = Field(default=1.0, ge=0)
    """What `truncated: penalise` subtracts."""
    overlong_tokens: int = Field(default=0, ge=0)
    """With `truncated: penalise`, the penalty grows linearly from 0 over the last so many tokens before
    rollout.max_new_tokens (DAPO's soft overlong punishment); 0 penalises truncated responses only."""


def named_twice(key: str, names: Iterable[str]) -> Conflicts:
    """Conflicts of verifiers that are listed under `key` once more, if perhaps spelled with other spaces."""
    quoted = ("'", '"')  # spaces in quotes make a difference
    counts = Counter(name if any(map(name.count, quoted)) else re.sub(r"\s|\(\)$", "", name) for name in names)
    return [
        (key, f"names '{name}' more than once; give it once, with the sum of the weights")
        for name, count in counts.items()
        if count > 1
    ]
