"""From a recipe with an objective to the parts that `loop.py` works with. Everything a recipe can get wrong is found
here, before any work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from r1zero import config
from r1zero.base import seeds
from r1zero.base.device import Device
from r1zero.base.errors import UsageError
from r1zero.base.log import log
from r1zero.data.chats import stop_strings
from r1zero.data.judged import can_pad, last_token
from r1zero.data.responses import response_text
from r1zero.data.tokens import Reading, read_fields
from r1zero.data.training_set import Limit, TrainingSet
from r1zero.engine.open import open_engine
from r1zero.engine.sampling import sampling_of
from r1zero.models.context import context_changes
from r1zero.models.divergence import token_divergence
from r1zero.models.flops import ModelFlops, model_flops
from r1zero.models.forward import token_logprobs
from r1zero.models.load import load_model, longest_context
from r1zero.models.loading import check_vocabulary
from r1zero.models.tokenizer import load_tokenizer
from r1zero.models.value import load_scorer, token_judgements, token_values
from r1zero.run.folder import RunFolder
from r1zero.trainer.local import LocalTrainer
from r1zero.trainer.reference import Reference
from r1zero.tuning import objectives
from r1zero.tuning.objectives import Objective
from r1zero.tuning.on_policy import OnPolicy
from r1zero.types import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningParts:
    """What `loop.train` introduces to each other."""

    objective: Objective
    rows: TrainingSet
    held_out: TrainingSet | None = None
    trainer: LocalTrainer[Any]
    reference: Callable[[Batch], Tensor] | None = None  # log-probabilities [N] under the start weights
    on_policy: OnPolicy | None = None  # the model as it answers the prompts, if rows are prompts
    flops: ModelFlops
    samples_per_step: int  # rows, rather
    shuffle: bool = True


def tuning_parts(
    recipe: config.TuningRecipe, device: Device, folder: RunFolder
) -> tuple[config.TuningRecipe, TuningParts]:
    """Load and check everything, cheap checks first. Raises UsageError for the first mistake; rows that cannot be used
    go to the folder's quarantine. Returns the recipe with the number of steps, too."""
    objective = objectives.build(recipe.objective)
    check_lengths(recipe, objective)
    if recipe.rollout is not None and not objective.samples_itself:
        raise UsageError(f"rollout: {recipe.objective.name} does not sample; remove the section")
    model, tokenizer = load(recipe, objective, device)
    reading = Reading(objective.rows, recipe.data, recipe.objective, tokenizer)
    rows = read(recipe.data, "data", reading, objective, folder)
    held_out = read(recipe.evaluation, "evaluation", reading, objective, folder) if recipe.evaluation else None
    steps = recipe.steps_over(len(rows))
    count = recipe.trainer.samples_per_step
    epochs = steps * count / len(rows)
    log.info(f"{len(rows)} rows from {recipe.data.path}; {steps} steps of {count} rows: {epochs:.2f} epochs")
    parts = TuningParts(
        objective=objective,
        rows=rows,
        held_out=held_out,
        reference=Reference(model).logprobs if objective.needs_reference else None,
        trainer=LocalTrainer(
            model,
            tokenizer,
            recipe.trainer,
            total_updates=steps,
            predict=prediction(recipe, objective, tokenizer, device),
            gradient_checkpointing=recipe.model.gradient_checkpointing,
        ),
        on_policy=on_policy(recipe, model, tokenizer) if objective.samples_itself else None,
        flops=model_flops(model),
        samples_per_step=count,
        shuffle=recipe.data.shuffle,
    )
    return recipe.model_copy(update={"run": recipe.run.model_copy(update={"steps": steps})}), parts


def check_lengths(recipe: config.TuningRecipe, objective: Objective) -> None:
    """What a pack must hold, and what may happen to long rows, depends on the objective."""
    name, data = objective.settings.name, recipe.data
    needed = objective.together * data.max_tokens
    if recipe.trainer.tokens_per_pack < needed:
        raise UsageError(
            f"trainer.tokens_per_pack = {recipe.trainer.tokens_per_pack}: {name} keeps the {objective.together} "
            f"answers of a row in one pack, up to {needed} tokens; raise it, or lower data.max_tokens"
        )
    allowed = {"text": ("drop", "cut", "split"), "answers": ("drop", "cut"), "pairs": ("drop", "cut")}
    choices = allowed.get(objective.rows, ("drop",))
    if data.too_long not in choices:
        raise UsageError(
            f"data.too_long = '{data.too_long}': {name} can only {' or '.join(choices)}; choose one of them"
        )


def longest(recipe: config.TuningRecipe) -> int:
    """Tokens of the longest sequence that a recipe allows."""
    return recipe.data.max_tokens + (recipe.rollout.max_new_tokens if recipe.rollout else 0)


