"""GRPO steps by TRL, one for each line on standard input. Runs in an environment of its own (docs/performance.md).

Settings: fair for a small model on a CPU. Variant F keeps fp32 weights and computes in bf16 by autocast, T keeps
weights and Adam's moments in bf16.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

SAMPLES = 8


def peak_memory_gib() -> float:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 2**20


class Paced(TrainerCallback):
    """Waits for a line before each step, and reports the step."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.begun = 0.0

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == 0:
            print(json.dumps({"ready": True}), flush=True)
        if not sys.stdin.readline():
            raise SystemExit
        self.lengths.clear()
        self.begun = time.perf_counter()

    def on_step_end(self, args, state, control, **_):
        seconds = time.perf_counter() - self.begun
        tokens = sum(self.lengths)
        print(json.dumps({"seconds": seconds, "tokens": tokens, "peak_gib": peak_memory_gib()}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("problems", type=Path, help="JSONL with prompt and answer")
    parser.add_argument("--variant", choices=["F", "T"], required=True)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--forced", action="store_true", help="every response has --new-tokens tokens")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [json.loads(line) for line in arguments.problems.read_text().splitlines()]
    paced = Paced()

    def reward(completions, completion_ids, **_):
        paced.lengths.extend(len(ids) for ids in completion_ids)
        return [float(len(text) % 2 == 0) for text in completions]  # as in parity.py

    settings = GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        per_device_train_batch_size=arguments.batch_size,
        gradient_accumulation_steps=arguments.prompts * SAMPLES // arguments.batch_size,
        num_generations=SAMPLES,
        max_completion_length=arguments.new_tokens,
        generation_kwargs={"min_new_tokens": arguments.new_tokens} if arguments.forced else None,
        max_steps=1000,
        beta=0.0,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        repetition_penalty=1.0,
        loss_type="dapo",
        epsilon=0.2,
        epsilon_high=0.28,
        scale_rewards="group",
        gradient_checkpointing=False,
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        lr_scheduler_type="constant",
        learning_rate=1e-6,
        weight_decay=0.0,
        dataloader_pin_memory=False,
        report_to="none",
        logging_steps=1000,
        save_strategy="no",
        disable_tqdm=True,
        bf16=True,
        model_init_kwargs={
            "dtype": "float32" if arguments.variant == "F" else "bfloat16",
            "attn_implementation": "sdpa",
        },
    )
    GRPOTrainer(
        model=arguments.model,
        reward_funcs=reward,
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(arguments.model, padding_side="left"),
        callbacks=[paced],
    ).train()


if __name__ == "__main__":
    main()
