"""From a recipe to the parts the loop works with. Everything a recipe can get wrong is found here, before any work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from r1zero import config
from r1zero.algorithms import Algorithm
from r1zero.algorithms import build as build_algorithm
from r1zero.base import seeds
from r1zero.base.device import Device
from r1zero.base.errors import UsageError
from r1zero.base.files import fingerprint
from r1zero.base.log import log
from r1zero.data.curation import duplicates
from r1zero.data.mixing import Mixture
from r1zero.data.problems import Rejected, to_problems
from r1zero.data.prompts import Renderer, renderer, to_prompts
from r1zero.data.read import sources
from r1zero.data.responses import response_text
from r1zero.engine.base import RolloutEngine
from r1zero.engine.native import NativeEngine
from r1zero.evaluate.evaluator import Evaluator
from r1zero.grading.combine import Verifiers
from r1zero.grading.reference import unusable_answers
from r1zero.grading.rollouts import sampling_of
from r1zero.grading.scorer import Scorer
from r1zero.models.flops import ModelFlops, model_flops
from r1zero.models.forward import token_logprobs
from r1zero.models.load import load_model, longest_context
from r1zero.models.loading import check_vocabulary
from r1zero.models.value import load_scorer, token_values
from r1zero.rl.state import LoopState
from r1zero.run.folder import RunFolder
from r1zero.sync.shared import SharedWeights, WeightChannel
from r1zero.trainer.reference import Reference
from r1zero.trainer.trainer import Trainer
from r1zero.types import Problem, Prompt, Sampling, TokenLogprobs, TokenValues

_CRITIC = "critic"  # folder of a checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What `loop.train` introduces to each other."""

    recipe: config.Recipe
    algorithm: Algorithm
    prompts: list[Prompt]  # of all sources, one after the other
    mixture: Mixture
    verifiers: Verifiers
    evaluator: Evaluator | None
    engine: RolloutEngine
    pool: Scorer
    trainer: Trainer[TokenLogprobs]
    critic: Trainer[TokenValues] | None
    reference: Reference | None
    state: LoopState
    channel: WeightChannel
    sampling: Sampling
    decode: Callable[[Any], str]
    flops: ModelFlops
    fingerprints: Mapping[str, str]  # of each source's prompts, by its section

    def publish_weights(self, version: int) -> None:
        self.channel.send(self.trainer.own_weights(), version)
        self.engine.load_weights(*self.channel.receive())

    @contextmanager
    def evaluated_weights(self, version: int) -> Iterator[None]:
        """Inside, the engine samples from the weights that the recipe wants evaluated."""
        if self.recipe.evaluation is None or not self.recipe.evaluation.ema:
            yield
            return
        with self.trainer.averaged():
            self.publish_weights(version)
            yield
        self.publish_weights(version)

    def save(self, folder: Path) -> None:
        """Everything that learns or remembers, for a checkpoint."""
        self.trainer.save(folder)
        self.state.save(folder)
        if self.critic is not None:
            self.critic.save(folder / _CRITIC)

    def load(self, folder: Path) -> None:
        """Continue exactly where `save` left off."""
        self.trainer.load(folder)
        self.state.load(folder, self.prompts)
        if self.critic is not None:
            self.critic.load(folder / _CRITIC)

    def discard_gradients(self) -> None:
        self.trainer.discard_gradients()
        if self.critic is not None:
            self.critic.discard_gradients()


