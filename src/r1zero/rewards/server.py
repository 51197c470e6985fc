"""The other end of `remote.py`: an HTTP application in front of a scorer. `r1zero serve-rewards` runs it."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from r1zero.errors import UsageError
from r1zero.rewards import wire
from r1zero.rewards.catalog import VERIFIERS, file_of
from r1zero.rewards.remote import LARGEST_BATCH, digest
from r1zero.rewards.scorer import Scorer
from r1zero.types import Score

_LARGEST_BODY = 256 * 2**20
_MOST_WAITING = 20_000  # items; more are refused for now (429), and the client waits
_REMEMBERED = 100_000  # verdicts kept for requests that are sent again


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RewardServer:
    """All handlers run in one event loop, so the tables need no lock. A verifier's name may point to a file of code:
    only `files` are loaded, whatever a request names."""

    def __init__(self, scorer: Scorer, token: str = "", files: Sequence[str] = ()) -> None:
        self._scorer, self._token, self._files = scorer, token, frozenset(files)
        self._verdicts: OrderedDict[str, Future[Score]] = OrderedDict()
        self._waiting = 0

    def application(self) -> Starlette:
        routes = [Route("/health", self._health), Route("/score", self._score, methods=["POST"])]
        return Starlette(routes=routes, exception_handlers={_Refused: _refusal})

    async def _health(self, request: Request) -> JSONResponse:
        self._admit(request)
        return JSONResponse({"status": "ok", "verifiers": sorted(VERIFIERS), "waiting": self._waiting})

    async def _score(self, request: Request) -> JSONResponse:
        self._admit(request)
        items = await _items(request)
        if self._waiting + len(items) > _MOST_WAITING:
            raise _Refused(429, f"{self._waiting} items are waiting already")
        self._waiting += len(items)
        try:
            futures = [self._verdict(item) for item in items]
            scores = await asyncio.gather(*(asyncio.shield(asyncio.wrap_future(future)) for future in futures))
        finally:
            self._waiting -= len(items)
        for item, score in zip(items, scores, strict=True):
            if score.verdict in ("error", "timeout"):  # may be the machine's fault: worth another try when asked again
                self._verdicts.pop(item["id"], None)
        answers = [{"id": item["id"], **wire.score_fields(score)} for item, score in zip(items, scores, strict=True)]
        return JSONResponse({"scores": answers})

    def _verdict(self, item: Mapping[str, Any]) -> Future[Score]:
        """The verdict of an item, perhaps one that is already known or on its way."""
        known = self._verdicts.get(item["id"])
        if known is None:
            try:
                if (file := file_of(item["verifier"])) and file not in self._files:
                    raise UsageError(f"{file}: this server does not load it; start it with --verifier-file")
                known = self._scorer.submit(item["verifier"], wire.read_problem(item["problem"]), item["text"])
            except (UsageError, KeyError, TypeError, ValueError) as wrong:
                raise _Refused(400, f"item {item['id']}: {type(wrong).__name__}: {wrong}") from None
            self._verdicts[item["id"]] = known
            if len(self._verdicts) > _REMEMBERED:
                self._verdicts.popitem(last=False)
        self._verdicts.move_to_end(item["id"])
        return known

    def _admit(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if self._token and not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise _Refused(401, "the token is missing or wrong")


async def _items(request: Request) -> list[dict[str, Any]]:
    """The items of a request. Raises _Refused for anything else."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_BODY:
            raise _Refused(413, f"a request may have {_LARGEST_BODY} bytes")
    try:
        items = json.loads(bytes(body))["items"]
        wrong = next(
            (item["id"] for item in items if item["id"] != digest(item) or type(item["text"]) is not str), None
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _Refused(400, f"not a request for scores: {type(error).__name__}: {error}") from None
    if wrong is not None:
        raise _Refused(400, f"item {wrong}: the id is not the digest of verifier, problem and text")
    if len(items) > LARGEST_BATCH:
        raise _Refused(413, f"a request may have {LARGEST_BATCH} items, this one has {len(items)}")
    return items


async def _refusal(request: Request, refused: Exception) -> JSONResponse:
    assert isinstance(refused, _Refused)
    headers = {"Retry-After": "1"} if refused.status == 429 else None
    return JSONResponse({"error": str(refused)}, status_code=refused.status, headers=headers)
