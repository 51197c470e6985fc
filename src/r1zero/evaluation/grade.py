"""Grade a file of responses: every row, every verifier, and where they disagree."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from r1zero.base.errors import UsageError, suggest
from r1zero.data.read.sources import Row
from r1zero.grading.pool import ScorerPool
from r1zero.rewards.catalog import verifier
from r1zero.types import Problem, Score

_HEAD = f"{'verifier':24} {'items':>7} {'right':>7} {'wrong':>7} {'unverifiable':>13} {'error':>6} {'timeout':>8}  mean"
_MOST = 10  # lines of a list of items


@dataclass(frozen=True, slots=True)
class Item:
    """A row to grade; `label` is what a person says of it, if there is such a column."""

    problem: Problem
    response: str
    label: bool | None = None


@dataclass(frozen=True, slots=True)
class Graded:
    """A row with every verifier's score and the seconds it took."""

    item: Item
    scores: Mapping[str, Score]
    seconds: Mapping[str, float]

    def right(self, name: str) -> bool:
        score = self.scores[name]
        return score.verdict == "graded" and score.value >= verifier(name).full_mark

    def record(self) -> dict[str, Any]:
        """One JSON object: the first verifier's verdict, and all of them if there are several."""
        each = {
            name: {
                "verdict": score.verdict,
                "value": score.value,
                "seconds": self.seconds[name],
                "detail": score.detail,
            }
            for name, score in self.scores.items()
        }
        record = {"id": self.item.problem.id, **next(iter(each.values()))}
        return record if len(each) == 1 else {**record, "verifiers": each}


def to_items(rows: Iterable[Row], path: str, gold: str, response: str, label: str = "") -> Iterator[Item]:
    """Rows as items. Raises UsageError for a row that cannot be read or lacks a column."""
    for row in rows:
        where = f"{path}:{row.where}"
        if row.error:
            raise UsageError(f"{where}: {row.error}")
        for option, column in (("--gold-column", gold), ("--response-column", response), ("--label-column", label)):
            if column and column not in row.columns:
                raise UsageError(f"{where}: {option} '{column}': no such column{suggest(column, row.columns)}")
        problem = Problem(
            id=str(row.columns.get("id", row.where)),
            question=str(row.columns.get("question", "")),
            answer=_text(row.columns[gold]),
            source=path,
            line=row.where,
            extra={name: value for name, value in row.columns.items() if name not in (gold, response)},
        )
        yield Item(problem, _text(row.columns[response]), _label(row.columns[label], where, label) if label else None)


def grade(
    items: Sequence[Item], names: Sequence[str], pool: ScorerPool, workers: int, done: Callable[[], None]
) -> list[Graded]:
    """Grade items in order. No more jobs than workers are under way, so that the seconds are each item's own; `done` is
    called after each item."""

    def one(item: Item) -> Graded:
        scores, seconds = {}, {}
        for name in names:
            start = time.perf_counter()
            scores[name] = pool.submit(name, item.problem, item.response).result()
            seconds[name] = round(time.perf_counter() - start, 6)
        done()
        return Graded(item, scores, seconds)

    with ThreadPoolExecutor(workers) as threads:
        if items:  # worker processes take a second to start
            list(threads.map(lambda _: pool.submit(names[0], items[0].problem, "").result(), range(workers)))
        return list(threads.map(one, items))


def report(graded: Sequence[Graded], names: Sequence[str]) -> list[str]:
    """The lines that `r1zero grade` prints."""
    lines = [_HEAD]
    for name in names:
        verdicts = Counter(one.scores[name].verdict for one in graded)
        right = sum(one.right(name) for one in graded)
        mean = sum(one.scores[name].value for one in graded) / max(len(graded), 1)
        lines.append(
            f"{name:24} {len(graded):7} {right:7} {verdicts['graded'] - right:7} {verdicts['unverifiable']:13} "
            f"{verdicts['error']:6} {verdicts['timeout']:8}  {mean:.4f}"
        )
    for name in names[1:]:
        apart = [one for one in graded if one.right(name) != one.right(names[0])]
        lines += _list(f"{names[0]} and {name} disagree", apart, names)
    if any(one.item.label is not None for one in graded):
        lines += [line for name in names for line in _against_labels(graded, name)]
    slowest = sorted(graded, key=lambda one: -max(one.seconds.values()))[:_MOST]
    lines += ["", "slowest items"]
    return lines + [f"  {max(one.seconds.values()):8.3f} s  {one.item.problem.id}" for one in slowest]


def _against_labels(graded: Sequence[Graded], name: str) -> list[str]:
    labelled = [one for one in graded if one.item.label is not None]
    apart = [one for one in labelled if one.right(name) != one.item.label]
    positives = sum(one.right(name) for one in apart)
    share = 1 - len(apart) / len(labelled)
    title = (
        f"{name} against the labels: {share:.4f} of {len(labelled)} agree, {positives} false positives, "
        f"{len(apart) - positives} false negatives"
    )
    return _list(title, apart, [name])


def _list(title: str, items: Sequence[Graded], names: Sequence[str]) -> list[str]:
    lines = ["", f"{title}: {len(items)}" if not title.endswith("negatives") else title]
    for one in items[:_MOST]:
        values = ", ".join(f"{name} {one.scores[name].value:g} {one.scores[name].verdict}" for name in names)
        gold, response = (_short(text) for text in (one.item.problem.answer, one.item.response))
        lines.append(f"  {one.item.problem.id}  {values}  gold {gold}  response {response}")
    return lines + ([f"  ... and {len(items) - _MOST} more"] if len(items) > _MOST else [])


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else "..." + text[-57:])


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _label(value: Any, where: str, column: str) -> bool:
    known = {"true": True, "1": True, "1.0": True, "yes": True, "false": False, "0": False, "0.0": False, "no": False}
    if (word := str(value).strip().lower()) in known:
        return known[word]
    raise UsageError(f"{where}: --label-column '{column}' = {value!r}: must be true or false, 1 or 0")
