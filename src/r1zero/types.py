"""The nouns, in the order of the data.

    Problem -> Prompt -> Completion -> Rollout -> Group -> Experience -> Credit -> Sample -> Batch

Each stage is a new frozen type, never an old one with fewer `None`s. Token ids and log-probabilities are NumPy arrays
until `data.packing` turns them into tensors, so that nothing above the trainer needs a device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

FinishReason = Literal["stop", "length", "abort"]
Verdict = Literal["graded", "unverifiable", "error", "timeout"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. Example: `Message("user", "What is 2 + 3?")`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A question with a reference answer. Example: `Problem(id="gsm8k:7", question="...", answer="42",
    source="gsm8k.jsonl", line=7)`.

    A chat is a question too: the turns up to and including the user's last one. `source` is what the recipe names,
    `file` the one that the row came from, if it came from a file.
    """

    id: str
    question: str | tuple[Message, ...]
    answer: str
    source: str
    line: int = 0
    file: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def text(self) -> str:
        """The question as a reader sees it: of a chat, the last turn."""
        return self.question if isinstance(self.question, str) else self.question[-1].content


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompt:
    """A problem rendered through a template. `prefill` is the part of the response that the prompt already holds."""

    problem: Problem
    token_ids: np.ndarray  # [P] int32
    prefill: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an engine samples. `temperature` 0 is greedy; `top_k` 0, `top_p` 1 and `min_p` 0 switch a filter off.

    A response ends with the token that completes a stop string in its decoded text, special tokens included; that token
    stays whole, with whatever follows the stop string in it.

    The random numbers of a row depend on (`seed`, position of the prompt, number of the sample) alone, not on what else
    is in the batch. Its logits do by rounding: sums are taken in another order when neighbours or the cache's size
    change, so now and then a near tie falls the other way (rarely in fp32; in bf16 in up to a tenth of completions).
    With the same prompts, settings and cache on the same machine a result is the same.
    """

    n: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    max_new_tokens: int
    stop_token_ids: frozenset[int] = frozenset()
    stop_strings: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Completion:
    """What an engine sampled.

    `logprobs` are of the tempered, unfiltered distribution, softmax(logits / temperature): the quantity the trainer
    recomputes, whatever top-k, top-p or min-p cut away. `versions` holds (policy version, number of tokens) spans.
    """

    token_ids: np.ndarray  # [R] int32, the stop token included
    logprobs: np.ndarray  # [R] float32
    finish_reason: FinishReason
    versions: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A judgement. Example: `Score(value=1.5, parts={"acc": 1.0, "strict_format": 1.0}, verdict="graded")`.

    `verdict` says whether the value can be trusted: `unverifiable` means that the reference answer cannot be judged (no
    signal), `error` that a verifier failed, which says nothing of the response, `timeout` that it ran out of time on it
    (both value 0, `detail` says why).
    """

    value: float
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    verdict: Verdict = "graded"
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rollout:
    """A prompt's completion with its text and score."""

    prompt: Prompt
    completion: Completion
    text: str
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """The n rollouts of one prompt."""

    prompt: Prompt
    rollouts: tuple[Rollout, ...]

    @property
    def rewards(self) -> np.ndarray:  # [n] float64
        return np.array([rollout.score.value for rollout in self.rollouts], dtype=np.float64)

    @property
    def verifiable(self) -> bool:
        """Whether the reference answer could be judged. A group without a judgement carries no signal."""
        return all(rollout.score.verdict != "unverifiable" for rollout in self.rollouts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experience:
    """A step's S graded responses before they have advantages, with the N tokens that are learned from, one response
    after another. Tokens outside the mask are not here, so they cannot matter.

    Example: two responses of 3 and 2 tokens to one prompt are `Experience(groups=[0, 0], rewards=[1.0, 0.0],
    lengths=[3, 2])`.
    """

    groups: np.ndarray  # [S] int64, ascending: which prompt a response answers
    rewards: np.ndarray  # [S] float64, one outcome per response
    lengths: np.ndarray  # [S] int64, may be 0; their sum is N
    penalties: np.ndarray | None = None  # [N] float64, subtracted from each token's reward: KL in the reward
    values: np.ndarray | None = None  # [N] float64, what the critic expected before each token


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Credit:
    """What each token of an experience is worth: its advantage, and what a critic should have expected."""

    advantages: np.ndarray  # [N] float64
    returns: np.ndarray | None = None  # [N] float64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One training sequence: loss is taken on the masked tokens of the response. Pretraining text is a sample too,
    whose prompt is its first token.

    What a step does not need is None, in all of its samples alike.
    """

    prompt_ids: np.ndarray  # [P] int32
    response_ids: np.ndarray  # [R] int32
    mask: np.ndarray  # [R] bool
    advantages: np.ndarray  # [R] float32
    behaviour_logprobs: np.ndarray  # [R] float32, of the policy that sampled each token
    target_ids: np.ndarray | None = None  # [R] int32, what to predict if it is not response_ids
    old_logprobs: np.ndarray | None = None  # [R] float32, of the trainer before the step's first update
    reference_logprobs: np.ndarray | None = None  # [R] float32
    values: np.ndarray | None = None  # [R] float32, the critic's before the step's first update
    returns: np.ndarray | None = None  # [R] float32

    @property
    def targets(self) -> np.ndarray:  # [R] int32
        """The token that each place of the response should predict."""
        return self.response_ids if self.target_ids is None else self.target_ids


@dataclass(frozen=True, slots=True)
class Segment:
    """A prompt and its responses inside a pack: offsets and lengths in tokens.

    Example: `Segment(start=0, length=5, responses=((5, 3), (8, 4)))` is a prompt of 5 tokens with responses of 3 and 4.
    """

    start: int
    length: int
    responses: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """One pack: T tokens without padding, of which N response tokens are predicted.

    Every loss is `(value_per_token * weight).sum()`; the weights of all packs of one optimizer step share one
    denominator, so splitting the step never changes the gradient.
    """

    token_ids: Tensor  # [T] int64
    positions: Tensor  # [T] int64, position inside prompt + response
    segments: tuple[Segment, ...]
    predictors: Tensor  # [N] int64: index into T of the token whose hidden state predicts the target
    targets: Tensor  # [N] int64
    members: tuple[int, ...]  # index of each response's sample among those that were packed
    sequence_ids: Tensor  # [N] int64: index into members; a response is never cut, so its N are here together
    weight: Tensor  # [N] float32
    advantages: Tensor  # [N] float32
    behaviour_logprobs: Tensor  # [N] float32
    old_logprobs: Tensor | None = None  # [N] float32; None: the batch feeds exactly one update, the ratio is 1
    reference_logprobs: Tensor | None = None  # [N] float32
    values: Tensor | None = None  # [N] float32
    returns: Tensor | None = None  # [N] float32


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """What the policy says of a batch's targets."""

    logprobs: Tensor  # [N] float32
    entropy: Tensor  # [N] float32, in nats


@dataclass(frozen=True, slots=True)
class TokenValues:
    """What the critic expects before each of a batch's targets."""

    values: Tensor  # [N] float32


@dataclass(frozen=True, slots=True)
class TokenDivergence:
    """How far a model is from its teacher before each of a batch's targets."""

    divergence: Tensor  # [N] float32, in nats
    entropy: Tensor  # [N] float32, of the model, without gradient
    agreement: Tensor  # [N] float32: 1 where both find the same token likeliest


@dataclass(frozen=True, slots=True)
class TokenLoss:
    """A loss per token and the per-token quantities to log; both are averaged by the batch's weights."""

    value: Tensor  # [N] float32
    metrics: Mapping[str, Tensor]  # name -> [N], without gradient
