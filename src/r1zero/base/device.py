"""Where a run computes: the only file that knows cuda, npu, mps and cpu."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import resource
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import torch

from r1zero.base.errors import UsageError

DeviceKind = Literal["auto", "cpu", "cuda", "npu", "mps"]
DtypeName = Literal["auto", "bf16", "fp32"]

_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_BF16_MUST_GAIN = 1.2  # a CPU without bf16 units emulates it; require a clear win before giving up mantissa bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A chosen device. `gemm_gflops` is what a square-ish matrix product reached at start-up, by dtype: the chosen one,
    and what it was chosen against."""

    kind: str
    name: str
    dtype: torch.dtype
    threads: int
    gemm_gflops: dict[str, float]

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.kind)

    @property
    def dtype_name(self) -> str:
        """As recipes call it."""
        return _NAMES[self.dtype]

    @property
    def gemm_rate(self) -> float:
        """GFLOP/s of a matrix product in the chosen dtype."""
        return self.gemm_gflops[_NAMES[self.dtype]]

    def reset_peak_memory(self) -> None:
        """Begin a new peak. Where the system cannot forget the old one, peaks go on being those of the whole run."""
        if self.kind in ("cuda", "npu"):
            torch.get_device_module(self.kind).reset_peak_memory_stats()
        elif sys.platform == "linux":
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")

    def peak_memory_gib(self) -> float:
        """Largest memory since the last reset: allocated on an accelerator, resident on a CPU."""
        if self.kind in ("cuda", "npu"):
            return torch.get_device_module(self.kind).max_memory_allocated() / 2**30
        if sys.platform == "linux":
            fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            return int(fields["VmHWM"].split()[0]) / 2**20
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30

    def describe(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "name": self.name,
            "dtype": str(self.dtype).removeprefix("torch."),
            "threads": self.threads,
            "gemm_gflops": {name: round(rate, 1) for name, rate in self.gemm_gflops.items()},
        }


def select(
    kind: DeviceKind = "auto", dtype: DtypeName = "auto", threads: int = 0, deterministic: bool = False
) -> Device:
    """Choose device, compute dtype and thread count, and configure this process for them.

    `threads` 0 means one per physical core that this process may use. Raises UsageError for a device that is not there.
    """
    torch.use_deterministic_algorithms(deterministic)
    chosen = _present() if kind == "auto" else kind
    if chosen != "cpu" and chosen not in _available():
        raise UsageError(f"run.device = '{kind}': not available here; available: {', '.join([*_available(), 'cpu'])}")
    count = threads or usable_cores()
    torch.set_num_threads(count)
    _keep_freed_memory()
    names = ("fp32", "bf16") if dtype == "auto" else (dtype,)
    rates = {name: _gemm_gflops(torch.device(chosen), _DTYPES[name]) for name in names}
    if dtype == "auto":
        dtype = "bf16" if rates["bf16"] > _BF16_MUST_GAIN * rates["fp32"] else "fp32"
    return Device(kind=chosen, name=_name(chosen), dtype=_DTYPES[dtype], threads=count, gemm_gflops=rates)


def usable_cores() -> int:
    """Physical cores this process may use: the smallest of hardware, affinity mask and control-group quota."""
    limits = [psutil.cpu_count(logical=False) or os.cpu_count() or 1]
    if sys.platform == "linux":
        limits.append(len(os.sched_getaffinity(0)))
        quota = Path("/sys/fs/cgroup/cpu.max")
        if quota.exists() and (fields := quota.read_text().split())[0] != "max":
            limits.append(max(1, int(fields[0]) // int(fields[1])))
    return min(limits)


def accelerator_rng_state() -> torch.Tensor | None:
    """State of the accelerator's default generator; None on a CPU-only machine."""
    present = _present()
    return None if present == "cpu" else torch.get_device_module(present).get_rng_state()


def set_accelerator_rng_state(state: torch.Tensor) -> None:
    torch.get_device_module(_present()).set_rng_state(state)


def _available() -> list[str]:
    found = []
    if torch.cuda.is_available():
        found.append("cuda")
    if importlib.util.find_spec("torch_npu"):
        import torch_npu  # pyright: ignore[reportMissingImports]

        if torch_npu.npu.is_available():
            found.append("npu")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def _present() -> str:
    return next(iter(_available()), "cpu")


def _name(kind: str) -> str:
    if kind == "cuda":
        return torch.cuda.get_device_name()
    if kind == "npu":
        return torch.npu.get_device_name()  # pyright: ignore[reportAttributeAccessIssue]
    return platform.processor() or platform.machine()


def _gemm_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """Rate of a [256, 1024] x [1024, 1024] product, best of a few runs within some 60 ms."""
    left = torch.ones(256, 1024, dtype=dtype, device=device)
    right = torch.ones(1024, 1024, dtype=dtype, device=device)
    best = float("inf")
    deadline = time.perf_counter() + 0.06
    while time.perf_counter() < deadline:
        start = time.perf_counter()
        (left @ right)[0, 0].item()  # item() waits for an accelerator
        best = min(best, time.perf_counter() - start)
    return 2 * 256 * 1024 * 1024 / best / 1e9


def _keep_freed_memory() -> None:
    """Tell glibc to reuse large freed blocks instead of returning them to the kernel.

    Activations of many MB are allocated and freed by the thousand; mapping fresh zeroed pages each time cost 20-30 % of
    a training step (docs/LOG.md). Other C libraries have no mallopt and are left alone.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL("libc.so.6").mallopt
    trim_threshold, mmap_threshold = -1, -3
    mallopt(mmap_threshold, 2**30)
    mallopt(trim_threshold, 2**31 - 1)
