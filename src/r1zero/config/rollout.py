"""The keys of `rollout`: how responses are sampled."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from r1zero.config.section import Conflicts, Filled, Location, Section


class Remote(Section):
    """A server that samples: `rollout.engine: remote`."""

    url: Location = ""
    """Of a server with /v1/completions or /inference/v1/generate, as `vllm serve` is: http://host:8000. Its key, if it
    wants one, is read from R1ZERO_ENGINE_TOKEN."""
    model: str = ""
    """Of those the server has; empty is its first."""
    protocol: Literal["completions", "generate"] = "completions"
    """completions is OpenAI's with token ids; generate is vLLM's tokens in, tokens out."""
    at_once: int = Field(default=32, ge=1)
    """Requests under way, one per prompt."""
    requests_per_minute: int = Field(default=0, ge=0)
    """Start no more requests than these; 0 is any number."""
    attempts: int = Field(default=10, ge=1)
    """Times that a request is sent, with growing pauses, before the run fails."""
    answer_seconds: float = Field(default=600.0, gt=0)
    """Longest wait for an answer."""


class Rollout(Section):
    engine: Filled = "native"
    """`native`; `remote`, a server that answers evaluations; or one that an installed package adds."""
    remote: Remote = Remote()
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

    def conflicts(self, section: str) -> Conflicts:
        remote = self.engine == "remote"
        if remote and not self.remote.url:
            return [(f"{section}.remote.url", "missing; where does the server of rollout.engine: remote listen?")]
        if self.remote.url and not remote:
            return [(f"{section}.remote.url", f"is not used by the engine '{self.engine}'; set rollout.engine: remote")]
        return []
