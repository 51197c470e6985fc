"""Sampling and scoring at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait

from r1zero.grading import rollouts
from r1zero.grading.combine import Verifiers
from r1zero.grading.pool import ScorerPool
from r1zero.types import Completion, Problem, Prompt, Sampling, Score
from tests.conftest import ByteTokenizer, prompt_of
from tests.fakes import ScriptedEngine


class Watched(ScorerPool):
    """A farm that remembers what it was asked."""

    futures: list[Future[Score]]

    def submit(self, name: str, problem: Problem, text: str) -> Future[Score]:
        self.futures.append(super().submit(name, problem, text))
        return self.futures[-1]


class Patient(ScriptedEngine):
    """Samples the next group only when the last one has been scored: scoring at the end would never finish."""

    pool: Watched

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        for index, completions in super().generate(prompts[::-1], sampling):
            yield len(prompts) - 1 - index, completions
            assert not wait(self.pool.futures, timeout=60).not_done


def test_groups_are_scored_while_the_next_are_sampled() -> None:
    tokenizer = ByteTokenizer()
    verifiers = Verifiers({"acc": 1.0})
    prompts = [prompt_of([number], answer=str(number)) for number in range(3, 7)]
    with Watched(workers=2, timeout_seconds=5.0, memory_mib=1024) as pool:
        pool.futures = []
        engine = Patient(tokenizer, ["\\boxed{3}", "\\boxed{4}"])
        engine.pool = pool
        sampling = Sampling(n=2, max_new_tokens=16)
        groups_seen: list[int] = []
        pending = rollouts.sample(
            engine, pool, prompts, sampling, verifiers, tokenizer.decode, lambda: groups_seen.append(len(pool.futures))
        )
        groups = rollouts.grade(prompts, pending, verifiers)
    assert groups_seen == [2, 4, 6, 8]
    assert [list(group.rewards) for group in groups] == [[1.0, -0.5], [-0.5, 1.0], [-0.5, -0.5], [-0.5, -0.5]]
