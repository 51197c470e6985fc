"""Reward models: transformers that were trained to say how good a response is.

An outcome model (sequence classification) scores the whole response; with one label its value is the logit, with two
the probability of the second. A process model scores every step at its last token: token classification with one or
two labels (as TRL's PRMTrainer makes them), or a causal model whose next token says good or bad (Math-Shepherd,
https://arxiv.org/abs/2312.08935).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from r1zero import config
from r1zero.base.device import Device
from r1zero.base.errors import UsageError
from r1zero.data.control import ControlTokens
from r1zero.data.judged import can_pad, judged_ids, judged_steps, last_token
from r1zero.models import fetch
from r1zero.models.complete import LM_HEAD, refuse_incomplete
from r1zero.models.loading import check_tokenizer, check_vocabulary, loading
from r1zero.types import Message, Problem, Score


@dataclass(frozen=True, slots=True)
class OutcomeModel:
    """Scores whole responses."""

    model: Any
    tokenizer: Any
    settings: config.RewardModel

    @classmethod
    def load(cls, settings: config.RewardModel, device: Device) -> OutcomeModel:
        """Raises UsageError for a model that cannot be loaded or has no trained head for this."""
        from transformers import AutoModelForSequenceClassification

        where = f"rewards.reward_model.path = '{settings.path}'"
        model, tokenizer = _load(AutoModelForSequenceClassification, where, settings, device)
        if model.config.num_labels > 2:
            raise UsageError(f"{where}: has {model.config.num_labels} labels; a reward model has one or two")
        if model.config.num_labels == 2 and settings.sigmoid:
            raise UsageError(
                "rewards.reward_model.sigmoid: the model has two labels, its score is a probability already"
            )
        return cls(model, tokenizer, settings)

    @torch.inference_mode()
    def score(self, items: Sequence[tuple[Problem, str]]) -> list[Score]:
        """One score per (problem, response). Of longer input than `max_tokens` the end counts."""
        ids, details = [], []
        control = ControlTokens.of(self.tokenizer)
        for problem, text in items:
            tokens = judged_ids(self.tokenizer, _turns(problem, control), control.remove(text))
            ids.append(tokens[-self.settings.max_tokens :])
            cut = len(tokens) - len(ids[-1])
            details.append(f"the first {cut} of {len(tokens)} tokens were cut off" if cut else "")
        values = [value for rows in _batches(self.tokenizer, ids) for value in self._values(rows)]
        if self.settings.sigmoid:
            values = [1 / (1 + math.exp(-value)) if value > -700 else 0.0 for value in values]
        return [Score(value=value, detail=detail) for value, detail in zip(values, details, strict=True)]

    def _values(self, rows: Sequence[Sequence[int]]) -> list[float]:
        logits = self.model(**_padded(rows, self.tokenizer, self.model.device)).logits.float()  # [B, labels]
        values = logits[:, 0] if logits.shape[1] == 1 else logits.softmax(-1)[:, 1]
        return values.tolist()


@dataclass(frozen=True, slots=True)
class ProcessModel:
    """Scores the steps of responses; `judgement` are the tokens for good and bad of a causal model."""

    model: Any
    tokenizer: Any
    settings: config.ProcessReward
    judgement: tuple[int, int] | None

    @classmethod
    def load(cls, settings: config.ProcessReward, device: Device) -> ProcessModel:
        """Raises UsageError for a model that cannot be loaded or has no trained head for this."""
        from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

        where = f"rewards.process_reward.path = '{settings.path}'"
        causal = bool(settings.good_token)
        model, tokenizer = _load(
            AutoModelForCausalLM if causal else AutoModelForTokenClassification, where, settings, device
        )
        if not causal and model.config.num_labels > 2:
            raise UsageError(f"{where}: has {model.config.num_labels} labels; a process reward model has one or two")
        judgement = (
            (last_token(tokenizer, settings.good_token), last_token(tokenizer, settings.bad_token)) if causal else None
        )
        return cls(model, tokenizer, settings, judgement)

    def score(self, items: Sequence[tuple[Problem, str]]) -> list[Score]:
        """One score per (problem, response); `parts` holds the steps' probabilities of being good, in order."""
        return [self._score(problem, text) for problem, text in items]

    def _score(self, problem: Problem, text: str) -> Score:
        steps = self.steps(problem, text)
        if not steps:
            return Score(value=0.0, detail="no step")
        value = {"min": min, "mean": lambda values: sum(values) / len(values), "product": math.prod, "last": _last}
        parts = {f"step {number}": step for number, step in enumerate(steps, start=1)}
        return Score(value=float(value[self.settings.aggregate](steps)), parts=parts)

    @torch.inference_mode()
    def steps(self, problem: Problem, text: str) -> list[float]:
        """The probability of being good of every step of a response, which `step_separator` divides. Raises ValueError
        for a response longer than `max_tokens`."""
        ids, ends = self._with_ends(problem, text)
        if not ends:
            return []
        if len(ids) > self.settings.max_tokens:
            raise ValueError(f"{len(ids)} tokens, more than process_reward.max_tokens = {self.settings.max_tokens}")
        device = self.model.device
        logits = self.model(input_ids=torch.tensor([ids], device=device)).logits[0, ends].float()  # [steps, labels]
        if self.judgement is not None:
            logits = logits[:, [self.judgement[1], self.judgement[0]]]
        good = logits[:, 0].sigmoid() if logits.shape[1] == 1 else logits.softmax(-1)[:, 1]
        return good.tolist()

    def _with_ends(self, problem: Problem, text: str) -> tuple[list[int], list[int]]:
        """The tokens of question and response, and where each step's last token is."""
        separator = self.settings.step_separator
        control = ControlTokens.of(self.tokenizer)
        steps = [step.strip() for step in control.remove(text).split(separator) if step.strip()]
        return judged_steps(self.tokenizer, _turns(problem, control), steps, self.settings.step_mark or separator)


