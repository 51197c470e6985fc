"""A step of GRPO and of PPO once more: plain transformers models in float64, one response at a time, formulas as in the
papers, rollouts as a run recorded them. No code of r1zero computes here but the critic's first head and the rate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from r1zero.base import seeds
from r1zero.config import Recipe
from r1zero.models import fetch
from r1zero.models.value import load_scorer

Response = dict[str, Any]  # prompt and token_ids, rewards, log-probabilities, advantages


def recorded(run: Path, step: int) -> list[list[Response]]:
    """The groups of a step."""
    lines = (run / "rollouts" / f"step_{step:06d}.jsonl").read_text().splitlines()
    return [
        [{"prompt": group["prompt_ids"], **rollout} for rollout in group["rollouts"]]
        for group in map(json.loads, lines)
    ]


@dataclass
class Learner:
    """A model with AdamW on all of its weights, decay on none."""

    model: Any
    lr: float
    clip_grad: float
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.lr, betas=(0.9, 0.999), weight_decay=0.0)

    def step(self, loss: Tensor) -> float:
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_grad)
        self.optimizer.step()
        return float(norm)


def policy_of(recipe: Recipe) -> Any:
    from transformers import AutoModelForCausalLM

    path = fetch.resolve(recipe.model.path)
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64, attn_implementation="eager").eval()


def critic_of(recipe: Recipe) -> Any:
    seed = seeds.derive(recipe.run.seed, "critic")
    device = torch.device("cpu")
    critic = load_scorer(recipe.model.path, "critic.path", dtype=torch.float32, device=device, seed=seed)
    critic.set_attn_implementation("eager")
    return critic.double()


def distributions(model: Any, response: Response) -> tuple[Tensor, Tensor]:
    """log p of a response's tokens, and the entropies of what they were drawn from: [R], [R]."""
    prompt, tokens = response["prompt"], response["token_ids"]
    logits = model(input_ids=torch.tensor([[*prompt, *tokens]]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    logs = logits.log_softmax(-1)
    return logs.gather(1, torch.tensor(tokens)[:, None])[:, 0], -(logs.exp() * logs).sum(-1)


def values(model: Any, response: Response) -> Tensor:
    """What a critic expects before each token of a response: [R]."""
    prompt, tokens = response["prompt"], response["token_ids"]
    hidden = model.base_model(input_ids=torch.tensor([[*prompt, *tokens]]), use_cache=False).last_hidden_state[0]
    return model.score(hidden[len(prompt) - 1 : -1])[:, 0]


def halves(groups: Sequence[list[Response]], count: int) -> list[list[Response]]:
    size = len(groups) // count
    return [[one for group in groups[start : start + size] for one in group] for start in range(0, len(groups), size)]


def joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts))


def grpo(recipe: Recipe, run: Path) -> list[dict[str, float]]:
    """The metrics of every step of a run with one update per step and the KL in the loss."""
    policy, reference = policy_of(recipe), policy_of(recipe)
    learner = Learner(policy, recipe.trainer.lr, recipe.trainer.clip_grad)
    found = []
    for step in range(1, recipe.run.steps + 1):
        groups = recorded(run, step)
        advantages = []
        for group in groups:
            rewards = np.array([one["reward"] for one in group])
            scaled = (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-6)
            advantages += [torch.full((len(one["token_ids"]),), a) for one, a in zip(group, scaled, strict=True)]
        responses = [one for group in groups for one in group]
        said = [distributions(policy, one) for one in responses]
        logprobs, entropy = (joined([part[place] for part in said]) for place in (0, 1))
        with torch.no_grad():
            known = joined([distributions(reference, one)[0] for one in responses])
        apart = known - logprobs
        kl = torch.exp(apart) - apart - 1
        ratio = torch.exp(logprobs - logprobs.detach())
        loss = (-joined(advantages).double() * ratio + (recipe.algorithm.kl or 0) * kl).mean()
        behaviour = joined([torch.tensor(one["logprobs"]) for one in responses]).double()
        metrics = {"rollout_kl": behaviour - logprobs, "entropy": entropy, "kl": kl, "loss": loss[None]}
        norm = learner.step(loss)
        found.append({**{name: float(value.detach().mean()) for name, value in metrics.items()}, "grad_norm": norm})
    return found


