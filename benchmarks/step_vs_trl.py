"""How long is a whole GRPO step beside TRL's?

    python benchmarks/step_vs_trl.py gsm8k_train.jsonl --trl-python PATH

SmolLM2-135M, GSM8K with the qwen_r1 template, 8 prompts x 8 samples, 128 new tokens, a reward that leaves no group
without a gradient (`parity.py`): ours would skip such a group's backward pass. All systems live at once and take
turns; medians after one discarded step each. TRL runs in an environment of its own: docs/performance.md says how to
make it, and which settings it gets.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from results import save
from worker import Worker, middle, take_turns

from r1zero.base import device
from r1zero.config import Recipe, load
from r1zero.data.problems import to_problems
from r1zero.data.prompts import renderer, to_prompts
from r1zero.data.read import sources
from r1zero.models import fetch

HERE = Path(__file__).parent
RECIPE = "r1_zero_smollm2_gsm8k"
SETTINGS = [
    "rollout.max_new_tokens=128",
    "trainer.tokens_per_pack=1024",
    "algorithm.kl=null",
    f'rewards.verifier_function=["{HERE / "parity.py"}:even_length"]',
    "rewards.verifier_weight=[1.0]",
    "rewards.truncated=penalise",  # most responses are cut off: with no penalty they keep their reward
    "rewards.truncated_penalty=0",
]


def write_prompts(data: str, count: int, file: Path) -> None:
    """The recipe's prompts as text, for a system that renders no templates."""
    from transformers import AutoTokenizer

    recipe = load(Recipe, RECIPE, [f"data.path={data}"])
    tokenizer = AutoTokenizer.from_pretrained(fetch.resolve(recipe.model.path))
    problems, _ = to_problems(sources.read(recipe.data), recipe.data)
    prompts, _ = to_prompts(problems[:count], recipe.data, tokenizer, renderer(recipe.data, tokenizer))
    rows = [{"prompt": tokenizer.decode(one.token_ids), "answer": one.problem.answer} for one in prompts]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def compare(arguments: argparse.Namespace, prompts: Path, forced: bool) -> dict[str, dict[str, float]]:
    """Medians by system: seconds, response tokens, peak memory."""
    threads = arguments.threads
    flag = ["--forced"] if forced else []
    own = [sys.executable, str(HERE / "own_steps.py"), RECIPE, f"data.path={arguments.data}", *SETTINGS, *flag]
    workers = [Worker("r1zero", [*own, f"run.threads={threads}"], threads)]
    model = str(fetch.resolve("smollm2-135m"))
    for variant in arguments.variants:
        for size in arguments.batch_sizes:
            peer = [arguments.trl_python, str(HERE / "peers" / "trl_steps.py"), model, str(prompts), *flag]
            peer += ["--variant", variant, "--batch-size", str(size), "--threads", str(threads)]
            workers.append(Worker(f"TRL {variant}, batch {size}", peer, threads))
    results = take_turns(workers, arguments.repeats)
    for worker in workers:
        worker.close()
    return {
        name: {key: middle(result, key) for key in ("seconds", "tokens", "peak_gib")}
        for name, result in results.items()
    }


def best(results: dict[str, dict[str, float]], variant: str) -> dict[str, float]:
    """TRL's fastest batch size."""
    return min((one for name, one in results.items() if f"TRL {variant}" in name), key=lambda one: one["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="GSM8K's training problems as JSONL")
    parser.add_argument("--trl-python", required=True, help="python of the environment that has TRL")
    parser.add_argument("--variants", nargs="+", default=["F", "T"], choices=["F", "T"])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[4, 8, 16], help="TRL's samples per micro-batch")
    parser.add_argument("--lengths", nargs="+", default=["natural", "forced"], choices=["natural", "forced"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=device.usable_cores())
    arguments = parser.parse_args()
    flat: dict[str, Any] = {"threads": arguments.threads, "repeats": arguments.repeats}
    lines = ["| length | system | s/step | response tokens | peak memory | r1zero is |", "|---|---|--:|--:|--:|--:|"]
    with tempfile.TemporaryDirectory() as scratch:
        prompts = Path(scratch) / "prompts.jsonl"
        write_prompts(arguments.data, 512, prompts)
        for length in arguments.lengths:
            results = compare(arguments, prompts, forced=length == "forced")
            own = results["r1zero"]
            for name, one in results.items():
                ratio = f"{one['seconds'] / own['seconds']:.2f}x faster"
                memory = f"{one['peak_gib']:.1f} GiB"
                cells = [length, name, f"{one['seconds']:.1f}", f"{one['tokens']:.0f}", memory, ratio]
                lines.append(f"| {' | '.join(cells)} |")
                flat |= {f"{length}/{name}/{key}": value for key, value in one.items()}
            suffix = "" if length == "natural" else "_forced"
            for variant in arguments.variants:
                peer = best(results, variant)
                flat[f"speedup_{variant}{suffix}"] = peer["seconds"] / own["seconds"]
                flat[f"memory_ratio_{variant}{suffix}"] = own["peak_gib"] / peer["peak_gib"]
    print("\n".join(lines))
    save(__file__, flat)


if __name__ == "__main__":
    main()
