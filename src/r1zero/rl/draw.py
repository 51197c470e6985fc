"""Draw: prompts become the graded groups of a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from r1zero import config
from r1zero.algorithms import Algorithm
from r1zero.base import seeds
from r1zero.base.log import Progress, log
from r1zero.engine.base import RolloutEngine
from r1zero.grading import rollouts
from r1zero.grading.combine import Verifiers
from r1zero.grading.scorer import Scorer
from r1zero.rl.prompts import PromptStream
from r1zero.rl.samples import learnable, left_out
from r1zero.run.session import Watch
from r1zero.types import Group, Prompt, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollouts:
    """Samples and grades prompts."""

    engine: RolloutEngine
    pool: Scorer
    verifiers: Verifiers
    sampling: Sampling
    decode: Callable[[Any], str]
    seed: int

    def groups(self, prompts: Sequence[Prompt], step: int, drawn: int, watch: Watch) -> list[Group]:
        """Groups of `prompts`, the step's batch number `drawn`: their random numbers depend on both."""
        address = (step, drawn) if drawn else (step,)
        sampling = replace(self.sampling, seed=seeds.derive(self.seed, "rollout", *address))
        progress = Progress(f"step {step}", len(prompts) * sampling.n, "rollouts")

        def on_group() -> None:
            progress.advance(sampling.n)
            watch.check()

        with watch.clock("rollout"):
            pending = rollouts.sample(self.engine, self.pool, prompts, sampling, self.verifiers, self.decode, on_group)
        with watch.clock("score"):
            return rollouts.grade(prompts, pending, self.verifiers)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """A step's groups: those `sampled` from `prompts` prompts, those it learns from, those left for the next step."""

    sampled: list[Group]
    kept: list[Group]
    surplus: tuple[Group, ...]
    carried: int  # of those kept, sampled in an earlier step
    prompts: int
    rounds: int
    left_out: int  # responses sampled whose verifiers failed

    def metrics(self) -> dict[str, float]:
        return {
            "groups/sampled": len(self.sampled),
            "groups/kept": len(self.kept),
            "groups/carried": self.carried,
            "groups/surplus": len(self.surplus),
            "rollouts/left_out": self.left_out,
            "rounds": self.rounds,
        }


def draw(
    stream: PromptStream,
    maker: Rollouts,
    algorithm: Algorithm,
    rewards: config.Rewards,
    *,
    wanted: int,
    surplus: Sequence[Group],
    position: int,
    step: int,
    watch: Watch,
) -> Drawn:
    """Sample and grade a step's prompts, from `position` of the stream on; where the algorithm wants its batch of
    `wanted` groups full, again until enough are kept. Groups beyond that wait for the next step. Ctrl-C gives all up:
    nothing has been learned from them yet."""
    settings = algorithm.settings
    sampled: list[Group] = []
    kept = list(surplus)
    rounds = asked = 0
    while not rounds or (algorithm.refills and len(kept) < wanted and rounds < settings.max_rounds):
        # fewer where groups wait: or, once all groups are kept, as many would wait for ever, and be learned late
        count = wanted if rounds else wanted - len(kept)
        groups = maker.groups(stream.take(position + asked, count), step, rounds, watch)
        sampled += groups
        kept += learnable(groups, algorithm, rewards, maker.sampling.max_new_tokens)
        rounds += 1
        asked += count
    if algorithm.refills and len(kept) < wanted:
        log.warning(
            f"step {step}: {len(kept)} of {wanted} groups differ in {settings.filter_by} after {rounds} rounds; "
            f"raise algorithm.max_rounds, or choose problems that are sometimes solved"
        )
    return Drawn(
        sampled=sampled,
        kept=kept[:wanted],
        surplus=tuple(kept[wanted:]),
        carried=min(wanted, len(surplus)),
        prompts=asked,
        rounds=rounds,
        left_out=sum(left_out(rollout, rewards) for group in sampled for rollout in group.rollouts),
    )
