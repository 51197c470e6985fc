"""A process that has paid for the imports once and forks a grading worker whenever one is needed.

`python -m r1zero.grading.fork_server DESCRIPTOR MEMORY_MIB KIND FOLDER...` answers orders, one by one, on a socket:
`spawn` (with the worker's socket attached) says the new process id, `end PID` kills a worker, reaps it and says how it
ended. It is the parent of every worker, so a process id it knows is never another process's. When its socket closes it
kills them all, and everything that they have started.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from typing import Any, cast

from r1zero.grading import contained, descendants
from r1zero.grading.contained import Place

_START_SECONDS = 120.0
_ANSWER_SECONDS = 30.0
_REAP_SECONDS = 1.0  # between two looks for adopted processes that have ended


class ForkServer:
    """The farm's side. Raises OSError when the process does not answer; `close` is then the only use left.

    A container ends with the thread that makes this.
    """

    def __init__(self, memory_mib: int, place: Place, workers: int) -> None:
        self._socket, theirs = socket.socketpair()
        self._group = contained.group(memory_mib, workers) if place.kind == "contained" else None
        self.started = False
        arguments = [
            "-m",
            "r1zero.grading.fork_server",
            str(theirs.fileno()),
            str(memory_mib),
            place.kind,
            *place.folders,
        ]
        with theirs, contained.command(place, arguments) as (command, environment, descriptors):
            self.process = subprocess.Popen(
                command if self._group is None else self._group.entering(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs.fileno(), *descriptors],
                start_new_session=True,
            )

    def spawn(self) -> tuple[int, socket.socket]:
        """A new worker: its process id and the socket to it."""
        if not self.started:
            self._answer(_START_SECONDS)
            self.started = True
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._socket, [b"spawn\n"], [theirs.fileno()])
            return self._answer(_ANSWER_SECONDS)["pid"], ours

    def end(self, pid: int) -> int:
        """Kill a worker; how it ended, as subprocess says it: minus the signal, or the exit status. 0 if unknown."""
        self._socket.sendall(f"end {pid}\n".encode())
        return self._answer(_ANSWER_SECONDS)["status"]

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
        self.process.kill()
        self.process.wait()
        if self._group is not None:
            self._group.remove()

    def _answer(self, seconds: float) -> dict[str, Any]:
        self._socket.settimeout(seconds)
        line = b""
        while not line.endswith(b"\n"):
            received = self._socket.recv(4096)
            if not received:
                raise ConnectionError(f"the process that starts grading workers ended ({self.process.poll()})")
            line += received
        answer = json.loads(line)
        if "error" in answer:
            raise ConnectionError(answer["error"])
        return answer


def main() -> None:
    orders, memory_mib = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    place = Place(cast(contained.Kind, sys.argv[3]), tuple(sys.argv[4:]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which closes its farm in order
    logging.disable(logging.WARNING)
    descendants.adopt()
    import math_verify  # noqa: F401 (sympy takes half a second: pay once)

    from r1zero.grading import worker  # noqa: F401

    gc.collect()
    gc.freeze()  # or the first collection in each worker would copy every page
    _answer(orders, _too_small(memory_mib) or {"ready": True})
    workers: set[int] = set()
    while True:
        while not select.select([orders], [], [], _REAP_SECONDS)[0]:
            descendants.reap(workers)
        descendants.reap(workers)
        line, descriptors, _, _ = socket.recv_fds(orders, 64, 1)
        if not line:
            break
        order, *arguments = line.decode().split()
        if order == "spawn":
            pid = _fork(orders, descriptors[0], memory_mib, place)
            workers.add(pid)
            _answer(orders, {"pid": pid})
        else:
            pid = int(arguments[0])
            _answer(orders, {"status": _end(pid) if pid in workers else 0})  # never a process of somebody else's
            workers.discard(pid)
    for pid in workers:
        _end(pid)
    descendants.end_all()


def _fork(orders: socket.socket, descriptor: int, memory_mib: int, place: Place) -> int:
    pid = os.fork()
    if pid:
        os.close(descriptor)
        return pid
    try:
        from r1zero.grading import worker

        orders.detach()
        worker.close_everything_but(descriptor)
        os.setpgid(0, 0)  # what a verifier starts dies with it
        if place.kind == "contained":
            contained.confine(memory_mib, place.folders)
        worker.serve(socket.socket(fileno=descriptor), memory_mib)
    finally:
        os._exit(0)  # never back into the fork server's loop, whatever happened


def _end(pid: int) -> int:
    """A worker that has already ended keeps its own status: killing a zombie changes nothing. What it started ends with
    it, also what left its group."""
    started = descendants.of(pid)
    for kill in (os.killpg, os.kill):  # the group may not exist yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    descendants.kill(started)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return 0  # somebody else's wait got it


def _too_small(memory_mib: int) -> dict[str, Any] | None:
    """A worker needs room beside what it inherits. Only Linux says how much that is."""
    try:
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE") // 2**20
    except OSError:
        return None
    if used + 64 <= memory_mib:
        return None
    return {"error": f"rewards.memory_mib = {memory_mib}: a worker needs {used + 64} MiB before it grades anything"}


def _answer(orders: socket.socket, answer: dict[str, Any]) -> None:
    orders.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
