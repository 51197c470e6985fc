"""Losses and their gradients against loops in float64 written from the papers, and however a step is packed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from r1zero.config import Objective, Optimization
from r1zero.data.packing import pack
from r1zero.models.value import token_values
from r1zero.trainer.local import LocalTrainer
from r1zero.tuning.objectives import build
from r1zero.types import Batch, Sample, TokenLogprobs, TokenValues

from ..conftest import small_model
from .fields import answer_row, ids, pair_row

RNG = np.random.default_rng
SHAPES = [(4, 3, 5), (2, 6, 1), (5, 2, 2), (4, 1, 7)]


def pair_rows() -> list[dict[str, np.ndarray]]:
    """Four pairs, the last two of one prompt, which a small pack must part without parting a pair."""
    rng = RNG(1)
    rows = [pair_row(rng, *shape) for shape in SHAPES]
    same = {name: values.copy() for name, values in rows[0].items()}
    same["rejected_input_ids"][-1] = 50
    same["rejected_labels"][-1] = 50
    return [*rows, same]


def preferences(count: int = 5) -> list[Sample]:
    """Pairs with reference log-probabilities."""
    objective = build(Objective(name="dpo"))
    samples = [sample for fields in pair_rows()[:count] for sample in objective.to_samples(fields)]
    rng = RNG(2)
    return [
        replace(sample, reference_logprobs=rng.normal(-3, 1, len(sample.mask)).astype(np.float32)) for sample in samples
    ]


def packed(samples: Sequence[Sample], limit: int = 1000, together: int = 2) -> list[Batch]:
    return pack(samples, tokens_per_pack=limit, loss_mean="sequence", together=together)


def values_and_gradient(
    loss: Callable[[Any, Batch], Any], batch: Batch, wrap: Callable[[Tensor], Any], given: Tensor
) -> tuple[float, Tensor]:
    given = given.clone().requires_grad_()
    total = (loss(wrap(given), batch).value * batch.weight.double()).sum()
    total.backward()
    assert given.grad is not None
    return float(total.detach()), given.grad


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def paper_dpo(settings: Objective, logprobs: list[list[Tensor]], references: list[list[list[float]]]) -> Tensor:
    """Mean over pairs, one pair and one token after another."""
    total = torch.zeros((), dtype=torch.float64)
    for (chosen, rejected), (ref_chosen, ref_rejected) in zip(logprobs, references, strict=True):
        ratio_c = sum((lp - ref for lp, ref in zip(chosen, ref_chosen, strict=True)), torch.zeros(()).double())
        ratio_r = sum((lp - ref for lp, ref in zip(rejected, ref_rejected, strict=True)), torch.zeros(()).double())
        if settings.length_normalised:
            ratio_c, ratio_r = ratio_c / len(chosen), ratio_r / len(rejected)
        h, b, e = ratio_c - ratio_r, settings.beta, settings.label_smoothing
        if settings.loss == "sigmoid":
            one = -torch.log(1 / (1 + torch.exp(-b * h))) * (1 - e) - torch.log(1 / (1 + torch.exp(b * h))) * e
        elif settings.loss == "hinge":
            one = torch.clamp(1 - b * h, min=0)
        else:
            one = (h - 1 / (2 * b)) ** 2
        nll = -sum(chosen, torch.zeros(()).double()) / len(chosen)
        total = total + one + settings.nll_weight * nll
    return total / len(logprobs)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"beta": 0.5, "label_smoothing": 0.2},
        {"loss": "hinge", "beta": 0.3},
        {"loss": "ipo", "beta": 0.2},
        {"loss": "ipo", "beta": 0.2, "length_normalised": True},
        {"beta": 2.0, "nll_weight": 0.7, "length_normalised": True},
    ],
)
def test_preference_losses_are_the_papers(keys: dict[str, Any]) -> None:
    settings = Objective(name="dpo", **keys)
    (batch,) = packed(preferences())
    assert batch.reference_logprobs is not None
    given = torch.from_numpy(RNG(3).normal(-3, 1, len(batch.targets)))
    batch = replace(batch, reference_logprobs=batch.reference_logprobs.double(), weight=batch.weight.double())
    wrap = lambda logprobs: TokenLogprobs(logprobs, torch.zeros_like(logprobs))  # noqa: E731
    value, gradient = values_and_gradient(build(settings).loss, batch, wrap, given)

    leaf = given.clone().requires_grad_()
    of_sequence = [torch.nonzero(batch.sequence_ids == k).flatten().tolist() for k in range(len(batch.members))]
    order = np.argsort(batch.members)  # as they were packed: chosen, rejected, chosen, ...
    logprobs, references = [], []
    for chosen, rejected in zip(order[0::2], order[1::2], strict=True):
        logprobs.append([[leaf[n] for n in of_sequence[k]] for k in (chosen, rejected)])
        references.append([[float(batch.reference_logprobs[n]) for n in of_sequence[k]] for k in (chosen, rejected)])
    expected = paper_dpo(settings, logprobs, references)
    expected.backward()
    assert value == pytest.approx(float(expected.detach()), abs=1e-6)
    torch.testing.assert_close(gradient, leaf.grad, atol=1e-6, rtol=0)
    assert gradient.abs().max() > 1e-3


def test_bradley_terry_with_margins_is_the_papers() -> None:
    objective = build(Objective(name="reward_model"))
    margins = [0.0, 0.5, 1.0, 2.0, 0.25]
    samples = [
        sample
        for fields, margin in zip(pair_rows(), margins, strict=True)
        for sample in objective.to_samples({**fields, "margin": np.array([margin], np.float32)})
    ]
    (batch,) = packed(samples)
    scores = torch.from_numpy(RNG(4).normal(0, 1, len(batch.targets)))
    value, gradient = values_and_gradient(objective.loss, batch, TokenValues, scores)
    place = {member: k for k, member in enumerate(batch.members)}
    expected, slopes = 0.0, torch.zeros_like(scores)
    for pair, margin in enumerate(margins):
        chosen, rejected = place[2 * pair], place[2 * pair + 1]
        d = float(scores[chosen] - scores[rejected]) - margin
        expected += -math.log(sigmoid(d)) / len(margins)
        slopes[chosen] -= (1 - sigmoid(d)) / len(margins)
        slopes[rejected] += (1 - sigmoid(d)) / len(margins)
    assert value == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(gradient, slopes, atol=1e-6, rtol=0)


def test_process_loss_is_cross_entropy_of_every_step() -> None:
    objective = build(Objective(name="process_reward"))
    judgements = np.full((2, 7), np.nan, np.float32)
    judgements[0, [2, 6]] = 1.0, 0.0
    judgements[1, [3, 4]] = 0.25, 1.0
    rows = [{"input_ids": np.arange(3, 10, dtype=np.int32) + k, "judgements": judgements[k]} for k in range(2)]
    samples = [sample for fields in rows for sample in objective.to_samples(fields)]
    (batch,) = pack(samples, tokens_per_pack=100)
    scores = torch.from_numpy(RNG(5).normal(0, 1, 4))
    value, gradient = values_and_gradient(objective.loss, batch, TokenValues, scores)
    assert batch.returns is not None
    wanted = batch.returns.double()
    assert sorted(wanted.tolist()) == [0.0, 0.25, 1.0, 1.0]
    y, p = wanted.numpy(), 1 / (1 + np.exp(-scores.numpy()))
    assert value == pytest.approx(float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()), abs=1e-6)
    np.testing.assert_allclose(gradient.numpy(), (p - y) / 4, atol=1e-6)


def gradient_of(trainer: LocalTrainer[Any], packs: Sequence[Batch], loss: Any) -> Tensor:
    for batch in packs:
        trainer.forward_backward(batch, loss)
    found = torch.cat([value.flatten() for value in trainer.masters.gradients()])
    trainer.discard_gradients()
    return found


def test_packing_never_parts_a_pair_and_never_changes_the_gradient() -> None:
    objective = build(Objective(name="dpo", beta=1.0))
    trainer: LocalTrainer[Any] = LocalTrainer(small_model(), None, Optimization(lr=1e-3), total_updates=1)
    (whole,) = packed(preferences())
    expected = gradient_of(trainer, [whole], objective.loss)
    for limit in (30, 14, 2):
        packs = packed(preferences(), limit)
        assert len(packs) > 1
        for batch in packs:
            pairs = np.array(batch.members).reshape(-1, 2)
            assert (pairs[:, 0] % 2 == 0).all() and (pairs[:, 1] == pairs[:, 0] + 1).all()
        torch.testing.assert_close(gradient_of(trainer, packs, objective.loss), expected, atol=1e-5, rtol=0)
    assert expected.abs().max() > 1e-3


def test_fine_tuning_packed_is_unpacked_is_transformers() -> None:
    """The gradient of a packed step, of one row per pack, and of transformers' own loss on padded rows."""
    rng = RNG(6)
    rows = [answer_row(rng, 5, 4), answer_row(rng, 3, 2, gap=3), answer_row(rng, 1, 6), answer_row(rng, 4, 4)]
    objective = build(Objective(name="sft"))
    samples = [sample for fields in rows for sample in objective.to_samples(fields)]
    model = small_model()
    plain = copy.deepcopy(model)
    plain.set_attn_implementation("eager")
    trainer: LocalTrainer[Any] = LocalTrainer(model, None, Optimization(lr=1e-3), total_updates=1)
    (whole,) = pack(samples, tokens_per_pack=1000)
    together = gradient_of(trainer, [whole], objective.loss)
    alone = gradient_of(trainer, pack(samples, tokens_per_pack=2), objective.loss)
    assert len(pack(samples, tokens_per_pack=2)) == len(rows)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)

    longest = max(len(row["input_ids"]) for row in rows)
    padded = {
        name: torch.tensor([[*row[name], *[fill] * (longest - len(row[name]))] for row in rows])
        for name, fill in (("input_ids", 2), ("labels", -100))
    }
    mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows])
    plain.train()
    theirs = plain(**padded, attention_mask=mask).loss
    theirs.backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in plain.parameters()])
    torch.testing.assert_close(together, expected, atol=1e-5, rtol=0)
    assert trainer.forward(whole, objective.loss)["loss"] == pytest.approx(float(theirs.detach()), abs=1e-5)


