"""One process at a time writes a run folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from pathlib import Path

from r1zero.base.errors import UsageError

_NAME = "run.lock"


class Lock:
    """The kernel's lock on a file that says who holds it. Use with `with`, or `release` it.

    The kernel gives it back when its process ends, however it ends, so on one machine it is never stale. Another
    machine's cannot be asked: if its name is in the file, the run may still go on there. Raises UsageError, which names
    host and process.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / _NAME).open("a+", encoding="utf-8")
        try:
            _lock(self._file.fileno())
            self._file.seek(0)
            owner = _read(self._file.read())
            if owner is not None and owner["host"] != socket.gethostname():
                raise UsageError(
                    f"run.dir = '{folder}': process {owner['pid']} on {owner['host']} took it at {owner['since']} and "
                    f"has not given it back; if that process is gone, delete {folder / _NAME}"
                )
        except BlockingIOError:
            self._file.seek(0)
            owner = _read(self._file.read()) or {"pid": "?", "host": "this machine", "since": "?"}
            self._file.close()
            raise UsageError(
                f"run.dir = '{folder}': process {owner['pid']} on {owner['host']} is running in it since "
                f"{owner['since']}; stop it first or choose another folder"
            ) from None
        except BaseException:
            self._file.close()
            raise
        self._write({"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})

    def release(self) -> None:
        if not self._file.closed:
            with contextlib.suppress(OSError):  # a full disk has no say in this
                self._write(None)
            self._file.close()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _write(self, owner: dict[str, object] | None) -> None:
        self._file.truncate(0)
        if owner is not None:
            self._file.write(json.dumps(owner))
        self._file.flush()


def _read(text: str) -> dict[str, object] | None:
    """Who holds a lock; None when it was given back, or when a kill tore what was written."""
    try:
        owner = json.loads(text)
        return owner if {"host", "pid", "since"} <= owner.keys() else None
    except (ValueError, AttributeError):
        return None


def _lock(descriptor: int) -> None:
    """Raises BlockingIOError when another process, or another Lock of this one, holds it."""
    try:
        import fcntl
    except ImportError:  # Windows: the text alone has to do
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
