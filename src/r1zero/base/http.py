"""Connections that try again."""

from __future__ import annotations

import urllib3


def connections(
    count: int, *, token: str = "", attempts: int = 10, answer_seconds: float = 300.0, backoff_seconds: float = 0.5
) -> urllib3.PoolManager:
    """A request is tried `attempts` times: after failures to connect, lost answers and the states 429, 500, 502,
    503 and 504, with exponential backoff up to ten seconds. For requests, POST too, that may be answered twice."""
    retries = urllib3.Retry(
        total=attempts - 1,
        backoff_factor=backoff_seconds,
        backoff_max=10.0,
        backoff_jitter=backoff_seconds,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,
        raise_on_status=False,
    )
    return urllib3.PoolManager(
        maxsize=count,
        retries=retries,
        timeout=urllib3.Timeout(connect=5.0, read=answer_seconds),
        headers={"Authorization": f"Bearer {token}"} if token else None,
    )