def _load(
    auto: Any, where: str, settings: config.RewardModel | config.ProcessReward, device: Device
) -> tuple[Any, Any]:
    from transformers import AutoTokenizer

    local = fetch.resolve(settings.path)
    with loading(where, local):
        tokenizer = AutoTokenizer.from_pretrained(local)
        check_tokenizer(tokenizer, where)
        model, report = auto.from_pretrained(local, dtype=device.dtype, output_loading_info=True)
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise UsageError(f"{where}: {missing} not in the checkpoint; its scores would be random")
    refuse_incomplete(report, where, unused=LM_HEAD)
    check_vocabulary(model, tokenizer, where)
    if (tokenizer.pad_token_id or 0) >= model.get_input_embeddings().weight.shape[0]:
        tokenizer.pad_token = None  # one that the tokenizer's class adds, and the model does not know
    if can_pad(tokenizer):
        model.config.pad_token_id = tokenizer.pad_token_id  # by it transformers finds the end of a padded text
    return model.to(device.torch_device).eval().requires_grad_(False), tokenizer


def _turns(problem: Problem, control: ControlTokens) -> Sequence[Message]:
    """The chat in which nothing reads as the end of a turn: questions were checked by the policy's control tokens, and
    the reward model's may be others."""
    turns = [Message("user", problem.question)] if isinstance(problem.question, str) else problem.question
    return [Message(control.remove(turn.role), control.remove(turn.content)) for turn in turns]


def _batches(tokenizer: Any, rows: list[list[int]]) -> list[list[list[int]]]:
    """All rows together where the tokenizer has a token for padding alone."""
    return [rows] if can_pad(tokenizer) else [[row] for row in rows]


def _padded(rows: Sequence[Sequence[int]], tokenizer: Any, device: Any) -> dict[str, Tensor]:
    longest = max(len(row) for row in rows)
    padding = tokenizer.pad_token_id or 0
    ids = [[*row, *[padding] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}


def _last(values: Sequence[float]) -> float:
    return values[-1]
