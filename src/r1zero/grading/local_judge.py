"""A judge in this process: a causal model behind the engine seam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from r1zero import config
from r1zero.base.device import Device
from r1zero.data.chat.templates import render_chat
from r1zero.data.control import ControlTokens
from r1zero.data.responses import response_text
from r1zero.engine.base import RolloutEngine
from r1zero.engine.native import NativeEngine
from r1zero.grading.scorer import Ask
from r1zero.models.load import load_model, stop_token_ids
from r1zero.types import Message, Problem, Prompt, Sampling


def local_model(settings: config.Judge, device: Device) -> Ask:
    """Load `settings.model` with weights of its own. Raises UsageError when it cannot be loaded."""
    model, tokenizer = load_model(settings.model, dtype=device.dtype, device=device.torch_device)
    engine = NativeEngine(model, tokenizer, kv_cache_gib=settings.kv_cache_gib, key="rewards.judge.kv_cache_gib")
    return through_engine(engine, tokenizer, settings.max_new_tokens, stop_token_ids(model, tokenizer))


def through_engine(engine: RolloutEngine, tokenizer: Any, max_new_tokens: int, stops: frozenset[int]) -> Ask:
    """Greedy replies of an engine's model, one batch at a time."""
    control = ControlTokens.of(tokenizer)
    sampling = Sampling(n=1, temperature=0.0, max_new_tokens=max_new_tokens, stop_token_ids=stops)

    def ask(questions: Sequence[str]) -> list[str | Exception]:
        prompts = [_prompt(tokenizer, control.remove(asked)) for asked in questions]
        done = {index: completions[0] for index, completions in engine.generate(prompts, sampling)}
        return [response_text(tokenizer, done[index].token_ids, stops) for index in range(len(prompts))]

    return ask


def _prompt(tokenizer: Any, asked: str) -> Prompt:
    if tokenizer.chat_template:
        text = render_chat(tokenizer, [Message("user", asked)])
    else:
        text = asked + "\nComparison:"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    problem = Problem(id="judge", question=asked, answer="", source="judge")
    return Prompt(problem=problem, token_ids=np.array(ids, dtype=np.int32))
