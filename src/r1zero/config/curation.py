"""The keys of a curation recipe: sources, and the steps they go through in order."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from r1zero.config.data import Source, TrainingSource
from r1zero.config.rewards import named_twice
from r1zero.config.section import Conflicts, FilledLocation, Location, Section


class CurationRun(Section):
    dir: FilledLocation
    """Folder for the curated data set, its report and the samples of pass-rate steps."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    examples: int = Field(default=5, ge=0)
    """Removed problems shown per step and reason; all of them are in removed/."""
    max_bad_fraction: float = Field(default=0.1, ge=0, le=1)
    """More unreadable rows than this share of a source stop the command."""


class Schema(Section):
    step: Literal["schema"]
    min_characters: int = Field(default=8, ge=0)
    """Of the question."""
    max_characters: int = Field(default=8000, ge=1)
    """Of the question."""
    max_answer_characters: int = Field(default=200, ge=1)
    figures: bool = False
    """Keep questions that speak of a figure they do not bring."""


class Language(Section):
    step: Literal["language"]
    languages: tuple[str, ...] = Field(default=("en",), min_length=1)
    """ISO 639-1 codes."""
    confidence: float = Field(default=0.98, gt=0, le=1)
    """Probability of being in none of them from which a question is removed."""


class Verifiable(Section):
    step: Literal["verifiable"]
    verifier: str = "acc"
    """Has to accept the reference answer as its own answer."""
    timeout_seconds: float = Field(default=5.0, gt=0, le=86_400)
    """Wall-clock limit of one verdict; an answer that needs longer cannot be judged."""
    memory_mib: int = Field(default=1024, ge=256, le=2**24)
    """Address space of a worker process."""
    workers: int = Field(default=0, ge=0, le=4096)
    """Worker processes; 0 is one per usable core, at most 8."""


class ExactDuplicates(Section):
    step: Literal["exact_duplicates"]


class NearDuplicates(Section):
    step: Literal["near_duplicates"]
    threshold: float = Field(default=0.4, gt=0, le=1)
    """Jaccard similarity of word n-grams from which wording counts as the same."""
    ngram: int = Field(default=2, ge=1)
    """Words per n-gram."""


class Similar(Section):
    step: Literal["similar"]
    model: FilledLocation
    """Sentence-embedding model: a folder, a Hugging Face id, or `minilm` if its package is installed."""
    threshold: float = Field(default=0.85, gt=0, le=1)
    """Cosine from which wording counts as the same."""


class Decontaminate(Section):
    step: Literal["decontaminate"]
    mode: Literal["open_r1", "strict"] = "strict"
    """open_r1: one shared word n-gram. strict: the same formulas and much of the wording."""
    against: tuple[Source, ...] = Field(min_length=1)
    """Evaluation sets."""
    ngram: int = Field(default=8, ge=1)
    """Words per n-gram, of open_r1."""


class PassRate(Section):
    step: Literal["pass_rate"]
    recipe: FilledLocation
    """A training recipe: its model, template, rollout and rewards sections say who answers, how, and who judges."""
    overrides: tuple[str, ...] = ()
    """What is different about it here, as section.key=value."""
    samples: int = Field(default=8, ge=1)
    """Per problem."""
    low: float = Field(default=0.0, ge=0, le=1)
    """Problems that are solved more often than this ..."""
    high: float = Field(default=1.0, ge=0, le=1)
    """... and less often than this are kept."""
    prompts_per_chunk: int = Field(default=64, ge=1)
    """Problems sampled and kept at a time; a stopped command goes on after the last full chunk."""
    samples_dir: Location = ""
    """Where samples are kept and looked for; empty is run.dir/samples."""


class Difficulty(Section):
    step: Literal["difficulty"]
    column: str = "pass_rate"
    """Number to cut at the edges: pass_rate, or a level the data brings."""
    edges: tuple[float, ...] = Field(min_length=1)
    """Ascending; a value at an edge belongs to the bucket above."""
    names: tuple[str, ...]
    """One more than edges, from the lowest values to the highest."""
    weights: tuple[float, ...] = ()
    """Of each bucket among the prompts of training; empty is by size."""


Step: TypeAlias = Annotated[
    Schema | Language | Verifiable | ExactDuplicates | NearDuplicates | Similar | Decontaminate | PassRate | Difficulty,
    Field(discriminator="step"),
]


class CurateRecipe(Section):
    """From raw files to a data set to train on: `r1zero curate`."""

    run: CurationRun
    sources: tuple[TrainingSource, ...] = Field(min_length=1)
    steps: tuple[Step, ...]

    def conflicts(self) -> Conflicts:
        found: Conflicts = []
        weighted = sum(source.weight is not None for source in self.sources)
        if weighted not in (0, len(self.sources)):
            found.append(("sources", f"{weighted} of {len(self.sources)} have a weight; give all or none one"))
        for number, source in enumerate(self.sources):
            found += named_twice(f"sources.{number}.verifiers", source.verifiers)
        for number, step in enumerate(self.steps):
            if isinstance(step, PassRate) and step.low >= step.high:
                found.append((f"steps.{number}.low", f"nothing lies between it and high = {step.high}; lower it"))
            if isinstance(step, Difficulty):
                found += _bucket_conflicts(f"steps.{number}", step)
        if sum(isinstance(step, Difficulty) for step in self.steps) > 1:
            found.append(("steps", "has several difficulty steps; a problem is in one bucket, keep one"))
        return found


def _bucket_conflicts(where: str, step: Difficulty) -> Conflicts:
    found: Conflicts = []
    buckets = len(step.edges) + 1
    if list(step.edges) != sorted(set(step.edges)):
        found.append((f"{where}.edges", "must ascend"))
    if len(step.names) != buckets or len(set(step.names)) != buckets:
        found.append((f"{where}.names", f"must be {buckets} different names, one more than edges"))
    if any(not name.replace("_", "").replace("-", "").isalnum() for name in step.names):
        found.append((f"{where}.names", "names become file names: use letters, digits, - and _"))
    if step.weights and (len(step.weights) != buckets or min(step.weights) < 0 or not sum(step.weights)):
        found.append((f"{where}.weights", f"must be {buckets} numbers >= 0, one of them above 0"))
    return found
