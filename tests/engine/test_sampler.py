"""Sampling: exact distribution, exact filters, and uniform numbers at the edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from r1zero.engine.native.sampler import sample
from r1zero.types import Sampling


def draw(logits: torch.Tensor, uniforms: torch.Tensor, **settings: float) -> tuple[torch.Tensor, torch.Tensor]:
    return sample(logits.clone(), uniforms, Sampling(n=1, max_new_tokens=1, **settings))  # pyright: ignore


def allowed(logits: torch.Tensor, **settings: float) -> set[int]:
    """Tokens that come up when the uniform number sweeps [0, 1)."""
    uniforms = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    tokens, _ = draw(logits.expand(20_000, -1), uniforms, **settings)
    return set(tokens.tolist())


@pytest.mark.parametrize("vocabulary", [5, 256, 257, 1000])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_inverse_distribution_function(vocabulary: int, temperature: float) -> None:
    """A uniform sweep hits every token in proportion to its probability, to the width of the sweep's step."""
    torch.manual_seed(0)
    logits = torch.randn(vocabulary) * 2
    count = 200_000
    uniforms = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    counts = torch.zeros(vocabulary, dtype=torch.float64)
    for part in uniforms.split(20_000):
        tokens, _ = draw(logits.expand(len(part), -1), part, temperature=temperature)
        counts += torch.bincount(tokens, minlength=vocabulary)
    expected = (logits.double() / temperature).softmax(-1) * count
    assert (counts - expected).abs().max() < 2.5


def test_log_probabilities_are_tempered_and_unfiltered() -> None:
    torch.manual_seed(0)
    logits = torch.randn(64, 300)
    tokens, logprobs = draw(logits, torch.rand(64, dtype=torch.float64), temperature=0.6, top_k=3, top_p=0.5)
    expected = (logits / 0.6).log_softmax(-1).gather(1, tokens[:, None])[:, 0]
    torch.testing.assert_close(logprobs, expected, atol=1e-5, rtol=0)


def test_greedy() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    tokens, logprobs = draw(logits, torch.tensor([0.99]), temperature=0.0)
    assert tokens.tolist() == [1]
    torch.testing.assert_close(logprobs, logits.log_softmax(-1)[:, 1])


PROBABILITIES = torch.tensor([0.05, 0.4, 0.3, 0.2, 0.05])
LOGITS = PROBABILITIES.log()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 1}, {1}),
        ({"top_k": 3}, {1, 2, 3}),
        ({"top_k": 5}, {0, 1, 2, 3, 4}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.39}, {1}),
        ({"top_p": 0.41}, {1, 2}),  # the token that crosses the threshold belongs to the set
        ({"top_p": 0.89}, {1, 2, 3}),
        ({"top_p": 1e-9}, {1}),
        ({"min_p": 0.49}, {1, 2, 3}),
        ({"min_p": 0.51}, {1, 2}),
        ({"min_p": 0.99}, {1}),
        ({"top_k": 3, "top_p": 0.5}, {1, 2}),  # top-p looks at what top-k has left: 0.4 / 0.9
        ({"top_k": 4, "top_p": 0.95, "min_p": 0.7}, {1, 2}),
    ],
)
def test_filters(settings: dict[str, float], expected: set[int]) -> None:
    assert allowed(LOGITS[None], **settings) == expected


@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("top_p", [0.2, 0.9, 0.999])
def test_the_nucleus_of_a_large_vocabulary(spread: float, top_p: float) -> None:
    """The fewest tokens that hold `top_p`, found by sorting all of them in float64."""
    logits = spread * torch.randn(1, 700, generator=torch.Generator().manual_seed(0))
    probabilities = logits[0].double().softmax(-1)
    ordered, tokens = probabilities.sort(descending=True)
    count = int((ordered.cumsum(0) < top_p).sum()) + 1
    mass = probabilities[tokens[:count]]
    swept = {int(token) for token in tokens[:count][mass > 2 / 20_000]}  # the others may fall between two steps
    assert swept <= allowed(logits, top_p=top_p) <= set(tokens[:count].tolist())


def test_filtered_probabilities_are_renormalised() -> None:
    uniforms = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    tokens, _ = draw(LOGITS.expand(10_000, -1), uniforms, top_k=2)
    share = np.bincount(tokens.numpy(), minlength=5) / 10_000
    assert share[1] == pytest.approx(4 / 7, abs=1e-3) and share[2] == pytest.approx(3 / 7, abs=1e-3)


@pytest.mark.parametrize("uniform", [0.0, 1.0 - 2**-53])
@pytest.mark.parametrize("vocabulary", [3, 256, 600])
def test_edges_never_choose_a_token_without_mass(uniform: float, vocabulary: int) -> None:
    logits = torch.full((1, vocabulary), -torch.inf)
    logits[0, 1] = 0.0
    tokens, logprobs = draw(logits, torch.tensor([uniform], dtype=torch.float64))
    assert tokens.tolist() == [1] and logprobs.tolist() == [0.0]


def test_a_very_unequal_distribution() -> None:
    logits = torch.full((1, 50_000), -20.0)
    logits[0, 49_999] = 20.0
    uniforms = torch.rand(500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tokens, _ = draw(logits.expand(500, -1), uniforms)
    assert set(tokens.tolist()) == {49_999}
