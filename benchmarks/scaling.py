"""Does the cost of a step grow as it should?

    python benchmarks/scaling.py [--model smollm2-135m]

Varies one size at a time, measures rollout and update, and fits seconds = a + b x size. Prompts per step and response
tokens of a prompt (group size) should be linear; prompt and response length have attention's square in them, which must
stay small. `worst` is the largest distance of a measurement from the line.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from results import save

from r1zero.algorithms import build
from r1zero.base import device
from r1zero.config import Algorithm, Optimization
from r1zero.data.packing import pack
from r1zero.engine.native import NativeEngine
from r1zero.models import fetch
from r1zero.models.load import load_model
from r1zero.trainer.local import LocalTrainer
from r1zero.types import Problem, Prompt, Sample, Sampling

BASE = {"prompts": 8, "samples": 8, "prompt_tokens": 128, "response_tokens": 64}
SWEEPS = {
    "prompts": [4, 8, 16, 32],
    "samples": [4, 8, 16, 32],
    "prompt_tokens": [64, 128, 256, 512],
    "response_tokens": [32, 64, 128, 256],
}


def step(engine: NativeEngine, trainer: LocalTrainer, sizes: Mapping[str, int]) -> tuple[float, float]:
    """Seconds of sampling and of the update."""
    random = np.random.default_rng(0)
    problem = Problem(id="", question="", answer="", source="")
    prompts = [
        Prompt(problem=problem, token_ids=random.integers(100, 5000, sizes["prompt_tokens"], dtype=np.int32))
        for _ in range(sizes["prompts"])
    ]
    start = time.perf_counter()
    groups = dict(engine.generate(prompts, Sampling(n=sizes["samples"], max_new_tokens=sizes["response_tokens"])))
    sampled = time.perf_counter()
    samples = [
        Sample(
            prompt_ids=prompts[index].token_ids,
            response_ids=one.token_ids,
            mask=np.ones(len(one.token_ids), dtype=bool),
            advantages=np.full(len(one.token_ids), random.normal(), dtype=np.float32),
            behaviour_logprobs=one.logprobs,
        )
        for index, completions in groups.items()
        for one in completions
    ]
    for batch in pack(samples, tokens_per_pack=4096):
        trainer.forward_backward(batch, build(Algorithm(name="grpo", group_size=8)).loss)
    trainer.step()
    return sampled - start, time.perf_counter() - sampled


def fit(sizes: list[int], seconds: list[float]) -> dict[str, float]:
    """Least squares line, and the worst relative distance from it."""
    slope, fixed = np.polyfit(sizes, seconds, 1)
    line = fixed + slope * np.array(sizes)
    return {"fixed": fixed, "slope": slope, "worst": float(np.max(np.abs(np.array(seconds) / line - 1)))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    chosen = device.select("auto", "auto", arguments.threads)
    model, tokenizer = load_model(str(fetch.resolve(arguments.model)), dtype=chosen.dtype, device=chosen.torch_device)
    engine = NativeEngine(model, tokenizer, kv_cache_gib=4)
    trainer = LocalTrainer(model, tokenizer, Optimization(lr=1e-9), total_updates=1000)
    step(engine, trainer, {name: max(sizes) if name == "samples" else BASE[name] for name, sizes in SWEEPS.items()})
    flat: dict[str, Any] = {"threads": chosen.threads}
    print("| varied | sizes | rollout seconds | worst | update seconds | worst |\n|---|---|---|--:|---|--:|")
    for name, sizes in SWEEPS.items():
        times = np.array(
            [
                np.median([step(engine, trainer, {**BASE, name: size}) for _ in range(arguments.repeats)], axis=0)
                for size in sizes
            ]
        )
        cells = [name, " ".join(map(str, sizes))]
        for column, phase in enumerate(("rollout", "update")):
            seconds = times[:, column].tolist()
            fitted = fit(sizes, seconds)
            cells += [" ".join(f"{value:.2f}" for value in seconds), f"{fitted['worst']:.0%}"]
            flat |= {f"{name}/{phase}/{key}": value for key, value in fitted.items()}
            flat |= {f"{name}/{phase}/{size}": value for size, value in zip(sizes, seconds, strict=True)}
        print(f"| {' | '.join(cells)} |", flush=True)
    save(__file__, flat)


if __name__ == "__main__":
    main()
