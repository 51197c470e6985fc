"""From a recipe to the parts the loop works with. Everything a recipe can get wrong is found here, before any work."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from r1zero import config
from r1zero.algorithms import Algorithm
from r1zero.algorithms import build as build_algorithm
from r1zero.base import seeds
from r1zero.base.device import Device
from r1zero.base.errors import UsageError
from r1zero.base.log import log
from r1zero.data.problems import Rejected
from r1zero.engine.open import open_engine
from r1zero.engine.policy import Policy, load_policy, longest, longest_prompt
from r1zero.evaluation.evaluator import Evaluator, evaluator_of
from r1zero.grading.combine import Verifiers
from r1zero.grading.scorer import Scorer
from r1zero.models.flops import ModelFlops, model_flops
from r1zero.models.forward import token_logprobs
from r1zero.models.loading import check_vocabulary
from r1zero.models.value import load_scorer, token_values
from r1zero.rl.draw import Rollouts
from r1zero.rl.prompts import PromptStream, prompt_stream, read_sources
from r1zero.rl.state import LoopState
from r1zero.sync.shared import SharedWeights, WeightChannel
from r1zero.trainer.base import Trainer
from r1zero.trainer.local import LocalTrainer
from r1zero.trainer.reference import Reference
from r1zero.types import Batch, Prompt, TokenLogprobs, TokenValues

_CRITIC = "critic"  # folder of a checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class RLParts:
    """What `loop.train` introduces to each other."""

    recipe: config.Recipe
    algorithm: Algorithm
    stream: PromptStream
    rollouts: Rollouts
    evaluator: Evaluator | None
    trainer: Trainer[TokenLogprobs]
    reference: Callable[[Batch], Tensor] | None  # log-probabilities [N] under the start weights
    critic: Trainer[TokenValues] | None
    channel: WeightChannel
    state: LoopState
    flops: ModelFlops

    def publish(self, version: int) -> None:
        """Send the trainer's weights to the engine."""
        self.channel.send(self.trainer.own_weights(), version)
        self.rollouts.engine.load_weights(*self.channel.receive())

    @contextmanager
    def evaluated(self, version: int) -> Generator[None, None, None]:
        """Inside, the engine samples from the weights that the recipe wants evaluated."""
        if self.recipe.evaluation is None or not self.recipe.evaluation.ema:
            yield
            return
        with self.trainer.averaged():
            self.publish(version)
            yield
        self.publish(version)

    def save(self, folder: Path) -> None:
        """Everything that learns or remembers, for a checkpoint."""
        self.trainer.save(folder)
        self.state.save(folder)
        if self.critic is not None:
            self.critic.save(folder / _CRITIC)

    def load(self, folder: Path) -> None:
        """Continue exactly where `save` left off."""
        self.trainer.load(folder)
        self.state.load(folder, self.stream.prompts)
        if self.critic is not None:
            self.critic.load(folder / _CRITIC)

    def discard_gradients(self) -> None:
        self.trainer.discard_gradients()
        if self.critic is not None:
            self.critic.discard_gradients()


def rl_parts(
    recipe: config.Recipe, device: Device, pool: Scorer, quarantine: Callable[[list[Rejected]], None]
) -> RLParts:
    """Load and check everything a training run needs, cheap checks first. Raises UsageError for the first mistake; rows
    that cannot be used go to `quarantine`."""
    algorithm = build_algorithm(recipe.algorithm)
    _check_critic(recipe, algorithm)
    verifiers = Verifiers.of(recipe)
    read = read_sources(recipe.data)
    policy = load_policy(recipe, device)
    evaluator = None
    if recipe.evaluation is not None:
        evaluator, unused = evaluator_of(recipe, policy, pool)
        quarantine(unused)
    held_out: Sequence[Prompt] = evaluator.prompts if evaluator else ()
    stream, unused = prompt_stream(recipe, read, held_out, policy, verifiers, pool)
    quarantine(unused)
    paths = ", ".join(source.path for source in recipe.data.mixed())
    log.info(f"{len(stream.prompts)} prompts from {paths}; {recipe.arithmetic()}")
    return RLParts(
        recipe=recipe,
        algorithm=algorithm,
        stream=stream,
        rollouts=_rollouts(recipe, policy, verifiers, pool, stream, evaluator),
        evaluator=evaluator,
        reference=_reference(recipe, policy) if algorithm.needs_reference else None,
        trainer=LocalTrainer(
            policy.model,
            policy.tokenizer,
            recipe.trainer,
            total_updates=recipe.run.steps * recipe.updates_per_step(),
            predict=partial(token_logprobs, temperature=recipe.rollout.temperature),
            gradient_checkpointing=recipe.model.gradient_checkpointing,
        ),
        critic=_critic(recipe, recipe.critic, policy.tokenizer, device) if recipe.critic else None,
        channel=SharedWeights(),
        state=LoopState(recipe.algorithm.kl),
        flops=model_flops(policy.model),
    )


def _rollouts(
    recipe: config.Recipe,
    policy: Policy,
    verifiers: Verifiers,
    pool: Scorer,
    stream: PromptStream,
    evaluator: Evaluator | None,
) -> Rollouts:
    """Raises UsageError unless the engine has room for a group of any of the prompts."""
    engine = open_engine(recipe.rollout, policy.model, policy.tokenizer)
    engine.load_weights((), version=0)  # an engine whose weights stay says so here, before anything has begun
    engine.check_room(longest_prompt(stream.prompts), policy.sampling)
    if evaluator is not None:
        sampling = replace(policy.sampling, n=evaluator.settings.samples)
        engine.check_room(longest_prompt(evaluator.prompts), sampling)
    return Rollouts(
        engine=engine,
        pool=pool,
        verifiers=verifiers,
        sampling=policy.sampling,
        decode=policy.decode,
        seed=recipe.run.seed,
    )


def _reference(recipe: config.Recipe, policy: Policy) -> Callable[[Batch], Tensor]:
    return partial(Reference(policy.model).logprobs, temperature=recipe.rollout.temperature)


def _critic(recipe: config.Recipe, settings: config.Critic, tokenizer: Any, device: Device) -> Trainer[TokenValues]:
    path = settings.path or recipe.model.path
    model = load_scorer(
        path,
        "critic.path",
        dtype=device.dtype,
        device=device.torch_device,
        seed=seeds.derive(recipe.run.seed, "critic"),
        trust_remote_code=recipe.model.trust_remote_code,
        lora=settings.lora,
        longest=longest(recipe),
    )
    check_vocabulary(model, tokenizer, f"critic.path = '{path}'")
    return LocalTrainer(
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
