"""The remote engine: the contract against a server with the native engine behind it, and what goes wrong on the way."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from r1zero.base.errors import UsageError
from r1zero.config import Remote, Rollout
from r1zero.engine.native import NativeEngine
from r1zero.engine.open import open_engine
from r1zero.engine.remote import RemoteEngine
from r1zero.models.load import load_model
from r1zero.types import Sampling

from ..conftest import ByteTokenizer, prompt_of, random_prompts, small_model
from ..recipes import r1zero
from .completions_server import Served, completions_server
from .contract import PROMPTS, check_engine, everything, greedy_by_transformers

SAMPLING = Sampling(n=2, max_new_tokens=6, seed=4)


@pytest.fixture
def served() -> Iterator[Served]:
    with completions_server(NativeEngine(small_model(), ByteTokenizer(), kv_cache_gib=0.1)) as server:
        yield server


def engine_of(served: Served, **settings: Any) -> RemoteEngine:
    return RemoteEngine(Remote(url=served.url, **settings), vocabulary=97)


@pytest.mark.parametrize("protocol", ["completions", "generate"])
def test_the_contract(protocol: Any) -> None:
    with ExitStack() as servers:

        def make(model: Any) -> RemoteEngine:
            behind = NativeEngine(model, ByteTokenizer(), kv_cache_gib=0.1)
            return engine_of(servers.enter_context(completions_server(behind)), protocol=protocol)

        check_engine(make, updates=False)


def test_greedy_tokens_are_those_of_transformers(served: Served) -> None:
    found = everything(engine_of(served), PROMPTS, Sampling(n=1, temperature=0.0, max_new_tokens=5))
    plain = small_model()
    plain.set_attn_implementation("eager")
    for index, prompt in enumerate(PROMPTS):
        with torch.no_grad():
            expected = greedy_by_transformers(plain, prompt.token_ids, 5)
        assert found[index][0].token_ids.tolist() == expected


def test_all_settings_of_sampling_arrive(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R1ZERO_ENGINE_TOKEN", "key")
    sampling = Sampling(n=3, temperature=0.9, top_k=50, top_p=0.9, min_p=0.01, max_new_tokens=4,
                        stop_token_ids=frozenset({5}), stop_strings=("x",), seed=1)  # fmt: skip
    list(engine_of(served, model="other").generate(random_prompts([3]), sampling))
    (body,) = served.asked
    given = {"n": 3, "temperature": 0.9, "top_k": 50, "top_p": 0.9, "min_p": 0.01, "max_tokens": 4, "stop": ["x"]}
    assert {name: body[name] for name in given} == given and body["stop_token_ids"] == [5] and body["model"] == "other"
    assert served.headers[0]["Authorization"] == "Bearer key"


def test_a_busy_server_is_asked_again(served: Served) -> None:
    served.states = [503, 429, 500]
    assert len(everything(engine_of(served, attempts=5), random_prompts([3]), SAMPLING)[0]) == 2
    assert len(served.asked) == 4


def test_a_server_that_stays_busy_is_named(served: Served) -> None:
    served.states = [400]
    with pytest.raises(ConnectionError, match=r"state 400 for .*not now"):
        everything(engine_of(served), random_prompts([3]), SAMPLING)


@pytest.mark.parametrize(("change", "said"), [
    (lambda choices: choices[:1], "1 choices for n = 2"),
    (lambda choices: [{**one, "token_ids": None} for one in choices], "has to give token ids"),
    (lambda choices: [{"index": one["index"]} for one in choices], "KeyError: 'token_ids'"),
    (lambda choices: [{**one, "token_ids": [97] * 6} for one in choices], "token 97 is not in the vocabulary of 97"),
    (lambda choices: [{**one, "token_ids": [1] * 7} for one in choices], "7 tokens where 1 to 6 were asked for"),
    (lambda choices: [{**one, "token_ids": []} for one in choices], "0 tokens where 1 to 6"),
    (lambda choices: [{**one, "logprobs": {"token_logprobs": [-1.0]}} for one in choices], "1 log-probabilities for"),
    (lambda choices: [{**one, "logprobs": {"token_logprobs": [-9999.0] * 6}} for one in choices], "log-prob.* missing"),
    (lambda choices: [{**one, "logprobs": None} for one in choices], "not usable"),
    (lambda choices: [{**one, "finish_reason": "tool_calls"} for one in choices], "KeyError: 'tool_calls'"),
    (lambda choices: "text", "not usable"),
])  # fmt: skip
def test_an_answer_that_cannot_be_is_refused(served: Served, change: Any, said: str) -> None:
    served.change = change
    with pytest.raises(UsageError, match=said):
        everything(engine_of(served), random_prompts([3]), SAMPLING)


def test_choices_in_any_order_are_put_right(served: Served) -> None:
    straight = everything(engine_of(served), random_prompts([4]), SAMPLING)[0]
    served.change = lambda choices: sorted(choices, key=lambda choice: choice["index"])
    again = everything(engine_of(served), random_prompts([4]), SAMPLING)[0]
    assert [one.token_ids.tolist() for one in straight] == [one.token_ids.tolist() for one in again]


def test_the_context_of_the_server_counts(served: Served) -> None:
    engine_of(served).check_room(58, SAMPLING)
    with pytest.raises(UsageError, match="may have 65, but the context of 'small' at .* is 64; lower it"):
        engine_of(served).check_room(59, SAMPLING)


@pytest.mark.parametrize(("settings", "said"), [
    ({"model": "large"}, r"rollout.remote.model = 'large': .* serves \['other', 'small'\]; choose one of them"),
    ({"url": "http://127.0.0.1:9"}, "rollout.remote.url = 'http://127.0.0.1:9': no answer"),
])  # fmt: skip
def test_no_such_server_or_model(served: Served, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        RemoteEngine(Remote(**{"url": served.url, **settings}), vocabulary=97)


def test_requests_are_paced(served: Served) -> None:
    start = time.monotonic()
    everything(engine_of(served, requests_per_minute=600), random_prompts([3] * 5), SAMPLING)
    assert time.monotonic() - start > 0.4


def test_an_abandoned_call_asks_no_more(served: Served) -> None:
    calls = engine_of(served, at_once=1).generate(random_prompts([3] * 50), SAMPLING)
    next(calls)
    calls.close()  # pyright: ignore[reportAttributeAccessIssue]
    time.sleep(0.3)
    asked = len(served.asked)
    time.sleep(0.3)
    assert len(served.asked) == asked < 50


def test_a_recipe_opens_it(served: Served) -> None:
    settings = Rollout(max_new_tokens=4, engine="remote", remote=Remote(url=served.url))
    engine = open_engine(settings, None, range(97))
    assert len(everything(engine, [prompt_of([3, 4])], SAMPLING)[0]) == 2
    assert Rollout(max_new_tokens=4, engine="remote").conflicts("rollout")[0][0] == "rollout.remote.url"
    assert Rollout(max_new_tokens=4, remote=Remote(url="http://x")).conflicts("rollout")[0][0] == "rollout.remote.url"


@pytest.fixture
def tiny() -> Iterator[Served]:
    """A server with the miniature model."""
    model, tokenizer = load_model("tiny", dtype=torch.float32, device=torch.device("cpu"))
    with completions_server(NativeEngine(model, tokenizer, kv_cache_gib=0.5)) as server:
        server.context = 256
        yield server


def test_an_evaluation_gives_the_same_greedy_answers(
    tiny: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for changes in ((), ("rollout.engine=remote", f"rollout.remote.url={tiny.url}")):
        common = ("evaluation.limit=12", "evaluation.samples=1", f"run.dir={tmp_path}/run", "model.dtype=fp32")
        capsys.readouterr()
        r1zero("evaluate", "demo_tiny", *common, *changes)
        numbers = dict(line.split() for line in capsys.readouterr().out.splitlines())
        printed.append(numbers["greedy_accuracy"])
        time.sleep(1)  # folders are named by the second
    files = sorted(tmp_path.glob("run/evaluate-*/evaluations/step_000000.jsonl"))
    greedy = [[line for line in file.read_text().splitlines() if '"kind": "greedy"' in line] for file in files]
    texts = [[json.loads(line)["rollouts"][0]["token_ids"] for line in lines] for lines in greedy]
    assert len(texts) == 2 and texts[0] == texts[1] and len(texts[0]) == 12 and printed[0] == printed[1]


def test_training_refuses_it_before_anything_begins(tiny: Served, tmp_path: Path) -> None:
    changes = ("rollout.engine=remote", f"rollout.remote.url={tiny.url}", f"run.dir={tmp_path}/run", "evaluation=null")
    with pytest.raises(UsageError, match="its weights cannot be updated from here; train with rollout.engine=native"):
        r1zero("train", "demo_tiny", *changes)
    assert not (tmp_path / "run" / "config.yaml").exists()
