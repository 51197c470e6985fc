"""The page of a curation: what went in, what each step took out and why, what came out; from its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from r1zero.curate.report import DataFile
from r1zero.data.card import Card, InputFile, OutputFile, Removed, Sample, Step
from r1zero.types import Problem


def card(title: str, report: Mapping[str, Any], files: Sequence[DataFile]) -> Card:
    """A data card of a report and the files that it describes."""
    read = sum(entry["problems"] for entry in report["inputs"])
    left = sum(entry["problems"] for entry in report["outputs"])
    rows = sum(entry["rows"] for entry in report["inputs"])
    lengths = Counter(len(problem.text) for file in files for problem in file.problems)
    run = {f"run.{name}": value for name, value in report["recipe"]["run"].items()}
    return Card(
        title=title,
        counts={"rows": rows, "rows not read": rows - read, "problems": read, "problems left": left},
        inputs=[
            *(_input(entry["settings"]["path"], entry) for entry in report["inputs"]),
            *(_input(f"{entry['path']} (evaluation set)", entry) for entry in report["evaluation_sets"]),
        ],
        settings=run | {f"sources.{n}": entry["settings"] for n, entry in enumerate(report["inputs"])},
        versions={name: version for name, version in report["packages"].items() if version},
        lengths={"question (characters)": lengths},
        removed=[removed for entry in report["inputs"] for removed in _unreadable(entry)],
        steps=[_step(step) for step in report["steps"]],
        files=[
            OutputFile(entry["file"], entry["problems"], entry["weight"], entry["sha256"])
            for entry in report["outputs"]
        ],
        samples=[sample for file in files for sample in _samples(file)],
    )


def _input(name: str, entry: Mapping[str, Any]) -> InputFile:
    return InputFile(name, entry["bytes"] or 0, entry["sha256"] or "")


def _unreadable(entry: Mapping[str, Any]) -> Iterator[Removed]:
    path = entry["settings"]["path"]
    for reason, count in entry["unreadable"].items():
        lines = [example["line"] for example in entry["examples"] if example["reason"] == reason]
        yield Removed(reason, count, tuple((f"{path}:{line}", "") for line in lines))


def _step(step: Mapping[str, Any]) -> Step:
    removed = [
        Removed(reason, count, tuple(_example(example) for example in step["examples"] if example["reason"] == reason))
        for reason, count in step["reasons"].items()
    ]
    settings = {name: value for name, value in step["settings"].items() if name != "step" and value is not None}
    return Step(
        name=step["step"],
        before=step["before"],
        after=step["after"],
        settings=settings,
        notes=step["notes"],
        removed=removed,
    )


def _example(example: Mapping[str, Any]) -> tuple[str, str]:
    parts = [example["question"]]
    if example["detail"]:
        parts.append(f"[{example['detail']}]")
    if like := example["like"]:
        parts.append(f"like {like['source']}:{like['line']}: {like['question']}")
    return f"{example['source']}:{example['line']}", "\n".join(parts)


def _samples(file: DataFile) -> Iterator[Sample]:
    """The first, the middle and the last problem of a file, the answer marked."""
    places = sorted({0, len(file.problems) // 2, len(file.problems) - 1})
    for place in places:
        yield _sample(f"{file.name}, problem {place + 1}", file.problems[place])


def _sample(title: str, problem: Problem) -> Sample:
    text = f"{problem.text}\n\n{problem.answer}"
    return Sample(title, text, ((len(text) - len(problem.answer), len(text)),))
