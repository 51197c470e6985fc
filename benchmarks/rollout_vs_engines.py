"""How many tokens a second does the engine sample, beside vLLM's CPU build and transformers' `generate`?

    python benchmarks/rollout_vs_engines.py gsm8k_train.jsonl --vllm-python PATH

SmolLM2-135M in bf16, GSM8K prompts with the qwen_r1 template, temperature 1, every response at full length, with the
log-probabilities of the sampled tokens. All engines live at once and take turns. The roofline is the time of the
decode's own matrix products at its own batch size, measured in the same process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from results import save
from step_vs_trl import write_prompts
from worker import Worker, middle, take_turns

from r1zero.base import device
from r1zero.models import fetch

HERE = Path(__file__).parent


def start(arguments: argparse.Namespace, model: str) -> list[Worker]:
    commands = {
        "r1zero": [sys.executable, str(HERE / "own_rollouts.py")],
        "vllm": [arguments.vllm_python, str(HERE / "peers" / "vllm_rollouts.py")],
        "hf": [sys.executable, str(HERE / "peers" / "hf_rollouts.py")],
    }
    threads = arguments.threads
    chosen = {name: commands[name] for name in arguments.engines if commands[name][0]}
    return [Worker(name, [*command, model, str(threads)], threads) for name, command in chosen.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="GSM8K's training problems as JSONL")
    parser.add_argument("--vllm-python", help="python of the environment that has vLLM; without it vLLM is left out")
    parser.add_argument("--engines", nargs="+", default=["r1zero", "vllm", "hf"])
    parser.add_argument("--sequences", type=int, nargs="+", default=[8, 64, 256])
    parser.add_argument("--new-tokens", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 8], help="per prompt")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=device.usable_cores())
    arguments = parser.parse_args()
    model = str(fetch.resolve("smollm2-135m"))
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "prompts.jsonl"
        write_prompts(arguments.data, max(arguments.sequences), file)
        texts = [json.loads(line)["prompt"] for line in file.read_text().splitlines()]
    from transformers import AutoTokenizer

    encoded = AutoTokenizer.from_pretrained(model)(texts, add_special_tokens=False)["input_ids"]
    workers = start(arguments, model)
    flat: dict[str, Any] = {"threads": arguments.threads, "repeats": arguments.repeats}
    names = [worker.name for worker in workers]
    lines = [f"| sequences | new tokens | n | {' | '.join(f'{name} tokens/s' for name in names)} | share of roofline |"]
    lines.append("|" + "--:|" * (len(names) + 4))
    for sequences, new_tokens, n in itertools.product(arguments.sequences, arguments.new_tokens, arguments.samples):
        order = {"prompts": encoded[: sequences // n], "n": n, "new_tokens": new_tokens}
        print(f"{sequences} sequences, {new_tokens} new tokens, n = {n}")
        results = take_turns(workers, arguments.repeats, json.dumps(order))
        rates = {name: sequences * new_tokens / middle(results[name], "seconds") for name in names}
        share = middle(results["r1zero"], "products_seconds") / middle(results["r1zero"], "seconds")
        cells = [str(sequences), str(new_tokens), str(n), *(f"{rates[name]:.0f}" for name in names), f"{share:.0%}"]
        lines.append(f"| {' | '.join(cells)} |")
        flat |= {f"{sequences}/{new_tokens}/{n}/{name}_tokens_per_second": rate for name, rate in rates.items()}
        flat[f"{sequences}/{new_tokens}/{n}/roofline_share"] = share
        if (new_tokens, n) == (128, 8):
            flat |= {f"vs_{name}_{sequences}": rates["r1zero"] / rates[name] for name in names if name != "r1zero"}
            flat[f"roofline_share_{sequences}"] = share
    for worker in workers:
        worker.close()
    print("\n".join(lines))
    save(__file__, flat)


if __name__ == "__main__":
    main()
