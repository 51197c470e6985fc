"""Helpers to run `prepare` on small files and read back what it made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from r1zero.config import PrepareRecipe, load
from r1zero.data.indexed import IndexedDataset
from r1zero.data.prepare.run import Prepared, prepare
from r1zero.models.fetch import TINY

SPECIAL = ["<|im_start|>", "<|im_end|>", "<s>", "</s>"]


@cache
def tokenizer() -> Any:
    """The miniature's byte-level tokenizer with ChatML's tokens, a start and an end."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(TINY))
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[:2], "bos_token": "<s>", "eos_token": "</s>"})
    return tokenizer


def write_jsonl(path: Path, rows: Iterable[Any]) -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def recipe(folder: Path, **settings: Any) -> PrepareRecipe:
    """A recipe through the YAML that a user would write."""
    given = {"input": str(folder / "in.jsonl"), "output_prefix": str(folder / "out" / "data"), "workers": 1, **settings}
    given.setdefault("tokenizer_name_or_path", "tiny")
    path = folder / "prepare.yaml"
    path.write_text(json.dumps(given, ensure_ascii=False), encoding="utf-8")  # JSON is YAML
    return load(PrepareRecipe, path)


def run(folder: Path, rows: Iterable[Any] | None = None, **settings: Any) -> Prepared:
    if rows is not None:
        write_jsonl(folder / "in.jsonl", rows)
    return prepare(recipe(folder, **settings), tokenizer())


def field(folder: Path, name: str, infix: str = "_packed") -> list[list[int]]:
    return [ids.tolist() for ids in IndexedDataset(folder / "out" / f"data{infix}_{name}_document")]


def text(ids: Iterable[int]) -> str:
    """Ids as text; what is not learned is `.`."""
    parts = []
    for token in ids:
        parts.append("." if token == -100 else tokenizer().decode([token]))
    return "".join(parts)


def texts(folder: Path, name: str, infix: str = "_packed") -> list[str]:
    return [tokenizer().decode(ids) for ids in field(folder, name, infix)]


def learned(folder: Path, name: str = "labels") -> list[str]:
    return [tokenizer().decode([token for token in ids if token != -100]) for ids in field(folder, name)]


def quarantined(folder: Path) -> dict[int, str]:
    path = folder / "out" / "data_quarantine.jsonl"
    if not path.exists():
        return {}
    return {entry["line"]: entry["reason"] for entry in map(json.loads, path.read_text().splitlines())}


def everything(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((folder / "out").iterdir())}
