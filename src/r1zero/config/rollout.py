"""The keys of `rollout`: how responses are sampled."""

from __future__ import annotations

from pydantic import Field

from r1zero.config.section import Filled, Section


class Rollout(Section):
    engine: Filled = "native"
    """`native`, or one that an installed package adds."""
    temperature: float = Field(default=1.0, ge=1e-4)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    min_p: float = Field(default=0.0, ge=0, lt=1)
    max_new_tokens: int = Field(ge=1)
    """Per rollout."""
    stop: tuple[Filled, ...] = ()
    """Stop strings beside the template's own, found in the text whatever tokens carry them. The token that completes
    one is the response's last and stays whole: the text that matched, and what the token holds after it."""
    kv_cache_gib: float = Field(default=2.0, gt=0)
    """Memory for keys and values; what does not fit waits its turn."""
    compile: bool = False
    """Run the model's layers through torch.compile while sampling: for accelerators. Needs Triton there, a C++ compiler
    on CPU, and seconds to minutes before the first token."""
