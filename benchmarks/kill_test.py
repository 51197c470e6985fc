"""Kill runs at random moments, resume them, and compare every bit with a run that nobody disturbed.

    python benchmarks/kill_test.py --kills 100 --kinds grpo dapo ppo lora moe

A kill hits the start, the resume, sampling, scoring, updates, a checkpoint being written, a rename, or pruning: at a
random time, or as soon as a file of that moment appears. Compared are all files of the last checkpoint, all rollouts,
and the metrics but for seconds and memory. Needs no data and no accelerator; on one machine with one thread.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import results

STEPS = 5
RECIPE = """\
run: {dir: RUN, steps: STEPS, seed: 0, save_every: 1, keep_checkpoints: 2, device: cpu, threads: 1, deterministic: true}
model: {path: MODEL, dtype: fp32}
data:
  path: r1zero:sums
  options: {terms: 3, low: 10, high: 99, count: 64, text: '{sum}=?', plus: '+'}
  template: plain
  max_prompt_tokens: 16
rewards: {verifier_function: [base_acc, strict_format], verifier_weight: [1.0, 0.2], workers: 1}
algorithm: {name: grpo, group_size: 4, kl: 0.01}
rollout: {max_new_tokens: 40}
trainer: {prompts_per_step: 4, tokens_per_pack: 400, lr: 3.0e-4}
logging: {tensorboard: false}
"""
KINDS: dict[str, list[str]] = {
    "grpo": ["trainer.minibatches=2", "trainer.epochs=2", "trainer.ema=0.9"],
    "dapo": ["algorithm.name=dapo", "algorithm.filter_by=strict_format", "algorithm.kl_target=0.01"],
    "ppo": [
        "algorithm.name=ppo",
        "algorithm.kl=null",
        "critic.lr=1e-3",
        "critic.minibatches=2",
        "trainer.minibatches=2",
    ],
    "lora": ["model.lora={rank: 4, dropout: 0.1}", "trainer.optimizer=nadam", "model.dtype=bf16"],
    "moe": ["algorithm.name=gspo", "trainer.minibatches=2"],
}
MOMENTS = {  # what to wait for before a short random delay
    "a checkpoint being written": "checkpoints/.tmp-step_*",
    "pruning": "checkpoints/.tmp-old-*",
    "sampling and scoring": "run.log",
    "updates": "rollouts/step_*",
}
TIMED = ("seconds/", "peak_memory", "tokens_per_second/", "gflops/", "gemm_share/")


def mixture_of_experts(folder: Path) -> Path:
    """A small random Qwen3-MoE with the miniature's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from r1zero.models import fetch

    tokenizer = AutoTokenizer.from_pretrained(fetch.resolve("tiny"))
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    experts = {"num_key_value_heads": 2, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2}
    config = AutoConfig.for_model(
        "qwen3_moe",
        **sizes,
        **experts,
        moe_intermediate_size=16,
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def command(folder: Path, model: str, overrides: list[str]) -> list[str]:
    recipe = folder / "recipe.yaml"
    text = RECIPE.replace("RUN", str(folder / "run")).replace("STEPS", str(STEPS)).replace("MODEL", model)
    recipe.write_text(text)
    begun = (folder / "run" / "config.yaml").exists()
    arguments = ["train", str(recipe), *overrides, *(["--resume"] if begun else [])]
    return [sys.executable, "-m", "r1zero.cli.main", *arguments]


def finish(folder: Path, model: str, overrides: list[str]) -> float:
    """Let a run end; seconds it took."""
    begun = time.monotonic()
    done = subprocess.run(command(folder, model, overrides), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the run in {folder} ended with {done.returncode}: {done.stderr[-2000:]}")
    return time.monotonic() - begun


def kill(folder: Path, model: str, overrides: list[str], seconds: float, chance: random.Random) -> str | None:
    """Start or resume a run and kill it; the moment, or None if it was finished before."""
    process = subprocess.Popen(
        command(folder, model, overrides), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    moment = chance.choice(["any time", "start and resume", *MOMENTS])
    begun = time.monotonic()
    if moment in MOMENTS:
        known = set((folder / "run").glob(MOMENTS[moment])) if moment == "updates" else set()
        while process.poll() is None and not set((folder / "run").glob(MOMENTS[moment])) - known:
            time.sleep(0.0005)
        time.sleep(chance.random() * (0.02 if "being" in moment or moment == "pruning" else 0.3))
    else:
        time.sleep(chance.random() * seconds * (1.0 if moment == "any time" else 0.6))
    while process.poll() is None and time.monotonic() - begun < 0.05:
        time.sleep(0.001)
    if process.poll() is not None:
        return None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return moment


def differing(run: Path, other: Path) -> list[str]:
    """What is not the same in two finished runs."""
    last = f"checkpoints/step_{STEPS:06d}"
    files = {
        str(file.relative_to(folder))
        for folder in (run, other)
        for part in (last, "rollouts")
        for file in (folder / part).rglob("*")
        if file.is_file()
    }
    wrong = [name for name in sorted(files) if read(run / name) != read(other / name)]
    return wrong + (["metrics.jsonl"] if metrics(run) != metrics(other) else [])


def read(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def metrics(run: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if not name.startswith(TIMED)} for record in records]


def try_kind(kind: str, kills: int, chance: random.Random, folder: Path) -> dict[str, Any]:
    model = str(mixture_of_experts(folder / "model")) if kind == "moe" else "tiny"
    overrides = KINDS[kind]
    (folder / "undisturbed").mkdir(parents=True)
    seconds = finish(folder / "undisturbed", model, overrides)
    moments: Counter[str] = Counter()
    runs, wrong = 0, []
    while moments.total() < kills:
        place = folder / f"killed_{runs}"
        place.mkdir()
        for _ in range(chance.randint(2, 8)):
            if moments.total() >= kills or (moment := kill(place, model, overrides, seconds, chance)) is None:
                break
            moments[moment] += 1
            print(f"{kind}: {moments.total()}/{kills} kills, the last at: {moment}", file=sys.stderr)
        if not (place / "run" / "checkpoints" / f"step_{STEPS:06d}").exists():
            finish(place, model, overrides)
        runs += 1
        if found := differing(folder / "undisturbed" / "run", place / "run"):
            wrong.append(found)
            print(f"{kind}: not the same: {', '.join(found)}", file=sys.stderr)
        else:
            shutil.rmtree(place)
    return {"kills": moments.total(), "runs": runs, "mismatches": len(wrong), "moments": dict(moments), "wrong": wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="over all kinds together")
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    share = -(-arguments.kills // len(arguments.kinds))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.kinds:
            found[kind] = try_kind(kind, share, chance, Path(folder) / kind)
    print(f"{'kind':6} {'kills':>6} {'runs':>5} {'mismatches':>11}  moments")
    for kind, one in found.items():
        moments = ", ".join(f"{name} {count}" for name, count in sorted(one["moments"].items()))
        print(f"{kind:6} {one['kills']:6} {one['runs']:5} {one['mismatches']:11}  {moments}")
    kills, mismatches = (sum(one[name] for one in found.values()) for name in ("kills", "mismatches"))
    results.save(__file__, {"kills": kills, "mismatches": mismatches, "kinds": found})
    raise SystemExit(mismatches > 0)


if __name__ == "__main__":
    main()
