"""Where grading processes live: without network, without a file that could be written and stays, without the run's
environment.

A verifier reads what a model wrote. Should one of the libraries under it ever run that text, the text finds itself in
bubblewrap's container: of this machine's files it sees the system's programs, Python, this package and the folder of
the verifier's own file, all read-only; there is no network, no other process, no privilege and no token. What it is not
protected from: docs/security.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import r1zero
from r1zero.base.errors import UsageError
from r1zero.grading import cgroup, sandbox

Kind = Literal["contained", "plain", "trusted"]

_KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "TMPDIR")  # of the environment; never a token
_PROCESSES = 16  # and threads of one worker
_NURSERY_PROCESSES, _NURSERY_MIB = 16, 512  # of the process that starts workers, and of bubblewrap
_CAPABILITY_VERSION = 0x20080522  # three, linux/capability.h
_FILES = 64  # open ones
_CACHE = 16 * 2**20  # bytes of a /tmp that ends with the container


@dataclass(frozen=True, slots=True)
class Place:
    """`contained`; `plain`: a process like any other but for its environment; `trusted`: with the environment too.
    `folders` of this machine are readable in a container."""

    kind: Kind
    folders: tuple[str, ...] = ()
    apart: str = ""  # from other places like it


@contextlib.contextmanager
def command(place: Place, arguments: Sequence[str]) -> Iterator[tuple[list[str], dict[str, str], list[int]]]:
    """What starts Python with `arguments` in a place: the command, its environment and the descriptors it reads, open
    while inside. Raises SandboxUnavailable."""
    python = [sys.executable, *arguments]
    if place.kind == "trusted":
        yield python, {**os.environ, **_single_threaded()}, []
    elif place.kind == "plain":
        yield python, environment(), []
    else:
        with sandbox.in_memory(sandbox.seccomp()) as rules:
            given = [rules.fileno()] if sandbox.seccomp() else []
            yield [*_container(place.folders, given), "--", *python], {}, given


def environment() -> dict[str, str]:
    """What a grading process needs of the run's environment."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join(_packages())
    return {**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp", **_single_threaded()}


@functools.cache
def unavailable() -> str:
    """Why this machine cannot contain grading processes; empty where it can."""
    try:
        with command(Place("contained"), ["-S", "-c", ""]) as (arguments, variables, given):
            done = subprocess.run(
                arguments, env=variables, pass_fds=given, capture_output=True, text=True, timeout=60, check=False
            )
    except (sandbox.SandboxUnavailable, OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip().splitlines()[-1] if done.returncode and done.stderr.strip() else ""


def refuse_uncontained(foreign: Sequence[str], accepted: Sequence[str]) -> None:
    """Raises UsageError for a verifier that is not ours where nothing contains it, unless the recipe accepts it."""
    exposed = [name for name in foreign if name not in accepted]
    if exposed and (reason := unavailable()):
        raise UsageError(
            f"rewards.verifier_function = '{exposed[0]}': code that is not r1zero's would judge a model's text, and "
            f"nothing contains it here ({reason}); name it in rewards.uncontained to run it all the same"
        )


def group(memory_mib: int, workers: int) -> cgroup.Group | None:
    """A control group for a fork server and its workers, where one can be made: also what workers start counts."""
    memory = (memory_mib * workers + _NURSERY_MIB) * 2**20
    return cgroup.make(memory=memory, processes=workers * _PROCESSES + _NURSERY_PROCESSES)


def confine(memory_mib: int, folders: Sequence[str]) -> None:
    """The limits of one worker, which it cannot raise again: memory, processes, files. Root becomes a user that owns
    nothing and is counted alone; where that user could not read `folders` it stays, without a root's privileges."""
    size = memory_mib * 2**20
    limits = {
        resource.RLIMIT_AS: size,
        resource.RLIMIT_FSIZE: _CACHE,
        resource.RLIMIT_NOFILE: _FILES,
        resource.RLIMIT_NPROC: _PROCESSES,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for which, limit in limits.items():
        resource.setrlimit(which, (limit, limit))
    if os.geteuid() == 0 and all(os.stat(path).st_mode & 0o005 == 0o005 for path in (*_packages(), *folders)):
        user = sandbox.NOBODY + os.getpid() % 2**16
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    _drop_capabilities()


def _container(folders: Sequence[str], filter_: Sequence[int]) -> list[str]:
    arguments = [sandbox.bubblewrap(), "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        arguments += [f"--unshare-{name}" for name in ("ipc", "pid", "net", "uts", "cgroup-try")]
        for capability in (
            "CAP_SETUID",
            "CAP_SETGID",
            "CAP_KILL",
        ):  # workers are other users than the fork server
            arguments += ["--cap-add", capability]
    else:
        arguments += ["--unshare-all", "--unshare-user", "--disable-userns"]
    arguments += [*sandbox.system(), "--proc", "/proc", "--dev", "/dev"]
    # libraries want to write caches; before the folders, some of which may lie in it
    arguments += ["--size", str(_CACHE), "--perms", "1777", "--tmpfs", "/tmp"]
    for path in sorted({*_python(), *map(os.path.abspath, folders)}):
        for parent in reversed(Path(path).parents[:-1]):
            arguments += ["--perms", "0755", "--dir", str(parent)]
        arguments += ["--ro-bind-try", path, path]
    here = os.getcwd()  # a verifier's file may be named from here
    for parent in (*reversed(Path(here).parents[:-1]), Path(here)):
        arguments += ["--perms", "0755", "--dir", str(parent)]
    if filter_:
        arguments += ["--seccomp", str(filter_[0])]
    arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", here, "--hostname", "grading"]
    for name, value in environment().items():
        arguments += ["--setenv", name, value]
    return arguments


def _python() -> list[str]:
    """Folders that this Python and its packages are read from, but for the system's."""
    found = {sys.prefix, sys.base_prefix, os.path.dirname(os.path.realpath(sys.executable)), *_packages()}
    return [path for path in found if os.path.isdir(path) and not path.startswith("/usr/")]


def _packages() -> list[str]:
    """Where modules are found, without the folder the run happens to be started from."""
    package = str(Path(r1zero.__file__).resolve().parents[1])
    here = os.path.realpath(os.getcwd())
    listed = [path for path in sys.path if path and os.path.isdir(path) and os.path.realpath(path) != here]
    return list(dict.fromkeys([package, *listed]))


def _drop_capabilities() -> None:
    """For good: bubblewrap has set no_new_privs."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)  # 0: this process
    nothing = (ctypes.c_uint32 * 6)()
    library = ctypes.CDLL(None, use_errno=True)
    if library.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "capset")


def _single_threaded() -> dict[str, str]:
    return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
