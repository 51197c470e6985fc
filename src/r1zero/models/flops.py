"""Model FLOPs: what the mathematics of a forward pass needs. Recomputation, padding and repetition do not count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from r1zero.models.quantize import elements


@dataclass(frozen=True, slots=True)
class Work:
    """An amount of forward pass. `pairs` are (query, visible key) pairs: a causal sequence of T tokens has T(T+1)/2."""

    tokens: int
    predicted: int  # positions whose logits are needed
    pairs: int

    def __add__(self, other: Work) -> Work:
        return Work(self.tokens + other.tokens, self.predicted + other.predicted, self.pairs + other.pairs)


NOTHING = Work(0, 0, 0)


def causal_pairs(tokens: int, before: int = 0) -> int:
    """Pairs of `tokens` causal tokens that also see the `before` tokens in front of them."""
    return tokens * before + tokens * (tokens + 1) // 2


@dataclass(frozen=True, slots=True)
class ModelFlops:
    """FLOPs of a forward pass (Kaplan et al., arXiv 2001.08361, table 1): two per weight of a matrix and token, four
    per layer, head, width and pair in attention. A backward pass takes twice as many, but only once as many where a
    weight is frozen: it has no gradient of its own."""

    per_token: float
    per_predicted: float
    per_pair: float
    frozen_per_token: float = 0.0  # of per_token
    frozen_per_predicted: float = 0.0  # of per_predicted

    def forward(self, work: Work) -> float:
        return self.per_token * work.tokens + self.per_predicted * work.predicted + self.per_pair * work.pairs

    def training(self, work: Work) -> float:
        saved = self.frozen_per_token * work.tokens + self.frozen_per_predicted * work.predicted
        return 3 * self.forward(work) - saved


def model_flops(model: Any) -> ModelFlops:
    """Counts a transformers causal LM or classifier with dense layers; of a mixture of experts, all experts."""
    config = model.config.get_text_config()
    output = (model.get_output_embeddings() or model.score).weight
    outside = {id(model.get_input_embeddings().weight), id(output)}
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2 and id(parameter) not in outside]
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return ModelFlops(
        per_token=2 * sum(map(elements, matrices)),
        per_predicted=2 * output.numel(),
        per_pair=4 * config.num_hidden_layers * config.num_attention_heads * width,
        frozen_per_token=2 * sum(elements(matrix) for matrix in matrices if not matrix.requires_grad),
        frozen_per_predicted=0 if output.requires_grad else 2 * output.numel(),
    )
