"""Frozen weights in 4 bits: NormalFloat with double quantisation (QLoRA, arXiv 2305.14314), by bitsandbytes."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

import torch
from torch import Tensor

from r1zero.base.errors import UsageError
from r1zero.config import Quantization

logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # at every start it recommends a package


def loading_options(quantization: Quantization, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What transformers' `from_pretrained` needs to quantise while it loads. Raises UsageError without bitsandbytes."""
    if quantization == "none":
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError("model.quantization: bitsandbytes is not installed; pip install 'r1zero[lora]'")
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def keep_differentiable(model: Any) -> None:
    """bitsandbytes repacks a layer's weights at its first forward pass in evaluation mode on a CPU with AVX-512 bf16;
    from then on the layer computes in bf16 only and passes no gradient back, without a word. A model that samples and
    trains in turn needs the layout that does both."""
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False


def quantized(model: Any) -> bool:
    return getattr(model.config, "quantization_config", None) is not None


def dequantised(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight in 4 bits in `dtype`; any other as it is."""
    state = getattr(weight, "quant_state", None)
    if state is None:
        return weight
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, state).to(dtype)


def elements(weight: Tensor) -> int:
    """Numbers in a weight, also where several share a byte."""
    state = getattr(weight, "quant_state", None)
    return weight.numel() if state is None else state.shape.numel()
