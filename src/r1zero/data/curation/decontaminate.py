"""Training problems that are in an evaluation set are taken out, in Open-R1's way or in a stricter one.

`open_r1` is scripts/decontaminate.py of Open-R1: one shared word 8-gram, lower case, nothing normalised. It cannot see
a problem of fewer than 8 words, and takes stock wording for a leak ("where m and n are relatively prime positive
integers. Find m + n").

`strict` asks whether a training problem says what an evaluation problem says. Words and formulas are compared apart,
each weighted by its information, log(1 + N / df): a rewritten problem keeps its formulas and numbers and some of its
words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from r1zero.data.curation.content import Content, content, counted, word_ngrams
from r1zero.data.curation.removal import Outcome, Removal
from r1zero.types import Problem

Evaluations = Mapping[str, Sequence[Problem]]  # name of the set -> its problems

# Of `strict`; what they cost and catch on the field's sets is measured by benchmarks/curate.py.
_SAME_FORMULAS = 0.8  # weighted Jaccard similarity of the formulas
_SAME_CONTENT = 0.65  # share of the evaluation problem's information that the training problem holds
_SAME_WORDS = 0.4  # the same of its words ...
# in units of what a word or formula says that no third problem has: log(1 + N / 2)
_TELLING_FORMULAS = 1.0  # ... unless its formulas alone say so much
_TELLING = 2.0  # other problems that say less are compared for equality only
_PROSE_CONTENT, _PROSE_SIMILARITY, _PROSE_TELLING = 0.6, 0.35, 1.7  # of problems without formulas
# copied passages: tokens of an n-gram, the share of them that is copied, and how many at least
_VERBATIM_GRAM, _VERBATIM_SHARE, _VERBATIM_LEAST = 8, 0.66, 4
_STOCK_GRAM, _STOCK_PROBLEMS = 4, 5  # wording that so many problems share is nobody's
_ROUNDING = 1e-9
_ROWS = 512  # training problems compared at a time: [rows, evaluation problems] in memory

_INSTRUCTIONS_LIST = (
    "find compute calculate evaluate determine simplify what is the value of work out state give please "
    "following expression problem solve"
)
_INSTRUCTIONS = frozenset(_INSTRUCTIONS_LIST.split())


def open_r1(problems: Sequence[Problem], evaluations: Evaluations, size: int = 8) -> Outcome:
    """Remove problems that share a word n-gram of `size` words with any problem of an evaluation set.

    `notes` counts, per set, the problems it flags; a problem that several sets flag is removed once.
    """
    homes = {name: _first_homes(held_out, size) for name, held_out in evaluations.items()}

    def flags(problem: Problem) -> Iterator[tuple[str, Problem, str]]:
        grams = word_ngrams(problem.text, size)
        for name, grams_of_set in homes.items():
            shared = sorted(grams & grams_of_set.keys())
            if shared:
                yield name, grams_of_set[shared[0]], f"shares '{shared[0]}'"

    return _split(problems, evaluations, (list(flags(problem)) for problem in problems))


def strict(problems: Sequence[Problem], evaluations: Evaluations) -> Outcome:
    """Remove problems that say what an evaluation problem says: equal but for typography and instruction words,
    or holding a long passage of it, or rewritten. `notes` counts the flagged problems of each set."""
    training = [content(problem.text) for problem in problems]
    found: list[list[tuple[str, Problem, str]]] = [[] for _ in problems]
    for name, held_out in evaluations.items():
        tests = [content(problem.text) for problem in held_out]
        for row, (test, why) in _matches(training, tests):
            found[row].append((name, held_out[test], why))
    return _split(problems, evaluations, found)


def _split(
    problems: Sequence[Problem], evaluations: Evaluations, found: Iterable[list[tuple[str, Problem, str]]]
) -> Outcome:
    kept, removed = [], []
    notes = dict.fromkeys(evaluations, 0)
    for problem, flags in zip(problems, found, strict=True):
        for name, _, _ in flags:
            notes[name] += 1
        if flags:
            name, like, why = flags[0]
            removed.append(Removal(problem=problem, reason=f"in {name}", detail=why, like=like))
        else:
            kept.append(problem)
    return Outcome(kept=kept, removed=removed, notes=dict(notes))


def _first_homes(held_out: Sequence[Problem], size: int) -> dict[str, Problem]:
    homes: dict[str, Problem] = {}
    for problem in held_out:
        for gram in word_ngrams(problem.text, size):
            homes.setdefault(gram, problem)
    return homes


Match = tuple[int, tuple[int, str]]  # (training row, (evaluation row, why))


def _matches(training: Sequence[Content], tests: Sequence[Content]) -> Iterator[Match]:
    """At most one match per training row, the plainest kind first."""
    stock = _stock(training, tests)
    equal = _equal(training, tests)
    verbatim = _verbatim(training, tests, stock)
    rewritten = _rewritten(training, tests, stock)
    for row in range(len(training)):
        for kind in (equal, verbatim, rewritten):
            if row in kind:
                yield row, kind[row]
                break


def _stock(training: Sequence[Content], tests: Sequence[Content]) -> frozenset[tuple[str, ...]]:
    """4-grams of words that at least five problems share, wherever they come from."""
    seen: Counter[tuple[str, ...]] = Counter()
    for text in (*training, *tests):
        seen.update(set(_grams(text.words, _STOCK_GRAM)))
    return frozenset(gram for gram, count in seen.items() if count >= _STOCK_PROBLEMS)


def _equal(training: Sequence[Content], tests: Sequence[Content]) -> dict[int, tuple[int, str]]:
    """Same formulas and words, but for instruction words: what short problems are compared by."""
    keys = {key: test for test, text in reversed(list(enumerate(tests))) if (key := _bare(text))}
    found = {row: keys.get(_bare(text)) for row, text in enumerate(training)}
    return {row: (test, "the same question") for row, test in found.items() if test is not None}


def _bare(text: Content) -> tuple[str, ...]:
    return tuple(token for token in text.tokens if token not in _INSTRUCTIONS)


def _verbatim(
    training: Sequence[Content], tests: Sequence[Content], stock: frozenset[tuple[str, ...]]
) -> dict[int, tuple[int, str]]:
    """Most of the evaluation problem's own 8-grams, stock wording left out, stand in the training problem."""
    homes: dict[tuple[str, ...], set[int]] = {}
    totals: Counter[int] = Counter()
    for test, text in enumerate(tests):
        for gram in set(_grams(text.tokens, _VERBATIM_GRAM)):
            if not all(part in stock for part in _grams(gram, _STOCK_GRAM)):
                homes.setdefault(gram, set()).add(test)
                totals[test] += 1
    found = {}
    for row, text in enumerate(training):
        shared: Counter[int] = Counter()
        for gram in set(_grams(text.tokens, _VERBATIM_GRAM)):
            shared.update(homes.get(gram, ()))
        for test, count in shared.most_common(1):
            numbers = Counter(tests[test].numbers) - Counter(text.numbers)
            if count >= max(_VERBATIM_LEAST, _VERBATIM_SHARE * totals[test]) and not numbers:
                found[row] = (test, f"holds {count} of its {totals[test]} word {_VERBATIM_GRAM}-grams")
    return found


