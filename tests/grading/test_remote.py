"""The remote scorer against the reference server, over a network that loses answers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import urllib3

from r1zero.base.errors import UsageError
from r1zero.config import Rewards
from r1zero.grading import wire
from r1zero.grading.pool import ScorerPool
from r1zero.grading.remote import LARGEST_BATCH, RemoteScorer, digest
from r1zero.grading.scorer import rule_scorer
from r1zero.grading.server import RewardServer
from r1zero.rewards.catalog import file_of, verifier
from r1zero.types import Problem, Score

from .contract import PROBLEM, STUCK, check_scorer

JSON = {"Content-Type": "application/json"}


class Counting:
    """Judges by the text's length, and remembers what it was asked."""

    def __init__(self, verdict: Any = "graded") -> None:
        self.asked: list[str] = []
        self.verdict = verdict

    def submit(self, name: str, problem: Problem, text: str) -> Future[Score]:
        verifier(name)
        self.asked.append(text)
        future: Future[Score] = Future()
        future.set_result(Score(value=float(len(text)), verdict=self.verdict))
        return future

    def close(self, *, abandon: bool = False) -> None: ...

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: Any) -> None: ...


class Unreliable:
    """Does its work, and then loses the answer or claims to be overloaded, before it answers at last."""

    def __init__(self, application: Any, failures: list[str]) -> None:
        self.application, self.failures, self.requests = application, failures, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/score":
            return await self.application(scope, receive, send)
        self.requests += 1
        failure = self.failures.pop(0) if self.failures else ""

        async def lose(message: Any) -> None: ...

        await self.application(scope, receive, lose if failure else send)
        if failure == "lost":  # in the middle of it
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"999")]})
            await send({"type": "http.response.body", "body": b'{"scores": [', "more_body": True})
            raise ConnectionResetError
        if failure:
            await send({"type": "http.response.start", "status": int(failure), "headers": []})
            await send({"type": "http.response.body", "body": b""})


@contextlib.contextmanager
def serving(application: Any) -> Iterator[str]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_farm_behind_a_server_keeps_the_contract() -> None:
    with ScorerPool(workers=2, timeout_seconds=2.0, memory_mib=1024) as pool:
        with serving(RewardServer(pool, files=[file_of(STUCK)]).application()) as url:
            check_scorer(lambda: rule_scorer(Rewards(remote=url)))


def test_lost_answers_and_overload_are_tried_again_and_judged_once() -> None:
    scorer = Counting()
    unreliable = Unreliable(RewardServer(scorer).application(), ["lost", "503", "429", "lost", "500"])
    with serving(unreliable) as url, RemoteScorer(url, backoff_seconds=0.01, at_once=1) as remote:
        futures = [remote.submit("acc", PROBLEM, "x" * number) for number in range(10)]
        assert [future.result(timeout=30).value for future in futures] == list(range(10))
    assert sorted(map(len, scorer.asked)) == list(range(10))
    assert unreliable.requests >= 6


def test_the_same_item_twice_is_judged_once_but_a_failure_may_be_asked_again() -> None:
    for verdict, times in (("graded", 1), ("error", 2)):
        scorer = Counting(verdict)
        with serving(RewardServer(scorer).application()) as url, RemoteScorer(url) as remote:
            for _ in range(2):
                assert remote.submit("acc", PROBLEM, "same").result(timeout=30).verdict == verdict
        assert len(scorer.asked) == times


def test_jobs_travel_in_batches() -> None:
    unreliable = Unreliable(RewardServer(Counting()).application(), [])
    with serving(unreliable) as url, RemoteScorer(url, at_once=1) as remote:
        futures = [remote.submit("acc", PROBLEM, str(number)) for number in range(500)]
        assert all(future.result(timeout=30).verdict == "graded" for future in futures)
    assert 500 / LARGEST_BATCH <= unreliable.requests < 100


def test_a_server_that_is_gone_is_a_verdict_in_the_end() -> None:
    with serving(RewardServer(Counting()).application()) as url:
        pass
    with RemoteScorer(url, attempts=3, backoff_seconds=0.01) as remote:
        score = remote.submit("acc", PROBLEM, "x").result(timeout=30)
    assert (score.value, score.verdict) == (0.0, "error")
    assert score.detail.startswith(f"{url}/score: MaxRetryError: ")
    with pytest.raises(UsageError) as caught:
        rule_scorer(Rewards(remote=url))
    assert str(caught.value).startswith(f"rewards.remote = '{url}': no answer (")
    assert str(caught.value).endswith("; start r1zero serve-rewards")


def test_a_token_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(RewardServer(Counting(), token="open sesame").application()) as url:
        with pytest.raises(UsageError) as caught:
            rule_scorer(Rewards(remote=url))
        assert str(caught.value) == (
            f"rewards.remote = '{url}': refused; set R1ZERO_REWARDS_TOKEN to the server's token"
        )
        monkeypatch.setenv("R1ZERO_REWARDS_TOKEN", "open sesame")
        with rule_scorer(Rewards(remote=url)) as remote:
            assert remote.submit("acc", PROBLEM, "xyz").result(timeout=30).value == 3.0


