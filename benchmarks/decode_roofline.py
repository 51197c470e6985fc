"""How near does decoding come to the memory's bandwidth, and how far is it from transformers' `generate`?

    python benchmarks/decode_roofline.py [--model qwen2.5-1.5b] [--rows 64]

For accelerators: a decode step of few rows must at least read all weights and the rows' keys and values once. The
bandwidth is that of a large copy in the same process (read and write counted). Random weights in Qwen2.5's shapes serve
as well as trained ones.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from results import save
from train_roofline import load, wait

from r1zero.base import device
from r1zero.engine.native import NativeEngine
from r1zero.types import Problem, Prompt, Sampling


def seconds(work: Callable[[], object], chosen: device.Device, repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        wait(chosen)
        start = time.perf_counter()
        work()
        wait(chosen)
        times.append(time.perf_counter() - start)
    return median(times[1:])


def bandwidth(chosen: device.Device) -> float:
    """Bytes a second of copying half a GiB."""
    source = torch.ones(2**28, dtype=torch.bfloat16, device=chosen.torch_device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: target.copy_(source), chosen, 5)


def floor_bytes(model: Any, arguments: argparse.Namespace) -> float:
    """What one decode step must read: weights, and keys and values half-way through; a group's prompt counts once."""
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_token = 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize
    tokens = arguments.rows // arguments.samples * arguments.prompt_tokens + arguments.rows * arguments.new_tokens / 2
    embeddings = 0 if config.tie_word_embeddings else model.get_input_embeddings().weight.nbytes
    return sum(one.nbytes for one in model.parameters()) - embeddings + tokens * per_token


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="a model by name, or qwen2.5-1.5b, qwen2.5-7b")
    parser.add_argument("--compile", action="store_true", help="layers through torch.compile")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--samples", type=int, default=8, help="per prompt")
    parser.add_argument("--prompt-tokens", type=int, default=150)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    chosen = device.select("auto", "auto", arguments.threads)
    model = load(arguments.model, chosen)
    random = np.random.default_rng(0)
    problem = Problem(id="", question="", answer="", source="")
    ids = random.integers(
        1, model.config.vocab_size, (arguments.rows // arguments.samples, arguments.prompt_tokens), dtype=np.int32
    )
    prompts = [Prompt(problem=problem, token_ids=row) for row in ids]
    engine = NativeEngine(model, None, kv_cache_gib=16, compiled=arguments.compile)
    sampling = Sampling(n=arguments.samples, max_new_tokens=arguments.new_tokens)
    own = seconds(lambda: list(engine.generate(prompts, sampling)), chosen, arguments.repeats)
    engine.sleep()
    least = arguments.new_tokens * floor_bytes(model, arguments) / bandwidth(chosen)

    model.set_attn_implementation("sdpa")
    batch = torch.tensor(ids, dtype=torch.int64, device=chosen.torch_device).repeat_interleave(arguments.samples, 0)
    length = {"max_new_tokens": arguments.new_tokens, "min_new_tokens": arguments.new_tokens}

    @torch.inference_mode()
    def generate() -> None:
        mask = torch.ones_like(batch)
        model.generate(batch, attention_mask=mask, do_sample=True, top_k=0, top_p=1.0, pad_token_id=0, **length)

    peer = seconds(generate, chosen, arguments.repeats)
    tokens = arguments.rows * arguments.new_tokens
    flat = {
        "device": chosen.name,
        "model": arguments.model,
        "rows": arguments.rows,
        "tokens_per_second": tokens / own,
        "hf_tokens_per_second": tokens / peer,
        "vs_hf": peer / own,
        "bandwidth_gb_per_second": bandwidth(chosen) / 1e9,
        "bandwidth_share": least / own,
    }
    print("| model | rows | tokens/s | transformers | ratio | of the bandwidth |\n|---|--:|--:|--:|--:|--:|")
    print(
        f"| {arguments.model} | {arguments.rows} | {tokens / own:.0f} | {tokens / peer:.0f} | {peer / own:.2f} | "
        f"{least / own:.0%} of {flat['bandwidth_gb_per_second']:.0f} GB/s |"
    )
    save(__file__, flat)


if __name__ == "__main__":
    main()
