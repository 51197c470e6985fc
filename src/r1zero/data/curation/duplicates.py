"""Problems that repeat an earlier one: the same, nearly the same, or the same in other words.

A copy with other numbers is another problem. So near duplicates must agree in their numbers and formulas, and in their
answers; only the wording may differ, and not by a word that turns the question round (`smallest` for `largest`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from r1zero.data.curation.content import Content, content, counted
from r1zero.data.curation.removal import Outcome, Removal
from r1zero.types import Problem

Embed = Callable[[Sequence[str]], np.ndarray]  # texts -> [texts, dimensions], rows of length 1

_PERMUTATIONS = 128
_ROWS = 512  # problems compared at a time: [rows, group] in memory
_OPPOSITES = (
    "smallest|least|minimum|minimal|lowest / largest|greatest|maximum|maximal|highest",
    "sum / product / difference / quotient",
    "increase|increases|increased / decrease|decreases|decreased",
    "even / odd",
    "positive / negative / nonnegative",
    "more / less|fewer",
    "before / after",
    "area / perimeter / volume / length",
    "radius / diameter / circumference",
    "rows / columns",
    "first / last / third",
    "left / right",
    "boys|boy / girls|girl",
    "morning / afternoon / evening / night",
    "inside / outside",
    "with / without",
    "mean / median / mode / range",
    "union / intersection",
    "north / south / east / west",
    "arithmetic / geometric",
    "horizontal / vertical",
    "numerator / denominator",
    "second|seconds / minute|minutes / hour|hours / day|days / week|weeks / month|months / year|years",
    "not / always / never",
)
_SIDES = {
    word: (number, side)
    for number, row in enumerate(_OPPOSITES)
    for side, words in enumerate(row.split(" / "))
    for word in words.split("|")
}


def content_key(question: str) -> str:
    """The same for questions that differ in typography only. Bare symbols are a question too."""
    return " ".join(content(question).tokens) or question


def exact(problems: Sequence[Problem]) -> Outcome:
    """Keep the first of the problems whose questions differ in typography only. Repetitions with another answer have a
    reason of their own: one of the two is wrong."""
    first: dict[str, Problem] = {}
    kept, removed = [], []
    for problem in problems:
        # a chat's earlier turns are part of the question too
        earlier = first.setdefault(f"{_earlier_turns(problem)}{content_key(problem.text)}", problem)
        if earlier is problem:
            kept.append(problem)
        elif same_answer(problem, earlier):
            removed.append(Removal(problem=problem, reason="repeats an earlier question", like=earlier))
        else:
            detail = f"the answers are '{problem.answer[:80]}' and '{earlier.answer[:80]}'"
            reason = "repeats an earlier question with another answer"
            removed.append(Removal(problem=problem, reason=reason, detail=detail, like=earlier))
    return Outcome(kept=kept, removed=removed)


def near(problems: Sequence[Problem], *, threshold: float, ngram: int) -> Outcome:
    """Keep the first of problems with the same formulas, numbers and answer whose wording overlaps: Jaccard similarity
    of word n-grams of at least `threshold`. Candidates by MinHash (Broder 1997; datasketch), then compared exactly."""
    from datasketch import MinHash, MinHashLSH

    texts = [content(problem.text) for problem in problems]
    shingles = [_shingles(text, ngram) for text in texts]
    # candidates a little below the threshold: the estimate errs, the comparison after it does not
    index = MinHashLSH(threshold=max(0.1, threshold - 0.1), num_perm=_PERMUTATIONS)
    sketches = MinHash.generator(
        ([shingle.encode() for shingle in sorted(part)] for part in shingles), num_perm=_PERMUTATIONS, seed=1
    )
    kept, removed = [], []
    for row, (problem, sketch) in enumerate(zip(problems, sketches, strict=True)):
        best, similarity = -1, threshold
        for other in _rows(index.query(sketch)) if shingles[row] else ():
            overlap = len(shingles[row] & shingles[other]) / len(shingles[row] | shingles[other])
            if overlap >= similarity and _may_be_same(texts[row], texts[other], problem, problems[other]):
                best, similarity = other, overlap + 1e-12
        if best < 0:
            kept.append(problem)
            index.insert(row, sketch)
            continue
        detail = f"{similarity:.0%} of the word {ngram}-grams"
        removed.append(
            Removal(problem=problem, reason="nearly an earlier question", detail=detail, like=problems[best])
        )
    return Outcome(kept=kept, removed=removed)


def similar(problems: Sequence[Problem], embed: Embed, *, threshold: float) -> Outcome:
    """Keep the first of problems with the same formulas, numbers and answer whose embeddings have a cosine of at least
    `threshold`. Only problems with the same numbers are compared, so the work stays far from quadratic."""
    texts = [content(problem.text) for problem in problems]
    vectors = embed([problem.text for problem in problems]) if problems else np.zeros((0, 1), np.float32)
    like: dict[int, tuple[int, float]] = {}
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, text in enumerate(texts):
        groups.setdefault(tuple(sorted(text.numbers)), []).append(row)
    for rows in groups.values():
        for later, earlier, cosine in _close_pairs(vectors[rows], threshold):
            row, other = rows[later], rows[earlier]
            if row in like or other in like:
                continue
            if _may_be_same(texts[row], texts[other], problems[row], problems[other]):
                like[row] = other, cosine
    removed = [
        Removal(
            problem=problems[row],
            reason="an earlier question in other words",
            detail=f"cosine {cosine:.3f}",
            like=problems[other],
        )
        for row, (other, cosine) in sorted(like.items())
    ]
    return Outcome(kept=[problem for row, problem in enumerate(problems) if row not in like], removed=removed)


def same_answer(problem: Problem, other: Problem) -> bool:
    """Whether two answers read the same but for typography."""
    first, second = (" ".join(content(each.answer).tokens) or each.answer for each in (problem, other))
    return first == second


def _may_be_same(text: Content, other: Content, problem: Problem, earlier: Problem) -> bool:
    """What has to agree before wording is compared."""
    return (
        sorted(text.numbers) == sorted(other.numbers)
        and sorted(text.formulas) == sorted(other.formulas)
        and not _opposed(text, other)
        and same_answer(problem, earlier)
    )


def _opposed(text: Content, other: Content) -> bool:
    """Whether one text says a word where the other says its opposite."""
    words, other_words = Counter(text.words), Counter(other.words)
    only, only_other = words - other_words, other_words - words
    sides = {_SIDES[word] for word in only if word in _SIDES}
    return any(
        number == _SIDES[word][0] and side != _SIDES[word][1]
        for word in only_other
        if word in _SIDES
        for number, side in sides
    )


def _rows(keys: Iterable[object]) -> list[int]:
    return sorted(key for key in keys if isinstance(key, int))


def _shingles(text: Content, size: int) -> set[str]:
    """Word n-grams (all words, of a text with fewer) and every formula."""
    words = text.words
    grams = (
        {" ".join(words[start : start + size]) for start in range(max(1, len(words) - size + 1))} if words else set()
    )
    return grams | {f"\\{formula}" for formula in counted(text.formulas)}


def _close_pairs(vectors: np.ndarray, threshold: float) -> Iterator[tuple[int, int, float]]:
    """(later row, earlier row, cosine) in the order of the later row, closest first."""
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS]
        cosines = block @ vectors[: start + len(block)].T  # [rows, all rows so far]
        for offset in range(len(block)):
            earlier = cosines[offset, : start + offset]
            for other in sorted(np.flatnonzero(earlier >= threshold), key=lambda place: -earlier[place]):
                yield start + offset, int(other), float(earlier[other])


def _earlier_turns(problem: Problem) -> str:
    if isinstance(problem.question, str):
        return ""
    return "\n".join(f"{turn.role}: {turn.content}" for turn in problem.question[:-1]) + "\n"