def test_a_reward_models_score_is_transformers(tmp_path: Any) -> None:
    """What is trained is the number that a saved sequence classifier gives for the whole text."""
    from r1zero.models.value import load_scorer

    small_model().save_pretrained(tmp_path)
    model = load_scorer(str(tmp_path), "model.path", dtype=torch.float32, device=torch.device("cpu"), seed=0)
    objective = build(Objective(name="reward_model"))
    rows = [{**fields, "margin": np.zeros(1, np.float32)} for fields in pair_rows()]
    prefix = {"chosen_input_ids": ids(5, 6, 7), "rejected_input_ids": ids(5, 6, 7, 8), "margin": np.zeros(1)}
    rows.append(prefix)  # one text begins the other
    samples = [sample for fields in rows for sample in objective.to_samples(fields)]
    (batch,) = packed(samples)
    found = token_values(model, batch).values.detach()
    plain = copy.deepcopy(model)
    plain.set_attn_implementation("eager")
    for place, member in enumerate(batch.members):
        fields = rows[member // 2]
        text = torch.from_numpy(fields["rejected_input_ids" if member % 2 else "chosen_input_ids"]).long()
        plain.config.pad_token_id = None
        with torch.no_grad():
            assert float(found[place]) == pytest.approx(float(plain(input_ids=text[None]).logits), abs=1e-5)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "stf"}, "objective.name = 'stf': unknown objective; did you mean 'sft'?"),
        ({"name": "sft", "beta": 0.2}, "objective.beta = 0.2: 'sft' does not use it; remove it"),
        (
            {"name": "dpo", "loss": "ipo", "label_smoothing": 0.1},
            "objective.label_smoothing = 0.1: only with loss: sigmoid; remove it",
        ),
    ],
)
def test_mistakes_in_the_section(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        build(Objective(**keys))
    assert str(caught.value) == message


def test_the_smoothing_of_labels_is_a_mixture() -> None:
    """With e = 0 and swapped pairs it is the loss of the other order."""
    from r1zero.tuning.objectives.dpo import pair_loss

    h = torch.linspace(-3, 3, 7, dtype=torch.float64)
    smooth = partial(Objective, name="dpo", beta=0.5)
    mixed = pair_loss(h, smooth(label_smoothing=0.3))
    plain = pair_loss(h, smooth())
    torch.testing.assert_close(mixed, 0.7 * plain + 0.3 * plain.flip(0))