def _rewritten(
    training: Sequence[Content], tests: Sequence[Content], stock: frozenset[tuple[str, ...]]
) -> dict[int, tuple[int, str]]:
    """Same formulas, and enough of the evaluation problem's words."""
    words = [set(_own_words(text, frozenset())) for text in training], [set(_own_words(text, stock)) for text in tests]
    formulas = tuple([set(counted(text.formulas)) for text in part] for part in (training, tests))
    word_nats = _information([*words[0], *words[1]])
    formula_nats = _information([*formulas[0], *formulas[1]])
    tests_words = _Weighted(words[1], word_nats)
    tests_formulas = _Weighted(formulas[1], formula_nats)
    found = {}
    for start in range(0, len(training), _ROWS):
        rows = slice(start, start + _ROWS)
        judged = _judge(
            _Weighted(words[0][rows], word_nats),
            tests_words,
            _Weighted(formulas[0][rows], formula_nats),
            tests_formulas,
            rare=math.log(1 + (len(training) + len(tests)) / 2),
        )
        for row in np.flatnonzero(judged.any(axis=1)):
            best = int(judged[row].argmax())
            found[start + int(row)] = (best, f"{judged[row, best]:.0%} of its content, and the same formulas")
    return found


class _Weighted:
    """Sets as rows of a sparse 0/1 matrix over features, with the information of each feature and row."""

    def __init__(self, sets: Sequence[set[str]], nats: Mapping[str, float]) -> None:
        import scipy.sparse

        numbers = {feature: number for number, feature in enumerate(nats)}
        self.weights = np.fromiter(nats.values(), dtype=np.float64, count=len(nats))
        columns = [numbers[feature] for features in sets for feature in sorted(features)]
        offsets = np.cumsum([0, *(len(features) for features in sets)])
        self.rows = scipy.sparse.csr_matrix((np.ones(len(columns)), columns, offsets), shape=(len(sets), len(nats)))
        self.nats = self.rows @ self.weights  # [rows]

    def shared(self, other: _Weighted) -> np.ndarray:
        """Information in common: [rows, other's rows]."""
        return (self.rows.multiply(self.weights) @ other.rows.T).toarray()


