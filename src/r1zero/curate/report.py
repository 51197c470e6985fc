"""What a curation leaves behind: data files, every removed problem, and a report as data and as a table.

`report.json` holds all a data card needs: inputs with hashes, settings, per step what it removed and why with examples,
and outputs with hashes and counts.
"""

from __future__ import annotations

import importlib.metadata
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from r1zero.base.files import sha256
from r1zero.config import CurateRecipe, TrainingSource
from r1zero.config.curation import Decontaminate, Difficulty
from r1zero.config.section import Section
from r1zero.data.curation.difficulty import BUCKET
from r1zero.data.curation.removal import Outcome, Removal
from r1zero.data.problems import Rejected
from r1zero.types import Problem

_PACKAGES = ("r1zero", "datasketch", "py3langid", "math-verify", "numpy", "transformers", "torch")
_EXCERPT = 300  # characters of a question in the report; removed/ has all


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step that was run."""

    number: int
    settings: Any  # its section of the recipe
    before: int
    outcome: Outcome
    seconds: float

    @property
    def name(self) -> str:
        return self.settings.step


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A file to write, and how training shall use it."""

    name: str
    problems: Sequence[Problem]
    weight: float | None
    verifiers: Mapping[str, float]


def reasons(outcome: Outcome) -> dict[str, int]:
    """Removed problems by reason, most frequent first."""
    return dict(Counter(removal.reason for removal in outcome.removed).most_common())


def input_entry(source: TrainingSource, problems: int, rejected: Sequence[Rejected]) -> dict[str, Any]:
    """A source in the report. Only a file has a hash: of anything else the settings are all that can be said."""
    file = _file(source.path)
    return {
        "settings": source.model_dump(mode="json"),
        "sha256": file["sha256"],
        "bytes": file["bytes"],
        "rows": problems + len(rejected),
        "problems": problems,
        "unreadable": dict(Counter(row.reason for row in rejected).most_common()),
        "examples": [{"line": row.line, "reason": row.reason} for row in rejected[:5]],
    }


def _file(path: str) -> dict[str, Any]:
    file = Path(path).expanduser()
    known = file.is_file()
    return {"path": path, "sha256": sha256(file) if known else None, "bytes": file.stat().st_size if known else None}


def _evaluation_sets(recipe: CurateRecipe) -> list[str]:
    """Paths of what the steps compared with, each once."""
    steps = [step for step in recipe.steps if isinstance(step, Decontaminate)]
    return list(dict.fromkeys(source.path for step in steps for source in step.against))


def output_files(recipe: CurateRecipe, problems: Sequence[Problem]) -> list[DataFile]:
    """One file per source, or per source and bucket. The weight of a bucket splits its source's."""
    buckets = next((step for step in recipe.steps if isinstance(step, Difficulty)), None)
    names = _file_names(recipe.sources)
    files = []
    for number, source in enumerate(recipe.sources):
        # ids begin with the number of their source
        own = [problem for problem in problems if problem.id.startswith(f"{number}/")]
        if buckets is None:
            files.append(DataFile(name=names[number], problems=own, weight=source.weight, verifiers=source.verifiers))
            continue
        parts = {name: [problem for problem in own if problem.extra[BUCKET] == name] for name in buckets.names}
        weights = _bucket_weights(source, buckets, {name: len(part) for name, part in parts.items()}, len(own))
        files += [
            DataFile(name=f"{names[number]}-{name}", problems=part, weight=weights[name], verifiers=source.verifiers)
            for name, part in parts.items()
        ]
    return [file for file in files if file.problems]


def _file_names(sources: Sequence[TrainingSource]) -> list[str]:
    stems = ["".join(c if c.isalnum() or c in "-_." else "-" for c in Path(source.path).stem) for source in sources]
    return [stem if stems.count(stem) == 1 else f"{stem}-{number}" for number, stem in enumerate(stems)]


def _bucket_weights(
    source: TrainingSource, buckets: Difficulty, sizes: Mapping[str, int], total: int
) -> dict[str, float | None]:
    """The source's weight (its size, without one) split among the buckets it has problems in."""
    if not buckets.weights and source.weight is None:
        return dict.fromkeys(sizes)
    whole = total if source.weight is None else source.weight
    wanted = dict(zip(buckets.names, buckets.weights, strict=True)) if buckets.weights else dict(sizes)
    present = {name: wanted[name] if sizes[name] else 0.0 for name in sizes}
    scale = sum(present.values()) or 1.0
    return {name: round(whole * share / scale, 9) for name, share in present.items()}


