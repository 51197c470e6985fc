"""Folders that are no models: whatever the libraries say of them becomes one line that names the file."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r1zero.base.errors import UsageError

HUB = "no such folder, and not a model the hub gives"
_POINTER = b"version https://git-lfs.github.com/spec/"
_BROUGHT = "`r1zero model list` shows what r1zero brings"


@contextmanager
def loading(where: str, *places: str, otherwise: str = HUB) -> Iterator[None]:
    """Turns the errors of loading from `places`, folders or hub ids, into UsageErrors that begin with `where`;
    `otherwise` is what is wrong unless a file is."""
    for place in places:
        _refuse_pointers(where, Path(place))
    try:
        yield
    except UsageError:
        raise
    except pickle.UnpicklingError:
        names = ", ".join(sorted({file.name for place in places for file in _files(Path(place), "*.bin")}))
        raise UsageError(
            f"{where}: {names or 'a file'} holds Python objects other than tensors, which are never loaded, or is "
            f"damaged; use a model with .safetensors"
        ) from None
    except Exception as error:  # libraries fail on foreign files in ways of their own; the line says how
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        folders = [Path(place) for place in places if Path(place).is_dir()]
        if not folders:
            raise UsageError(f"{where}: {otherwise}: {reason}; {_BROUGHT}") from None
        for folder in folders:
            _refuse_damaged(where, folder)
        what = "cannot be loaded" if otherwise == HUB else otherwise
        raise UsageError(f"{where}: {what}: {reason}") from None


def check_tokenizer(tokenizer: Any, where: str) -> None:
    """Raises UsageError for a tokenizer without a vocabulary: transformers makes one where a folder has none."""
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        raise UsageError(f"{where}: the folder has no tokenizer; copy the model's tokenizer files into it")


def check_vocabulary(model: Any, tokenizer: Any, where: str) -> None:
    """Raises UsageError for a tokenizer with a token that the model's embedding has no row for, but for one that no
    text becomes: libraries add tokens for padding and for the unknown."""
    rows = model.get_input_embeddings().weight.shape[0]
    never = {tokenizer.pad_token, tokenizer.unk_token} - {tokenizer.bos_token, tokenizer.eos_token}
    found = [entry for entry in tokenizer.get_vocab().items() if entry[0] not in never]
    token, number = max(found, key=lambda entry: entry[1])
    if number >= rows:
        raise UsageError(
            f"{where}: the tokenizer's token '{token}' is number {number}, but the model's embedding has {rows} rows; "
            f"use the tokenizer that the model was trained with"
        )


def _refuse_pointers(where: str, folder: Path) -> None:
    for file in _files(folder, "*"):
        with file.open("rb") as stream:
            start = stream.read(len(_POINTER))
        if start == _POINTER:
            raise UsageError(f"{where}: {file.name} is a Git LFS pointer, not the file; run `git lfs pull` in {folder}")


def _refuse_damaged(where: str, folder: Path) -> None:
    """Raises UsageError that names the first file which is not what its name says."""
    import json

    from safetensors import SafetensorError, safe_open

    if not (folder / "config.json").exists() and not (folder / "adapter_config.json").exists():
        raise UsageError(f"{where}: the folder has no config.json, so it holds no model; name the folder that does")
    for file in _files(folder, "*.json"):
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"{where}: {file.name} is not valid JSON: {error}; copy the model again") from None
    for file in _files(folder, "*.safetensors"):
        try:
            with safe_open(file, framework="pt"):
                continue
        except (SafetensorError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"{where}: {file.name} is damaged: {reason}; copy the model again") from None


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(file for file in folder.glob(pattern) if file.is_file()) if folder.is_dir() else []