def _judge(
    words: _Weighted, tests_words: _Weighted, formulas: _Weighted, tests_formulas: _Weighted, *, rare: float
) -> np.ndarray:
    """[training rows, evaluation rows]: the shared part of the evaluation problem's content where it is taken for the
    same problem, 0 elsewhere. `rare` is the information of a feature that two problems have, in nats."""
    shared_words, shared_formulas = words.shared(tests_words), formulas.shared(tests_formulas)
    union_words = words.nats[:, None] + tests_words.nats - shared_words
    union_formulas = formulas.nats[:, None] + tests_formulas.nats - shared_formulas
    total = tests_words.nats + tests_formulas.nats  # [evaluation rows]
    telling, telling_formulas = total / rare + _ROUNDING, tests_formulas.nats / rare + _ROUNDING
    part = _ratio(shared_words + shared_formulas, total)
    part_words = _ratio(shared_words, tests_words.nats)
    with_formulas = (
        (_ratio(shared_formulas, union_formulas) >= _SAME_FORMULAS)
        & (part >= _SAME_CONTENT)
        & (((part_words >= _SAME_WORDS) & (telling >= _TELLING)) | (telling_formulas >= _TELLING_FORMULAS))
    )
    prose = (
        (union_formulas == 0)
        & (part_words >= _PROSE_CONTENT)
        & (_ratio(shared_words, union_words) >= _PROSE_SIMILARITY)
        & (telling >= _PROSE_TELLING)
    )
    return np.where(with_formulas | prose, part, 0.0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1e-9)


def _information(sets: Sequence[set[str]]) -> dict[str, float]:
    seen = Counter(feature for features in sets for feature in features)
    return {feature: math.log(1 + len(sets) / count) for feature, count in seen.items()}


def _own_words(text: Content, stock: frozenset[tuple[str, ...]]) -> Iterator[str]:
    """Stems of the words outside stock wording that are no instruction."""
    inside = {
        place
        for start, gram in enumerate(_grams(text.words, _STOCK_GRAM))
        if gram in stock
        for place in range(start, start + _STOCK_GRAM)
    }
    own = (word for place, word in enumerate(text.words) if place not in inside)
    return (_stem(word) for word in own if word not in _INSTRUCTIONS)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if len(word) > len(ending) + 2 and word.endswith(ending):
            return word[: -len(ending)]
    return word


def _grams(tokens: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)]
