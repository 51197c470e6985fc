"""How much of the machine's matrix-product rate does training reach?

    python benchmarks/train_roofline.py [--models tiny smollm2-135m qwen2.5-1.5b]

A GRPO update of 8 prompts x 8 responses, 150 and 128 tokens, counting needed tokens only (model FLOPs, times three for
the backward pass). Two limits, measured in the same process: the start-up rate of a [256, 1024] x [1024, 1024] product,
and the time of the model's own products forward and backward on as many rows as a pack has.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
import torch
from results import save

from r1zero.algorithms import build
from r1zero.base import device
from r1zero.config import Algorithm, Optimization
from r1zero.data.packing import pack
from r1zero.models import fetch
from r1zero.models.flops import NOTHING, model_flops
from r1zero.models.load import check_forward, load_model
from r1zero.run import speed
from r1zero.trainer.local import LocalTrainer
from r1zero.types import Sample

QWEN = {  # random weights in Qwen2.5's shapes
    "qwen2.5-1.5b": {
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
    },
    "qwen2.5-7b": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28},
}
PROMPTS, SAMPLES, PROMPT_TOKENS, RESPONSE_TOKENS = 8, 8, 150, 128


def load(name: str, chosen: device.Device) -> Any:
    if name not in QWEN:
        return load_model(str(fetch.resolve(name)), dtype=chosen.dtype, device=chosen.torch_device)[0]
    from transformers import AutoConfig, AutoModelForCausalLM

    heads = {"num_key_value_heads": 4 if name.endswith("7b") else 2, "vocab_size": 151_936}
    config = AutoConfig.for_model("qwen2", **QWEN[name], **heads, tie_word_embeddings=False)
    with chosen.torch_device:
        model = AutoModelForCausalLM.from_config(config, dtype=chosen.dtype)
    check_forward(model, name)
    return model


def samples(vocabulary: int) -> list[Sample]:
    random = np.random.default_rng(0)
    made = []
    for _ in range(PROMPTS):
        prompt = random.integers(0, vocabulary, PROMPT_TOKENS, dtype=np.int32)
        for _ in range(SAMPLES):
            made.append(
                Sample(
                    prompt_ids=prompt,
                    response_ids=random.integers(0, vocabulary, RESPONSE_TOKENS, dtype=np.int32),
                    mask=np.ones(RESPONSE_TOKENS, dtype=bool),
                    advantages=np.full(RESPONSE_TOKENS, random.normal(), dtype=np.float32),
                    behaviour_logprobs=np.zeros(RESPONSE_TOKENS, dtype=np.float32),
                )
            )
    return made


def wait(chosen: device.Device) -> None:
    """Until the accelerator has done what it was given."""
    torch.ones(1, device=chosen.torch_device).item()


def products_gflops(model: Any, rows: int, chosen: device.Device) -> float:
    """Rate of the model's own linear layers, forward and backward, on `rows` tokens: best of three."""
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    best = float("inf")
    for _ in range(3):
        seconds = 0.0
        for layer in layers:
            wide = {"dtype": model.dtype, "device": chosen.torch_device}
            given, gradient = (
                torch.randn(rows, layer.in_features, **wide),
                torch.randn(rows, layer.out_features, **wide),
            )
            wait(chosen)
            start = time.perf_counter()
            with torch.no_grad():
                given @ layer.weight.T, gradient @ layer.weight, gradient.T @ given  # pyright: ignore
            wait(chosen)
            seconds += time.perf_counter() - start
        best = min(best, seconds)
    return 3 * sum(2 * rows * layer.weight.numel() for layer in layers) / best / 1e9


def measure(name: str, chosen: device.Device, tokens_per_pack: int, repeats: int) -> dict[str, float]:
    model = load(name, chosen)
    trainer = LocalTrainer(model, None, Optimization(lr=1e-6), total_updates=1000)
    packs = pack(samples(model.config.vocab_size), tokens_per_pack=tokens_per_pack)
    loss = build(Algorithm(name="grpo", group_size=8)).loss
    times = []
    for _ in range(repeats + 1):
        wait(chosen)
        start = time.perf_counter()
        for batch in packs:
            trainer.forward_backward(batch, loss)
        trainer.step()
        wait(chosen)
        times.append(time.perf_counter() - start)
    seconds = median(times[1:])
    work = sum((speed.needed([batch]) for batch in packs), NOTHING)
    gflops = model_flops(model).training(work) / seconds / 1e9
    own = products_gflops(model, len(packs[0].token_ids), chosen)
    return {
        "tokens_per_second": work.tokens / seconds,
        "gflops": gflops,
        "gemm_gflops": chosen.gemm_rate,
        "share": gflops / chosen.gemm_rate,
        "own_products_gflops": own,
        "share_of_own_products": gflops / own,
        "peak_memory_gib": chosen.peak_memory_gib(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["tiny", "smollm2-135m"])
    parser.add_argument("--tokens-per-pack", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    chosen = device.select("auto", "auto", arguments.threads)
    flat: dict[str, Any] = {"device": chosen.name, "threads": chosen.threads, "dtype": str(chosen.dtype)}
    lines = [
        "| model | tokens/s | GFLOP/s | of the product rate | of its own products | peak memory |",
        "|---|" + "--:|" * 5,
    ]
    for name in arguments.models:
        result = measure(name, chosen, arguments.tokens_per_pack, arguments.repeats)
        cells = [
            name,
            f"{result['tokens_per_second']:.0f}",
            f"{result['gflops']:.0f}",
            f"{result['share']:.0%} of {result['gemm_gflops']:.0f}",
            f"{result['share_of_own_products']:.0%} of {result['own_products_gflops']:.0f}",
            f"{result['peak_memory_gib']:.1f} GiB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
        flat |= {f"{name}/{key}": value for key, value in result.items()}
        flat[f"{name.split('-')[0]}_share"] = result["share"]
    print("\n".join(lines))
    save(__file__, flat)


if __name__ == "__main__":
    main()