def build(recipe: config.Recipe, device: Device, folder: RunFolder, pool: Scorer) -> Parts:
    """Load and check everything a training run needs, cheap checks first. Raises UsageError for the first mistake; rows
    that cannot be used go to the folder's quarantine."""
    algorithm = build_algorithm(recipe.algorithm)
    _check_critic(recipe, algorithm)
    verifiers = Verifiers.of(recipe)
    read = _read_all(recipe.data)
    policy = load_policy(recipe, device)
    evaluator = build_evaluator(recipe, policy, folder, pool) if recipe.evaluation else None
    held_out = evaluator.prompts if evaluator else []
    usable = [_usable(part, section, held_out, recipe, policy, verifiers, pool) for section, part in read.items()]
    folder.quarantine_rows([row for _, rejected in usable for row in rejected])
    prompts = [prompt for part, _ in usable for prompt in part]
    mixture = Mixture.of(recipe.data, [len(part) for part, _ in usable])
    paths = ", ".join(source.path for source in recipe.data.mixed())
    log.info(f"{len(prompts)} prompts from {paths}; {recipe.arithmetic()}")
    engine = build_engine(recipe, policy)
    check_room(engine, prompts, policy.sampling)
    if evaluator is not None:
        check_room(engine, evaluator.prompts, replace(policy.sampling, n=evaluator.settings.samples))
    return Parts(
        recipe=recipe,
        algorithm=algorithm,
        prompts=prompts,
        mixture=mixture,
        verifiers=verifiers,
        evaluator=evaluator,
        reference=Reference(policy.model) if algorithm.needs_reference else None,
        trainer=Trainer(
            policy.model,
            policy.tokenizer,
            recipe.trainer,
            total_updates=recipe.run.steps * recipe.updates_per_step(),
            predict=partial(token_logprobs, temperature=recipe.rollout.temperature),
            gradient_checkpointing=recipe.model.gradient_checkpointing,
        ),
        critic=build_critic(recipe, recipe.critic, policy.tokenizer, device) if recipe.critic else None,
        state=LoopState(recipe.algorithm.kl),
        engine=engine,
        pool=pool,
        channel=SharedWeights(),
        sampling=policy.sampling,
        decode=policy.decode,
        flops=model_flops(policy.model),
        fingerprints={section: _fingerprint(part) for section, (part, _) in zip(read, usable, strict=True)},
    )


def _fingerprint(prompts: Sequence[Prompt]) -> str:
    """Of the problems that a run draws from, in their order: a position in them means nothing in others."""
    problems = (prompt.problem for prompt in prompts)
    return fingerprint(
        text.encode(errors="surrogatepass")
        for problem in problems
        for text in (problem.id, repr(problem.question), problem.answer)
    )


def build_critic(
    recipe: config.Recipe, settings: config.Critic, tokenizer: Any, device: Device
) -> Trainer[TokenValues]:
    path = settings.path or recipe.model.path
    model = load_scorer(
        path,
        "critic.path",
        dtype=device.dtype,
        device=device.torch_device,
        seed=seeds.derive(recipe.run.seed, "critic"),
        trust_remote_code=recipe.model.trust_remote_code,
        lora=settings.lora,
        longest=_longest(recipe),
    )
    check_vocabulary(model, tokenizer, f"critic.path = '{path}'")
    return Trainer(
        model,
        tokenizer,
        settings,
        total_updates=recipe.run.steps * settings.minibatches * settings.epochs,
        predict=token_values,
        gradient_checkpointing=recipe.model.gradient_checkpointing,
    )


def _check_critic(recipe: config.Recipe, algorithm: Algorithm) -> None:
    name = recipe.algorithm.name
    if algorithm.needs_critic and recipe.critic is None:
        raise UsageError(f"critic: missing; algorithm '{name}' needs one, so add the section with an lr")
    if recipe.critic is not None and not algorithm.needs_critic:
        raise UsageError(f"critic: algorithm '{name}' has none; remove the section")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A loaded model and how a recipe prompts and samples it."""

    model: Any
    tokenizer: Any
    rendered: Renderer
    sampling: Sampling

    def decode(self, token_ids: Any) -> str:
        return response_text(self.tokenizer, token_ids, self.sampling.stop_token_ids)


def load_policy(recipe: config.Recipe, device: Device) -> Policy:
    Verifiers.of(recipe)
    settings = recipe.model
    model, tokenizer = load_model(
        settings.path,
        dtype=device.dtype,
        device=device.torch_device,
        trust_remote_code=settings.trust_remote_code,
        lora=settings.lora,
        quantization=settings.quantization,
        seed=seeds.derive(recipe.run.seed, "lora"),
        longest=_longest(recipe),
    )
    _check_context(recipe, longest_context(model))
    rendered = renderer(recipe.data, tokenizer)
    return Policy(
        model=model,
        tokenizer=tokenizer,
        rendered=rendered,
        sampling=sampling_of(
            recipe.rollout, n=recipe.algorithm.group_size, stop=rendered.stop, model=model, tokenizer=tokenizer
        ),
    )


def build_engine(recipe: config.Recipe, policy: Policy) -> NativeEngine:
    settings = recipe.rollout
    return NativeEngine(policy.model, policy.tokenizer, kv_cache_gib=settings.kv_cache_gib, compiled=settings.compile)


def check_room(engine: NativeEngine, prompts: Sequence[Prompt], sampling: Sampling) -> None:
    """Raises UsageError unless a group of any of the prompts fits the cache."""
    engine.check_room(max((len(prompt.token_ids) for prompt in prompts), default=0), sampling)


def build_evaluator(recipe: config.Recipe, policy: Policy, folder: RunFolder, pool: Scorer) -> Evaluator:
    """The held-out set of a recipe that has one."""
    assert recipe.evaluation is not None
    verifiers = Verifiers.of(recipe)
    problems, rejected = read_problems(recipe.evaluation, "evaluation")
    problems, unverifiable = _verifiable(problems, "evaluation", verifiers, pool)
    prompts, unusable = to_prompts(problems, recipe.data, policy.tokenizer, policy.rendered)
    folder.quarantine_rows([*rejected, *unverifiable, *unusable])
    return Evaluator(
        settings=recipe.evaluation,
        verifiers=verifiers,
        prompts=prompts,
        sampling=policy.sampling,
        decode=policy.decode,
    )


Part = tuple[list[Problem], list[Rejected]]


def read_problems(source: config.Source, section: str) -> Part:
    """The problems of a source, and the rows that cannot be one. Raises UsageError that names the recipe's section."""
    try:
        return to_problems(sources.read(source), source)
    except UsageError as error:
        raise UsageError(f"{section}.{error}") from None