def load(recipe: config.TuningRecipe, objective: Objective, device: Device) -> tuple[Any, Any]:
    """The model with the head that the objective needs, and its tokenizer."""
    settings = recipe.model
    changes = context_changes(
        settings.path,
        rope_theta=settings.rope_theta,
        context=settings.context,
        trust_remote_code=settings.trust_remote_code,
    )
    if objective.head in ("sequence_score", "token_score"):
        model = load_scorer(
            settings.path,
            "model.path",
            dtype=device.dtype,
            device=device.torch_device,
            seed=seeds.derive(recipe.run.seed, "head"),
            each_token=objective.head == "token_score",
            changes=changes,
            trust_remote_code=settings.trust_remote_code,
            lora=settings.lora,
            longest=longest(recipe),
        )
        tokenizer = load_tokenizer(settings.path, trust_remote_code=settings.trust_remote_code, key="model.path")
        check_vocabulary(model, tokenizer, f"model.path = '{settings.path}'")
        set_padding(model, tokenizer)
    else:
        model, tokenizer = load_model(
            settings.path,
            dtype=device.dtype,
            device=device.torch_device,
            changes=changes,
            trust_remote_code=settings.trust_remote_code,
            lora=settings.lora,
            quantization=settings.quantization,
            seed=seeds.derive(recipe.run.seed, "lora"),
            longest=longest(recipe),
        )
    context = longest_context(model)
    if context and recipe.data.max_tokens > context:
        raise UsageError(
            f"data.max_tokens = {recipe.data.max_tokens}: the model's context is {context}; lower it, or extend the "
            f"context by model.context and model.rope_theta"
        )
    return model, tokenizer


def set_padding(model: Any, tokenizer: Any) -> None:
    """Let the saved classifier know its padding, if that is a token of its own."""
    model.config.pad_token_id = tokenizer.pad_token_id if can_pad(tokenizer) else None


def prediction(
    recipe: config.TuningRecipe, objective: Objective, tokenizer: Any, device: Device
) -> Callable[[Any, Batch], Any]:
    """What the model says of a pack, for the objective's loss."""
    if objective.head in ("sequence_score", "token_score"):
        return token_values
    if objective.head == "judgement":
        texts = objective.settings.good_token, objective.settings.bad_token
        good, bad = (last_token(tokenizer, text) for text in texts)
        if good == bad:
            raise UsageError(f"objective.bad_token = '{texts[1]}': ends with the same token as good_token")
        return partial(token_judgements, good=good, bad=bad)
    if objective.head == "teacher":
        settings = objective.settings
        teacher = load_teacher(recipe, tokenizer, device)
        share = settings.teacher_share
        return partial(token_divergence, teacher=teacher, name=settings.divergence, teacher_share=share)
    return token_logprobs


def load_teacher(recipe: config.TuningRecipe, tokenizer: Any, device: Device) -> Any:
    """The frozen model to learn from. Raises UsageError for one that reads other tokens."""
    path = recipe.objective.teacher
    model, theirs = load_model(
        path,
        dtype=device.dtype,
        device=device.torch_device,
        trust_remote_code=recipe.model.trust_remote_code,
        longest=longest(recipe),
        key="objective.teacher",
    )
    if theirs.get_vocab() != tokenizer.get_vocab():
        raise UsageError(
            f"objective.teacher = '{path}': its tokenizer has other tokens than model.path's; choose another"
        )
    return model.requires_grad_(False)


def on_policy(recipe: config.TuningRecipe, model: Any, tokenizer: Any) -> OnPolicy:
    """The model as it answers the prompts of rows. Raises UsageError where there is no room for the answers."""
    settings = recipe.rollout
    if settings is None:
        raise UsageError(
            "rollout: missing; the model answers the prompts itself, so add the section with max_new_tokens"
        )
    needed = longest(recipe)
    context = longest_context(model)
    if recipe.trainer.tokens_per_pack < needed or (context and context < needed):
        raise UsageError(
            f"rollout.max_new_tokens = {settings.max_new_tokens}: with data.max_tokens a sequence may have {needed} "
            f"tokens, more than the model's context or trainer.tokens_per_pack; lower it"
        )
    stop = stop_strings(recipe.data.template, recipe.data.templates_file)
    engine = open_engine(settings, model, tokenizer)
    sampling = sampling_of(settings, n=1, stop=stop, model=model, tokenizer=tokenizer)
    engine.check_room(recipe.data.max_tokens, sampling)
    return OnPolicy(
        engine=engine,
        sampling=sampling,
        decode=partial(response_text, tokenizer, stop_token_ids=sampling.stop_token_ids),
    )


def read(rows: config.Rows, section: str, reading: Reading, objective: Objective, folder: RunFolder) -> TrainingSet:
    """The usable rows of a source; the others go to the quarantine."""
    placed, rejected = read_fields(rows, section, reading)
    limit = Limit(reading.data.max_tokens, reading.data.too_long)
    found = TrainingSet.of(placed, objective.to_samples, limit, rows.path, reading.tokenizer.decode)
    folder.quarantine_rows([*rejected, *found.rejected])
    if not len(found):
        first = [*rejected, *found.rejected][0].reason
        raise UsageError(f"{section}.path = '{rows.path}': no row is left; the first reason: {first}")
    if found.cut:
        folder.event("rows cut", count=found.cut)
        log.warning(f"{found.cut} rows of {rows.path} were cut off at data.max_tokens = {limit.tokens}")
    return found
