"""`r1zero serve-rewards [--host 127.0.0.1] [--port 8377]`"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

_HEADER_SECONDS = 20.0  # until the head of a request is complete, the first or a later one
_SHUTDOWN_SECONDS = 5  # for requests under way


def command(
    host: Annotated[str, typer.Option(help="Address to listen on; anything but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8377,
    workers: Annotated[int, typer.Option(help="Worker processes; 0 is one per usable core.")] = 0,
    timeout_seconds: Annotated[float, typer.Option(help="Wall-clock limit of one verdict.")] = 5.0,
    memory_mib: Annotated[int, typer.Option(help="Address space of a worker process.")] = 1024,
    verifier_file: Annotated[
        list[str] | None, typer.Option(help="File of verifiers that recipes may name, as they name it; repeatable.")
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let every program and user of this machine ask; loopback only.")
    ] = False,
) -> None:
    """Score for other machines: set rewards.remote=http://HOST:PORT there. The token is the value of the environment
    variable R1ZERO_REWARDS_TOKEN on both sides."""
    import ipaddress
    import os

    from r1zero.base.device import usable_cores
    from r1zero.base.errors import UsageError
    from r1zero.base.log import log
    from r1zero.grading.pool import ScorerPool
    from r1zero.grading.remote import TOKEN_VARIABLE

    token = os.environ.get(TOKEN_VARIABLE, "")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not token:
        raise UsageError(f"--host {host}: anyone there could make this machine work; set {TOKEN_VARIABLE} first")
    if not token and not no_token:
        raise UsageError(
            f"{TOKEN_VARIABLE}: not set; choose a secret and set it on both sides, or give --no-token to let every "
            f"program of this machine ask"
        )
    try:
        import uvicorn

        from r1zero.grading.server import RewardServer
    except ImportError as missing:
        raise UsageError(f"serve-rewards: {missing.name} is missing; pip install 'r1zero[serve]'") from None
    pool = ScorerPool(workers=workers or usable_cores(), timeout_seconds=timeout_seconds, memory_mib=memory_mib)
    try:
        hosts = ("localhost", "127.0.0.1", "[::1]", host) if loopback else ()
        application = RewardServer(pool, token, verifier_file or (), hosts).application()
        log.info(f"scoring at http://{host}:{port}/score")
        uvicorn.run(
            application,
            host=host,
            port=port,
            log_level="warning",
            http=_timed(),
            limit_concurrency=1000,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
    finally:
        pool.close(abandon=True)


def _timed() -> Any:
    """uvicorn's protocol, with a limit on the time that a connection may take to say what it wants."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Timed(H11Protocol):
        _clock: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wind()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._wind()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _wind(self) -> None:
            answering = self.cycle is not None and not self.cycle.response_complete
            if answering:
                self._stop()
            elif self._clock is None:
                self._clock = self.loop.call_later(_HEADER_SECONDS, self.transport.close)

        def _stop(self) -> None:
            if self._clock is not None:
                self._clock.cancel()
                self._clock = None

    return Timed
