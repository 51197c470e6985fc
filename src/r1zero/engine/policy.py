"""A loaded model with how a recipe prompts and samples it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from r1zero import config
from r1zero.base import seeds
from r1zero.base.device import Device
from r1zero.base.errors import UsageError
from r1zero.data.prompts import Renderer, renderer
from r1zero.data.responses import response_text
from r1zero.engine.sampling import sampling_of
from r1zero.models.load import load_model, longest_context
from r1zero.types import Prompt, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A loaded model and how a recipe prompts and samples it."""

    model: Any
    tokenizer: Any
    rendered: Renderer
    sampling: Sampling

    def decode(self, token_ids: Any) -> str:
        return response_text(self.tokenizer, token_ids, self.sampling.stop_token_ids)


def load_policy(recipe: config.Recipe, device: Device) -> Policy:
    """The model of a recipe. Raises UsageError for one that cannot be loaded, or holds less than the recipe allows."""
    settings = recipe.model
    model, tokenizer = load_model(
        settings.path,
        dtype=device.dtype,
        device=device.torch_device,
        trust_remote_code=settings.trust_remote_code,
        lora=settings.lora,
        quantization=settings.quantization,
        seed=seeds.derive(recipe.run.seed, "lora"),
        longest=longest(recipe),
    )
    check_context(recipe, longest_context(model))
    rendered = renderer(recipe.data, tokenizer)
    return Policy(
        model=model,
        tokenizer=tokenizer,
        rendered=rendered,
        sampling=sampling_of(
            recipe.rollout, n=recipe.algorithm.group_size, stop=rendered.stop, model=model, tokenizer=tokenizer
        ),
    )


def longest(recipe: config.Recipe) -> int:
    """Tokens of the longest sequence that a recipe allows."""
    return recipe.data.max_prompt_tokens + recipe.rollout.max_new_tokens


def longest_prompt(prompts: Iterable[Prompt]) -> int:
    """In tokens; 0 without any."""
    return max((len(prompt.token_ids) for prompt in prompts), default=0)


def check_context(recipe: config.Recipe, context: int) -> None:
    needed = longest(recipe)
    if context and needed > context:
        raise UsageError(
            f"rollout.max_new_tokens = {recipe.rollout.max_new_tokens}: with data.max_prompt_tokens = "
            f"{recipe.data.max_prompt_tokens} a sequence may have {needed} tokens, but the model's context is "
            f"{context}"
        )