def ppo(recipe: Recipe, run: Path) -> list[dict[str, float]]:
    """The metrics of every step of a run without KL."""
    assert recipe.critic is not None and recipe.critic.value_clip is not None
    actor = Learner(policy_of(recipe), recipe.trainer.lr, recipe.trainer.clip_grad)
    critic = Learner(critic_of(recipe), recipe.critic.lr, recipe.critic.clip_grad)
    found = []
    for step in range(1, recipe.run.steps + 1):
        groups = recorded(run, step)
        explained = _credit(recipe, groups, actor.model, critic.model)
        low, high = 1 - recipe.algorithm.clip_low, 1 + recipe.algorithm.clip_high
        of_actor: list[dict[str, float]] = []
        for part in halves(groups, recipe.trainer.minibatches):
            said = [distributions(actor.model, one) for one in part]
            logprobs, entropy = (joined([pair[place] for pair in said]) for place in (0, 1))
            old, advantages = (joined([one[name] for one in part]) for name in ("old", "advantages"))
            ratio = torch.exp(logprobs - old)
            loss = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(low, high)).mean()
            shares = {
                "entropy": entropy,
                "clip_ratio/low": ((ratio < low) & (advantages < 0)).double(),
                "clip_ratio/high": ((ratio > high) & (advantages > 0)).double(),
                "loss": loss[None],
            }
            of_actor.append({name: float(value.detach().mean()) for name, value in shares.items()})
            of_actor[-1]["grad_norm"] = actor.step(loss)
        of_critic: list[dict[str, float]] = []
        for part in halves(groups, recipe.critic.minibatches):
            said_values, old, returns = (
                joined([values(critic.model, one) for one in part]),
                *(joined([one[name] for one in part]) for name in ("values", "returns")),
            )
            clip = recipe.critic.value_clip
            near = old + (said_values - old).clamp(-clip, clip)
            loss = 0.5 * torch.maximum((said_values - returns) ** 2, (near - returns) ** 2).mean()
            shares = {"critic/value": said_values, "critic/return": returns, "critic/loss": loss[None]}
            of_critic.append({name: float(value.detach().mean()) for name, value in shares.items()})
            of_critic[-1]["critic/grad_norm"] = critic.step(loss)
        means = {
            name: float(np.mean([share[name] for share in part])) for part in (of_actor, of_critic) for name in part[0]
        }
        found.append({**means, "critic/explained_variance": explained})
    return found


@torch.no_grad()
def _credit(recipe: Recipe, groups: Sequence[list[Response]], actor: Any, critic: Any) -> float:
    """Put old log-probabilities, values, advantages and returns to every response; the variance that the critic
    explained."""
    responses = [one for group in groups for one in group]
    for one in responses:
        one["old"], one["values"] = distributions(actor, one)[0], values(critic, one)
        rewards = torch.zeros(len(one["token_ids"]), dtype=torch.float64)
        rewards[-1] = one["reward"]
        following, raw = 0.0, torch.zeros_like(rewards)
        later = torch.cat((one["values"][1:], torch.zeros(1, dtype=torch.float64)))
        delta = rewards + recipe.algorithm.gamma * later - one["values"]
        for place in reversed(range(len(rewards))):
            following = float(delta[place]) + recipe.algorithm.gamma * recipe.algorithm.gae_lambda * following
            raw[place] = following
        one["advantages"], one["returns"] = raw, raw + one["values"]
    every, returns, said = (joined([one[name] for one in responses]) for name in ("advantages", "returns", "values"))
    for one in responses:
        one["advantages"] = (one["advantages"] - every.mean()) / (every.std(correction=0) + 1e-8)
    return float(1 - (returns - said).var(correction=0) / returns.var(correction=0))
