"""The order of problems: complete epochs, reproducible, and independent of how it is asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from r1zero.data.order import indices


@given(st.integers(1, 20), st.integers(0, 60), st.lists(st.integers(1, 15), min_size=1, max_size=6), st.integers(0, 3))
def test_any_split_of_the_requests_gives_the_same_sequence(size: int, start: int, counts: list[int], seed: int) -> None:
    whole = indices(size=size, position=start, count=sum(counts), seed=seed, shuffle=True)
    parts, position = [], start
    for count in counts:
        parts += indices(size=size, position=position, count=count, seed=seed, shuffle=True)
        position += count
    assert parts == whole


def test_every_epoch_is_a_permutation_of_its_own() -> None:
    two = indices(size=10, position=0, count=20, seed=0, shuffle=True)
    assert sorted(two[:10]) == sorted(two[10:]) == list(range(10)) and two[:10] != two[10:]


def test_without_shuffling() -> None:
    assert indices(size=3, position=2, count=4, seed=0, shuffle=False) == [2, 0, 1, 2]
