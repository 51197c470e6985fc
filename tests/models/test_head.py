"""Chunked log-probabilities against float64 softmax over the whole vocabulary."""

from __future__ import annotations

import pytest
import torch

from r1zero.models import head as head_module
from r1zero.models.head import LMHead, target_logprobs


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.25, None), (1.0, 3.0), (0.5, 2.0)])
def test_values_and_gradients(bias: bool, scale: float, softcap: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_module, "_ROWS", 3)
    monkeypatch.setattr(head_module, "_GRADIENT_BYTES", 5 * 31 * 4)  # five rows
    torch.manual_seed(0)
    count, vocabulary, width, temperature = 13, 31, 8, 0.7
    leaves = [torch.randn(count, width), torch.randn(vocabulary, width), torch.randn(vocabulary)]
    targets = torch.randint(vocabulary, (count,))
    d_logprobs, d_entropy = torch.randn(count), torch.randn(count)

    exact = [leaf.double().requires_grad_() for leaf in leaves]
    logits = (exact[0] @ exact[1].T + (exact[2] if bias else 0)) * scale
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    logp = torch.log_softmax(logits / temperature, -1)
    expected = logp.gather(1, targets[:, None])[:, 0]
    expected_entropy = -(logp.exp() * logp).sum(-1)
    (expected * d_logprobs + expected_entropy * d_entropy).sum().backward()

    ours = [leaf.clone().requires_grad_() for leaf in leaves]
    head = LMHead(ours[1], ours[2] if bias else None, scale, softcap)
    result = target_logprobs(ours[0], head, targets, temperature)
    (result.logprobs * d_logprobs + result.entropy * d_entropy).sum().backward()

    torch.testing.assert_close(result.logprobs.double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(result.entropy.double(), expected_entropy, atol=2e-5, rtol=0)
    for mine, reference in list(zip(ours, exact, strict=True))[: 3 if bias else 2]:
        assert mine.grad is not None and reference.grad is not None
        torch.testing.assert_close(mine.grad.double(), reference.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("quantity", ["logprobs", "entropy"])
def test_gradient_of_one_quantity_alone(quantity: str) -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(4, 8, requires_grad=True), torch.randn(11, 8, requires_grad=True)
    targets = torch.tensor([1, 0, 10, 3])
    getattr(target_logprobs(hidden, LMHead(weight), targets), quantity).sum().backward()
    reference = hidden.detach().clone().requires_grad_()
    logp = torch.log_softmax(reference @ weight.detach().T, -1)
    value = logp.gather(1, targets[:, None]) if quantity == "logprobs" else -logp.exp() * logp
    value.sum().backward()
    assert hidden.grad is not None and reference.grad is not None
    torch.testing.assert_close(hidden.grad, reference.grad, atol=1e-5, rtol=1e-5)
