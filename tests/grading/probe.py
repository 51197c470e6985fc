"""A verifier that does what an attacker inside a grading process would try; its detail names what worked."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from r1zero.rewards.catalog import verifier_function
from r1zero.types import Problem, Score


def _connects(port: int) -> Callable[[], bool]:
    def attempt() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    return attempt


def _asks_the_network() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("198.51.100.1", 53))
        return True


def _writes(folder: str) -> Callable[[], bool]:
    def attempt() -> bool:
        (Path(folder) / "r1zero_probe").write_text("x")
        return True

    return attempt


def _holds_memory_without_a_name() -> bool:
    with os.fdopen(os.memfd_create("probe"), "wb") as file:
        file.write(b"x" * 4096)
        file.flush()
        return True


def _holds_address_space() -> bool:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True


def _forks_without_end() -> bool:
    children = []
    try:
        for _ in range(100):
            child = os.fork()
            if child == 0:
                import time

                time.sleep(5)
                os._exit(0)
            children.append(child)
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)
    return True


def _mounts() -> bool:
    """There is no such file system, so nothing is mounted where it would be allowed."""
    library = ctypes.CDLL(None, use_errno=True)
    library.mount(b"none", b"/", b"no-such-file-system", 0, None)
    return ctypes.get_errno() != errno.EPERM


ATTEMPTS: dict[str, Callable[[], bool]] = {
    "asks the network": _asks_the_network,
    "writes to the shared memory": _writes("/dev/shm"),
    "writes here": _writes("."),
    "writes beside its file": _writes(str(Path(__file__).parent)),
    "writes to /proc": lambda: os.access("/proc/sys/kernel/core_pattern", os.W_OK),
    "sees a token": lambda: any("SECRET" in value for value in os.environ.values()),
    "sees other processes": lambda: len([name for name in os.listdir("/proc") if name.isdigit()]) > 8,
    "reads this machine's files": lambda: os.path.exists("/etc/passwd"),
    "holds memory without a name": _holds_memory_without_a_name,
    "raises its own limits": _holds_address_space,
    "forks without end": _forks_without_end,
    "mounts": _mounts,
    "is root": lambda: os.geteuid() == 0,
    "becomes root": lambda: os.setuid(0) is None,
    "runs a shell as root": lambda: b"uid=0" in subprocess.run(["id"], capture_output=True, check=False).stdout,
}


@verifier_function(measures="accuracy")
def probe(problem: Problem, text: str) -> Score:
    """The number of refused attempts, and the names of those that worked. `text` is a port that listens."""
    worked: list[str] = []
    refusals: list[str] = []
    for name, attempt in {**ATTEMPTS, "connects": _connects(int(text))}.items():
        try:
            if attempt():
                worked.append(name)
        except (OSError, ValueError) as refused:
            refusals.append(f"{name}: {refused}")
    return Score(value=float(len(refusals)), detail="; ".join(worked))
