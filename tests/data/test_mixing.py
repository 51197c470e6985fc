"""The order over several sources: exact shares, reproducible from one number, epochs of each source whole."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from r1zero.config import Data
from r1zero.data import order
from r1zero.data.mixing import Mixture

WEIGHTS = st.lists(st.sampled_from([0, 0.1, 0.3, 0.5, 1, 2, 7]), min_size=1, max_size=5).filter(any)


def mixture(sizes: list[int], *phases: tuple[int, list[float]]) -> Mixture:
    exact = tuple((start, tuple(Fraction(str(weight)) for weight in weights)) for start, weights in phases)
    return Mixture(sizes=tuple(sizes), phases=exact)


def data(**settings: object) -> Data:
    return Data.model_validate({"template": "plain", "max_prompt_tokens": 10, **settings}, strict=False)


@given(WEIGHTS, st.integers(0, 300))
def test_every_prompt_is_one_draw_and_shares_stay_close_to_the_weights(weights: list[float], position: int) -> None:
    mixed = mixture([5] * len(weights), (0, weights))
    now, later = mixed.draws(position), mixed.draws(position + 1)
    assert sum(now) == position
    assert sorted(b - a for a, b in zip(now, later, strict=True)) == [0] * (len(weights) - 1) + [1]
    for drawn, weight in zip(now, weights, strict=True):
        assert abs(drawn - position * weight / sum(weights)) <= 2
        assert weight or not drawn


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.integers(0, 60),
    st.lists(st.integers(1, 15), min_size=1, max_size=5),
    st.integers(0, 2),
)
def test_any_split_of_the_requests_gives_the_same_sequence(
    sizes: list[int], start: int, counts: list[int], seed: int
) -> None:
    mixed = mixture(sizes, (0, [1, 2, 3, 4][: len(sizes)]), (20, [4, 3, 2, 1][: len(sizes)]))
    whole = mixed.indices(position=start, count=sum(counts), seed=seed, shuffle=True)
    parts, position = [], start
    for count in counts:
        parts += mixed.indices(position=position, count=count, seed=seed, shuffle=True)
        position += count
    assert parts == whole


def test_epochs_of_a_source_are_permutations_of_their_own() -> None:
    mixed = mixture([4, 100], (0, [1, 1]))
    small = [index for index in mixed.indices(position=0, count=16, seed=0, shuffle=True) if index < 4]
    assert sorted(small[:4]) == sorted(small[4:]) == [0, 1, 2, 3] and small[:4] != small[4:]


def test_a_further_source_does_not_change_the_order_within_one() -> None:
    two = mixture([6, 50], (0, [1, 1])).indices(position=0, count=12, seed=3, shuffle=True)
    three = mixture([6, 50, 9], (0, [1, 1, 1])).indices(position=0, count=18, seed=3, shuffle=True)
    assert [index for index in two if index < 6] == [index for index in three if index < 6]


def test_phases_change_the_shares() -> None:
    mixed = mixture([9, 9], (0, [1, 0]), (10, [1, 3]))
    chosen = mixed.indices(position=0, count=18, seed=0, shuffle=False)
    assert Counter(index // 9 for index in chosen[:10]) == {0: 10}
    assert Counter(index // 9 for index in chosen[10:]) == {0: 2, 1: 6}


def test_one_source_is_the_plain_order() -> None:
    mixed = Mixture.of(data(path="a.jsonl"), [7])
    for shuffle in (True, False):
        expected = order.indices(size=7, position=5, count=20, seed=1, shuffle=shuffle)
        assert mixed.indices(position=5, count=20, seed=1, shuffle=shuffle) == expected


def test_without_weights_each_source_counts_by_its_size() -> None:
    sources = [{"path": "a.jsonl"}, {"path": "b.jsonl"}]
    mixed = Mixture.of(data(sources=sources), [3, 9])
    assert mixed.draws(12) == (3, 9) and mixed.draws(120) == (30, 90)
    assert sorted(mixed.indices(position=0, count=12, seed=0, shuffle=True)) == list(range(12))
