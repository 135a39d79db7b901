"""Probes find planted directions, shifts move their answers, controls do neither."""

import pytest
import torch

from samediff_stimuli.models import fit_probe, fit_probes, random_direction, shuffled
from samediff_stimuli.recipe import InputError

DTYPES = (torch.float32, torch.bfloat16, torch.float64)


def planted(n=600, d=24, classes=2, noise=0.3, dtype=torch.float32):
    """States around one planted mean for each label, and the labels."""
    generator = torch.Generator().manual_seed(1)
    means = torch.randn(classes, d, generator=generator)
    labels = torch.arange(n) % classes
    states = means[labels] + noise * torch.randn(n, d, generator=generator)
    return states.to(dtype), labels, means


@pytest.mark.parametrize("dtype", DTYPES)
def test_probe_finds_the_planted_direction(dtype):
    """Of two classes apart along one axis, the probe's direction is that axis, of length 1."""
    states, labels, _ = planted(classes=1, noise=1.0, dtype=dtype)
    axis = torch.zeros(24)
    axis[3] = 1
    labels = torch.arange(600) % 2
    states = (states.float() + 6.0 * labels[:, None] * axis).to(dtype)
    probe = fit_probe(states, labels)
    found = probe.direction(0, 1)
    assert found.dtype == torch.float32
    assert float(found.norm()) == pytest.approx(1, abs=1e-5)
    assert float(found @ axis) > 0.97
    assert torch.allclose(found, -probe.direction(1, 0))
    assert probe.accuracy(states, labels) > 0.99


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [2, 5])
def test_shift_moves_the_answer_and_no_further(dtype, classes):
    """Every state is answered b after its shift, with the margin as lead; a shorter one fails."""
    states, labels, _ = planted(classes=classes, dtype=dtype)
    probe = fit_probe(states, labels)
    at = states[labels == 0].float()
    step = probe.shift(at, 0, 1, margin=0.01)
    assert (probe.answers(at + step) == 1).all()
    scores = probe.scores(at + step)
    lead = scores[:, 1] - scores[:, [c for c in range(classes) if c != 1]].amax(dim=1)
    assert torch.allclose(lead, torch.full_like(lead, 0.01), atol=1e-4)
    assert (probe.answers(at + 0.98 * step) != 1).all()
    unit = torch.nn.functional.cosine_similarity(step, probe.direction(0, 1)[None])
    assert torch.allclose(unit, torch.ones_like(unit), atol=1e-5)
    there = states[labels == 1].float()
    assert (probe.shift(there, 0, 1) == 0).float().mean() > 0.98  # already answered 1


def test_shift_of_two_classes_is_least_by_hand():
    """Of two classes the shift is the orthogonal projection onto the border."""
    states, labels, _ = planted()
    probe = fit_probe(states, labels)
    difference = probe.weight[1] - probe.weight[0]
    gap = (states @ difference + probe.bias[1] - probe.bias[0])[labels == 0]
    by_hand = -gap[:, None] * difference / difference.square().sum()
    assert torch.allclose(probe.shift(states[labels == 0], 0, 1), by_hand, atol=1e-4)


def test_labels_of_tokens_may_be_ignored():
    """States of (n, tokens, d) are fitted where labels are not ignored, and nowhere else."""
    states, labels, _ = planted(classes=3)
    wide = torch.full((600, 4, 24), 1e6)
    wide[:, 2] = states
    spread = torch.full((600, 4), -100)
    spread[:, 2] = labels
    probe, plain = fit_probe(wide, spread), fit_probe(states, labels)
    assert torch.equal(probe.weight, plain.weight)
    assert probe.accuracy(wide, spread) == plain.accuracy(states, labels)
    assert probe.scores(wide).shape == (600, 4, 3)


def test_control_probe_is_at_chance():
    """A probe of shuffled labels is right on held-out states about as often as chance."""
    states, labels, _ = planted(n=1200, classes=4)
    mixed = shuffled(labels, seed=0)
    assert torch.equal(mixed.bincount(), labels.bincount())
    assert torch.equal(mixed, shuffled(labels, seed=0))
    assert not torch.equal(mixed, shuffled(labels, seed=1))
    found = fit_probes({0: states[:900]}, labels[:900])[0].accuracy(states[900:], labels[900:])
    controls = [fit_probe(states[:900], shuffled(labels[:900], seed)) for seed in range(40)]
    chance = [control.accuracy(states[900:], labels[900:]) for control in controls]
    assert found > 0.99
    assert 0.1 < sum(chance) / 40 < 0.4  # each is right on whole clusters: 0, 1, 2 of 4 or so
    kept = torch.tensor([[-100, 3], [4, -100]])
    assert (shuffled(kept, seed=5) == -100).equal(kept == -100)


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_direction_is_as_long_and_uncorrelated(dtype):
    """The control has the length, type and width of its model, and directions fill the space."""
    like = torch.zeros(768, dtype=dtype)
    like[0] = 2.5
    drawn = torch.stack([random_direction(like, seed) for seed in range(200)])
    assert drawn.dtype == dtype
    norms = drawn.double().norm(dim=1)
    assert torch.allclose(norms, torch.full_like(norms, 2.5), rtol=1e-2)
    units = drawn.double() / norms[:, None]
    alike = (units @ units.T - torch.eye(200)).abs()
    assert float(alike.max()) < 0.2  # 5.5 standard deviations of 1 / sqrt(768)
    assert float(units.square().mean(dim=0).max()) < 3 / 768 * 1.5
    assert torch.equal(random_direction(like, 7), drawn[7])


def test_direction_moves_only_its_own_answer():
    """A shift along the probe's direction turns its answers; one at random as long turns few."""
    states, labels, _ = planted(n=900, d=256, classes=3, noise=0.2)
    probe = fit_probe(states, labels)
    at = states[labels == 0]
    step = probe.shift(at, 0, 1, margin=0.01)
    turned = (probe.answers(at + step) == 1).float().mean()
    other = step.norm(dim=1, keepdim=True) * random_direction(probe.direction(0, 1), 3)
    by_chance = (probe.answers(at + other) == 1).float().mean()
    assert float(turned) == 1.0
    assert float(by_chance) < 0.05


def test_directions_refuse_what_cannot_be():
    """Labels that were not fitted, states that do not suit and the like are refused in a line."""
    states, labels, _ = planted()
    probe = fit_probe(states, labels)
    broken = states.clone()
    broken[5, 5] = float("nan")
    cases = [
        (lambda: probe.direction(0, 7), "label 7 was not fitted; known: 0, 1"),
        (lambda: probe.direction(1, 1), "no direction leads from 1 to itself"),
        (lambda: probe.shift(states, 0, 1, margin=-1.0), "margin -1.0 is out of range"),
        (lambda: fit_probe(states, labels[:5]), "do not belong together"),
        (lambda: fit_probe(states, labels * 0), "fewer than two labels"),
        (lambda: fit_probe(broken, labels), "not finite"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message):
            call()
