"""Next-token pretraining from scratch: a new tokenizer and a new model, trained on documents by `tuning/loop.py`."""

from __future__ import annotations

import numpy as np

from r1zero.base.device import Device
from r1zero.base.errors import UsageError
from r1zero.base.log import log
from r1zero.config import Objective, PretrainRecipe, Source
from r1zero.data.problems import Rejected
from r1zero.data.read import sources
from r1zero.data.read.cells import BadRow, refuse_half_characters
from r1zero.data.read.rows import Row
from r1zero.data.tokens import Placed, RowPlace
from r1zero.data.training_set import Limit, TrainingSet
from r1zero.models.create import new_model, new_tokenizer
from r1zero.models.flops import model_flops
from r1zero.run import rng
from r1zero.run.folder import RunFolder
from r1zero.run.interrupt import Stop
from r1zero.run.session import Session
from r1zero.trainer.local import LocalTrainer
from r1zero.tuning import loop as tune
from r1zero.tuning import objectives
from r1zero.tuning.parts import TuningParts

_OBJECTIVE = Objective(name="pretraining")


def pretrain(recipe: PretrainRecipe, device: Device, folder: RunFolder, stop: Stop) -> None:
    """Train a new model on a corpus until `run.steps`."""
    rng.seed_all(recipe.run.seed)
    objective = objectives.build(_OBJECTIVE)
    documents, rejected = read_documents(recipe)
    tokenizer = new_tokenizer((text for _, text in documents), recipe.model)
    limit = Limit(recipe.data.max_document_tokens, "drop", "data.max_document_tokens")
    rows = TrainingSet.of(encode(documents, tokenizer), objective.to_samples, limit, recipe.data.path, tokenizer.decode)
    if not len(rows):
        raise UsageError(
            f"data.max_document_tokens = {recipe.data.max_document_tokens}: every document is longer; raise it"
        )
    folder.quarantine_rows([*rejected, *rows.rejected])
    model = new_model(recipe.model, tokenizer, dtype=device.dtype, device=device.torch_device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    log.info(f"{parameters:,} parameters, {len(tokenizer)} tokens, {len(rows)} documents from {recipe.data.path}")
    parts = TuningParts(
        objective=objective,
        rows=rows,
        trainer=LocalTrainer(model, tokenizer, recipe.trainer, total_updates=recipe.run.steps),
        flops=model_flops(model),
        samples_per_step=recipe.trainer.samples_per_step,
    )
    with Session(recipe, folder, device, parts.trainer, stop, {"data": rows.fingerprint}) as session:
        tune.train(parts, session)


def read_documents(recipe: PretrainRecipe) -> tuple[list[tuple[RowPlace, str]], list[Rejected]]:
    """Every document and where it is, and the rows without one."""
    source = Source(path=recipe.data.path, options=recipe.data.options)
    documents, rejected = [], []
    for row in sources.read(source):
        try:
            documents.append((RowPlace(row.where, row.file), _document(row)))
        except BadRow as bad:
            rejected.append(Rejected(row.file or source.path, row.where, str(bad), row.columns))
    if not documents:
        raise UsageError(f"data.path = '{source.path}': the corpus is empty")
    return documents, rejected


def _document(row: Row) -> str:
    if row.error:
        raise BadRow(row.error)
    text = row.columns.get("text")
    if not isinstance(text, str) or not text:
        raise BadRow("column 'text' is missing or empty")
    refuse_half_characters(text)
    return text


def encode(documents: list[tuple[RowPlace, str]], tokenizer: object) -> list[Placed]:
    """Documents between end tokens. All share the first one as their prompt, so a pack computes it once."""
    end = tokenizer.eos_token_id  # pyright: ignore[reportAttributeAccessIssue]
    encoded = tokenizer([text for _, text in documents], add_special_tokens=False)["input_ids"]  # pyright: ignore
    return [
        (place, {"input_ids": np.array([end, *ids, end], dtype=np.int32)})
        for (place, _), ids in zip(documents, encoded, strict=True)
    ]
