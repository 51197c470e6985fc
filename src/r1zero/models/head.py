"""Log-probabilities of target tokens without ever holding logits [N, V] for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from r1zero.types import TokenLogprobs

_ROWS = 128  # rows whose fp32 logits exist at once: a large vocabulary's stay near the last-level cache
_GRADIENT_BYTES = 128 * 2**20  # logit gradients that exist at once: the weight's gradient wants long products


@dataclass(frozen=True, slots=True)
class LMHead:
    """The output layer: logits = cap(scale (h W^T + b)), with cap(z) = c tanh(z / c) where the family caps."""

    weight: Tensor  # [V, d]
    bias: Tensor | None = None  # [V]
    scale: float = 1.0
    softcap: float | None = None
    product: Callable[[Tensor, Tensor, Tensor | None], Tensor] = torch.nn.functional.linear

    def logits(self, hidden: Tensor) -> Tensor:
        """[N, d] -> [N, V] float32."""
        logits = self.product(hidden, self.weight, self.bias).float()
        if self.scale != 1.0:
            logits *= self.scale
        if self.softcap is not None:
            logits = logits.div_(self.softcap).tanh_().mul_(self.softcap)
        return logits


def lm_head(model: Any) -> LMHead:
    """The head of a transformers causal LM. A family that does more to its logits than this knows is found out when the
    model is loaded (`load.check_forward`)."""
    layer = model.get_output_embeddings()
    config = model.config.get_text_config()
    scale = 1.0
    if config.model_type.startswith("granite"):
        scale = 1 / config.logits_scaling
    elif config.model_type.startswith("cohere"):
        scale = config.logit_scale
    softcap = getattr(config, "final_logit_softcapping", None)  # of Gemma 2 and its kin
    return LMHead(layer.weight, layer.bias, scale, softcap)


def target_logprobs(hidden: Tensor, head: LMHead, targets: Tensor, temperature: float = 1.0) -> TokenLogprobs:
    """log softmax(logits / temperature)[target] and the entropy of that distribution.

    hidden [N, d], targets [N] -> two [N] float32. The logits are recomputed in the backward pass.
    """
    logprobs, entropy = _TargetLogprobs.apply(hidden, head.weight, head.bias, targets, head, temperature)
    return TokenLogprobs(logprobs, entropy)


class _TargetLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, head: LMHead, temperature: float
    ) -> tuple[Tensor, Tensor]:
        count = len(targets)
        logprobs, entropy, log_total = (torch.empty(count, device=hidden.device) for _ in range(3))
        for rows in _slices(count, _ROWS):
            logits = _tempered(head.logits(hidden[rows]), temperature)
            logp = torch.log_softmax(logits, dim=-1)
            chosen = targets[rows, None]
            logprobs[rows] = logp.gather(1, chosen).squeeze(1)
            log_total[rows] = logits.gather(1, chosen).squeeze(1) - logprobs[rows]
            entropy[rows] = -torch.exp(logp, out=logits).mul_(logp).sum(-1)
        ctx.save_for_backward(hidden, targets, log_total, entropy)
        ctx.head, ctx.temperature = head, temperature
        ctx.set_materialize_grads(False)
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        d_logprobs, d_entropy = gradients
        hidden, targets, log_total, entropy = ctx.saved_tensors
        head: LMHead = ctx.head
        if d_logprobs is None:
            d_logprobs = torch.zeros_like(log_total)
        d_hidden = torch.empty_like(hidden)
        # a frozen output layer, under adapters, needs no gradient of its own
        d_weight = torch.zeros_like(head.weight) if ctx.needs_input_grad[1] else None
        d_bias = torch.zeros_like(head.bias) if head.bias is not None and ctx.needs_input_grad[2] else None
        size = max(_ROWS, _GRADIENT_BYTES // (len(head.weight) * hidden.element_size()))
        for block in _slices(len(targets), size):
            d_logits = hidden.new_empty(block.stop - block.start, len(head.weight))
            for inner in _slices(len(d_logits), _ROWS):
                rows = slice(block.start + inner.start, block.start + inner.stop)
                d_logits[inner] = _d_logits(
                    head,
                    ctx.temperature,
                    hidden[rows],
                    targets[rows, None],
                    log_total[rows, None],
                    entropy[rows, None],
                    d_logprobs[rows, None],
                    None if d_entropy is None else d_entropy[rows, None],
                )
            d_hidden[block] = d_logits @ head.weight
            if d_weight is not None:
                d_weight.addmm_(d_logits.T, hidden[block])
            if d_bias is not None:
                d_bias += d_logits.sum(0)
        return d_hidden, d_weight, d_bias, None, None, None


def _d_logits(
    head: LMHead,
    temperature: float,
    hidden: Tensor,  # [n, d]
    targets: Tensor,  # [n, 1], as all that follow
    log_total: Tensor,
    entropy: Tensor,
    d_logprobs: Tensor,
    d_entropy: Tensor | None,
) -> Tensor:
    """Gradient at h W^T + b: [n, V] float32.

    d logp_t / dz = onehot_t - p;  dH / dz = -p (log p + H).
    """
    logits = head.logits(hidden)
    # d cap(z) / dz = 1 - tanh(z / c)^2
    slope = None if head.softcap is None else 1 - (logits / head.softcap) ** 2
    logp = _tempered(logits, temperature).sub_(log_total)
    gradient = torch.exp(logp)
    if d_entropy is None:
        gradient.mul_(-d_logprobs)
    else:
        gradient.mul_(logp.add_(entropy).mul_(-d_entropy).sub_(d_logprobs))
    gradient.scatter_add_(1, targets, d_logprobs)
    if slope is not None:
        gradient.mul_(slope)
    factor = head.scale / temperature
    return gradient if factor == 1 else gradient.mul_(factor)


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    return logits if temperature == 1 else logits.div_(temperature)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
