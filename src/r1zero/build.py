"""From a recipe to the parts the loop works with. Everything a recipe can get wrong is found here, before any work."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from r1zero import config, seeds
from r1zero.algorithms import Algorithm
from r1zero.algorithms import build as build_algorithm
from r1zero.checkpoint.folder import RunFolder
from r1zero.data import sources
from r1zero.data.problems import Rejected, to_problems
from r1zero.data.prompts import Renderer, renderer, to_prompts
from r1zero.device import Device
from r1zero.engine.base import RolloutEngine
from r1zero.engine.native import NativeEngine
from r1zero.errors import UsageError
from r1zero.evaluate import Evaluator
from r1zero.log import Progress, log
from r1zero.memory import Memory
from r1zero.models.flops import ModelFlops, model_flops
from r1zero.models.forward import token_logprobs
from r1zero.models.load import load_model, longest_context, stop_token_ids
from r1zero.models.value import load_critic, token_values
from r1zero.rewards import math
from r1zero.rewards.catalog import verifier
from r1zero.rewards.pool import ScorerPool
from r1zero.sync.shared import SharedWeights, WeightChannel
from r1zero.trainer.trainer import Trainer
from r1zero.types import Problem, Prompt, Sampling, TokenLogprobs, TokenValues

_CRITIC = "critic"  # folder of a checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What `loop.train` introduces to each other."""

    recipe: config.Recipe
    algorithm: Algorithm
    prompts: list[Prompt]
    evaluator: Evaluator | None
    engine: RolloutEngine
    pool: ScorerPool
    trainer: Trainer[TokenLogprobs]
    critic: Trainer[TokenValues] | None
    reference: Any | None
    memory: Memory
    channel: WeightChannel
    sampling: Sampling
    decode: Callable[[Any], str]
    flops: ModelFlops

    def publish_weights(self, version: int) -> None:
        self.channel.send(self.trainer.weights(), version)
        self.engine.load_weights(*self.channel.receive())

    def save(self, folder: Path) -> None:
        """Everything that learns or remembers, for a checkpoint."""
        self.trainer.save(folder)
        self.memory.save(folder)
        if self.critic is not None:
            self.critic.save(folder / _CRITIC)

    def load(self, folder: Path) -> None:
        """Continue exactly where `save` left off."""
        self.trainer.load(folder)
        self.memory.load(folder, self.prompts)
        if self.critic is not None:
            self.critic.load(folder / _CRITIC)

    def discard_gradients(self) -> None:
        self.trainer.discard_gradients()
        if self.critic is not None:
            self.critic.discard_gradients()


def build(recipe: config.Recipe, device: Device, folder: RunFolder, pool: ScorerPool) -> Parts:
    """Load and check everything a training run needs, cheap checks first. Raises UsageError for the first mistake; rows
    that cannot be used go to the folder's quarantine."""
    algorithm = build_algorithm(recipe.algorithm)
    _check_critic(recipe, algorithm)
    problems, rejected = _read(recipe.data, "data")
    policy = load_policy(recipe, device)
    evaluator = build_evaluator(recipe, policy, folder, pool) if recipe.evaluation else None
    problems, unverifiable = _verifiable(problems, "data", recipe, pool)
    problems, leaked = _without_held_out(problems, evaluator.prompts if evaluator else [])
    prompts, unusable = to_prompts(problems, recipe.data, policy.tokenizer, policy.rendered)
    folder.quarantine_rows([*rejected, *unverifiable, *leaked, *unusable])
    log.info(f"{len(prompts)} prompts from {recipe.data.path}; {recipe.arithmetic()}")
    return Parts(
        recipe=recipe,
        algorithm=algorithm,
        prompts=prompts,
        evaluator=evaluator,
        reference=copy.deepcopy(policy.model).requires_grad_(False) if algorithm.needs_reference else None,
        trainer=Trainer(
            policy.model,
            policy.tokenizer,
            recipe.trainer,
            total_updates=recipe.run.steps * recipe.updates_per_step(),
            predict=partial(token_logprobs, temperature=recipe.rollout.temperature),
            gradient_checkpointing=recipe.model.gradient_checkpointing,
        ),
        critic=build_critic(recipe, recipe.critic, policy.tokenizer, device) if recipe.critic else None,
        memory=Memory(recipe.algorithm.kl),
        engine=build_engine(recipe, policy),
        pool=pool,
        channel=SharedWeights(),
        sampling=policy.sampling,
        decode=policy.decode,
        flops=model_flops(policy.model),
    )


def build_critic(
    recipe: config.Recipe, settings: config.Critic, tokenizer: Any, device: Device
) -> Trainer[TokenValues]:
    path = settings.path or recipe.model.path
    model = load_critic(
        path,
        dtype=device.dtype,
        device=device.torch_device,
        seed=seeds.derive(recipe.run.seed, "critic"),
        trust_remote_code=recipe.model.trust_remote_code,
    )
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
        return self.tokenizer.decode(token_ids, skip_special_tokens=True)


