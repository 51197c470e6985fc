"""All processes that a process has started, also those that are in sessions and groups of their own. Only Linux tells:
elsewhere there are none."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Collection, Iterable
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PROC = Path("/proc")
_CHILDREN = _PROC / "thread-self" / "children"
_ROUNDS = 20  # who starts processes faster than they are killed


def adopt() -> None:
    """From now on descendants whose parents end are this process's children, so that they are found."""
    if _PROC.is_dir():
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def of(pid: int) -> set[int]:
    """Process numbers of all descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            parent = int(entry.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
    found, waiting = set(), [pid]
    while waiting:
        new = [child for child in children.get(waiting.pop(), ()) if child not in found]
        found.update(new)
        waiting += new
    return found


def reap(keep: Collection[int]) -> None:
    """Take note of adopted processes that have ended; the ends of those to `keep` are somebody's to ask for."""
    with contextlib.suppress(OSError):
        for child in map(int, _CHILDREN.read_text().split()):
            if child not in keep:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child, os.WNOHANG)


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def end_all() -> None:
    """Kill and reap every descendant of this process."""
    for _ in range(_ROUNDS):
        left = of(os.getpid())
        if not left:
            return
        kill(left)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
