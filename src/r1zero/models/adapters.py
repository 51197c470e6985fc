"""Low-rank adapters (LoRA, arXiv 2106.09685: W + (alpha / rank) B A) by peft, inside a transformers model.

The model stays the class it was, so attention, output layer and engine need not know; its own weights are frozen. On
disk adapters are peft's folder: `adapter_config.json`, `adapter_model.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from r1zero.base.errors import UsageError, suggest
from r1zero.config import Lora
from r1zero.models import fetch
from r1zero.models.quantize import dequantised

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."  # of every name in peft's file
_NAME = "default"  # what peft calls a model's only adapter, in parameter names but not in its file


def attach(model: Any, settings: Lora, *, base: str, seed: int, head: str | None = None) -> None:
    """Put adapters that change nothing yet (B = 0, A drawn from `seed`) into a model and freeze all else but `head`, a
    layer that trains whole. `base` is what the model was loaded from. Raises UsageError for targets that it has not."""
    peft = _peft()
    linear = {name.rpartition(".")[2] for name, _ in _linear_layers(model)}
    for target in settings.targets:
        if target not in linear:
            raise UsageError(f"lora.targets: the model has no linear layer '{target}'{suggest(target, linear)}")
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # pyright: ignore[reportArgumentType]
        lora_dropout=settings.dropout,
        target_modules=list(settings.targets) or sorted(linear),
        base_model_name_or_path=str(Path(base).absolute()) if Path(base).is_dir() else base,
        task_type="SEQ_CLS" if head else "CAUSAL_LM",
        modules_to_save=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config, model)
    if head:
        config.modules_to_save = [head]
        model.get_submodule(head).requires_grad_(True)


def restore(model: Any, folder: Path) -> None:
    """Put the adapters of a folder into the model they were made for, frozen."""
    peft = _peft()
    config = peft.LoraConfig.from_pretrained(str(folder))
    config.inference_mode = True
    config.modules_to_save = None  # a head is a parameter like any other here
    peft.inject_adapter_in_model(config, model)
    own = dict(model.named_parameters())
    missing = {name for name in own if f".{_NAME}." in name and ".lora_" in name}
    with torch.no_grad():
        for name, value in tensors(folder):
            missing.discard(name)
            if name not in own or own[name].shape != value.shape:
                raise UsageError(f"{folder}: {name} does not fit its base model '{config.base_model_name_or_path}'")
            own[name].copy_(value)
    if missing:
        raise UsageError(f"{folder}: {sorted(missing)[0]} is not in {_WEIGHTS}; train or fetch the adapters again")
    model.requires_grad_(False)


def is_adapter(path: str | Path) -> bool:
    return (Path(path) / _CONFIG).is_file()


def base_of(folder: Path) -> str:
    """What the adapters of a folder were made for: a folder or a Hugging Face id. Raises UsageError when the folder has
    gone, or when they are not plain LoRA."""
    try:
        settings = dict(json.loads((folder / _CONFIG).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{folder}: {_CONFIG} is not a valid JSON object: {error}; copy the adapters again") from None
    if settings.get("peft_type") != "LORA" or settings.get("use_dora") or settings.get("bias", "none") != "none":
        raise UsageError(f"{folder}: only plain LoRA adapters can be loaded, without DoRA and biases")
    base = str(settings.get("base_model_name_or_path"))
    if not Path(base).is_absolute() or Path(base).is_dir():
        return base
    if Path(base).name in fetch.names():  # on another machine r1zero keeps it elsewhere
        return fetch.resolve(Path(base).name)
    raise UsageError(f"{folder}: its base model '{base}' is not here; put it there or correct {_CONFIG}")


def scaling(folder: Path) -> tuple[int, float, bool]:
    """Rank, alpha and whether alpha is divided by the root of the rank: what the numbers of a folder mean."""
    settings = json.loads((folder / _CONFIG).read_text())
    return int(settings["r"]), float(settings["lora_alpha"]), bool(settings.get("use_rslora"))


def own_scaling(model: Any) -> tuple[int, float, bool]:
    """The same of the adapters in a model."""
    settings = model.peft_config[_NAME]
    return int(settings.r), float(settings.lora_alpha), bool(settings.use_rslora)


def has_head(folder: Path) -> bool:
    """Whether the adapters of a folder are a critic's or a reward model's, and its head is with them."""
    return json.loads((folder / _CONFIG).read_text()).get("task_type") == "SEQ_CLS"


def describe(folder: Path) -> str:
    """What a model folder holds, for people."""
    if not is_adapter(folder):
        return "a whole model"
    settings = json.loads((folder / _CONFIG).read_text())
    return f"LoRA adapters of rank {settings['r']} for {settings['base_model_name_or_path']}"


def adapted(model: Any) -> bool:
    return hasattr(model, "peft_config")


@contextmanager
def without(model: Any) -> Iterator[None]:
    """The model as it is without its adapters. Which parameters train does not change."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    layers = list(_adapted_layers(model).values())
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        model.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)


def save(model: Any, folder: Path, values: Mapping[str, Tensor]) -> None:
    """`values` of the trained parameters, by their names in the model, as a peft folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model.peft_config[_NAME].save_pretrained(str(folder))
    settings = json.loads((folder / _CONFIG).read_text())
    for name, value in settings.items():  # peft keeps sets, whose order differs from process to process
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            settings[name] = sorted(value)
    (folder / _CONFIG).write_text(json.dumps(settings, indent=2, sort_keys=True))
    named = {_PREFIX + name.replace(f".{_NAME}.", "."): value.contiguous() for name, value in values.items()}
    save_file(named, folder / _WEIGHTS, metadata={"format": "pt"})


def tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """What `save` wrote, by names in the model."""
    with safe_open(folder / _WEIGHTS, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (not a dict)
            inside = name.removeprefix(_PREFIX)
            for part in ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"):
                inside = inside.replace(f".{part}.", f".{part}.{_NAME}.")
            yield inside, file.get_tensor(name)


@torch.no_grad()
def merged_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """The weights of the model without adapters that computes the same, by their Hugging Face names; weights in 4 bits
    are given in the compute dtype. Made one at a time."""
    layers = _adapted_layers(model)
    for name, parameter in model.named_parameters():
        if name.partition(".lora_")[0] in layers:
            continue
        owner, inside, rest = name.partition(".base_layer.")
        weight = dequantised(parameter, model.dtype).detach()
        if inside and rest == "weight":
            weight = (weight.float() + _delta(layers[owner])).to(weight.dtype)
        yield (f"{owner}.{rest}" if inside else name), weight


def _delta(layer: Any) -> Tensor:
    """(alpha / rank) B A in fp32, in the layout of the layer's weight."""
    product = layer.lora_B[_NAME].weight.float() @ layer.lora_A[_NAME].weight.float() * layer.scaling[_NAME]
    return product.T if layer.fan_in_fan_out else product


def _linear_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """Linear layers by name, without the output layer or a critic's head."""
    outside = {id(model.get_output_embeddings()), id(getattr(model, "score", None))}
    for name, module in model.named_modules():
        kind = type(module).__name__
        if (isinstance(module, torch.nn.Linear) or kind == "Conv1D") and id(module) not in outside:
            yield name, module


def _adapted_layers(model: Any) -> dict[str, Any]:
    if not adapted(model):
        return {}
    from peft.tuners.tuners_utils import BaseTunerLayer

    return {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}


def _peft() -> Any:
    try:
        import peft
    except ImportError:
        raise UsageError("model.lora: peft is not installed; pip install 'r1zero[lora]'") from None
    return peft
