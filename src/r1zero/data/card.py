"""Data cards: one HTML page per data set that says what is in it, where it came from and what was left out, so that it
can be trusted a year later. The page needs no network and no script; the same facts are in a JSON file beside it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from r1zero.base.files import sha256

_SHOWN_CHARACTERS = 4000
_SHOWN_EXAMPLE = 800
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #1c2330; }
table { border-collapse: collapse; } th, td { text-align: left; vertical-align: top; padding: .3em .8em .3em 0;
border-bottom: 1px solid #dde2ea; overflow-wrap: anywhere; } td.number { text-align: right; white-space: nowrap;
font-variant-numeric: tabular-nums; } pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f5f7fa;
padding: .8em; font: 13px/1.45 ui-monospace, monospace; } mark { background: #d7f0dd; } h2 { margin-top: 1.8em; }
td.place { min-width: 9em; max-width: 24em; color: #556; } td.text { white-space: pre-line; }
p.settings { color: #556; margin: -.6em 0 .6em; }
svg { display: block; } .bar { fill: #2457c5; } text { font: 11px system-ui, sans-serif; fill: #556; }
"""


@dataclass(frozen=True, slots=True)
class InputFile:
    """Something the data was made from. `sha256` is empty for what is not a local file."""

    path: str
    bytes: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Removed:
    """Why rows are not in the data: a reason, how many, and a few examples as (place, text)."""

    reason: str
    count: int
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """A row a person can read. `learned` are the spans (start, end) of `text` that training learns."""

    title: str
    text: str
    learned: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a chain: rows before and after it, its settings, what it measured, and what it took out."""

    name: str
    before: int
    after: int
    settings: Mapping[str, Any]
    notes: Mapping[str, Any]
    removed: Sequence[Removed]


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file of a data set. `weight` is its share in training, if it has one of its own."""

    name: str
    rows: int
    weight: float | None
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a data card says. `lengths`: title -> how often each length occurs. `removed` is what reading took out,
    `steps` what came after it, if anything did."""

    title: str
    counts: Mapping[str, int | float | str]
    inputs: Sequence[InputFile] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    lengths: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    removed: Sequence[Removed] = ()
    steps: Sequence[Step] = ()
    files: Sequence[OutputFile] = ()
    samples: Sequence[Sample] = ()


def write_card(card: Card, html: Path) -> None:
    """Write the page, and the same facts as JSON (histograms as quantiles) beside it."""
    facts = asdict(card) | {"lengths": {name: quantiles(lengths) for name, lengths in card.lengths.items()}}
    write_facts(facts, html.with_suffix(".json"))
    html.write_text(render(card), encoding="utf-8", errors="replace")


def write_facts(facts: Mapping[str, Any], path: Path) -> None:
    """JSON for people and programs. Half a character, which JSON data may hold, stays the escape that it was."""
    text = json.dumps(facts, indent=1, ensure_ascii=False, default=str) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def hash_file(file: Path) -> InputFile:
    return InputFile(str(file), file.stat().st_size, sha256(file))


def quantiles(lengths: Mapping[int, int]) -> dict[str, float]:
    """Count, mean, and exact quantiles by nearest rank of counted lengths. Example: `{2: 1, 4: 1}` gives
    `{"count": 2, "mean": 3.0, "min": 2, "p50": 2, "p90": 4, "p99": 4, "max": 4}`."""
    total = sum(lengths.values())
    if not total:
        return {"count": 0}
    ordered = sorted(lengths)
    result: dict[str, float] = {"count": total, "mean": sum(n * times for n, times in lengths.items()) / total}
    for name, share in (("min", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)):
        rank, seen = max(1, math.ceil(share * total)), 0
        for length in ordered:
            seen += lengths[length]
            if seen >= rank:
                result[name] = length
                break
    return result


def histogram(lengths: Mapping[int, int], bins: int = 40) -> list[tuple[int, int, int]]:
    """(from, to, count) of bins of equal width that are whole numbers wide; `to` is inclusive."""
    if not lengths:
        return []
    low, high = min(lengths), max(lengths)
    width = max(1, math.ceil((high - low + 1) / bins))
    counted: Counter[int] = Counter()
    for length, times in lengths.items():
        counted[(length - low) // width] += times
    return [
        (low + index * width, low + (index + 1) * width - 1, counted[index])
        for index in range((high - low) // width + 1)
    ]


def table(rows: Iterable[tuple[str, Any]]) -> str:
    """Names and values as aligned plain text, thousands separated."""
    shown = [(name, _number(value)) for name, value in rows]
    wide = max((len(name) for name, _ in shown), default=0)
    right = max((len(value) for _, value in shown if value[:1].isdigit()), default=0)
    return "\n".join(
        f"  {name:{wide}}  {value.rjust(right) if value[:1].isdigit() else value}" for name, value in shown
    )


def render(card: Card) -> str:
    """The page. Everything that came from data is escaped."""
    parts = [
        f"<h1>{escape(card.title)}</h1>",
        _table(("", ""), [(name, _number(value)) for name, value in card.counts.items()]),
        *(_lengths(name, lengths) for name, lengths in card.lengths.items() if lengths),
        "<h2>Not read</h2>" if card.steps else "<h2>Not used</h2>",
        "".join(_removed(removed) for removed in card.removed) or "<p>Every row was used.</p>",
        *_steps(card.steps),
        *_files(card.files),
        "<h2>Samples</h2>",
        *(f"<h3>{escape(sample.title)}</h3><pre>{_marked(sample)}</pre>" for sample in card.samples),
        "<h2>Inputs</h2>",
        _table(("file", "bytes", "SHA-256"), [(file.path, _number(file.bytes), file.sha256) for file in card.inputs]),
        "<h2>Settings</h2>",
        _table(
            ("", ""),
            [(name, json.dumps(value, ensure_ascii=False, default=str)) for name, value in card.settings.items()],
        ),
        "<h2>Versions</h2>",
        _table(("", ""), list(card.versions.items())),
    ]
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(card.title)}</title>"
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    titles = f"<tr>{''.join(f'<th>{escape(title)}</th>' for title in head)}</tr>" if any(head) else ""
    return f"<table>{titles}{''.join(f'<tr>{_cells(row)}</tr>' for row in rows)}</table>"


def _cells(row: tuple[str, ...]) -> str:
    return "".join(
        f"<td class='number'>{escape(cell)}</td>"
        if cell[:1].isdigit() and len(cell) < 24
        else f"<td>{escape(cell)}</td>"
        for cell in row
    )


def _lengths(name: str, lengths: Mapping[int, int]) -> str:
    facts = ", ".join(f"{key} {_number(value)}" for key, value in quantiles(lengths).items())
    bins = histogram(lengths)
    tallest = max(count for *_, count in bins)
    width = 900 / len(bins)
    bars = "".join(
        f"<rect class='bar' x='{index * width:.1f}' y='{100 - 100 * count / tallest:.1f}' "
        f"width='{max(1, width - 1):.1f}' height='{100 * count / tallest:.1f}'>"
        f"<title>{low} to {high}: {count}</title></rect>"
        for index, (low, high, count) in enumerate(bins)
    )
    axis = f"<text x='0' y='115'>{bins[0][0]}</text><text x='900' y='115' text-anchor='end'>{bins[-1][1]}</text>"
    return f"<h2>{escape(name)}</h2><svg width='900' height='120' role='img'>{bars}{axis}</svg><p>{escape(facts)}</p>"


def _steps(steps: Sequence[Step]) -> Iterator[str]:
    if not steps:
        return
    yield "<h2>Steps</h2>"
    rows = [(_step_title(n, step), *map(_number, _counts(step))) for n, step in enumerate(steps, start=1)]
    yield _table(("step", "before", "after", "taken out"), rows)
    for number, step in enumerate(steps, start=1):
        yield f"<h3>{escape(_step_title(number, step))}</h3><p class='settings'>{escape(_settings(step.settings))}</p>"
        yield _table(("", ""), [(name, _number(value)) for name, value in step.notes.items()])
        yield "".join(_removed(removed) for removed in step.removed) or "<p>Nothing was taken out.</p>"


def _step_title(number: int, step: Step) -> str:
    return f"step {number}: {step.name}"


def _counts(step: Step) -> tuple[int, int, int]:
    return step.before, step.after, step.before - step.after


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items())


def _files(files: Sequence[OutputFile]) -> Iterator[str]:
    if files:
        yield "<h2>Files</h2>"
        rows = [
            (file.name, _number(file.rows), "by size" if file.weight is None else _number(file.weight), file.sha256)
            for file in files
        ]
        yield _table(("file", "rows", "weight", "SHA-256"), rows)


def _removed(removed: Removed) -> str:
    examples = "".join(
        f"<tr><td class='place'>{escape(place)}</td><td class='text'>{escape(_cut(text, _SHOWN_EXAMPLE))}</td></tr>"
        for place, text in removed.examples
    )
    rows = "1 row" if removed.count == 1 else f"{_number(removed.count)} rows"
    return f"<p>{rows}: {escape(removed.reason)}</p><table>{examples}</table>"


def _marked(sample: Sample) -> str:
    text, place, parts = sample.text[:_SHOWN_CHARACTERS], 0, []
    for start, end in sample.learned:
        parts += [escape(text[place:start]), "<mark>", escape(text[start:end]), "</mark>"]
        place = end
    cut = f" ... {len(sample.text)} characters" if len(sample.text) > _SHOWN_CHARACTERS else ""
    return "".join(parts) + escape(text[place:]) + cut


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} ..."


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"
