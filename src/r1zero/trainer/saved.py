"""A model's trained weights in a checkpoint, and proof that what is loaded is what was saved.

transformers writes some families under other names than the model has (experts one by one, gates renamed), so a name in
a file says little. Beside the weights lies `weights.json`: the model's class, and of every tensor that trains its name
in the model, its shape and the SHA-256 of its bytes. Loading compares all of them, before and after.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from r1zero.base.errors import UsageError
from r1zero.models import adapters
from r1zero.models.quantize import quantized

_RECORD = "weights.json"


@torch.no_grad()
def save_weights(model: Any, values: Mapping[str, Tensor], folder: Path) -> None:
    """`values` of the parameters that train, by their names in the model: a Hugging Face model folder, or a peft folder
    where adapters train. What the model keeps beside its parameters (a router's bias) is saved with a whole model."""
    detached = {name: value.detach() for name, value in values.items()}
    if adapters.adapted(model):
        adapters.save(model, folder, detached)
    else:
        model.save_pretrained(folder, state_dict={**_untrained(model, detached), **detached})
    record = {
        "class": type(model).__name__,
        "weights": {name: {"shape": list(value.shape), "sha256": _digest([value])} for name, value in detached.items()},
        "untrained": _untrained_digest(model, detached),
    }
    (folder / _RECORD).write_text(json.dumps(record, indent=1))


@torch.no_grad()
def load_weights(model: Any, values: Mapping[str, Tensor], folder: Path) -> None:
    """Copy what `save_weights` wrote into `values`. Raises UsageError unless the folder holds exactly these tensors of
    exactly this kind of model, and all of them arrive."""
    if adapters.is_adapter(folder) != adapters.adapted(model):
        kind = "adapters" if adapters.is_adapter(folder) else "a whole model"
        raise UsageError(f"model.lora: the checkpoint holds {kind}; resume with the setting the run began with")
    digests = _expected(model, values, folder)
    missing = dict(digests)
    for name, value in _found(model, values, folder):
        if name in missing and value.shape == values[name].shape:
            values[name].copy_(value)
            del missing[name]
    wrong = next((name for name in digests if name in missing or _digest([values[name]]) != digests[name]), None)
    if wrong is not None:
        raise UsageError(f"{folder}: {wrong} is not what was saved; resume from another checkpoint")


def _expected(model: Any, values: Mapping[str, Tensor], folder: Path) -> dict[str, str]:
    """SHA-256 by name, once the checkpoint is known to be of this model."""
    remedy = "resume with the model settings that the run began with"
    try:
        record = json.loads((folder / _RECORD).read_text())
        saved, kind = record["weights"], record["class"]
        shapes = {name: tuple(entry["shape"]) for name, entry in saved.items()}
        digests = {name: str(entry["sha256"]) for name, entry in saved.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{folder}: {_RECORD} cannot be read ({error}), so nothing proves what it holds") from None
    if kind != type(model).__name__:
        raise UsageError(f"{folder}: holds a {kind}, not a {type(model).__name__}; {remedy}")
    for name in sorted(shapes.keys() ^ values.keys()):
        where = "only in the checkpoint" if name in shapes else "not in the checkpoint"
        raise UsageError(f"{folder}: {name} is {where}; {remedy}")
    for name in sorted(values):
        if shapes[name] != tuple(values[name].shape):
            raise UsageError(f"{folder}: {name} is {list(shapes[name])}, not {list(values[name].shape)}; {remedy}")
    if adapters.adapted(model):
        _same_adapters(model, folder, remedy)
        if record.get("untrained") != _untrained_digest(model, values):
            raise UsageError(f"{folder}: its adapters were trained on another base model; {remedy}")
    return digests


def _same_adapters(model: Any, folder: Path, remedy: str) -> None:
    saved = adapters.scaling(folder)
    own = adapters.own_scaling(model)
    if saved != own:
        raise UsageError(f"{folder}: adapters of rank and alpha {saved}, not {own}; {remedy}")


def _found(model: Any, values: Mapping[str, Tensor], folder: Path) -> Iterator[tuple[str, Tensor]]:
    """The folder's tensors by their names in the model. Where the file has other names, transformers puts them back,
    which takes the memory of a second model."""
    if adapters.adapted(model):
        return adapters.tensors(folder)
    files = sorted(folder.glob("model*.safetensors"))
    names: set[str] = set()
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            names.update(tensors.keys())
    if values.keys() <= names <= {*values, *_untrained(model, values)}:
        return _in_files(files)
    return _by_transformers(model, folder)


def _in_files(files: Iterable[Path]) -> Iterator[tuple[str, Tensor]]:
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (not a dict)
                yield name, tensors.get_tensor(name)


def _by_transformers(model: Any, folder: Path) -> Iterator[tuple[str, Tensor]]:
    loaded, report = type(model).from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            raise UsageError(f"{folder}: {kind.replace('_', ' ')}: {sorted(map(str, report[kind]))[0]}")
    yield from loaded.named_parameters()


def _untrained(model: Any, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of the model's state does not train: frozen parameters and buffers that are saved."""
    kept = model.state_dict()
    buffers = {name: value for name, value in model.named_buffers() if name in kept}
    frozen = {name: value.detach() for name, value in model.named_parameters() if name not in values}
    return {**frozen, **buffers}


def _untrained_digest(model: Any, values: Mapping[str, Tensor]) -> str | None:
    """Of weights in 4 bits, which other hardware may round otherwise, nothing can be asked."""
    untrained = _untrained(model, values)
    return None if quantized(model) or not untrained else _digest(untrained[name] for name in sorted(untrained))


def _digest(tensors: Iterable[Tensor]) -> str:
    total = hashlib.sha256()
    for tensor in tensors:
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
