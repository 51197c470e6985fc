"""Device, dtype and threads."""

from __future__ import annotations

import mmap
import sys

import pytest
import torch

from r1zero.base import device
from r1zero.base.errors import UsageError
from r1zero.base.log import duration
from r1zero.base.seeds import derive, generator


def test_auto_takes_the_faster_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    for bf16, expected in ((300.0, torch.bfloat16), (110.0, torch.float32)):
        rates = {torch.float32: 100.0, torch.bfloat16: bf16}
        monkeypatch.setattr(device, "_gemm_gflops", lambda _, dtype, rates=rates: rates[dtype])
        assert device.select("cpu").dtype == expected


def test_the_measurement_is_a_rate() -> None:
    chosen = device.select("cpu", "auto")
    assert all(0.1 < rate < 1e5 for rate in chosen.gemm_gflops.values())
    assert chosen.dtype in (torch.float32, torch.bfloat16)


def test_threads_are_set_on_purpose() -> None:
    assert device.select("cpu", "fp32", threads=1).threads == torch.get_num_threads() == 1
    assert device.select("cpu", "fp32").threads == torch.get_num_threads() == device.usable_cores()


def test_a_quota_limits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.psutil, "cpu_count", lambda logical: 64)
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(device.Path, "exists", lambda self: True)
    monkeypatch.setattr(device.Path, "read_text", lambda self: "350000 100000\n")
    assert device.usable_cores() == 3


def test_absent_device() -> None:
    absent = next(kind for kind in ("npu", "mps", "cuda") if kind not in device._available())
    with pytest.raises(UsageError, match=f"run.device = '{absent}': not available here; available: "):
        device.select(absent, "fp32")  # pyright: ignore


def test_peak_memory_is_plausible() -> None:
    assert 0.05 < device.select("cpu", "fp32").peak_memory_gib() < 64


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_can_be_forgotten() -> None:
    chosen = device.select("cpu", "fp32")
    with mmap.mmap(-1, 2**28) as large:  # not from malloc, which keeps what is freed
        large.write(bytes(2**28))
        with_it = chosen.peak_memory_gib()
    chosen.reset_peak_memory()
    assert chosen.peak_memory_gib() < with_it - 0.1


def test_seeds_are_addresses() -> None:
    assert derive(0, "rollout", 12) == derive(0, "rollout", 12) != derive(0, "rollout", 13)
    assert generator(1, "x").random() == generator(1, "x").random() != generator(2, "x").random()


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 75, 3725)] == ["0:00", "1:15", "1:02:05"]
