"""Which problems a step sees when they come from several sources: a pure function of seed and position.

Every stretch of the order holds each source in its share, to within a draw or two, so that no step is without a source
by bad luck. Each source runs through epochs of its own, each a permutation of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from r1zero.base import seeds
from r1zero.config import Data
from r1zero.data import order

_HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Sources with their sizes in problems, and their weights from a number of prompts on.

    Example: `Mixture(sizes=(10, 90), phases=((0, (1, 1)), (1000, (1, 3))))` draws from both alike, and after 1,000
    prompts three times as often from the second.
    """

    sizes: tuple[int, ...]
    phases: tuple[tuple[int, tuple[Fraction, ...]], ...]

    @classmethod
    def of(cls, data: Data, sizes: Sequence[int]) -> Mixture:
        """What a recipe asks for, with the number of usable problems of each source."""
        sources = data.mixed()
        weights = [
            size if source.weight is None else source.weight for source, size in zip(sources, sizes, strict=True)
        ]
        phases = [(0, weights), *((phase.after_prompts, phase.weights) for phase in data.curriculum)]
        return cls(
            sizes=tuple(sizes),
            phases=tuple((start, tuple(Fraction(str(weight)) for weight in part)) for start, part in phases),
        )

    def draws(self, position: int) -> tuple[int, ...]:
        """How many of the first `position` prompts come from each source."""
        totals = [0] * len(self.sizes)
        ends = [start for start, _ in self.phases[1:]]
        for (start, weights), end in zip(self.phases, [*ends, position], strict=True):
            length = min(end, position) - start
            if length > 0:
                totals = [total + part for total, part in zip(totals, _shares(weights, length), strict=True)]
        return tuple(totals)

    def indices(self, *, position: int, count: int, seed: int, shuffle: bool) -> list[int]:
        """`count` indices from `position` on, into the problems of all sources one after the other."""
        starts = self.draws(position)
        ends = self.draws(position + count)
        waiting = [
            iter(self._of_source(source, start, end - start, seed, shuffle))
            for source, (start, end) in enumerate(zip(starts, ends, strict=True))
        ]
        chosen, before = [], starts
        for place in range(position, position + count):
            after = self.draws(place + 1)
            source = next(number for number, (old, new) in enumerate(zip(before, after, strict=True)) if new > old)
            chosen.append(next(waiting[source]))
            before = after
        return chosen

    def _of_source(self, source: int, position: int, count: int, seed: int, shuffle: bool) -> list[int]:
        own_seed = seeds.derive(seed, "source", source) if len(self.sizes) > 1 else seed
        size, offset = self.sizes[source], sum(self.sizes[:source])
        chosen = order.indices(size=size, position=position, count=count, seed=own_seed, shuffle=shuffle)
        return [offset + index for index in chosen]


def _shares(weights: Sequence[Fraction], count: int) -> list[int]:
    """Split the first `count` draws: the first source takes its share, rounded, the next its share of the rest, and so
    on.

    One more draw is one more for exactly one source: each rounding grows by 0 or 1 when what it rounds grows by at most
    1, and what it does not take is passed on.
    """
    shares = []
    left, rest = sum(weights), count
    for weight in weights:
        taken = floor(rest * weight / left + _HALF) if weight else 0
        shares.append(taken)
        left, rest = left - weight, rest - taken
    return shares
