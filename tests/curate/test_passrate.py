"""Pass rates: strictly inside the band, and samples that are never paid for twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from r1zero.base import device
from r1zero.base.errors import Interrupted, UsageError
from r1zero.config import CurateRecipe, Recipe, load
from r1zero.curate.chain import curate
from r1zero.curate.passrate import Sampler, band, pass_rate
from r1zero.data.prompts import to_prompts
from r1zero.engine.policy import load_policy
from r1zero.grading.pool import ScorerPool
from r1zero.types import Completion, Prompt, Sampling

from ..data.curation.problems import problems
from ..fakes import ScriptedEngine
from ..recipes import write_recipe


def graded(*marks: float, verdict: str = "graded") -> list[dict[str, Any]]:
    return [{"accuracy": mark, "verdict": verdict} for mark in marks]


def test_pass_rate_of_a_record() -> None:
    assert pass_rate({"rollouts": graded(1.0, 0.0, 0.0, 1.0)}) == 0.5
    assert pass_rate({"rollouts": graded(1.0) + graded(1.0, verdict="timeout")}) == 0.5
    assert pass_rate({"rollouts": graded(1.0) + graded(0.0, verdict="unverifiable")}) == 1.0
    assert pass_rate({"rollouts": graded(1.0) + graded(0.0, verdict="error")}) == 1.0
    assert pass_rate({"rollouts": graded(0.0, verdict="unverifiable")}) is None


def test_the_band_is_open_on_both_sides() -> None:
    texts = problems("a", "b", "c", "d", "e", "f")
    rates = dict(
        zip(["train:1", "train:2", "train:3", "train:4", "train:5"], [0.25, 0.3, 0.75, 1.0, None], strict=True)
    )
    outcome = band(texts, rates, {("train", 6): "too long"}, low=0.25, high=0.75)
    assert [(problem.line, problem.extra["pass_rate"]) for problem in outcome.kept] == [(2, 0.3)]
    assert [(r.problem.line, r.reason, r.detail) for r in outcome.removed] == [
        (1, "too hard: pass rate <= 0.25", "pass rate 0.25"),
        (3, "too easy: pass rate >= 0.75", "pass rate 0.75"),
        (4, "too easy: pass rate >= 0.75", "pass rate 1"),
        (5, "no verdict", "no sample could be judged"),
        (6, "no usable prompt", "too long"),
    ]


class Halves(ScriptedEngine):
    """Knows the answer to every second sample, and how often it was asked."""

    asked = 0

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[tuple[int, tuple[Completion, ...]]]:
        for index, prompt in enumerate(prompts):
            self.asked += 1
            right = f"<think></think><answer>\\boxed{{{prompt.problem.answer}}}</answer>"
            yield index, tuple(self._completion(right if n % 2 else f"{sampling.seed}") for n in range(sampling.n))


@pytest.fixture
def sampler(tmp_path: Path) -> Iterator[tuple[Sampler, list[Prompt]]]:
    recipe = load(Recipe, write_recipe(tmp_path))
    policy = load_policy(recipe, device.select("cpu", "fp32", threads=1))
    prompts, _ = to_prompts(
        problems(*(f"1{n}+22+33=?" for n in range(6)), answer="7"), recipe.data, policy.tokenizer, policy.rendered
    )
    with ScorerPool.of(recipe.rewards) as pool:
        yield Sampler.of(recipe, policy, Halves(policy.tokenizer, []), pool, 4, tmp_path / "samples"), prompts


def engine(sampler: Sampler) -> Halves:
    assert isinstance(sampler.engine, Halves)
    return sampler.engine


def test_samples_are_kept_and_found_again(sampler: tuple[Sampler, list[Prompt]]) -> None:
    one, prompts = sampler
    first = one.records(prompts[:4], chunk=2, seed=0, check=lambda: None)
    assert {pass_rate(record) for record in first.values()} == {0.5} and engine(one).asked == 4
    assert len(list(one.folder.iterdir())) == 2
    again = one.records(prompts, chunk=2, seed=0, check=lambda: None)
    assert engine(one).asked == 6, "only the two new problems are sampled"
    assert json.loads(json.dumps(first)) == {key: again[key] for key in first}
    record = next(iter(again.values()))
    assert set(record["rollouts"][0]) >= {"text", "token_ids", "logprobs", "reward", "verdict"}


def test_a_stopped_command_goes_on_where_it_was_with_the_same_samples(
    sampler: tuple[Sampler, list[Prompt]], tmp_path: Path
) -> None:
    one, prompts = sampler
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise Interrupted

    with pytest.raises(Interrupted):
        one.records(prompts, chunk=2, seed=0, check=stop)
    assert len(list(one.folder.glob("*.jsonl"))) == 2
    resumed = one.records(prompts, chunk=2, seed=0, check=lambda: None)
    from dataclasses import replace

    undisturbed = replace(one, folder=tmp_path / "other").records(prompts, chunk=2, seed=0, check=lambda: None)
    assert json.loads(json.dumps(undisturbed)) == json.loads(json.dumps(resumed))


def test_what_shapes_a_sample_is_in_its_key(sampler: tuple[Sampler, list[Prompt]]) -> None:
    from dataclasses import replace

    one, prompts = sampler
    key = one.key(prompts[0])
    assert key == replace(one, sampling=replace(one.sampling, seed=7)).key(prompts[0])
    others = [
        one.key(prompts[1]),
        replace(one, sampling=replace(one.sampling, temperature=0.5)).key(prompts[0]),
        replace(one, identity="another").key(prompts[0]),
        one.key(replace(prompts[0], problem=replace(prompts[0].problem, answer="8"))),
    ]
    assert len({key, *others}) == 5


def test_the_step_with_the_miniature(tmp_path: Path) -> None:
    """A real policy, from the recipe it will be trained with."""
    train = write_recipe(tmp_path)
    rows = [{"question": f"{a}+{a + 3}+{a + 5}=?", "answer": str(3 * a + 8)} for a in range(10, 22)]
    (tmp_path / "sums.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows) + json.dumps({"question": "1" * 50, "answer": "1"})
    )
    recipe = tmp_path / "curate.yaml"
    recipe.write_text(
        f"run: {{dir: {tmp_path}/out}}\nsources: [{{path: {tmp_path}/sums.jsonl}}]\n"
        f"steps:\n  - {{step: pass_rate, recipe: {train}, samples: 8, low: 0, high: 1}}\n"
    )
    out = curate(load(CurateRecipe, recipe))
    kept = [json.loads(line) for line in (out / "sums.jsonl").read_text().splitlines()]
    assert kept and {row["pass_rate"] for row in kept} <= {eighth / 8 for eighth in range(1, 8)}
    removed = [json.loads(line) for line in (out / "removed" / "01_pass_rate.jsonl").read_text().splitlines()]
    assert len(kept) + len(removed) == 13
    assert {row["reason"] for row in removed if row["line"] < 13} <= {
        "too hard: pass rate <= 0",
        "too easy: pass rate >= 1",
    }
    assert [(row["reason"], row["detail"]) for row in removed if row["line"] == 13] == [
        ("no usable prompt", "the prompt has 52 tokens, more than data.max_prompt_tokens = 16")
    ]
    (samples,) = (tmp_path / "out" / "samples").iterdir()
    assert len(samples.read_text().splitlines()) == 12


def test_without_a_verifier_of_accuracy(tmp_path: Path) -> None:
    changes = ["rewards.verifier_function=[strict_format]", "rewards.verifier_weight=[1.0]"]
    recipe = load(Recipe, write_recipe(tmp_path), changes)
    policy = load_policy(recipe, device.select("cpu", "fp32", threads=1))
    with ScorerPool.of(recipe.rewards) as pool:
        with pytest.raises(UsageError, match="none measures accuracy; a pass rate needs one, such as acc"):
            Sampler.of(recipe, policy, ScriptedEngine(policy.tokenizer, []), pool, 4, tmp_path)