def load_policy(recipe: config.Recipe, device: Device) -> Policy:
    for name in recipe.rewards.verifier_function:
        verifier(name)
    settings = recipe.model
    model, tokenizer = load_model(
        settings.path,
        dtype=device.dtype,
        device=device.torch_device,
        trust_remote_code=settings.trust_remote_code,
    )
    _check_context(recipe, longest_context(model))
    rendered = renderer(recipe.data, tokenizer)
    return Policy(
        model=model, tokenizer=tokenizer, rendered=rendered, sampling=_sampling(recipe, model, tokenizer, rendered)
    )


def build_engine(recipe: config.Recipe, policy: Policy) -> RolloutEngine:
    return NativeEngine(policy.model, policy.tokenizer, kv_cache_gib=recipe.rollout.kv_cache_gib)


def build_evaluator(recipe: config.Recipe, policy: Policy, folder: RunFolder, pool: ScorerPool) -> Evaluator:
    """The held-out set of a recipe that has one."""
    assert recipe.evaluation is not None
    problems, rejected = _read(recipe.evaluation, "evaluation")
    problems, unverifiable = _verifiable(problems, "evaluation", recipe, pool)
    prompts, unusable = to_prompts(problems, recipe.data, policy.tokenizer, policy.rendered)
    folder.quarantine_rows([*rejected, *unverifiable, *unusable])
    return Evaluator(
        settings=recipe.evaluation,
        rewards=recipe.rewards,
        prompts=prompts,
        sampling=policy.sampling,
        decode=policy.decode,
    )


def _read(source: config.Source, section: str) -> tuple[list[Problem], list[Rejected]]:
    try:
        return to_problems(sources.read(source), source)
    except UsageError as error:
        raise UsageError(f"{section}.{error}") from None


def _verifiable(
    problems: list[Problem], section: str, recipe: config.Recipe, pool: ScorerPool
) -> tuple[list[Problem], list[Rejected]]:
    """Problems whose reference answer the recipe's verifier accepts as right. Answers are data, so whatever is not a
    plain number is judged in the pool, under its limits. Raises UsageError when no problem is left."""
    names = [name for name in recipe.rewards.verifier_function if verifier(name).measures == "accuracy"]
    if not names or not problems:
        return problems, []
    doubtful = {
        problem.id: pool.submit(names[0], problem, f"<think></think><answer>\\boxed{{{problem.answer}}}</answer>")
        for problem in problems
        if math.plain_number(problem.answer) is None
    }
    progress = Progress("checking reference answers", len(doubtful), "answers")
    good, rejected = [], []
    for problem in problems:
        score = doubtful[problem.id].result() if problem.id in doubtful else None
        progress.advance(score is not None)
        if score is None or score.value >= verifier(names[0]).full_mark:
            good.append(problem)
        else:
            why = score.detail or "it does not equal itself"
            reason = f"no verifier can parse the answer '{problem.answer[:80]}' ({why})"
            rejected.append(Rejected.problem(problem, reason))
    if not good:
        first = rejected[0]
        where = f"{section}.path = '{first.source}'"
        raise UsageError(f"{where}: all {len(rejected)} answers are unusable; line {first.line}: {first.reason}")
    return good, rejected


def _without_held_out(problems: list[Problem], held_out: Sequence[Prompt]) -> tuple[list[Problem], list[Rejected]]:
    """Training problems that are not in the held-out set."""
    questions = {prompt.problem.text for prompt in held_out}
    good = [problem for problem in problems if problem.text not in questions]
    leaked = [
        Rejected.problem(problem, "the question is in the held-out set")
        for problem in problems
        if problem.text in questions
    ]
    if problems and not good:
        raise UsageError(f"data.path = '{problems[0].source}': every training question is in the evaluation set too")
    return good, leaked


def _check_context(recipe: config.Recipe, context: int) -> None:
    longest = recipe.data.max_prompt_tokens + recipe.rollout.max_new_tokens
    if context and longest > context:
        raise UsageError(
            f"rollout.max_new_tokens = {recipe.rollout.max_new_tokens}: with data.max_prompt_tokens = "
            f"{recipe.data.max_prompt_tokens} a sequence may have {longest} tokens, but the model's context is "
            f"{context}"
        )


def _sampling(recipe: config.Recipe, model: Any, tokenizer: Any, rendered: Renderer) -> Sampling:
    """A stop string that is one token stops by its id; longer ones are looked for in the text."""
    stop_tokens, stop_strings = set(stop_token_ids(model, tokenizer)), []
    for stop in (*rendered.stop, *recipe.rollout.stop):
        ids = tokenizer(stop, add_special_tokens=False)["input_ids"]
        if len(ids) == 1:
            stop_tokens.add(ids[0])
        else:
            stop_strings.append(stop)
    return Sampling(
        n=recipe.algorithm.group_size,
        temperature=recipe.rollout.temperature,
        top_k=recipe.rollout.top_k,
        top_p=recipe.rollout.top_p,
        min_p=recipe.rollout.min_p,
        max_new_tokens=recipe.rollout.max_new_tokens,
        stop_token_ids=frozenset(stop_tokens),
        stop_strings=tuple(stop_strings),
    )
