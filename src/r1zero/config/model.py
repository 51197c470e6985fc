"""The model of a recipe: what is loaded, and which of its weights train."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from r1zero.base.device import DtypeName
from r1zero.config.section import Conflicts, FilledLocation, Section

Quantization: TypeAlias = Literal["none", "nf4"]


class Lora(Section):
    rank: int = Field(default=16, ge=1)
    alpha: float = Field(default=32.0, gt=0)
    """The adapters' output is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On the adapters' input, in training only."""
    targets: tuple[str, ...] = ()
    """Names of linear layers, as q_proj; empty is every linear layer but the output layer."""


class Model(Section):
    path: FilledLocation
    """A folder, a Hugging Face id, or a name `r1zero model list` shows; to evaluate, also a folder of adapters."""
    dtype: DtypeName = "auto"
    """Compute dtype; auto measures. Master weights are always fp32."""
    lora: Lora | None = None
    """Train low-rank adapters; the model's own weights stay as they are."""
    quantization: Quantization = "none"
    """nf4: the frozen weights under the adapters in 4 bits (QLoRA)."""
    gradient_checkpointing: bool = False
    """Recompute activations layer by layer in the backward pass."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for models you trust."""

    def conflicts(self, section: str) -> Conflicts:
        if self.quantization != "none" and self.lora is None:
            return [(f"{section}.quantization", f"weights in 4 bits cannot be trained; add {section}.lora")]
        return []
