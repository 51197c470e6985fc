"""A server with vLLM's two ways to sample from token ids, and the native engine behind them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from r1zero.engine.base import RolloutEngine
from r1zero.types import Completion, Sampling

from ..conftest import prompt_of

Choices = list[dict[str, Any]]


@dataclass
class Served:
    """`change` spoils an answer's choices; `states` are answered before anything else, one each."""

    engine: RolloutEngine
    url: str = ""
    context: int = 64
    change: Callable[[Choices], Any] = lambda choices: choices
    states: list[int] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def completions_server(engine: RolloutEngine) -> Iterator[Served]:
    served, alone = Served(engine), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say({"data": [{"id": "small", "max_model_len": served.context}, {"id": "other"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with alone:
                served.asked.append(body)
                served.headers.append(dict(self.headers))
                if served.states:
                    return self._say({"error": "not now"}, served.states.pop(0))
                generate = self.path == "/inference/v1/generate"
                assert generate or (self.path == "/v1/completions" and body["return_token_ids"])
                ids = body["token_ids"] if generate else body["prompt"]
                (_, completions), *_ = engine.generate(
                    [prompt_of(ids)], _sampling(body["sampling_params"] if generate else body)
                )
            form = _as_content if generate else _as_lists
            choices = [{"index": place, **form(completion)} for place, completion in enumerate(completions)]
            self._say({"choices": served.change(choices[::-1])})

        def _say(self, answer: Any, state: int = 200) -> None:
            data = json.dumps(answer).encode()
            self.send_response(state)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Not in the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def _sampling(body: dict[str, Any]) -> Sampling:
    assert body["include_stop_str_in_output"] and not body["skip_special_tokens"] and body["logprobs"] == 1
    return Sampling(
        n=body["n"],
        temperature=body["temperature"],
        top_k=max(0, body["top_k"]),
        top_p=body["top_p"],
        min_p=body["min_p"],
        max_new_tokens=body["max_tokens"],
        stop_token_ids=frozenset(body["stop_token_ids"]),
        stop_strings=tuple(body["stop"]),
        seed=body["seed"],
    )


def _as_lists(done: Completion) -> dict[str, Any]:
    logprobs = {"token_logprobs": np.float64(done.logprobs).tolist(), "tokens": [""] * len(done.token_ids)}
    return {"token_ids": done.token_ids.tolist(), "finish_reason": done.finish_reason, "logprobs": logprobs}


def _as_content(done: Completion) -> dict[str, Any]:
    pairs = zip(done.token_ids.tolist(), np.float64(done.logprobs).tolist(), strict=True)
    content = [{"token": f"token_id:{token}", "logprob": logprob} for token, logprob in pairs]
    return {"token_ids": done.token_ids.tolist(), "finish_reason": done.finish_reason, "logprobs": {"content": content}}