def _read_all(data: config.Data) -> dict[str, Part]:
    """Every source of the training data, by the section that names it. Ids are unique over all of them."""
    if not data.sources:
        return {"data": read_problems(data.mixed()[0], "data")}
    parts = {
        f"data.sources.{number}": read_problems(source, f"data.sources.{number}")
        for number, source in enumerate(data.sources)
    }
    for number, (section, (problems, rejected)) in enumerate(parts.items()):
        parts[section] = [replace(problem, id=f"{number}/{problem.id}") for problem in problems], rejected
    return parts


def _usable(
    part: Part,
    section: str,
    held_out: Sequence[Prompt],
    recipe: config.Recipe,
    policy: Policy,
    verifiers: Verifiers,
    pool: Scorer,
) -> tuple[list[Prompt], list[Rejected]]:
    """The prompts of one source, and all its rows that are not used."""
    problems, rejected = part
    problems, unverifiable = _verifiable(problems, section, verifiers, pool)
    problems, leaked = without_held_out(problems, section, held_out)
    prompts, unusable = to_prompts(problems, recipe.data, policy.tokenizer, policy.rendered)
    return prompts, [*rejected, *unverifiable, *leaked, *unusable]


def _verifiable(problems: list[Problem], section: str, verifiers: Verifiers, pool: Scorer) -> Part:
    """Problems whose reference answer their verifier accepts as right. Raises UsageError when no problem is left."""
    reasons = unusable_answers(problems, lambda problem: verifiers.first(problem, "accuracy"), pool)
    good = [problem for problem in problems if problem.id not in reasons]
    rejected = [Rejected.problem(problem, reasons[problem.id]) for problem in problems if problem.id in reasons]
    if problems and not good:
        first = rejected[0]
        where = f"{section}.path = '{first.source}'"
        raise UsageError(f"{where}: all {len(rejected)} answers are unusable; line {first.line}: {first.reason}")
    return good, rejected


def without_held_out(problems: list[Problem], section: str, held_out: Sequence[Prompt]) -> Part:
    """Training problems that are not in the held-out set, whatever their typography."""
    if not held_out:
        return problems, []
    questions = {duplicates.content_key(prompt.problem.text) for prompt in held_out}
    seen = [duplicates.content_key(problem.text) in questions for problem in problems]
    good = [problem for problem, leak in zip(problems, seen, strict=True) if not leak]
    leaked = [
        Rejected.problem(problem, "the question is in the held-out set")
        for problem, leak in zip(problems, seen, strict=True)
        if leak
    ]
    if problems and not good:
        raise UsageError(
            f"{section}.path = '{problems[0].source}': every training question is in the evaluation set too"
        )
    return good, leaked


def _longest(recipe: config.Recipe) -> int:
    """Tokens of the longest sequence that a recipe allows."""
    return recipe.data.max_prompt_tokens + recipe.rollout.max_new_tokens


def _check_context(recipe: config.Recipe, context: int) -> None:
    longest = _longest(recipe)
    if context and longest > context:
        raise UsageError(
            f"rollout.max_new_tokens = {recipe.rollout.max_new_tokens}: with data.max_prompt_tokens = "
            f"{recipe.data.max_prompt_tokens} a sequence may have {longest} tokens, but the model's context is "
            f"{context}"
        )