def test_bad_requests_are_refused_with_a_reason() -> None:
    problem = json.loads(json.dumps(wire.problem_fields(PROBLEM), default=str))
    item = {"verifier": "acc", "problem": problem, "text": "x"}
    good = {"id": digest(item), **item}
    unknown = {**item, "verifier": "ac"}
    foreign = {**item, "verifier": STUCK}
    cases = [
        (b"{", 400, "not a request for scores: JSONDecodeError"),
        (b"[]", 400, "not a request for scores: TypeError"),
        ({"items": [{}]}, 400, "not a request for scores: KeyError: 'id'"),
        ({"items": [{**good, "text": "y"}]}, 400, f"item {good['id']}: the id is not the digest of verifier, problem"),
        ({"items": [{"id": digest(unknown), **unknown}]}, 400, "unknown verifier; did you mean 'acc'?"),
        (
            {"items": [{"id": digest(foreign), **foreign}]},
            400,
            "this server does not load it; start it with",
        ),
        ({"items": [good] * (LARGEST_BATCH + 1)}, 413, "a request may have 64 items, this one has 65"),
        *(
            (
                {"items": [{**item, "verifier": wrong, "id": digest({**item, "verifier": wrong})}]},
                400,
                "a verifier must be",
            )
            for wrong in (5, [], {}, None, "acc(" + "-" * 100_000 + "1)")
        ),
        ({"items": [{**good, "verifier": "cosine(max_tokens=" + "-" * 900 + "1)"}]}, 400, ""),
        ({"items": [{**good, "problem": 5}]}, 400, "an item has a problem, which is an object, and a text"),
        ({"items": [{**good, "text": ["x"]}]}, 400, "an item has a problem, which is an object, and a text"),
        ({"items": 5}, 400, "not a request for scores: TypeError"),
    ]
    with serving(RewardServer(Counting()).application()) as url:
        for body, status, reason in cases:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = urllib3.request("POST", f"{url}/score", body=content, headers=JSON)
            assert (answer.status, reason in answer.json()["error"]) == (status, True), answer.data


def test_web_pages_are_not_answered() -> None:
    """A form of any page may post to this machine, and a name of the page's may lead to it."""
    item = {
        "verifier": "acc",
        "problem": json.loads(json.dumps(wire.problem_fields(PROBLEM), default=str)),
        "text": "x",
    }
    body = json.dumps({"items": [{"id": digest(item), **item}]}).encode()
    scorer = Counting()
    hosts = ("localhost", "127.0.0.1", "[::1]")
    with serving(RewardServer(scorer, hosts=hosts).application()) as url:
        for headers, status in (
            ({"Content-Type": "text/plain"}, 415),
            ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
            ({}, 415),
            ({**JSON, "Origin": "http://evil.example"}, 403),
            ({**JSON, "Origin": "null"}, 403),
            ({**JSON, "Host": "evil.example:8377"}, 403),
            ({**JSON, "Host": "127.0.0.1.evil.example"}, 403),
            ({**JSON, "Host": ""}, 403),
        ):
            assert urllib3.request("POST", f"{url}/score", body=body, headers=headers).status == status, headers
        assert not scorer.asked
        for headers in (JSON, {"Content-Type": "application/json; charset=utf-8", "Host": "[::1]:8377"}):
            assert urllib3.request("POST", f"{url}/score", body=body, headers=headers).status == 200
        assert urllib3.request("GET", f"{url}/health", headers={"Origin": "http://evil.example"}).status == 403


def test_a_client_does_not_repeat_what_was_refused() -> None:
    unreliable = Unreliable(RewardServer(Counting(), token="x").application(), [])
    with serving(unreliable) as url, RemoteScorer(url, token="wrong", at_once=1, backoff_seconds=0.01) as remote:
        assert remote.submit("acc", PROBLEM, "x").result(timeout=30).verdict == "error"
    assert unreliable.requests == 1


def test_a_slow_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from r1zero.grading import server

    monkeypatch.setattr(server, "_BODY_SECONDS", 0.3)
    with serving(RewardServer(Counting()).application()) as url:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as slow:
            slow.sendall(
                b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
            )
            slow.settimeout(20)
            assert b" 408 " in slow.recv(1000)


def test_the_command_ends_though_requests_are_half_open() -> None:
    """200 of them: half without the end of their head, half without that of their body."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "r1zero.cli.main", "serve-rewards", "--port", str(port), "--workers", "1"]
    environment = {**os.environ, "R1ZERO_REWARDS_TOKEN": "open sesame"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = urllib3.request(
                "GET", f"http://127.0.0.1:{port}/health", headers={"Authorization": "Bearer open sesame"}, retries=False
            )
            break
        except urllib3.exceptions.HTTPError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
    assert answer.status == 200
    assert urllib3.request("GET", f"http://127.0.0.1:{port}/health").status == 401
    head = b"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer open sesame\r\n"
    whole = head + b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    with contextlib.ExitStack() as stack:
        for number in range(200):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            half.sendall(whole if number % 2 else head)
        time.sleep(0.5)
        begun = time.monotonic()
        process.terminate()
        process.communicate(timeout=60)
        assert time.monotonic() - begun < 10


def test_the_command_asks_for_a_token_or_to_be_told_that_none_is_wanted() -> None:
    command = [sys.executable, "-m", "r1zero.cli.main", "serve-rewards"]
    environment = {name: value for name, value in os.environ.items() if name != "R1ZERO_REWARDS_TOKEN"}
    refused = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (refused.returncode, refused.stderr) == (
        2,
        "r1zero: R1ZERO_REWARDS_TOKEN: not set; choose a secret and set it on both sides, or give --no-token to let "
        "every program of this machine ask\n",
    )


def test_the_command_listens_on_loopback_and_elsewhere_only_with_a_token() -> None:
    command = [sys.executable, "-m", "r1zero.cli.main", "serve-rewards", "--host", "0.0.0.0"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr == (
        "r1zero: --host 0.0.0.0: anyone there could make this machine work; set R1ZERO_REWARDS_TOKEN first\n"
    )
