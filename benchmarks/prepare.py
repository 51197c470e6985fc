"""How fast is `r1zero prepare` beside the bare tokenizer on the same cores, and how much memory do small and large
inputs take?

python benchmarks/prepare.py [--megabytes 100] [--workers 2] [--memory 100,1000]

The bare tokenizer is the same Rust core, `encode_batch_fast`, one process per worker, over texts that are in memory
already: no reading, parsing, templates, checks or writing. Both sides are timed in turn, and the ratio is of tokens per
second; the second ratio is of tokens per second of CPU time, all processes of a side together, which other users of the
machine hardly touch. The seconds of `prepare` include the start of its processes, so take enough megabytes. Peak memory
is the sum of the peaks of all processes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import cache
from multiprocessing import active_children, get_context
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from results import save
from tokenizers import Tokenizer

from r1zero.data.chat.formats import ChatFormat, Special, load_format
from r1zero.types import Message

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
TOKENIZER = "smollm2-135m"
CASES: dict[str, dict[str, Any]] = {
    "pretraining": {"handler_name": "GeneralPretrainHandler"},
    "instruction": {"handler_name": "AlpacaStyleInstructionHandler", "prompt_type": "qwen"},
    "R1 prompts": {
        "handler_name": "R1AlpacaStyleInstructionHandler",
        "prompt_type": "qwen_r1",
        "dataset_additional_keys": ["labels"],
    },
}


def texts() -> list[tuple[str, str]]:
    """Questions and solutions; words at random where the data is absent."""
    files = [file for file in (DATA / "math_train.jsonl", DATA / "gsm8k_train.jsonl") if file.exists()]
    rows = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    pairs = [(row.get("problem") or row["question"], row.get("solution") or row["answer"]) for row in rows]
    random = Random(0)
    words = ["".join(random.choices("etaoinshrdlu", k=random.randint(1, 9))) for _ in range(30_000)]
    pairs = [pair for pair in pairs if all(pair)]
    return pairs or [tuple(" ".join(random.choices(words, k=60)) for _ in range(2)) for _ in range(5000)]  # pyright: ignore


def write_input(path: Path, megabytes: int) -> None:
    """Rows in random order until the file is large enough; a number in each keeps them apart."""
    pairs, random, size = texts(), Random(1), 0
    with path.open("w", encoding="utf-8") as out:
        for number in range(1_000_000_000):
            question, answer = random.choice(pairs)
            row = {"instruction": f"{number}. {question}", "output": answer, "text": f"{number}. {question}\n{answer}"}
            size += out.write(json.dumps(row, ensure_ascii=False) + "\n")
            if size >= megabytes * 1_000_000:
                return


def prepare(folder: Path, source: Path, case: dict[str, Any], workers: int) -> dict[str, float]:
    """Run the command; seconds, tokens of all text fields, and peak memory in MB, main process and largest worker."""
    recipe = {
        "input": str(source),
        "output_prefix": str(folder / "out" / "data"),
        "tokenizer_name_or_path": TOKENIZER,
        "workers": workers,
        **case,
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    shutil.rmtree(folder / "out", ignore_errors=True)  # an output that is there already would not be made again
    command = [sys.executable, __file__, "--measured", str(folder / "recipe.yaml")]
    facts = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    tokens = sum(
        count for name, count in facts["counts"].items() if name.startswith("tokens ") and "learned" not in name
    )
    return {
        "seconds": facts["seconds"],
        "cpu": facts["cpu"],
        "tokens": tokens,
        "main_mb": facts["main_mb"],
        "peak_mb": facts["main_mb"] + sum(facts["workers_mb"]),
    }


def measured(recipe_file: str) -> None:
    """The command in this process, and what it took: seconds, CPU seconds, counts, peak memory of processes in MB."""
    from r1zero.config import PrepareRecipe, load
    from r1zero.data.prepare import run as command
    from r1zero.models.tokenizer import load_tokenizer

    recipe = load(PrepareRecipe, recipe_file)
    tokenizer = load_tokenizer(recipe.tokenizer_name_or_path)
    before, peaks = cpu_seconds(), {}
    threading.Thread(target=watch_workers, args=(peaks,), daemon=True).start()
    prepared = command.prepare(recipe, tokenizer)
    facts = {
        "seconds": prepared.seconds,
        "cpu": cpu_seconds() - before,
        "counts": dict(prepared.counts),
        "main_mb": high_water("self"),
        "workers_mb": list(peaks.values()),
    }
    print(json.dumps(facts))


def cpu_seconds() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def watch_workers(peaks: dict[int, float]) -> None:
    """Peak memory of worker processes by id. (Their `ru_maxrss` begins with that of the process they came from.)"""
    while True:
        for process in active_children():
            with suppress(OSError, StopIteration):
                peaks[process.pid or 0] = high_water(str(process.pid))
        time.sleep(0.2)


def high_water(process: str) -> float:
    lines = Path("/proc", process, "status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1000


def bare(source: Path, case: dict[str, Any], workers: int) -> dict[str, float]:
    """The tokenizer alone on what the command tokenises: the rendered text of every row."""
    from r1zero.models.tokenizer import load_tokenizer

    core = load_tokenizer(TOKENIZER).backend_tokenizer.to_str()
    rows = [json.loads(line) for line in source.open(encoding="utf-8")]
    rendered = [render(row, case) for row in rows]
    shares = [rendered[start::workers] for start in range(workers)]
    if workers == 1:
        seconds, tokens, cpu = tokenise(core, shares[0])
        return {"seconds": seconds, "tokens": tokens, "cpu": cpu}
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        list(pool.map(tokenise, [core] * workers, [share[:10] for share in shares]))  # the processes have started
        results = list(pool.map(tokenise, [core] * workers, shares))
    seconds, tokens, cpu = zip(*results, strict=True)
    return {"seconds": max(seconds), "tokens": sum(tokens), "cpu": sum(cpu)}


def render(row: dict[str, str], case: dict[str, Any]) -> str:
    if "prompt_type" not in case:
        return row["text"]
    format_ = chat_format(case["prompt_type"])
    dialogue = (Message("user", row["instruction"]), Message("assistant", row["output"]))
    if "R1" in case["handler_name"]:
        pieces = (*format_.prompt(dialogue), row["output"])
    else:
        (turn,) = format_.turns(dialogue)
        pieces = (*turn.source, *turn.target)
    return "".join(format_.stop[0] if isinstance(piece, Special) else piece for piece in pieces)


@cache
def chat_format(name: str) -> ChatFormat:
    return load_format(name)


def tokenise(core: str, rows: list[str]) -> tuple[float, int, float]:
    """Wall seconds, tokens, CPU seconds."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer.from_str(core)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    start, started, tokens = time.perf_counter(), time.process_time(), 0
    for first in range(0, len(rows), 1000):
        for encoding in tokenizer.encode_batch_fast(rows[first : first + 1000], add_special_tokens=False):
            tokens += len(encoding.ids)
    return time.perf_counter() - start, tokens, time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=3, help="0 measures memory alone")
    parser.add_argument("--memory", default="100,1000", help="input sizes in MB; empty for none")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--measured", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measured:
        return measured(arguments.measured)
    results: dict[str, Any] = {"workers": arguments.workers, "megabytes": arguments.megabytes}
    with tempfile.TemporaryDirectory() as scratch:
        folder, source = Path(scratch), Path(scratch) / "in.jsonl"
        write_input(source, arguments.megabytes)
        print(f"{arguments.megabytes:8} MB   {'bare tokens/s':>16}{'prepare tokens/s':>18}{'ratio':>8}{'by CPU':>8}")
        for name, case in CASES.items():
            if not arguments.repeats or name not in arguments.cases.split(","):
                continue
            ratios, cpu_ratios, speeds = [], [], []
            for _ in range(arguments.repeats):
                alone, ours = bare(source, case, arguments.workers), prepare(folder, source, case, arguments.workers)
                speeds.append((alone["tokens"] / alone["seconds"], ours["tokens"] / ours["seconds"]))
                ratios.append(speeds[-1][1] / speeds[-1][0])
                cpu_ratios.append((ours["tokens"] / ours["cpu"]) / (alone["tokens"] / alone["cpu"]))
            slow, fast = (median(speed[side] for speed in speeds) for side in (0, 1))
            results[name] = {"bare": slow, "prepare": fast, "ratio": median(ratios), "ratios": ratios}
            results[name]["cpu_ratio"] = median(cpu_ratios)
            print(f"{name:14}{slow:16,.0f}{fast:18,.0f}{median(ratios):8.2f}{median(cpu_ratios):8.2f}")
        for megabytes in [int(size) for size in arguments.memory.split(",") if size]:
            write_input(source, megabytes)
            facts = prepare(folder, source, CASES["pretraining"], arguments.workers)
            results[f"memory {megabytes} MB"] = facts
            print(f"{megabytes:6} MB of input: main {facts['main_mb']:.0f} MB, with workers {facts['peak_mb']:.0f} MB")
    save(__file__, results)


if __name__ == "__main__":
    main()
