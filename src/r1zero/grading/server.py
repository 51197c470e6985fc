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

from r1zero.base.errors import UsageError
from r1zero.grading import wire
from r1zero.grading.remote import LARGEST_BATCH, digest
from r1zero.grading.scorer import Scorer
from r1zero.rewards.catalog import VERIFIERS, file_of
from r1zero.types import Score

_LARGEST_BODY = 256 * 2**20
_MOST_WAITING = 20_000  # items; more are refused for now (429), and the client waits
_REMEMBERED = 100_000  # verdicts kept for requests that are sent again
_BODY_SECONDS = 60.0  # for the whole body of a request
_LONGEST_NAME = 1000  # characters of a verifier with its arguments


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RewardServer:
    """All handlers run in one event loop, so the tables need no lock. A verifier's name may point to a file of code:
    only `files` are loaded, whatever a request names.

    Web pages are kept out: a page may send requests to any server, but not of the type application/json without asking
    first, not without saying where it comes from, and not under a `Host` of ours (`hosts`; none: any).
    """

    def __init__(self, scorer: Scorer, token: str = "", files: Sequence[str] = (), hosts: Sequence[str] = ()) -> None:
        self._scorer, self._token = scorer, token
        self._files, self._hosts = frozenset(files), frozenset(hosts)
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
        host = (request.headers.get("host") or "").rpartition(":")[0] or request.headers.get("host")
        if self._hosts and host not in self._hosts:
            raise _Refused(403, f"Host is {host!r}, not one of {', '.join(sorted(self._hosts))}")
        if "origin" in request.headers:
            raise _Refused(403, "requests of web pages are not answered")
        given = request.headers.get("authorization", "")
        if self._token and not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise _Refused(401, "the token is missing or wrong")


async def _items(request: Request) -> list[dict[str, Any]]:
    """The items of a request. Raises _Refused for anything else."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refused(415, "the Content-Type must be application/json")
    body = await _body(request)
    try:
        items = json.loads(body)["items"]
        wrong = next((item["id"] for item in items if item["id"] != _checked(item)), None)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _Refused(400, f"not a request for scores: {type(error).__name__}: {error}") from None
    if wrong is not None:
        raise _Refused(400, f"item {wrong}: the id is not the digest of verifier, problem and text")
    if len(items) > LARGEST_BATCH:
        raise _Refused(413, f"a request may have {LARGEST_BATCH} items, this one has {len(items)}")
    return items


def _checked(item: dict[str, Any]) -> str:
    """The digest of an item whose parts are of the right kinds. Raises KeyError or TypeError for any other."""
    name, problem, text = item["verifier"], item["problem"], item["text"]
    if not (isinstance(name, str) and len(name) <= _LONGEST_NAME):
        raise TypeError(f"a verifier must be a text of at most {_LONGEST_NAME} characters")
    if not (isinstance(problem, dict) and isinstance(text, str)):
        raise TypeError("an item has a problem, which is an object, and a text")
    return digest(item)


async def _body(request: Request) -> bytes:
    """All of a request's body, within its limits of size and time."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > _LARGEST_BODY:
                    raise _Refused(413, f"a request may have {_LARGEST_BODY} bytes")
    except TimeoutError:
        raise _Refused(408, f"the request did not arrive within {_BODY_SECONDS:g} s") from None
    return bytes(body)


async def _refusal(request: Request, refused: Exception) -> JSONResponse:
    assert isinstance(refused, _Refused)
    headers = {"Retry-After": "1"} if refused.status == 429 else None
    return JSONResponse({"error": str(refused)}, status_code=refused.status, headers=headers)
