"""Raw rows become problems; what cannot is quarantined with its line and reason, and the rest goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from r1zero.base.errors import UsageError, suggest
from r1zero.config import Source
from r1zero.data.read import cells, sources
from r1zero.data.read.cells import BadRow, column, filled, messages, text
from r1zero.data.read.rows import Row
from r1zero.types import Message, Problem


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not used. Example: `Rejected("data.jsonl", 17, "column 'answer' is empty", {...})`."""

    source: str
    line: int
    reason: str
    columns: Mapping[str, Any]

    @classmethod
    def problem(cls, problem: Problem, reason: str) -> Rejected:
        """A problem that turned out to be unusable later."""
        columns = {"question": problem.text, "answer": problem.answer, **problem.extra}
        return cls(problem.file or problem.source, problem.line, reason, columns)


Part = tuple[list[Problem], list[Rejected]]  # what can be used, and what cannot


def read_problems(source: Source, section: str) -> Part:
    """The problems of a source, and the rows that cannot be one. Raises UsageError that names the recipe's section."""
    try:
        return to_problems(sources.read(source), source)
    except UsageError as error:
        raise UsageError(f"{section}.{error}") from None


def to_problems(rows: Iterable[Row], source: Source) -> tuple[list[Problem], list[Rejected]]:
    """Map columns to problems. Raises UsageError when a mapped column is missing from every row, or no row is left."""
    problems: list[Problem] = []
    rejected: list[Rejected] = []
    readable: list[Mapping[str, Any]] = []  # of the rejected
    for row in rows:
        try:
            problems.append(_problem(row, source))
        except BadRow as bad:
            rejected.append(Rejected(row.file or source.path, row.where, str(bad), row.columns))
            readable += [] if row.error else [row.columns]
    if not problems:
        _check_columns(readable, source)
        reasons = f"; all {len(rejected)} rows were rejected, the first: {rejected[0].reason}" if rejected else ""
        raise UsageError(f"path = '{source.path}': the data set is empty{reasons}")
    return problems, rejected


def _problem(row: Row, source: Source) -> Problem:
    if row.error:
        raise BadRow(row.error)
    cells.refuse_half_characters(row.columns)
    names = source.columns
    question = _question(column(row.columns, names.question), names.question)
    answer = text(column(row.columns, names.answer), names.answer)
    if source.answer_after:
        _, marker, answer = answer.rpartition(source.answer_after)
        if not marker:
            raise BadRow(f"column '{names.answer}' does not contain the marker '{source.answer_after}'")
    if not answer.strip():
        raise BadRow(f"column '{names.answer}' is empty")
    used = {names.question, names.answer}
    return Problem(
        id=f"{_name(source.path, row.file)}:{row.where}",
        question=question,
        answer=answer.strip(),
        source=source.path,
        line=row.where,
        file=row.file,
        extra={name: value for name, value in row.columns.items() if name not in used},
    )


@lru_cache(maxsize=1024)
def _name(path: str, file: str) -> str:
    """A file of a source, unlike any other one of it. Example: `math/train.jsonl` in the folder `math`; `math` for the
    file `math.jsonl`."""
    folder, found = Path(path).expanduser().resolve(), Path(file)
    if not file or found == Path(path).expanduser():
        return Path(path).stem
    return (Path(folder.name) / found.relative_to(folder)).as_posix() if found.is_relative_to(folder) else file


def _question(value: Any, name: str) -> str | tuple[Message, ...]:
    value = cells.chat_text(value)
    if not isinstance(value, list):
        return filled(value, name)
    turns = messages(value, name)
    if not turns or turns[-1].role != "user":
        raise BadRow(f"column '{name}' is a chat that does not end with a user's message")
    filled(turns[-1].content, f"{name}.{len(turns) - 1}.content")
    return turns


def _check_columns(rows: list[Mapping[str, Any]], source: Source) -> None:
    """A column that no row has is a mistake in the recipe rather than in the rows."""
    found = {name for row in rows for name in cells.names(row)}
    for key in ("question", "answer"):
        name = getattr(source.columns, key)
        if found and not any(_has(row, name) for row in rows):
            raise UsageError(f"columns.{key} = '{name}': no such column in {source.path}{suggest(name, found)}")


def _has(columns: Mapping[str, Any], name: str) -> bool:
    try:
        column(columns, name)
    except BadRow:
        return False
    return True