def write_data(folder: Path, target: Path, files: Sequence[DataFile]) -> list[dict[str, Any]]:
    """The data files, and sources.yaml that names them as they will lie in `target`; what the report says of them."""
    outputs, sources = [], []
    for file in files:
        path = folder / f"{file.name}.jsonl"
        _write_lines(path, map(_row, file.problems))
        source: dict[str, Any] = {"path": str(target / path.name)}
        if file.weight is not None:
            source["weight"] = file.weight
        if file.verifiers:
            source["verifiers"] = dict(file.verifiers)
        sources.append(source)
        lengths = sorted(len(problem.text) for problem in file.problems)
        outputs.append(
            {
                "file": path.name,
                "sha256": sha256(path),
                "problems": len(file.problems),
                "weight": file.weight,
                "question_characters": {"min": lengths[0], "median": lengths[len(lengths) // 2], "max": lengths[-1]},
            }
        )
    text = yaml.safe_dump({"data": {"sources": sources}}, sort_keys=False, allow_unicode=True)
    (folder / "sources.yaml").write_text(text, encoding="utf-8")
    return outputs


def write_removed(folder: Path, rejected: Sequence[Rejected], steps: Sequence[Step]) -> None:
    """Every row and problem that is not in the data, in files numbered like the steps; 00 is what could not be read."""
    (folder / "removed").mkdir()
    unreadable = [
        {"source": row.source, "line": row.line, "reason": row.reason, "row": dict(row.columns)} for row in rejected
    ]
    _write_lines(folder / "removed" / "00_unreadable.jsonl", unreadable)
    for step in steps:
        _write_lines(
            folder / "removed" / f"{step.number:02d}_{step.name}.jsonl",
            (_removal(removal, excerpt=None) for removal in step.outcome.removed),
        )


def tree(
    recipe: CurateRecipe,
    inputs: Sequence[Mapping[str, Any]],
    steps: Sequence[Step],
    outputs: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The whole report as plain data."""
    return {
        "made": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "packages": {name: _version(name) for name in _PACKAGES},
        "recipe": recipe.model_dump(mode="json"),
        "inputs": list(inputs),
        "evaluation_sets": [_file(path) for path in _evaluation_sets(recipe)],
        "steps": [_step(step, recipe.run.examples) for step in steps],
        "outputs": list(outputs),
    }


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    (folder / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "report.txt").write_text(table(report), encoding="utf-8")


def table(report: Mapping[str, Any]) -> str:
    """The report for a terminal: inputs, each step with its reasons and one example of each, outputs."""
    lines = ["inputs"]
    for entry in report["inputs"]:
        bad = entry["rows"] - entry["problems"]
        lines.append(
            f"  {entry['problems']:>8}  {entry['settings']['path']}" + (f"  ({bad} rows unreadable)" if bad else "")
        )
    lines.append("steps")
    for step in report["steps"]:
        lines.append(
            f"  {step['after']:>8}  {step['step']}  (removed {step['before'] - step['after']}, {step['seconds']:.1f} s)"
        )
        for name, value in step["notes"].items():
            lines.append(f"            {name}: {value:g}")
        for reason, count in step["reasons"].items():
            lines.append(f"  {-count:>8}    {reason}")
            lines += [f"              e.g. {line}" for line in _example_lines(step, reason)]
    lines.append("outputs")
    for entry in report["outputs"]:
        weight = "" if entry["weight"] is None else f"  weight {entry['weight']:g}"
        lines.append(f"  {entry['problems']:>8}  {entry['file']}{weight}")
    return "\n".join(lines) + "\n"


def _example_lines(step: Mapping[str, Any], reason: str) -> list[str]:
    example = next((example for example in step["examples"] if example["reason"] == reason), None)
    if example is None:
        return []
    detail = f" [{example['detail']}]" if example["detail"] else ""
    lines = [f"{example['source']}:{example['line']} {_flat(example['question'])}{detail}"]
    if example["like"]:
        like = example["like"]
        lines.append(f"like {like['source']}:{like['line']} {_flat(like['question'])}")
    return lines


def _step(step: Step, examples: int) -> dict[str, Any]:
    shown: list[Removal] = []
    counts: Counter[str] = Counter()
    for removal in step.outcome.removed:
        if counts[removal.reason] < examples:
            counts[removal.reason] += 1
            shown.append(removal)
    return {
        "step": step.name,
        "settings": step.settings.model_dump(mode="json") if isinstance(step.settings, Section) else {},
        "before": step.before,
        "after": len(step.outcome.kept),
        "seconds": round(step.seconds, 3),
        "notes": step.outcome.notes,
        "reasons": reasons(step.outcome),
        "examples": [_removal(removal, excerpt=_EXCERPT) for removal in shown],
    }


def _removal(removal: Removal, excerpt: int | None) -> dict[str, Any]:
    return {
        **_place(removal.problem, excerpt),
        "reason": removal.reason,
        "detail": removal.detail,
        "like": None if removal.like is None else _place(removal.like, excerpt),
    }


def _place(problem: Problem, excerpt: int | None) -> dict[str, Any]:
    text = problem.text
    if excerpt is not None and len(text) > excerpt:
        text = text[: excerpt - 3] + "..."
    return {"source": problem.source, "line": problem.line, "question": text, "answer": problem.answer}


def _row(problem: Problem) -> dict[str, Any]:
    """A problem as a training recipe reads it with default columns; further columns stay, `source` and `line` say where
    it comes from."""
    question = problem.question
    if not isinstance(question, str):
        question = [{"role": turn.role, "content": turn.content} for turn in question]
    return {
        **problem.extra,
        "question": question,
        "answer": problem.answer,
        "source": problem.source,
        "line": problem.line,
    }


def _write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as out:
        for record in records:
            out.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")


def _flat(text: str, length: int = 100) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 3] + "..."


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
