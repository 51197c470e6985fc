"""What `prepare` has seen: counts, lengths, samples and rejected rows, in constant memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np

from r1zero.base.errors import UsageError
from r1zero.data.card import Removed, Sample
from r1zero.data.encode import Encoded, Rejection
from r1zero.data.handlers import IGNORED, MASK, Fields
from r1zero.data.prepare.workers import Done

_TOO_LONG = "too long for seq_length"
_EXAMPLES = 3
_REASONS = 1000  # further reasons are counted together: some name what they found
_OTHER = "other reasons; see the quarantine file"


@dataclass(slots=True)
class Tally:
    """What was seen so far, in the order of the rows."""

    rows: int = 0
    used: int = 0
    bad: int = 0
    too_long: int = 0
    packs: int = 0
    characters: int = 0
    learned: int = 0
    tokens: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, Counter[int]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)  # of bad rows
    examples: dict[str, list[tuple[str, Rejection]]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    def add(self, done: Done, tokenizer: Any) -> None:
        encoded = done.encoded
        for number, index in _sampled(self.used, len(encoded.where)):
            place = f"row {number}: {done.source}:{encoded.where[index]}"
            row = {name: _nth(encoded, name, index) for name in encoded.fields}
            self.samples += _samples(place, row, tokenizer)
        self.used += len(encoded.where)
        self.rows += len(encoded.where) + len(encoded.rejected)
        self.characters += encoded.characters
        self.learned += encoded.learned
        for name, (tokens, lengths) in encoded.fields.items():
            self.tokens[name] += len(tokens)
            if not name.endswith("_labels"):
                values, times = np.unique(lengths, return_counts=True)
                counted = dict(zip(values.tolist(), times.tolist(), strict=True))
                self.lengths.setdefault(name, Counter()).update(counted)
        for rejection in encoded.rejected:
            self._reject(f"{done.source}:{rejection.where}", rejection)

    def check(self, source: str, max_bad_fraction: float, final: bool = False) -> None:
        """Raises UsageError for too many bad rows; at the end also if no row is left."""
        if self.bad > max_bad_fraction * self.rows:
            raise UsageError(
                f"input = '{source}': {self.bad} of {self.rows} rows are bad, more than max_bad_fraction = "
                f"{max_bad_fraction:g}; {self._most_frequent()}; nothing was written. Mend the rows or map_keys, or "
                "raise max_bad_fraction"
            )
        if final and not self.rows:
            raise UsageError(f"input = '{source}': the data set is empty")
        if final and not self.used:
            raise UsageError(f"input = '{source}': no row is left of {self.rows}; {self._most_frequent()}")

    def counts(self, fields: Sequence[str], packed: bool) -> dict[str, int | float | str]:
        """What the summary and the card say."""
        counts: dict[str, int | float | str] = {
            "rows read": self.rows,
            "rows used": self.used,
            "rows bad": self.bad,
            "rows too long": self.too_long,
        }
        if packed:
            counts["packs"] = self.packs
        masked = self.learned < sum(self.tokens[name] for name in fields if name.endswith("labels"))
        shown = [name for name in fields if name != MASK and not (masked and name.endswith("labels"))]
        counts |= {f"tokens {name}": self.tokens[name] for name in shown}
        if masked:
            counts["tokens learned"] = self.learned
        if total := sum(self.tokens[name] for name in shown):
            counts["characters per token"] = round(self.characters / total, 4)
        return counts

    def shown_lengths(self) -> dict[str, Counter[int]]:
        """How often each length occurs, by field; labels that go with the input ids have their lengths."""
        ids = self.lengths.get("input_ids")
        return {name: counted for name, counted in self.lengths.items() if name == "input_ids" or counted != ids}

    def removed(self) -> list[Removed]:
        """For the card: why rows are not used."""
        counted = [*self.reasons.most_common(), *([(_TOO_LONG, self.too_long)] if self.too_long else [])]
        return [
            Removed(reason, count, tuple((place, _row_text(row)) for place, row in self.examples.get(reason, [])))
            for reason, count in counted
        ]

    def most_tokens(self) -> int:
        """Tokens of the largest field."""
        return max(self.tokens.values(), default=0)

    def _reject(self, place: str, rejection: Rejection) -> None:
        self.bad += rejection.bad
        self.too_long += not rejection.bad
        reason = rejection.reason if rejection.bad else _TOO_LONG
        if reason not in self.examples and len(self.examples) >= _REASONS:
            reason = _OTHER
        if rejection.bad:
            self.reasons[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append((place, rejection))

    def _most_frequent(self) -> str:
        (reason, count), *_ = self.reasons.most_common(1) or [(_TOO_LONG, self.too_long)]
        place, example = self.examples[reason][0]
        columns = f" (its columns: {', '.join(map(str, example.columns))})" if reason.endswith("is missing") else ""
        return f"most often ({count}): {reason}, first at {place}{columns}"


def quarantine(out: BinaryIO, done: Done) -> None:
    """Append a chunk's rejected rows as JSON lines: source, line, reason, and the row with long cells cut."""
    for rejection in done.encoded.rejected:
        entry = {
            "source": done.source,
            "line": rejection.where,
            "reason": rejection.reason,
            "row": {str(name): _short(value, 1000) for name, value in rejection.columns.items()},
        }
        line = json.dumps(entry, ensure_ascii=False, default=str) + "\n"
        out.write(line.encode("utf-8", "backslashreplace"))


def _row_text(rejection: Rejection) -> str:
    short = {str(name): _short(value, 200) for name, value in rejection.columns.items()}
    return json.dumps(short, ensure_ascii=False, default=str)


def _short(value: Any, limit: int) -> Any:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return value if len(shown) <= limit else f"{shown[:limit]} ... {len(shown)} characters"


def _sampled(before: int, count: int) -> list[tuple[int, int]]:
    """(row, index in the chunk) of rows 1, 2, 3, 10, 100, 1000, ...: shown in the card."""
    wanted = [1, 2, 3, *(10**power for power in range(1, 12))]
    return [(number, number - before - 1) for number in wanted if before < number <= before + count]


def _nth(encoded: Encoded, name: str, index: int) -> np.ndarray:
    tokens, lengths = encoded.fields[name]
    first = int(lengths[:index].sum())
    return tokens[first : first + int(lengths[index])]


def _samples(place: str, row: Fields, tokenizer: Any) -> list[Sample]:
    """A row's fields as text, with what is learned marked where labels stand beside input ids."""
    samples = []
    for name, ids in row.items():
        labels = row.get(name.replace("input_ids", "labels")) if name.endswith("input_ids") else None
        if labels is not None and len(labels) == len(ids) and IGNORED in labels:
            samples.append(_marked(f"{place}, {name}", ids, labels, tokenizer))
        elif IGNORED not in ids:
            samples.append(Sample(f"{place}, {name}", tokenizer.decode(ids.tolist())))
    return samples


def _marked(title: str, ids: np.ndarray, labels: np.ndarray, tokenizer: Any) -> Sample:
    text, spans = "", []
    edges = [0, *(np.flatnonzero(np.diff(labels != IGNORED)) + 1).tolist(), len(ids)]
    for start, end in pairwise(edges):
        part = tokenizer.decode(ids[start:end].tolist())
        if labels[start] != IGNORED:
            spans.append((len(text), len(text) + len(part)))
        text += part
    return Sample(title, text, tuple(spans))
