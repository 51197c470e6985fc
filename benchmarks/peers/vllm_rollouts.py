"""Sampling by vLLM, one batch for each line of JSON on standard input. Runs in an environment of its own."""

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    path, threads = sys.argv[1], int(sys.argv[2])
    cores = sorted(os.sched_getaffinity(0))[:threads]
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "6"
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    from vllm import LLM, SamplingParams

    model = LLM(path, dtype="bfloat16", max_model_len=1024, max_num_seqs=256, disable_log_stats=True)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        sampling = SamplingParams(
            n=order["n"], temperature=1.0, max_tokens=order["new_tokens"], ignore_eos=True, logprobs=0, detokenize=False
        )
        prompts = [{"prompt_token_ids": prompt} for prompt in order["prompts"]]
        start = time.perf_counter()
        outputs = model.generate(prompts, sampling, use_tqdm=False)
        seconds = time.perf_counter() - start
        tokens = sum(len(one.token_ids) for output in outputs for one in output.outputs)
        print(json.dumps({"seconds": seconds, "tokens": tokens}), flush=True)


if __name__ == "__main__":
    main()
