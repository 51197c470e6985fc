"""Every random generator of the process, to a folder and back. Steps draw by address (`base/seeds.py`); this is for
what a model or a library draws besides."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from r1zero.base import device


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def save(folder: Path) -> None:
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        "python": [version, list(words), gauss],
        "numpy": [name, keys.tolist(), position, has_gauss, cached],  # pyright: ignore[reportAttributeAccessIssue]
    }
    (folder / "rng.json").write_text(json.dumps(state))
    tensors = {"cpu": torch.get_rng_state()}
    accelerator = device.accelerator_rng_state()
    if accelerator is not None:
        tensors["accelerator"] = accelerator
    save_file(tensors, folder / "rng.safetensors")


def load(folder: Path) -> None:
    state = json.loads((folder / "rng.json").read_text())
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    tensors = load_file(folder / "rng.safetensors")
    torch.set_rng_state(tensors["cpu"])
    if "accelerator" in tensors:
        device.set_accelerator_rng_state(tensors["accelerator"])
