"""A model with weights that its files do not hold, or with weights that nothing reads, is never trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from r1zero.base.errors import UsageError
from r1zero.models.load import load_model
from r1zero.models.value import load_scorer

from ..conftest import small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from r1zero.models import fetch

    small_model(vocab_size=266).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((Path(fetch.resolve("tiny")) / name).read_bytes())
    return tmp_path


def change(folder: Path, **tensors: torch.Tensor | None) -> None:
    file = folder / "model.safetensors"
    changed = {**load_file(file), **{name.replace("__", "."): value for name, value in tensors.items()}}
    save_file({name: value for name, value in changed.items() if value is not None}, file, metadata={"format": "pt"})


def load(folder: Path) -> Any:
    return load_model(str(folder), dtype=torch.float32, device=torch.device("cpu"))[0]


def critic(folder: Path) -> Any:
    return load_scorer(str(folder), "critic.path", dtype=torch.float32, device=torch.device("cpu"), seed=0)


def test_a_complete_model_is_loaded(folder: Path) -> None:
    load(folder)
    critic(folder)


@pytest.mark.parametrize("open_folder", [load, critic])
def test_a_missing_weight_is_refused(folder: Path, open_folder: Any) -> None:
    change(folder, model__layers__1__mlp__up_proj__weight=None)
    with pytest.raises(UsageError, match=r"path = .*: model.layers.1.mlp.up_proj.weight.* would be random") as caught:
        open_folder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("open_folder", [load, critic])
def test_a_weight_without_a_place_is_refused(folder: Path, open_folder: Any) -> None:
    change(folder, model__layers__2__mlp__up_proj__weight=torch.ones(48, 32))
    with pytest.raises(UsageError, match=r"hold model.layers.2.mlp.up_proj.weight, for which .* has no place"):
        open_folder(folder)


def test_a_weight_of_another_shape_is_refused(folder: Path) -> None:
    change(folder, model__layers__1__mlp__up_proj__weight=torch.ones(47, 32))
    with pytest.raises(UsageError, match=r"model.path = .*up_proj"):
        load(folder)


def test_the_biases_of_another_family_are_refused(folder: Path) -> None:
    """Qwen2's weights under Llama's config: without the biases everything runs, and is wrong."""
    config = json.loads((folder / "config.json").read_text())
    config.pop("layer_types", None)
    config.update(model_type="llama", architectures=["LlamaForCausalLM"])
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"hold model.layers.0.self_attn.k_proj.bias and 5 more, for which"):
        load(folder)
