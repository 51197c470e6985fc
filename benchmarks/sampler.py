"""How many tokens a second does the sampler choose, and what would torch's own take?

python benchmarks/sampler.py [--rows 64] [--vocabulary 49152]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from results import save

from r1zero.base import device
from r1zero.engine.native.sampler import sample
from r1zero.types import Sampling


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=49_152)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    chosen = device.select("cpu", "fp32", arguments.threads)
    torch.manual_seed(0)
    logits = 3 * torch.randn(arguments.rows, arguments.vocabulary)
    scratch, uniforms = torch.empty_like(logits), torch.rand(arguments.rows)

    def ours(**filters: float) -> Callable[[], object]:
        sampling = Sampling(n=1, max_new_tokens=1, **filters)  # pyright: ignore[reportArgumentType]
        return lambda: sample(scratch.copy_(logits), uniforms, sampling)

    cases = {
        "copying the logits": lambda: scratch.copy_(logits),
        "greedy": ours(temperature=0.0),
        "plain": ours(),
        "top_k 50": ours(top_k=50),
        "top_p 0.95": ours(top_p=0.95),
        "min_p 0.05": ours(min_p=0.05),
        "torch: softmax + multinomial": lambda: torch.multinomial(torch.softmax(logits, -1), 1),
    }
    flat: dict[str, float] = {"rows": arguments.rows, "threads": chosen.threads}
    print(f"{arguments.rows} rows, vocabulary {arguments.vocabulary}\n\n| case | ms | tokens/s |\n|---|--:|--:|")
    for name, work in cases.items():
        taken = milliseconds(work, arguments.repeats)
        print(f"| {name} | {taken:.2f} | {1e3 * arguments.rows / taken:,.0f} |")
        flat[f"{name}/milliseconds"] = taken
    save(__file__, flat)


if __name__ == "__main__":
    main()
