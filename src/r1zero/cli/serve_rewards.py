"""`r1zero serve-rewards [--host 127.0.0.1] [--port 8377]`"""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    host: Annotated[str, typer.Option(help="Address to listen on; anything but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8377,
    workers: Annotated[int, typer.Option(help="Worker processes; 0 is one per usable core.")] = 0,
    timeout_seconds: Annotated[float, typer.Option(help="Wall-clock limit of one verdict.")] = 5.0,
    memory_mib: Annotated[int, typer.Option(help="Address space of a worker process.")] = 1024,
    verifier_file: Annotated[
        list[str] | None, typer.Option(help="File of verifiers that recipes may name, as they name it; repeatable.")
    ] = None,
) -> None:
    """Score for other machines: set rewards.remote=http://HOST:PORT there. The token, if any, is the value of the
    environment variable R1ZERO_REWARDS_TOKEN on both sides."""
    import ipaddress
    import os

    from r1zero.device import usable_cores
    from r1zero.errors import UsageError
    from r1zero.log import log
    from r1zero.rewards.pool import ScorerPool
    from r1zero.rewards.remote import TOKEN_VARIABLE

    token = os.environ.get(TOKEN_VARIABLE, "")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not token:
        raise UsageError(f"--host {host}: anyone there could make this machine work; set {TOKEN_VARIABLE} first")
    try:
        import uvicorn

        from r1zero.rewards.server import RewardServer
    except ImportError as missing:
        raise UsageError(f"serve-rewards: {missing.name} is missing; pip install 'r1zero[serve]'") from None
    with ScorerPool(workers=workers or usable_cores(), timeout_seconds=timeout_seconds, memory_mib=memory_mib) as pool:
        application = RewardServer(pool, token, verifier_file or ()).application()
        log.info(f"scoring at http://{host}:{port}/score")
        uvicorn.run(application, host=host, port=port, log_level="warning")
