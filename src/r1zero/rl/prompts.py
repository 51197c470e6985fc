"""From a recipe's sources to a stream of prompts, and the rows that are not used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from r1zero import config
from r1zero.base.files import fingerprint
from r1zero.data.held_out import without_held_out
from r1zero.data.mixing import Mixture
from r1zero.data.problems import Part, Rejected, read_problems
from r1zero.data.prompts import to_prompts
from r1zero.engine.policy import Policy
from r1zero.grading.combine import Verifiers
from r1zero.grading.reference import verifiable
from r1zero.grading.scorer import Scorer
from r1zero.types import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptStream:
    """Prompts of all sources, one source after the other, and the endless order in which they are drawn."""

    prompts: Sequence[Prompt]
    mixture: Mixture
    seed: int
    shuffle: bool
    fingerprints: Mapping[str, str]  # of each source's prompts, by its section

    def take(self, position: int, count: int) -> list[Prompt]:
        """The `count` prompts from a position of the order on; the same for the same position, whenever asked."""
        chosen = self.mixture.indices(position=position, count=count, seed=self.seed, shuffle=self.shuffle)
        return [self.prompts[index] for index in chosen]


def prompt_stream(
    recipe: config.Recipe,
    read: Mapping[str, Part],
    held_out: Sequence[Prompt],
    policy: Policy,
    verifiers: Verifiers,
    pool: Scorer,
) -> tuple[PromptStream, list[Rejected]]:
    """The usable prompts of what was read, by section, and all rows that are not used. Raises UsageError for a source
    of which nothing is left."""
    parts: dict[str, list[Prompt]] = {}
    unused: list[Rejected] = []
    for section, (problems, rejected) in read.items():
        problems, unverifiable = verifiable(problems, section, verifiers, pool)
        problems, leaked = without_held_out(problems, section, held_out)
        parts[section], unusable = to_prompts(problems, recipe.data, policy.tokenizer, policy.rendered)
        unused += [*rejected, *unverifiable, *leaked, *unusable]
    stream = PromptStream(
        prompts=[prompt for part in parts.values() for prompt in part],
        mixture=Mixture.of(recipe.data, [len(part) for part in parts.values()]),
        seed=recipe.run.seed,
        shuffle=recipe.data.shuffle,
        fingerprints={section: _fingerprint(part) for section, part in parts.items()},
    )
    return stream, unused


def read_sources(data: config.Data) -> dict[str, Part]:
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


def _fingerprint(prompts: Sequence[Prompt]) -> str:
    """Of the problems that a run draws from, in their order: a position in them means nothing in others."""
    problems = (prompt.problem for prompt in prompts)
    return fingerprint(
        text.encode(errors="surrogatepass")
        for problem in problems
        for text in (problem.id, repr(problem.question), problem.answer)
    )
