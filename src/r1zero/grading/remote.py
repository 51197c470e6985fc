"""A scorer on another machine: `r1zero serve-rewards` answers there, and here is the client.

    POST URL/score  {"items": [{"id": ..., "verifier": "acc", "problem": {...}, "text": "..."}]}
                    {"scores": [{"id": ..., "value": 1.0, "parts": {}, "verdict": "graded", "detail": ""}]}

The id is a digest of verifier, problem and text. A request that is sent again, as its answer was lost, joins the work
already under way or done; nothing changes for having been asked twice.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import urllib3

from r1zero.base.errors import UsageError
from r1zero.base.http import connections
from r1zero.config import Rewards
from r1zero.grading import wire
from r1zero.grading.batches import Batches
from r1zero.rewards.catalog import verifier
from r1zero.types import Problem, Score

TOKEN_VARIABLE = "R1ZERO_REWARDS_TOKEN"
LARGEST_BATCH = 64  # items of one request


def digest(item: Mapping[str, Any]) -> str:
    """The id of an item: the same for the same verifier, problem and text."""
    content = {name: item[name] for name in ("verifier", "problem", "text")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


class RemoteScorer:
    """Scores over HTTP. What is submitted while `at_once` requests are under way travels in one.

    A request that fails is sent again (`base/http.py`), `attempts` times in all. Then its items are `error`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        at_once: int = 4,
        attempts: int = 10,
        answer_seconds: float = 300.0,
        backoff_seconds: float = 0.5,
    ) -> None:
        self._url = url.rstrip("/") + "/score"
        self._http = connections(
            at_once, token=token, attempts=attempts, answer_seconds=answer_seconds, backoff_seconds=backoff_seconds
        )
        self._batches = Batches[dict[str, Any]](self._url, self._ask, size=LARGEST_BATCH, threads=at_once)

    @classmethod
    def of(cls, rewards: Rewards) -> RemoteScorer:
        """Raises UsageError when no scoring server answers there."""
        scorer = cls(rewards.remote, token=os.environ.get(TOKEN_VARIABLE, ""))
        try:
            scorer.check()
        except Exception:
            scorer.close()
            raise
        return scorer

    def check(self) -> None:
        """Raises UsageError unless the server is there and lets us in."""
        where = self._url.removesuffix("/score")
        try:
            answer = self._http.request("GET", where + "/health", retries=3)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise UsageError(f"rewards.remote = '{where}': no answer ({error}); start r1zero serve-rewards") from None
        if answer.status == 401:
            raise UsageError(f"rewards.remote = '{where}': refused; set {TOKEN_VARIABLE} to the server's token")
        if answer.status != 200:
            raise UsageError(f"rewards.remote = '{where}': state {answer.status}; is this r1zero serve-rewards?")

    def submit(self, name: str, problem: Problem, text: str) -> Future[Score]:
        """See `Scorer`."""
        verifier(name)
        fields = json.loads(json.dumps(wire.problem_fields(problem), default=str))
        item = {"verifier": name, "problem": fields, "text": text}
        return self._batches.put({"id": digest(item), **item})

    def close(self, *, abandon: bool = False) -> None:
        """See `Scorer`. A request under way is not waited for when abandoned."""
        self._batches.close(abandon=abandon, wait=not (abandon or self._batches.abandoned))
        self._http.clear()

    def __enter__(self) -> RemoteScorer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self.close(abandon=kind is not None)

    def _ask(self, items: Sequence[Mapping[str, Any]]) -> list[Score]:
        answer = self._http.request("POST", self._url, json={"items": items})
        if answer.status != 200:
            said = answer.data.decode(errors="replace")[:200]
            raise ConnectionError(f"state {answer.status}: {said}")
        scores = {fields["id"]: wire.read_score(fields) for fields in answer.json()["scores"]}
        return [scores[item["id"]] for item in items]
