"""Checkpoints are complete or absent, and a damaged one is named and passed over."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from r1zero.run import rng, store


def fill(text: str):
    def write(folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "a.bin").write_text(text)
        (folder / "inner" / "b.bin").write_text(text * 2)

    return write


def test_publish_and_verify(tmp_path: Path) -> None:
    store.publish(tmp_path / "step_1", fill("x"))
    store.verify(tmp_path / "step_1")
    assert store.published(tmp_path) == [tmp_path / "step_1"]


def test_a_fill_that_dies_publishes_nothing(tmp_path: Path) -> None:
    def die(folder: Path) -> None:
        (folder / "a.bin").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        store.publish(tmp_path / "step_1", die)
    assert list(tmp_path.iterdir()) == [], "not even a temporary folder"
    store.publish(tmp_path / "step_1", fill("x"))
    store.verify(tmp_path / "step_1")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "a.bin").write_text("y"), "a.bin has changed: its SHA-256 differs"),
        (lambda folder: (folder / "a.bin").write_text(""), "a.bin has 0 bytes, expected 1"),
        (lambda folder: (folder / "inner" / "b.bin").unlink(), "inner/b.bin is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "the manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[1]"), "the manifest cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "the manifest names no file"),
        (
            lambda folder: (folder / "model_z.safetensors").write_text(""),
            "model_z.safetensors is not in the manifest",
        ),
        (lambda folder: (folder / "inner" / "c").symlink_to("/etc"), "inner/c is not in the manifest"),
    ],
)
def test_damage_is_named_and_the_one_before_is_used(tmp_path: Path, harm, message: str) -> None:
    for step in (1, 2):
        store.publish(tmp_path / f"step_{step}", fill("x"))
    harm(tmp_path / "step_2")
    said: list[str] = []
    assert store.newest_intact(tmp_path, said.append) == tmp_path / "step_1"
    assert len(said) == 1 and message in said[0] and "step_2" in said[0]


def test_a_damaged_folder_makes_way_and_an_intact_one_stays(tmp_path: Path) -> None:
    store.publish(tmp_path / "step_1", fill("x"))
    store.publish(tmp_path / "step_1", lambda folder: pytest.fail("written twice"))
    (tmp_path / "step_1" / "a.bin").write_text("y")
    store.publish(tmp_path / "step_1", fill("z"))
    store.verify(tmp_path / "step_1")
    assert (tmp_path / "step_1" / "a.bin").read_text() == "z"


def test_prune_keeps_the_newest_and_removes_leftovers(tmp_path: Path) -> None:
    for step in range(4):
        store.publish(tmp_path / f"step_{step}", fill("x"))
    (tmp_path / ".tmp-step_9").mkdir()
    store.prune(tmp_path, tmp_path / "step_3", keep=2)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["step_2", "step_3"]


@pytest.mark.parametrize("keep", [1, 2])
def test_prune_never_prefers_a_damaged_folder(tmp_path: Path, keep: int) -> None:
    """Damaged ones are older, between and later than what was saved; intact ones stay, as many as asked for."""
    for step in range(1, 8):
        store.publish(tmp_path / f"step_{step}", fill("x"))
    for step in (1, 4, 5, 7):
        (tmp_path / f"step_{step}" / "a.bin").write_text("y")
    store.prune(tmp_path, tmp_path / "step_6", keep)
    left = sorted(folder.name for folder in tmp_path.iterdir())
    assert left == {1: ["step_6", "step_7"], 2: ["step_3", "step_6", "step_7"]}[keep]
    assert store.newest_intact(tmp_path, lambda what: None) == tmp_path / "step_6"


def test_sigkill_while_saving_never_leaves_a_half_checkpoint(tmp_path: Path) -> None:
    """A process saves as fast as it can and is killed at random moments; what is published always verifies."""
    code = (
        "import sys, pathlib; from r1zero.run import store\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "def fill(folder):\n    for n in range(4): (folder / f'{n}.bin').write_bytes(bytes(300_000))\n"
        "for step in range(100_000):\n    store.publish(root / f'step_{step:06d}', fill)\n"
        "    store.prune(root, root / f'step_{step:06d}', 3)\n"
    )
    chance = random.Random(0)
    for attempt in range(4):
        root = tmp_path / str(attempt)
        process = subprocess.Popen([sys.executable, "-c", code, str(root)])
        deadline = time.monotonic() + 60
        while not store.published(root) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        folders = store.published(root)
        assert folders
        for folder in folders:
            store.verify(folder)


def test_random_generators_come_back(tmp_path: Path) -> None:
    rng.seed_all(3)
    random.random(), np.random.rand(), torch.rand(1)
    rng.save(tmp_path)
    expected = (random.random(), np.random.rand(), float(torch.rand(1)))
    rng.seed_all(4)
    rng.load(tmp_path)
    assert (random.random(), np.random.rand(), float(torch.rand(1))) == expected
    assert not [name for name in os.listdir(tmp_path) if name.endswith((".pt", ".pkl", ".pickle"))]
