"""Next-token pretraining from scratch: trainer and session of `loop.py`, with documents instead of rollouts."""

from __future__ import annotations

import numpy as np

from r1zero import speed
from r1zero.algorithms.losses import negative_log_likelihood
from r1zero.checkpoint import rng
from r1zero.checkpoint.folder import RunFolder
from r1zero.config import PretrainRecipe, Source
from r1zero.data import order, sources
from r1zero.data.packing import pack
from r1zero.data.problems import Rejected
from r1zero.device import Device
from r1zero.errors import UsageError
from r1zero.interrupt import Stop
from r1zero.log import log
from r1zero.models.create import new_model, new_tokenizer
from r1zero.models.flops import model_flops
from r1zero.session import Session
from r1zero.trainer.trainer import Trainer
from r1zero.types import Batch, Sample, TokenLogprobs, TokenLoss


def pretrain(recipe: PretrainRecipe, device: Device, folder: RunFolder, stop: Stop) -> None:
    """Train a new model on a corpus until `run.steps`."""
    rng.seed_all(recipe.run.seed)
    documents, rejected = read_documents(recipe)
    tokenizer = new_tokenizer((text for _, text in documents), recipe.model)
    samples, too_long = to_samples(documents, recipe, tokenizer)
    folder.quarantine_rows([*rejected, *too_long])
    model = new_model(recipe.model, tokenizer, dtype=device.dtype, device=device.torch_device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    log.info(f"{parameters:,} parameters, {len(tokenizer)} tokens, {len(samples)} documents from {recipe.data.path}")
    flops = model_flops(model)
    trainer = Trainer(model, tokenizer, recipe.trainer, total_updates=recipe.run.steps)
    with Session(recipe, folder, device, trainer, stop) as session:
        for _ in session.steps():
            chosen = next_samples(samples, session.position, recipe)
            with session.clock("update"):
                packs = pack(chosen, tokens_per_pack=recipe.trainer.tokens_per_pack)
                metrics = update(trainer, packs)
            metrics |= speed.update_metrics(
                flops, [packs], lambda _: True, 1, session.seconds("update"), device.gemm_rate
            )
            session.finish_step(
                len(chosen), metrics, f"loss {metrics['loss']:.4f}  grad_norm {metrics['grad_norm']:.3g}"
            )


def read_documents(recipe: PretrainRecipe) -> tuple[list[tuple[int, str]], list[Rejected]]:
    """(line, text) of every document, and the rows without one."""
    source = Source(path=recipe.data.path, options=recipe.data.options)
    documents, rejected = [], []
    for row in sources.read(source):
        text = row.columns.get("text")
        if isinstance(text, str) and text:
            documents.append((row.where, text))
        else:
            rejected.append(
                Rejected(source.path, row.where, row.error or "column 'text' is missing or empty", row.columns)
            )
    if not documents:
        raise UsageError(f"data.path = '{source.path}': the corpus is empty")
    return documents, rejected


def to_samples(
    documents: list[tuple[int, str]], recipe: PretrainRecipe, tokenizer: object
) -> tuple[list[Sample], list[Rejected]]:
    """Documents between end tokens. All share the first one as their prompt, so a pack computes it once."""
    end = tokenizer.eos_token_id  # pyright: ignore[reportAttributeAccessIssue]
    start = np.array([end], dtype=np.int32)
    encoded = tokenizer([text for _, text in documents], add_special_tokens=False)["input_ids"]  # pyright: ignore
    samples, rejected = [], []
    for (line, text), ids in zip(documents, encoded, strict=True):
        if len(ids) + 2 > recipe.data.max_document_tokens:
            reason = f"the document has {len(ids) + 2} tokens, more than data.max_document_tokens"
            rejected.append(Rejected(recipe.data.path, line, reason, {"text": text}))
            continue
        response = np.array([*ids, end], dtype=np.int32)
        nothing = np.zeros(len(response), dtype=np.float32)
        mask = np.ones(len(response), dtype=bool)
        samples.append(
            Sample(prompt_ids=start, response_ids=response, mask=mask, advantages=nothing, behaviour_logprobs=nothing)
        )
    if not samples:
        raise UsageError(
            f"data.max_document_tokens = {recipe.data.max_document_tokens}: every document is longer; raise it"
        )
    return samples, rejected


def next_samples(samples: list[Sample], position: int, recipe: PretrainRecipe) -> list[Sample]:
    count, seed = recipe.trainer.samples_per_step, recipe.run.seed
    chosen = order.indices(size=len(samples), position=position, count=count, seed=seed, shuffle=True)
    return [samples[index] for index in chosen]


def update(trainer: Trainer, packs: list[Batch]) -> dict[str, float]:
    shares = [trainer.forward_backward(batch, next_token_loss) for batch in packs]
    done = trainer.step()
    means = {name: sum(share[name] for share in shares) for name in shares[0]}
    return {**means, "grad_norm": done.grad_norm, "lr": done.lr, "updates/skipped": done.skipped}


def next_token_loss(policy: TokenLogprobs, batch: Batch) -> TokenLoss:
    return TokenLoss(negative_log_likelihood(policy.logprobs), {"entropy": policy.entropy.detach()})
