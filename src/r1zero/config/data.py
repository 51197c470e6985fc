"""The keys of `data` and `evaluation`: where problems come from, and how they are asked."""

from __future__ import annotations

from pydantic import Field

from r1zero.config.section import Conflicts, Filled, FilledLocation, Location, Section


class Columns(Section):
    question: str = "question"
    """Name of a column; `prompt.0.content` and `reward_model.ground_truth` are values inside of columns. A list of chat
    messages, also as JSON text, is a chat."""
    answer: str = "answer"


class Selection(Section):
    """Which rows of what `path` names."""

    path: FilledLocation
    """A file (.jsonl .json .csv .parquet .arrow .txt), a folder of them or a local copy of a hub repository,
    `reasoning-gym:TASK`, `r1zero:TASK`, `modelscope:OWNER/NAME`, or a Hugging Face dataset id."""
    split: str = "train"
    """Split of a Hugging Face dataset, of a folder, or of an `r1zero:` task; a single file is read whole."""
    subset: str = ""
    """Configuration of a Hugging Face dataset, or of a local copy of one, that has several."""
    options: dict[str, int | float | str | bool] = Field(default={})
    """Arguments of a generated task."""
    limit: int = Field(default=0, ge=0)
    """Use the first so many rows; 0 uses all."""


class Source(Selection):
    columns: Columns = Columns()
    answer_after: str = ""
    """Keep only what follows the last occurrence of this marker in the answer column (GSM8K: '####')."""


class Example(Section):
    question: str
    answer: str


class TrainingSource(Source):
    """One of several sources."""

    weight: float | None = Field(default=None, ge=0)
    """Share of the prompts, relative to the other sources' weights; null for all is as many as each has problems."""
    verifiers: dict[str, float] = Field(default={})
    """Verifiers with their weights for problems of this source; empty is those of rewards."""


class Phase(Section):
    after_prompts: int = Field(ge=1)
    """Prompts drawn before these weights hold; a step draws trainer.prompts_per_step."""
    weights: tuple[float, ...]
    """One per source, in their order."""


class Data(Source):
    path: Location = ""
    """A file (.jsonl .json .csv .parquet .arrow .txt), a folder of them or a local copy of a hub repository,
    `reasoning-gym:TASK`, `r1zero:TASK`, `modelscope:OWNER/NAME`, or a Hugging Face dataset id; or give sources."""
    sources: tuple[TrainingSource, ...] = ()
    """Several sources, mixed by weight: in every stretch of prompts each has its share."""
    curriculum: tuple[Phase, ...] = ()
    """Other weights of the sources later on."""
    template: Filled
    """Name in the templates file, or `chat` for the tokenizer's own chat template."""
    templates_file: Location = ""
    """YAML file with further templates."""
    examples: tuple[Example, ...] = ()
    """Worked examples shown as earlier turns of the chat."""
    max_prompt_tokens: int = Field(ge=1)
    """Longer prompts are dropped, counted and reported."""
    shuffle: bool = True

    def mixed(self) -> tuple[TrainingSource, ...]:
        """The sources, also of recipes that give one path."""
        if self.sources:
            return self.sources
        return (TrainingSource(**{name: getattr(self, name) for name in Source.model_fields}),)

    def conflicts(self) -> Conflicts:
        found: Conflicts = []
        if not self.path and not self.sources:
            found.append(("data.path", "missing; give data.path or data.sources"))
        changed = [name for name in Source.model_fields if getattr(self, name) != Data.model_fields[name].default]
        if self.sources and changed:
            found.append((f"data.{changed[0]}", "belongs to a single source; move it into data.sources"))
        weights = [source.weight for source in self.sources if source.weight is not None]
        if weights and (len(weights) < len(self.sources) or not sum(weights)):
            found.append(("data.sources", "give a weight to all sources or to none, and not only zeros"))
        paths = [(source.path, source.split, source.subset, source.options) for source in self.sources]
        if any(paths.count(path) > 1 for path in paths):
            found.append(("data.sources", "names a source twice; raise its weight instead"))
        for number, source in enumerate(self.sources):
            if any(
                other.path == source.path and other.verifiers != source.verifiers for other in self.sources[:number]
            ):
                found.append((f"data.sources.{number}.verifiers", "differ from those of the same path above"))
        before = 0
        for number, phase in enumerate(self.curriculum):
            key = f"data.curriculum.{number}"
            if len(phase.weights) != len(self.sources) or min(phase.weights, default=0) < 0 or not sum(phase.weights):
                found.append((f"{key}.weights", f"must be {len(self.sources)} numbers >= 0, one per source"))
            if phase.after_prompts <= before:
                found.append((f"{key}.after_prompts", "must be larger than the phase before's"))
            before = phase.after_prompts
        return found


class Evaluation(Source):
    samples: int = Field(default=4, ge=1)
    """Samples per problem; accuracy is their mean (pass@1)."""
    temperature: float = Field(default=1.0, ge=1e-4)
    top_p: float = Field(default=1.0, gt=0, le=1)
    greedy: bool = True
    """Also answer every problem once at temperature 0."""
    ema: bool = False
    """Evaluate the average of trainer.ema in place of the newest weights."""
