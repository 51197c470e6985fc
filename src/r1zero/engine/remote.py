"""An engine that a server runs: any with `/v1/completions` that takes and gives token ids, or vLLM's
`/inference/v1/generate`.

One request per prompt; the tokens come back as they were sampled, so no text is ever tokenised again. The server's
weights cannot be updated from here: it answers evaluations and generation.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import urllib3
from torch import Tensor

from r1zero import config
from r1zero.base import seeds
from r1zero.base.errors import UsageError
from r1zero.base.http import connections
from r1zero.run import interrupt
from r1zero.types import Completion, FinishReason, Prompt, Sampling

TOKEN_VARIABLE = "R1ZERO_ENGINE_TOKEN"
_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "abort": "abort"}
_NO_LOGPROB = -9999.0  # what vLLM says where it has none
_PATHS = {"completions": "/v1/completions", "generate": "/inference/v1/generate"}


class RemoteEngine:
    """Samples on a server. Raises UsageError where there is none, where it refuses us, and for an answer without token
    ids or with impossible ones; ConnectionError for a request that failed as often as `remote.attempts` says."""

    def __init__(self, settings: config.Remote, vocabulary: int) -> None:
        self._settings, self._vocabulary = settings, vocabulary
        self._url = settings.url.rstrip("/")
        self._http = connections(
            settings.at_once,
            token=os.environ.get(TOKEN_VARIABLE, ""),
            attempts=settings.attempts,
            answer_seconds=settings.answer_seconds,
        )
        self._pace = _Pace(settings.requests_per_minute)
        self._model, self._context = self._serves()

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        """See `RolloutEngine`. The samples of a prompt depend on (`seed`, its position) as far as the server keeps to
        its seeds."""
        for prompt in prompts:
            if not len(prompt.token_ids):
                raise UsageError(f"{prompt.problem.id}: the prompt has no tokens; give it a question, or a template")
        if not prompts:
            return
        threads = ThreadPoolExecutor(self._settings.at_once, thread_name_prefix="remote engine")
        try:
            waiting = {
                threads.submit(self._ask, prompt, index, sampling): index for index, prompt in enumerate(prompts)
            }
            while waiting:
                done: set[Future[tuple[Completion, ...]]]
                done, _ = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                interrupt.check()
                for future in sorted(done, key=lambda future: waiting[future]):
                    yield waiting.pop(future), future.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def check_room(self, longest: int, sampling: Sampling) -> None:
        """See `RolloutEngine`: the server's context is what bounds a sequence."""
        needed = longest + sampling.max_new_tokens
        if self._context and needed > self._context:
            raise UsageError(
                f"rollout.max_new_tokens = {sampling.max_new_tokens}: with a prompt of {longest} tokens a sequence may "
                f"have {needed}, but the context of '{self._model}' at {self._url} is {self._context}; lower it"
            )

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Raises UsageError: a server's weights stay as they are."""
        raise UsageError(
            "rollout.engine = 'remote': its weights cannot be updated from here; train with rollout.engine=native"
        )

    def sleep(self) -> None:
        """Nothing to give back here."""

    def wake(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        self._http.clear()

    def _serves(self) -> tuple[str, int]:
        """The name of the model, and its context in tokens (0: the server does not say)."""
        where = f"rollout.remote.url = '{self._url}'"
        try:
            answer = self._http.request("GET", f"{self._url}/v1/models", retries=3, timeout=10.0)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise UsageError(f"{where}: no answer ({error}); start the server there") from None
        if answer.status in (401, 403):
            raise UsageError(f"{where}: refused; set {TOKEN_VARIABLE} to the server's key")
        try:
            known = {str(card["id"]): int(card.get("max_model_len") or 0) for card in answer.json()["data"]}
        except (ValueError, TypeError, KeyError):
            raise UsageError(f"{where}: /v1/models gives no list of models (state {answer.status})") from None
        name = self._settings.model or next(iter(known), "")
        if name not in known:
            raise UsageError(f"rollout.remote.model = '{name}': {self._url} serves {sorted(known)}; choose one of them")
        return name, known[name]

    def _ask(self, prompt: Prompt, index: int, sampling: Sampling) -> tuple[Completion, ...]:
        protocol = self._settings.protocol
        seed = int(seeds.generator(sampling.seed, "remote", index).integers(2**31))
        request = _completions if protocol == "completions" else _generate
        body = request(prompt.token_ids.tolist(), sampling, self._model, seed)
        self._pace.wait()
        answer = self._http.request("POST", self._url + _PATHS[protocol], json=body)
        if answer.status != 200:
            said = answer.data.decode(errors="replace")[:200]
            raise ConnectionError(f"{self._url}: state {answer.status} for {prompt.problem.id}: {said}")
        try:
            choices = sorted(answer.json()["choices"], key=lambda choice: int(choice["index"]))
            found = tuple(self._completion(choice, sampling) for choice in choices)
        except (ValueError, TypeError, KeyError, LookupError) as error:
            raise UsageError(
                f"{self._url}{_PATHS[protocol]}: an answer is not usable ({type(error).__name__}: {error}); it has to "
                f"give token ids and log-probabilities, as vLLM does with return_token_ids"
            ) from None
        if len(found) != sampling.n:
            raise UsageError(f"{self._url}: {len(found)} choices for n = {sampling.n}; a server must give all")
        return found

    def _completion(self, choice: Mapping[str, Any], sampling: Sampling) -> Completion:
        """Raises ValueError, KeyError or TypeError for what cannot be one."""
        ids = [int(token) for token in choice["token_ids"]]
        if not ids or len(ids) > sampling.max_new_tokens:
            raise ValueError(f"{len(ids)} tokens where 1 to {sampling.max_new_tokens} were asked for")
        if not all(0 <= token < self._vocabulary for token in ids):
            raise ValueError(f"token {max(ids)} is not in the vocabulary of {self._vocabulary}")
        logprobs = _logprobs(choice["logprobs"])
        if len(logprobs) != len(ids):
            raise ValueError(f"{len(logprobs)} log-probabilities for {len(ids)} tokens")
        if not all(math.isfinite(value) and _NO_LOGPROB < value <= 1e-3 for value in logprobs):
            raise ValueError("a log-probability is missing")
        return Completion(
            token_ids=np.array(ids, dtype=np.int32),
            logprobs=np.minimum(np.array(logprobs, dtype=np.float32), 0),
            finish_reason=_REASONS[choice["finish_reason"]],
            versions=((0, len(ids)),),
        )


def _sampling(sampling: Sampling, seed: int) -> dict[str, Any]:
    """The names that vLLM, SGLang and llama.cpp share."""
    return {
        "n": sampling.n,
        "max_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or -1,
        "min_p": sampling.min_p,
        "seed": seed,
        "stop": list(sampling.stop_strings),
        "stop_token_ids": sorted(sampling.stop_token_ids),
        "include_stop_str_in_output": True,
        "skip_special_tokens": False,
    }


def _completions(ids: list[int], sampling: Sampling, model: str, seed: int) -> dict[str, Any]:
    return {"model": model, "prompt": ids, "logprobs": 1, "return_token_ids": True, **_sampling(sampling, seed)}


def _generate(ids: list[int], sampling: Sampling, model: str, seed: int) -> dict[str, Any]:
    return {"model": model, "token_ids": ids, "sampling_params": {**_sampling(sampling, seed), "logprobs": 1}}


def _logprobs(said: Mapping[str, Any]) -> list[float]:
    """Of the sampled tokens, in either protocol's form."""
    if "token_logprobs" in said:
        return [float(value) for value in said["token_logprobs"]]
    return [float(entry["logprob"]) for entry in said["content"]]


class _Pace:
    """At most so many requests a minute, evenly spaced; 0 is any number."""

    def __init__(self, per_minute: int) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        if not self._gap:
            return
        with self._lock:
            start = max(time.monotonic(), self._next)
            self._next = start + self._gap
        time.sleep(max(0.0, start - time.monotonic()))
