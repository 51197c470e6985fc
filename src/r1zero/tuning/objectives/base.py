"""What the loop asks of an objective. No function here or in a sibling touches a device, a file or a process group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from r1zero import config
from r1zero.algorithms.losses import LossMean
from r1zero.data.handlers import Fields
from r1zero.data.tokens import Kind
from r1zero.types import Batch, Sample, TokenLoss

Head = Literal["vocabulary", "sequence_score", "token_score", "judgement", "teacher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A frozen value of pure functions.

    rows             what a row has to be (`data.tokens`)
    to_samples       a row's fields -> its samples, always equally many; raises BadRow
    head             what the model says of a token: log-probabilities, a score, or a distance to a teacher
    loss             (what the head says, batch) -> the loss per token
    loss_mean        what the loss is a mean over, always over the whole optimizer step
    together         samples of a row, which a pack keeps together
    needs_reference  whether the loss reads the frozen start weights' log-probabilities
    samples_itself   whether rows are prompts that the model answers
    shown            metrics of a progress line
    uses             settings that the objective reads; any other must be left at its default
    """

    settings: config.Objective
    rows: Kind
    to_samples: Callable[[Fields], tuple[Sample, ...]]
    loss: Callable[[Any, Batch], TokenLoss]
    head: Head = "vocabulary"
    loss_mean: LossMean = "token"
    together: int = 1
    needs_reference: bool = False
    samples_itself: bool = False
    shown: tuple[str, ...] = ("loss",)
    uses: frozenset[str] = frozenset()


def sample(
    ids: np.ndarray,
    prompt: int,
    mask: np.ndarray,
    *,
    targets: np.ndarray | None = None,
    returns: np.ndarray | None = None,
) -> Sample:
    """ids [T] with the first `prompt` as the prompt; mask, targets and returns [T - prompt]."""
    nothing = np.zeros(len(mask), dtype=np.float32)
    return Sample(
        prompt_ids=ids[:prompt],
        response_ids=ids[prompt:],
        mask=mask,
        advantages=nothing,
        behaviour_logprobs=nothing,
        target_ids=targets,
        returns=returns,
    )


def judged(ids: np.ndarray, prompt: int, places: np.ndarray, returns: np.ndarray) -> Sample:
    """A sample whose model is asked for a score at `places` of ids [T], each at least prompt - 1, where it should say
    `returns`. A score is taken from the state before a token, so one more token follows the last."""
    response = np.append(ids[prompt:], np.int32(0))
    mask = np.zeros(len(response), dtype=bool)
    mask[places + 1 - prompt] = True
    wanted = np.zeros(len(response), dtype=np.float32)
    wanted[mask] = returns
    return sample(np.concatenate([ids[:prompt], response]), prompt, mask, returns=wanted)


def sums(values: Tensor, batch: Batch) -> Tensor:
    """[N] -> [K]: the sum over each response's tokens."""
    return values.new_zeros(len(batch.members)).index_add(0, batch.sequence_ids, values)


def pairs(of_responses: Tensor) -> tuple[Tensor, Tensor]:
    """[K] -> chosen [K/2], rejected [K/2]."""
    return of_responses[0::2], of_responses[1::2]


def to_tokens(of_pairs: Tensor, batch: Batch) -> Tensor:
    """[K/2] -> [N]: each token gets its pair's. With a sequence mean the two weights of a pair add up to one share."""
    return of_pairs.repeat_interleave(2)[batch.sequence_ids]
