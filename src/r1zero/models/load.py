"""Loading a causal language model and its tokenizer, and proof that we compute what the model computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from r1zero.base.errors import UsageError
from r1zero.config import Lora, Quantization
from r1zero.models import adapters, dropout, fetch, quantize, reach, rotary
from r1zero.models.attention import IMPLEMENTATION, PackPlan
from r1zero.models.complete import refuse_incomplete
from r1zero.models.head import lm_head
from r1zero.models.loading import check_tokenizer, check_vocabulary, loading
from r1zero.types import Segment

# Largest difference of a logit from the model's own forward, relative to the largest logit.
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 6e-2, torch.float16: 1e-2}
_TRIES = 3
_NARROW = 3  # a window that the sequences of the check exceed
_KEY = "model.path"  # where most models stand in a recipe
_QUANTIZED = 2  # times that for weights in 4 bits, which answer rounding with more: SmolLM2 in bf16 differs by 6.2e-2


def load_model(
    path: str,
    *,
    dtype: torch.dtype,
    device: torch.device,
    changes: Mapping[str, Any] = MappingProxyType({}),
    trust_remote_code: bool = False,
    lora: Lora | None = None,
    quantization: Quantization = "none",
    seed: int = 0,
    longest: int = 0,
    key: str = _KEY,
) -> tuple[Any, Any]:
    """A transformers causal LM that attends by our plans, and its tokenizer. `changes` are values of its config,
    `longest` the tokens of the longest sequence that it will see (0: as long as its context).

    `path` is a folder, a Hugging Face id, or the name of a model that `r1zero model list` shows. With `lora` new
    adapters, drawn from `seed`, are all that trains. A folder of adapters is loaded into the model they were made for,
    and nothing of it trains. Raises UsageError, which names `key`, when there is nothing to load, or when the family
    computes something that we do not.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    local = fetch.resolve(path)
    is_adapter = adapters.is_adapter(local)
    if is_adapter and lora is not None:
        raise UsageError(
            f"{key} = '{path}': is a folder of adapters already; merge it first: r1zero model merge {path} FOLDER"
        )
    base = fetch.resolve(adapters.base_of(Path(local))) if is_adapter else local
    options = quantize.loading_options(quantization, dtype, device)
    where = f"{key} = '{path}'"
    with loading(where, local, base):
        tokenizer = AutoTokenizer.from_pretrained(local, trust_remote_code=trust_remote_code)
        check_tokenizer(tokenizer, where)
        config = AutoConfig.from_pretrained(base, trust_remote_code=trust_remote_code, **changes)
        dropout.switch_off(config, key)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            base,
            config=config,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below
            **options,
        )
    model, report = loaded
    refuse_incomplete(report, where)
    check_vocabulary(model, tokenizer, where)
    quantize.keep_differentiable(model)
    model = (model if options else model.to(device)).eval()
    check_forward(model, path, key, longest)
    if is_adapter:
        with loading(where, local):
            adapters.restore(model, Path(local))
    elif lora is not None:
        adapters.attach(model, lora, base=base, seed=seed)
    return model.eval(), tokenizer


def auto_class(folder: Path) -> Any:
    """The transformers class that loads a saved model with the head it was saved with."""
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
    )

    heads = {
        "ForSequenceClassification": AutoModelForSequenceClassification,
        "ForTokenClassification": AutoModelForTokenClassification,
    }
    (name,) = AutoConfig.from_pretrained(folder).architectures or ("",)
    return next((found for ending, found in heads.items() if name.endswith(ending)), AutoModelForCausalLM)


def hidden_states(model: Any, token_ids: Tensor, positions: Tensor, plan: object) -> Tensor:
    """Last hidden states [T, d] of T packed tokens."""
    output = model.base_model(
        input_ids=token_ids[None], position_ids=positions[None], use_cache=False, attention_plan=plan
    )
    return output.last_hidden_state[0]


