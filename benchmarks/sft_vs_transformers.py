"""Fine-tuning beside transformers' Trainer: the same model, rows, order, batches and optimizer settings.

    python benchmarks/sft_vs_transformers.py shared/data/gsm8k_train.jsonl shared/data/gsm8k_test.jsonl

Both train on the same token ids in the same order, from the same weights, in fp32; the held-out loss of both is
computed by transformers on the saved models, one row at a time. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from r1zero.config import TuningRecipe, load
from r1zero.data import order
from r1zero.data.tokens import Reading, read_fields
from r1zero.data.training_set import Limit, TrainingSet
from r1zero.models import fetch
from r1zero.tuning.objectives import build
from r1zero.tuning.run import run as tune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", help="JSON lines with question and answer")
    parser.add_argument("test", help="held-out rows of the same kind")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--template", default="chat")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--held-out", type=int, default=50)
    parser.add_argument("--max-tokens", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(compare(arguments, Path(folder)), indent=1))


def compare(arguments: Any, folder: Path) -> dict[str, float]:
    recipe = our_recipe(arguments, folder)
    rows, held_out = (samples(recipe, section, getattr(recipe, section)) for section in ("data", "evaluation"))
    steps = recipe.steps_over(len(rows))
    start = time.monotonic()
    tune(recipe, resume=False)
    ours_seconds = time.monotonic() - start
    start = time.monotonic()
    theirs = train_theirs(arguments, recipe, rows, steps)
    theirs_seconds = time.monotonic() - start
    from transformers import AutoModelForCausalLM

    before = AutoModelForCausalLM.from_pretrained(fetch.resolve(arguments.model), dtype=torch.float32)
    ours = AutoModelForCausalLM.from_pretrained(folder / "run" / "checkpoints" / f"step_{steps:06d}")
    losses = {name: loss(model, held_out) for name, model in (("before", before), ("ours", ours), ("theirs", theirs))}
    return {
        **{f"held_out_loss/{name}": value for name, value in losses.items()},
        "held_out_loss/ratio": losses["ours"] / losses["theirs"],
        "steps": steps,
        "seconds/ours, with loading and saving": ours_seconds,
        "seconds/theirs, training alone": theirs_seconds,
    }


def our_recipe(arguments: Any, folder: Path) -> TuningRecipe:
    rows = {"layout": "alpaca", "columns": {"prompt": "question", "response": "answer"}}
    sections = {
        "run": {"dir": str(folder / "run"), "epochs": float(arguments.epochs), "device": "cpu"}
        | ({"threads": arguments.threads} if arguments.threads else {}),
        "model": {"path": arguments.model, "dtype": "fp32"},
        "data": {**rows, "path": arguments.train, "limit": arguments.rows, "max_tokens": arguments.max_tokens}
        | {"template": arguments.template},
        "evaluation": {**rows, "path": arguments.test, "limit": arguments.held_out},
        "objective": {"name": "sft"},
        "trainer": {"samples_per_step": arguments.batch, "tokens_per_pack": 2048, "lr": arguments.lr},
        "logging": {"tensorboard": False},
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(sections), encoding="utf-8")  # JSON is YAML
    return load(TuningRecipe, path)


def samples(recipe: TuningRecipe, section: str, source: Any) -> list[tuple[list[int], list[int]]]:
    """(input ids, labels) of every row."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(fetch.resolve(recipe.model.path))
    placed, _ = read_fields(source, section, Reading("answers", recipe.data, recipe.objective, tokenizer))
    limit = Limit(recipe.data.max_tokens, recipe.data.too_long)
    kept = TrainingSet.of(placed, build(recipe.objective).to_samples, limit, source.path, str)
    rows = [placed[row][1] for row, _ in kept.places]
    return [(row["input_ids"].tolist(), row["labels"].tolist()) for row in rows]


def train_theirs(arguments: Any, recipe: TuningRecipe, rows: list[Any], steps: int) -> Any:
    """transformers' Trainer on the rows in our order."""
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    model = AutoModelForCausalLM.from_pretrained(fetch.resolve(arguments.model), dtype=torch.float32)
    count = steps * arguments.batch
    chosen = order.indices(size=len(rows), position=0, count=count, seed=recipe.run.seed, shuffle=True)

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)  # pyright: ignore[reportArgumentType]

    settings = recipe.trainer
    given = TrainingArguments(
        output_dir=str(Path(recipe.run.dir).parent / "theirs"),
        per_device_train_batch_size=arguments.batch,
        max_steps=steps,
        learning_rate=settings.lr,
        lr_scheduler_type="constant",
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip_grad,
        adam_beta1=settings.betas[0],
        adam_beta2=settings.betas[1],
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    dataset = [{"input_ids": rows[index][0], "labels": rows[index][1]} for index in chosen]
    InOrder(model=model, args=given, train_dataset=dataset, data_collator=padded).train()  # pyright: ignore
    return model


def padded(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    longest = max(len(row["input_ids"]) for row in batch)
    fills = {"input_ids": 0, "labels": -100}
    found = {
        name: torch.tensor([row[name] + [fill] * (longest - len(row[name])) for row in batch])
        for name, fill in fills.items()
    }
    sizes = [len(row["input_ids"]) for row in batch]
    found["attention_mask"] = torch.tensor([[1] * size + [0] * (longest - size) for size in sizes])
    return found


@torch.no_grad()
def loss(model: Any, rows: list[tuple[list[int], list[int]]]) -> float:
    """Mean negative log-likelihood per learned token."""
    model = model.float().eval()
    total, count = 0.0, 0
    for ids, labels in rows:
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].float()
        targets = torch.tensor(labels[1:])
        total += float(torch.nn.functional.cross_entropy(logits, targets, ignore_index=-100, reduction="sum"))
        count += int((targets != -100).sum())
    return total / count


if __name__ == "__main__":
    main()
