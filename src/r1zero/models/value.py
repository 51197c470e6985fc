"""The critic: a trunk with one number per token, in transformers' sequence-classification layout. So a reward model can
be a critic, and a saved critic can be loaded as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from r1zero.base import seeds
from r1zero.base.errors import UsageError
from r1zero.config import Lora
from r1zero.models import adapters, dropout, fetch
from r1zero.models.attention import PackPlan
from r1zero.models.complete import LM_HEAD, refuse_incomplete
from r1zero.models.head import lm_head
from r1zero.models.load import check_pack, hidden_states
from r1zero.models.loading import loading
from r1zero.types import Batch, TokenValues

HEAD = frozenset({"score.weight", "score.bias"})


def load_scorer(
    path: str,
    key: str,
    *,
    dtype: torch.dtype,
    device: torch.device,
    seed: int,
    each_token: bool = False,
    changes: Mapping[str, Any] = MappingProxyType({}),
    trust_remote_code: bool = False,
    lora: Lora | None = None,
    longest: int = 0,
) -> Any:
    """A model with a head of one number, attending by our plans: a transformers sequence classifier, or with
    `each_token` a token classifier.

    A reward model keeps its head; a causal LM gets a new one, normal with standard deviation 1 / (d + 1) (as
    Open-Reasoner-Zero), drawn from `seed`. `changes` are values of its config, `longest` the tokens of the longest
    sequence that it will see. With `lora` adapters train, and the head. Raises UsageError, which names `key`, when
    there is nothing to load, or when its head is not one linear layer with one output.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

    auto = AutoModelForTokenClassification if each_token else AutoModelForSequenceClassification
    local = fetch.resolve(path)
    if adapters.is_adapter(local):
        raise UsageError(f"{key} = '{path}': is a folder of adapters; merge it first: r1zero model merge")
    with loading(f"{key} = '{path}'", local, otherwise="neither a causal LM nor a reward model with one label"):
        settings = AutoConfig.from_pretrained(local, num_labels=1, trust_remote_code=trust_remote_code, **changes)
        dropout.switch_off(settings, key)
        if each_token:
            settings.classifier_dropout = 0.0  # a head of one layer; without a rate transformers drops a tenth
        with without_loading_report():
            model, report = auto.from_pretrained(
                local, config=settings, dtype=dtype, trust_remote_code=trust_remote_code, output_loading_info=True
            )
    refuse_incomplete(report, f"{key} = '{path}'", new=HEAD, unused=LM_HEAD)
    if report["missing_keys"]:
        _draw(model.score, seed)
    model = model.to(device).eval()
    check_pack(
        model,
        path,
        key,
        longest,
        own=lambda sequences: model.score(model.base_model(input_ids=sequences, use_cache=False).last_hidden_state),
        ours=lambda hidden: model.score(hidden).float(),
    )
    if lora is not None:
        adapters.attach(model, lora, base=local, seed=seeds.derive(seed, "lora"), head="score")
    return model.eval()


@torch.no_grad()
def _draw(head: Any, seed: int) -> None:
    """New values for a head of one number."""
    width = head.weight.shape[1]
    head.weight.copy_(torch.randn(1, width, generator=torch.Generator().manual_seed(seed)) / (width + 1))
    if head.bias is not None:
        head.bias.zero_()


@contextmanager
def without_loading_report() -> Iterator[None]:
    """transformers warns of a missing head, which is what we ask for."""
    from transformers.utils import logging as their_log

    verbosity = their_log.get_verbosity()
    their_log.set_verbosity_error()
    try:
        yield
    finally:
        their_log.set_verbosity(verbosity)


def token_values(model: Any, batch: Batch) -> TokenValues:
    """The value [N] before each of a pack's targets: of the state in which it is chosen."""
    hidden = hidden_states(model, batch.token_ids, batch.positions, PackPlan(batch.segments))
    values: Tensor = model.score(hidden[batch.predictors])
    return TokenValues(values[:, 0].float())


def token_judgements(model: Any, batch: Batch, *, good: int, bad: int) -> TokenValues:
    """The logit of a causal LM's token `good` less that of `bad` [N], before each of a pack's targets: its sigmoid is
    the probability of the one if there were only the two."""
    hidden = hidden_states(model, batch.token_ids, batch.positions, PackPlan(batch.segments))
    head = lm_head(model)
    bias = None if head.bias is None else head.bias[[good, bad]]
    logits = replace(head, weight=head.weight[[good, bad]], bias=bias).logits(hidden[batch.predictors])
    return TokenValues(logits[:, 0] - logits[:, 1])
