"""Folders that are no models: one line each, which names what is wrong, and nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from r1zero.base.errors import UsageError
from r1zero.config import Lora
from r1zero.models import adapters
from r1zero.models.fetch import TINY
from r1zero.models.load import load_model
from r1zero.models.tokenizer import load_tokenizer
from r1zero.models.value import load_scorer

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 269060552\n"


def weights(folder: Path) -> Path:
    return folder / "model.safetensors"


def cut(folder: Path) -> None:
    content = weights(folder).read_bytes()
    weights(folder).write_bytes(content[: len(content) // 2])


def reshape(folder: Path) -> None:
    tensors = load_file(weights(folder))
    tensors["model.layers.0.mlp.down_proj.weight"] = torch.zeros(3, 3)
    save_file(tensors, weights(folder), metadata={"format": "pt"})


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def larger_tokenizer(folder: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<extra{number}>" for number in range(50)])
    tokenizer.save_pretrained(folder)


class Hostile:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def hostile(folder: Path) -> None:
    weights(folder).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Hostile(folder / "mark")))


def hostile_checkpoint(folder: Path) -> None:
    weights(folder).unlink()
    torch.save({"weight": Hostile(folder / "mark")}, folder / "pytorch_model.bin")


def setting(name: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, name: value}))

    return change


def writing(name: str, content: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(content)


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (cut, "model.safetensors is damaged: "),
    "empty": (writing("model.safetensors", ""), "model.safetensors is damaged: "),
    "noise": (lambda folder: weights(folder).write_bytes(os.urandom(5000)), "model.safetensors is damaged: "),
    "pointer": (writing("model.safetensors", POINTER), "model.safetensors is a Git LFS pointer, not the file; run"),
    "pointer of the tokenizer": (writing("tokenizer.json", POINTER), "tokenizer.json is a Git LFS pointer"),
    "shape": (reshape, "shapes differ from its config.json's: "),
    "no weights": (lambda folder: weights(folder).unlink(), "cannot be loaded: Error no file named model.safetensors"),
    "hostile": (hostile, "pytorch_model.bin holds Python objects other than tensors"),
    "hostile checkpoint": (hostile_checkpoint, "pytorch_model.bin holds Python objects other than tensors"),
    "config": (writing("config.json", "{"), "config.json is not valid JSON: "),
    "config of a list": (writing("config.json", "[]"), "cannot be loaded: "),
    "no config": (lambda folder: (folder / "config.json").unlink(), "the folder has no config.json, so it holds no"),
    "unknown family": (
        setting("model_type", "nonesuch"),
        "cannot be loaded: The checkpoint you are trying to load has",
    ),
    "negative size": (setting("hidden_size", -3), "cannot be loaded: "),
    "size of text": (setting("hidden_size", "x"), "cannot be loaded: Validation error for field 'hidden_size': Type"),
    "tokenizer": (writing("tokenizer.json", "{"), "tokenizer.json is not valid JSON: "),
    "no tokenizer": (without_tokenizer, "the folder has no tokenizer; copy the model's tokenizer files into it"),
    "larger tokenizer": (larger_tokenizer, "the tokenizer's token '<extra49>' is number "),
}
OF_THE_TOKENIZER = [kind for kind in BROKEN if "tokenizer" in kind]


def broken(folder: Path, kind: str) -> str:
    """Make a folder of the kind; what is said of it."""
    shutil.copytree(TINY, folder)
    change, said = BROKEN[kind]
    change(folder)
    return said


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_folder_is_one_line(tmp_path: Path, kind: str) -> None:
    said = broken(folder := tmp_path / "model", kind)
    with pytest.raises(UsageError) as caught:
        load_model(str(folder), dtype=torch.float32, device=torch.device("cpu"))
    assert str(caught.value).startswith(f"model.path = '{folder}': {said}")
    assert "\n" not in str(caught.value)
    assert not (folder / "mark").exists()


@pytest.mark.parametrize("kind", [kind for kind in BROKEN if kind not in OF_THE_TOKENIZER])
def test_a_critic_of_a_broken_folder_too(tmp_path: Path, kind: str) -> None:
    broken(folder := tmp_path / "model", kind)
    with pytest.raises(UsageError, match=r"^critic\.path = ") as caught:
        load_scorer(str(folder), "critic.path", dtype=torch.float32, device=torch.device("cpu"), seed=0)
    assert "\n" not in str(caught.value)
    assert not (folder / "mark").exists()


@pytest.mark.parametrize("kind", ["tokenizer", "no tokenizer", "pointer of the tokenizer"])
def test_a_broken_tokenizer_is_one_line(tmp_path: Path, kind: str) -> None:
    broken(folder := tmp_path / "model", kind)
    with pytest.raises(UsageError, match=r"^tokenizer_name_or_path = '"):
        load_tokenizer(str(folder))


def test_broken_adapters_are_one_line(tmp_path: Path) -> None:
    lora = Lora(rank=2, targets=("q_proj",))
    model, tokenizer = load_model(str(TINY), dtype=torch.float32, device=torch.device("cpu"), lora=lora)
    folder = tmp_path / "adapters"
    adapters.save(model, folder, {name: value for name, value in model.named_parameters() if value.requires_grad})
    tokenizer.save_pretrained(folder)
    (folder / "adapter_model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(UsageError, match=r"adapter_model\.safetensors is damaged"):
        load_model(str(folder), dtype=torch.float32, device=torch.device("cpu"))
    (folder / "adapter_config.json").write_text("[")
    with pytest.raises(UsageError, match=r"adapter_config\.json is not a valid JSON object"):
        load_model(str(folder), dtype=torch.float32, device=torch.device("cpu"))
