"""Sampling by r1zero's engine, one batch for each line of JSON on standard input; and what its products alone would
take."""

from __future__ import annotations

import json
import sys
import time
from statistics import median
from typing import Any

import numpy as np
import torch

from r1zero.base import device
from r1zero.engine.native import NativeEngine
from r1zero.models.load import load_model
from r1zero.types import Problem, Prompt, Sampling


def products_seconds(model: Any, rows: int, *, head: bool = True, repeats: int = 9) -> float:
    """Median time of all of a forward pass's matrix products on `rows` tokens, and nothing else. Prompts need no
    `head`: no logits."""
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    layers = [layer for layer in layers if head or layer is not model.get_output_embeddings()]
    inputs = {
        width: torch.randn(rows, width, dtype=model.dtype, device=model.device)
        for width in {layer.in_features for layer in layers}
    }
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats):
            start = time.perf_counter()
            for layer in layers:
                layer(inputs[layer.in_features])
            seconds.append(time.perf_counter() - start)
    return median(seconds)


def main() -> None:
    path, threads = sys.argv[1], int(sys.argv[2])
    chosen = device.select("auto", "auto", threads)
    model, tokenizer = load_model(path, dtype=chosen.dtype, device=chosen.torch_device)
    engine = NativeEngine(model, tokenizer, kv_cache_gib=6)
    problem = Problem(id="", question="", answer="", source="")
    print(json.dumps({"ready": True}), flush=True)
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        prompts = [Prompt(problem=problem, token_ids=np.array(ids, dtype=np.int32)) for ids in order["prompts"]]
        sampling = Sampling(n=order["n"], max_new_tokens=order["new_tokens"], seed=number)
        start = time.perf_counter()
        tokens = sum(len(one.token_ids) for _, group in engine.generate(prompts, sampling) for one in group)
        seconds = time.perf_counter() - start
        rows = len(prompts) * order["n"]
        products = (order["new_tokens"] - 1) * products_seconds(model, rows)
        products += products_seconds(model, sum(map(len, order["prompts"])), head=False, repeats=3)
        print(json.dumps({"seconds": seconds, "tokens": tokens, "products_seconds": products}), flush=True)


if __name__ == "__main__":
    main()
