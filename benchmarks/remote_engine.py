"""The remote engine beside the native one: the same model here and on a server that we did not write.

    vllm serve PATH --dtype float32 --max-model-len 256 --logprobs-mode processed_logprobs --enable-scale-out
    python benchmarks/remote_engine.py http://127.0.0.1:8000 --model PATH --protocol generate

Prints how many of the greedy responses are the same to the token, and how far the log-probabilities differ.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from r1zero.config import Remote
from r1zero.engine.native import NativeEngine
from r1zero.engine.remote import RemoteEngine
from r1zero.models.load import load_model, stop_token_ids
from r1zero.types import Problem, Prompt, Sampling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--protocol", default="completions", choices=["completions", "generate"])
    options = parser.parse_args()
    model, tokenizer = load_model(options.model, dtype=torch.float32, device=torch.device("cpu"))
    texts = [f"What is {left} + {right}?" for left in range(10, 50, 5) for right in range(3, 40, 7)]
    prompts = [
        Prompt(
            problem=Problem(id=text, question=text, answer="", source="benchmark"),
            token_ids=np.array(tokenizer(text)["input_ids"], dtype=np.int32),
        )
        for text in texts
    ]
    greedy = Sampling(n=1, temperature=0.0, max_new_tokens=40, stop_token_ids=stop_token_ids(model, tokenizer))
    remote = RemoteEngine(Remote(url=options.url, protocol=options.protocol), len(tokenizer))
    ours = dict(NativeEngine(model, tokenizer, kv_cache_gib=0.5).generate(prompts, greedy))
    start = time.perf_counter()
    theirs = dict(remote.generate(prompts, greedy))
    seconds = time.perf_counter() - start
    pairs = [(ours[index][0], theirs[index][0]) for index in ours]
    same = [(left, right) for left, right in pairs if np.array_equal(left.token_ids, right.token_ids)]
    largest = max(float(np.abs(left.logprobs - right.logprobs).max()) for left, right in same)
    print(f"protocol {options.protocol}")
    print(
        f"{len(same)} of {len(pairs)} greedy responses are the same; log-probabilities differ by at most {largest:.1e}"
    )
    print(f"{len(pairs)} requests in {seconds:.2f} s")


if __name__ == "__main__":
    main()