def check_forward(model: Any, path: str, key: str = _KEY, longest: int = 0) -> None:
    """Compare our packed logits with the model's own on a small pack, then leave our attention switched on, and the
    rotary angles those of sequences of `longest` tokens.

    A family with another kind of attention, position or output layer fails here, before a run has cost anything. So
    does one that computes something else in training.
    """
    check_pack(
        model,
        path,
        key,
        longest,
        own=lambda sequences: model(input_ids=sequences, use_cache=False).logits,
        ours=lambda hidden: lm_head(model).logits(hidden),
    )


@torch.no_grad()
def check_pack(
    model: Any, path: str, key: str, longest: int, *, own: Callable[[Tensor], Tensor], ours: Callable[[Tensor], Tensor]
) -> None:
    """Compare what a model makes of two sequences [2, 8] -> [2, 8, ...] with what we make of their hidden states
    [T, d] -> [T, ...] in a pack, in training. Where sequences may exceed a window, compare the two with a window that
    these exceed, too. Raises UsageError where they differ."""
    context = longest_context(model)
    longest = min(longest or context, context or longest)
    rotary.fix_length(model, longest, key)
    dropout.switch_off_layers(model)
    tolerance = _TOLERANCE[model.dtype] * (_QUANTIZED if quantize.quantized(model) else 1)
    where = f"{key} = '{path}': {type(model).__name__}"
    exceeded = {name: size for name, size in reach.limits(model).items() if not longest or longest > size}
    try:
        difference = _difference(model, longest, tolerance, own, ours)
        with reach.narrowed(model, _NARROW):
            narrow = _difference(model, longest, tolerance, own, ours) if exceeded else difference
        model.set_attn_implementation(IMPLEMENTATION)
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise UsageError(f"{where} is not supported: {error}") from error
    if not difference <= tolerance:
        raise UsageError(
            f"{where} is not supported: our forward differs from its own by {difference:.1e} of the largest logit; its "
            f"attention, positions or output layer do something we do not, or it draws random numbers in training"
        )
    if not narrow <= tolerance:
        name, size = min(exceeded.items(), key=lambda limit: limit[1])
        raise UsageError(
            f"{where} hides keys by {name} = {size} in a way that we do not compute, and sequences may have {longest} "
            f"tokens; allow at most {size}"
        )


def _difference(
    model: Any, longest: int, tolerance: float, own: Callable[[Tensor], Tensor], ours: Callable[[Tensor], Tensor]
) -> float:
    """The largest difference relative to the largest value. Of coarse numbers the least of a few tries, since rounding
    may send a token to another expert."""
    difference = math.inf
    for attempt in range(1 if model.dtype == torch.float32 else _TRIES):
        # a prompt of 4 tokens with two responses of 4: a model that ignored our plan would take it for one sequence;
        # and 4 tokens as far out as a sequence may reach: nothing of the 12 may depend on them
        ids = torch.arange(16, device=model.device) * 7919 + 11 + attempt
        ids %= model.config.get_text_config().vocab_size
        implementation = model.config._attn_implementation
        model.eval()
        first, second = own(torch.stack((ids[:8], torch.cat((ids[:4], ids[8:12]))))).float()
        expected = torch.cat((first, second[4:]))
        far = max(0, longest - 4)
        positions = torch.tensor([*range(8), *range(4, 8), *range(far, far + 4)], device=model.device)
        plan = PackPlan([Segment(0, 4, ((4, 4), (8, 4))), Segment(12, 4, ())])
        model.set_attn_implementation(IMPLEMENTATION)
        model.train()
        hidden = hidden_states(model, ids, positions, plan)
        model.eval()
        found = float((ours(hidden[:12]) - expected).abs().max() / expected.abs().max())
        model.set_attn_implementation(implementation)
        difference = min(difference, found) if math.isfinite(found) else difference
        if difference <= tolerance:
            break
    return difference


def stop_token_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end a response: the tokenizer's and the generation config's end tokens."""
    ids = model.generation_config.eos_token_id
    listed = ids if isinstance(ids, list) else [ids]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)


def longest_context(model: Any) -> int:
    """Positions the model was made for; 0 when its config does not say."""
    config = model.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", 0) or 0
    return int(positions * rotary.stretched(getattr(config, "rope_parameters", None)))
