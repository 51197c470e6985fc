"""How much memory does training adapters take beside training all weights, activations aside?

    python benchmarks/lora_memory.py [--model smollm2-135m] [--dtypes bf16 fp32] [--rank 16]

One process per row loads the model, trains two packs of one sequence each and takes an optimizer step. Counted are, at
the moment all of them exist (after the step, gradients kept), the bytes of weights, masters, gradients and optimizer
state; and, as a check from outside, the growth of the process's resident memory from before the model was loaded to the
step's end, which has the activations of a short pack in it and what malloc keeps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import product
from typing import Any

import numpy as np
import torch
from results import save

from r1zero.algorithms import build
from r1zero.base import device, seeds
from r1zero.config import Algorithm, Lora, Optimization
from r1zero.data.packing import pack
from r1zero.models import fetch
from r1zero.models.load import load_model
from r1zero.trainer.local import LocalTrainer
from r1zero.types import Sample

WAYS: dict[str, dict[str, Any]] = {
    "full, adamw": {},
    "full, adamw_8bit": {"optimizer": "adamw_8bit"},
    "LoRA": {"lora": True},
    "QLoRA (nf4)": {"lora": True, "quantization": "nf4"},
}
LIMIT = 0.35


def measure(model_name: str, dtype: str, way: str, rank: int) -> dict[str, float]:
    chosen = device.select("cpu", dtype, threads=1)  # pyright: ignore[reportArgumentType]
    ways = WAYS[way]
    chosen.reset_peak_memory()
    before = chosen.peak_memory_gib()
    model, tokenizer = load_model(
        model_name,
        dtype=chosen.dtype,
        device=chosen.torch_device,
        lora=Lora(rank=rank) if "lora" in ways else None,
        quantization=ways.get("quantization", "none"),
    )
    settings = Optimization(lr=1e-6, optimizer=ways.get("optimizer", "adamw"))
    trainer = LocalTrainer(model, tokenizer, settings, total_updates=10)
    loss = build(Algorithm(name="grpo", group_size=2)).loss
    gradients = 0

    def count_gradients(*_: object) -> None:
        nonlocal gradients
        gradients = held(trainer.masters.gradients())

    trainer.optimizer.register_step_pre_hook(count_gradients)
    for batch in pack(samples(model.config.vocab_size), tokens_per_pack=64):
        trainer.forward_backward(batch, loss)
    trainer.step()
    parts = {
        "weights": held(model.parameters()),
        "masters": held(
            master for name, master in trainer.masters.masters.items() if master is not trainer.masters.parameters[name]
        ),
        "gradients": gradients,
        "optimizer": held(
            value for state in trainer.optimizer.state.values() for value in state.values() if torch.is_tensor(value)
        ),
    }
    mib = {name: value / 2**20 for name, value in parts.items()}
    return {**mib, "sum": sum(mib.values()), "resident growth": (chosen.peak_memory_gib() - before) * 1024}


def held(tensors: Any) -> int:
    """Bytes of distinct storages."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def samples(vocabulary: int) -> list[Sample]:
    random = np.random.default_rng(seeds.derive(0, "lora_memory"))
    return [
        Sample(
            prompt_ids=random.integers(0, vocabulary, 16).astype(np.int32),
            response_ids=random.integers(0, vocabulary, 32).astype(np.int32),
            mask=np.ones(32, dtype=bool),
            advantages=np.ones(32, dtype=np.float32),
            behaviour_logprobs=np.zeros(32, dtype=np.float32),
        )
        for _ in range(2)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtypes", nargs="+", default=["bf16", "fp32"])
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--one", nargs=2, metavar=("DTYPE", "WAY"), help="one row, as JSON: for the rows' processes")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.model, *arguments.one, arguments.rank)))
        return
    fetch.resolve(arguments.model)
    rows = []
    for dtype, way in product(arguments.dtypes, WAYS):
        command = [sys.executable, __file__, "--model", arguments.model, "--rank", str(arguments.rank)]
        done = subprocess.run([*command, "--one", dtype, way], check=True, capture_output=True, text=True)
        rows.append({"dtype": dtype, "way": way, **json.loads(done.stdout.splitlines()[-1])})
    print(f"{arguments.model}, adapters of rank {arguments.rank} on every linear layer; MiB\n")
    names = [name for name in rows[0] if name not in ("dtype", "way")]
    print("| dtype | way |", " | ".join(names), "| of full training |")
    print("|---|---|" + "--:|" * (len(names) + 1))
    for row in rows:
        full = next(other for other in rows if other["dtype"] == row["dtype"])
        row["share"] = row["sum"] / full["sum"]
        cells = " | ".join(f"{row[name]:.0f}" for name in names)
        print(f"| {row['dtype']} | {row['way']} | {cells} | {row['share']:.1%} |")
    save(__file__, rows)
    worst = max(row["share"] for row in rows if row["way"] == "LoRA")
    print(f"\nLoRA takes at most {worst:.1%} of full training (the promise is under {LIMIT:.0%})")
    sys.exit(worst >= LIMIT)


if __name__ == "__main__":
    main()
