"""Adapters and the model they were made for, as one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from r1zero.config import Quantization
from r1zero.models import adapters, fetch, quantize
from r1zero.models.complete import LM_HEAD, refuse_incomplete
from r1zero.models.loading import loading
from r1zero.models.value import HEAD, without_loading_report


def merge(folder: Path, out: Path, *, dtype: torch.dtype, quantization: Quantization = "none") -> None:
    """Write the Hugging Face model that computes what the adapters of `folder` make of their base: a causal LM, or a
    critic or reward model. With `quantization`, of the base in 4 bits that they were trained on."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    base = fetch.resolve(adapters.base_of(folder))
    kind, labels = AutoModelForCausalLM, {}
    if adapters.has_head(folder):
        kind, labels = AutoModelForSequenceClassification, {"num_labels": 1}
    options = quantize.loading_options(quantization, dtype, torch.device("cpu"))
    with without_loading_report(), loading(str(folder), str(folder), base):
        loaded: Any = kind.from_pretrained(
            base, dtype=dtype if options else torch.float32, output_loading_info=True, **labels, **options
        )
    model, report = loaded
    head = adapters.has_head(folder)
    refuse_incomplete(report, str(base), new=HEAD if head else (), unused=LM_HEAD if head else ())
    adapters.restore(model, folder)
    with torch.device("meta"):  # of the plain model only the description is needed
        plain = kind.from_config(AutoConfig.from_pretrained(base, **labels), dtype=dtype)
    plain.generation_config = getattr(model, "generation_config", None)
    plain.save_pretrained(out, state_dict={name: value.to(dtype) for name, value in adapters.merged_weights(model)})
    AutoTokenizer.from_pretrained(folder).save_pretrained(out)
