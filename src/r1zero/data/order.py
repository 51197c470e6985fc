"""Which problems a step sees: a pure function of seed and position, so a checkpoint need only hold one number."""

from __future__ import annotations

from r1zero.base import seeds


def indices(*, size: int, position: int, count: int, seed: int, shuffle: bool) -> list[int]:
    """`count` indices below `size` from `position` on. Every epoch is its own permutation; epochs follow seamlessly."""
    chosen = []
    while count:
        epoch, offset = divmod(position, size)
        order = seeds.generator(seed, "order", epoch).permutation(size) if shuffle else range(size)
        taken = [int(index) for index in order[offset : offset + count]]
        chosen += taken
        position += len(taken)
        count -= len(taken)
    return chosen
