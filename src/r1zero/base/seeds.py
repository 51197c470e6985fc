"""Random numbers by address instead of by history: what a step draws depends on (run seed, purpose, step) alone.

A resumed run needs no replay to be at the same place, and nothing that happens in between can shift the stream.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *address: str | int) -> int:
    """A 63-bit seed for one purpose. Example: `derive(0, "rollout", 12)`."""
    text = "/".join(str(part) for part in (seed, *address))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *address: str | int) -> np.random.Generator:
    """A NumPy generator (counter-based Philox) for one purpose."""
    return np.random.Generator(np.random.Philox(key=derive(seed, *address)))
