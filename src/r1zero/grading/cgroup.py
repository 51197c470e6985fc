"""Control groups: the kernel's own count of all memory that some processes hold, mapped or not.

A process may hold memory that it has not mapped: files in memory, pipes, sockets, the entries of a file system. Only a
control group counts all of that, and the processes themselves. It takes a hierarchy that this process may write to:
root's on many machines, a user's where one is delegated. Where there is none, `make` returns None and other limits have
to do.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")
_NAME = "r1zero"
_REMOVAL_SECONDS = 2.0  # the kernel takes a moment to forget a process that was killed
# writes its process id into the files before --, then becomes the command behind it: no process starts outside
_ENTER = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"'
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Group:
    """One group: a folder of the unified hierarchy, or one for memory and one for processes of the older ones."""

    folders: tuple[Path, ...]

    def entering(self, command: Sequence[str]) -> list[str]:
        """The command that starts `command` inside the group."""
        files = [str(folder / "cgroup.procs") for folder in self.folders]
        return ["/bin/sh", "-c", _ENTER, "sh", *files, "--", *command]

    def exceeded(self) -> bool:
        """Whether the kernel killed one of its processes for want of memory."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError, ValueError):
                words = (self.folders[0] / name).read_text().split()
                return int(words[words.index("oom_kill") + 1]) > 0
        return False

    def remove(self) -> None:
        """End what is still in it, and forget it."""
        deadline = time.monotonic() + _REMOVAL_SECONDS
        for folder in self.folders:
            while folder.exists() and time.monotonic() < deadline:
                _kill(folder)
                with contextlib.suppress(OSError):  # busy until the last one is gone
                    folder.rmdir()
                    break
                time.sleep(0.01)


def make(*, memory: int, processes: int) -> Group | None:
    """A new group limited to `memory` bytes and `processes` processes and threads; None where that is not possible."""
    parents = _parents()
    if not parents:
        return None
    name = f"{_NAME}-{os.getpid()}-{next(_numbers)}"
    group = Group(tuple(dict.fromkeys(parent / name for parent in parents)))
    try:
        for folder in group.folders:
            folder.mkdir()
        for folder in group.folders:
            for file, limit in _limits(folder, memory, processes):
                file.write_text(str(limit))
    except OSError:
        group.remove()
        return None
    return group


def _limits(folder: Path, memory: int, processes: int) -> Iterator[tuple[Path, int]]:
    values = {
        "memory.max": memory,
        "memory.swap.max": 0,
        "memory.limit_in_bytes": memory,
        "memory.memsw.limit_in_bytes": memory,  # after the one before, which it may not be below
        "pids.max": processes,
    }
    return ((folder / name, value) for name, value in values.items() if (folder / name).exists())


@functools.cache
def _parents() -> tuple[Path, ...]:
    """Where groups can be made: one folder that controls memory and processes, or one for each."""
    for parents in _candidates():
        if not all(os.access(parent, os.W_OK) for parent in parents):
            continue
        for parent in parents:
            _forget_dead(parent)
        trial = [parent / f"{_NAME}-{os.getpid()}-trial" for parent in dict.fromkeys(parents)]
        try:
            for folder in trial:
                folder.mkdir()
            controls = {name for folder in trial for name in ("memory", "pids") if any(folder.glob(f"{name}.*"))}
            if controls == {"memory", "pids"}:
                return parents
        except OSError:
            continue
        finally:
            Group(tuple(trial)).remove()
    return ()


def _candidates() -> Iterator[tuple[Path, ...]]:
    """This process's own groups, then the roots."""
    own: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            own |= {kind: path.lstrip("/") for kind in kinds.split(",")}
    for paths in (own, dict.fromkeys(own, "")):
        if {"memory", "pids"} <= paths.keys():
            yield _ROOT / "memory" / paths["memory"], _ROOT / "pids" / paths["pids"]
        if "" in paths:
            yield (_ROOT / paths[""],)


def _forget_dead(parent: Path) -> None:
    """Groups of processes that were killed before they could remove them."""
    for folder in parent.glob(f"{_NAME}-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            Group((folder,)).remove()


def _kill(folder: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(pid), signal.SIGKILL)
