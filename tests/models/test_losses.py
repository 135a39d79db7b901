"""Auxiliary losses: known answers, the formulas by hand, gradients."""

import math
import re

import pytest
import torch
from torch import nn

from samediff_stimuli.models import losses
from samediff_stimuli.models.attention import FORMS, Roles, pattern_scores, within_object
from samediff_stimuli.models.losses import DisentanglementProbes
from samediff_stimuli.recipe import InputError
from tests.attention_maps import (
    PLACES,
    TOKENS,
    attention_to,
    own,
    random_attention,
    roles_of,
)


def test_pipeline_loss_is_its_formula():
    """1 - mean score over layers on paper, -log score with the code's denominators in code."""
    attention = {layer: attention_to(range(TOKENS)) for layer in (1, 2, 3)}
    layers = {"within_object": (1,), "within_pair": (2,), "between_pair": (3,)}
    four, two = roles_of(4), roles_of(2)
    paper = losses.pipeline_loss(attention, four, layers=layers)
    assert float(paper) == pytest.approx(1 - (2 + 2 + 4) / 3 / TOKENS)
    code = losses.pipeline_loss(attention, four, layers=layers, form="code")
    assert float(code) == pytest.approx(-math.log(1 / TOKENS), rel=1e-6)  # each score is 2/24
    assert float(losses.pipeline_loss(attention, two, layers=layers)) == pytest.approx(1 - 2 / 12)


def test_code_form_is_the_binary_cross_entropy_of_the_authors():
    """Form "code" equals BCELoss against ones of the score of each head and image."""
    roles, attention = roles_of(n=2), {4: random_attention()}
    score = within_object(attention[4], roles, "code").mean(dim=-1)
    expected = nn.BCELoss()(score, torch.ones_like(score))
    found = losses.pipeline_loss(attention, roles, layers={"within_object": (4,)}, form="code")
    assert torch.allclose(found, expected)


def test_pipeline_loss_ends_at_zero_and_selects_heads():
    """A head within objects costs 0, one that looks elsewhere 1; only chosen heads count."""
    attention = own()
    attention[:, 1] = attention_to([0])[:, 1]
    layers = {"within_object": (4,)}
    for heads, expected in (([0, 2], 0.0), ([1], 1.0), (None, 1 / 3)):
        found = losses.pipeline_loss({4: attention}, roles_of(), layers=layers, heads=heads)
        assert float(found) == pytest.approx(expected, abs=1e-6)


def test_pipeline_loss_lowers_by_gradient():
    """Steps down the gradient of either form move attention into objects."""
    for form in FORMS:
        logits = torch.zeros(1, 2, TOKENS, TOKENS, requires_grad=True)
        optimiser = torch.optim.SGD([logits], lr=20.0)
        values = []
        for _ in range(30):
            optimiser.zero_grad()
            maps = {4: logits.softmax(dim=-1)}
            loss = losses.pipeline_loss(maps, roles_of(), layers={"within_object": (4,)}, form=form)
            loss.backward()
            optimiser.step()
            values.append(float(loss.detach()))
        after = within_object(logits.detach().softmax(dim=-1), roles_of()).mean()
        assert values[-1] < values[0]
        assert float(after) > 0.9


@pytest.mark.parametrize("form", FORMS)
def test_pipeline_loss_gradient_is_right(form):
    """The gradient agrees with finite differences in double precision."""
    logits = torch.randn(1, 1, TOKENS, TOKENS, dtype=torch.float64, requires_grad=True)
    layers = {"within_object": (1,), "within_pair": (2,), "between_pair": (3,)}

    def loss(x):
        maps = x.softmax(dim=-1)
        return losses.pipeline_loss(
            {1: maps, 2: maps, 3: maps}, roles_of(4), layers=layers, form=form
        )

    assert torch.autograd.gradcheck(loss, (logits,))


def test_default_layers_are_the_papers():
    """One pair leaves out the last stage; the paper's layers 3-9 from 0 are blocks 4-10."""
    assert sorted(losses.stages_of(losses.PIPELINE, 2)) == list(range(4, 11))
    assert sorted(losses.stages_of(losses.PIPELINE, 1)) == list(range(4, 9))


def test_random_heads_are_fixed_by_their_seed():
    """The same seed takes the same heads for ever; seeds differ and draw every head."""
    assert losses.random_heads(12, 4, 0) == losses.random_heads(12, 4, 0) == (6, 7, 8, 9)
    drawn = [losses.random_heads(12, 4, seed) for seed in range(50)]
    assert len(set(drawn)) > 40
    assert set().union(*drawn) == set(range(12))
    assert all(len(set(heads)) == 4 for heads in drawn)


def probe_case(n=3, k=2, dim=8):
    """Hidden states, token masks, shapes and colours."""
    torch.manual_seed(0)
    hidden = torch.randn(n, TOKENS, dim, dtype=torch.float64)
    shape, color = torch.randint(0, 4, (n, k)), torch.randint(0, 3, (n, k))
    return hidden, roles_of(k, n).objects, shape, color


def test_disentanglement_loss_is_its_formula():
    """CE of shape on the first half plus CE of colour on the second, over object tokens."""
    hidden, mask, shape, color = probe_case(k=4)
    probes = DisentanglementProbes(8, 4, 3).double()
    rows = [(i, o, t) for i in range(3) for o in range(4) for t in PLACES[o]]
    states = torch.stack([hidden[i, t] for i, _, t in rows])
    shapes = torch.stack([shape[i, o] for i, o, _ in rows])
    colors = torch.stack([color[i, o] for i, o, _ in rows])
    expected = nn.functional.cross_entropy(probes.shape(states[:, :4]), shapes)
    expected = expected + nn.functional.cross_entropy(probes.color(states[:, 4:]), colors)
    assert torch.allclose(probes.loss(hidden, mask, shape, color), expected)
    assert torch.allclose(probes(hidden, mask, shape, color), expected)
    right = (probes.shape(states[:, :4]).argmax(dim=1) == shapes).double().mean()
    assert float(probes.accuracy(hidden, mask, shape, color)[0]) == pytest.approx(float(right))


def test_control_probes_identity():
    """The control is one probe of the whole state for colour * n_shapes + shape."""
    hidden, mask, shape, color = probe_case()
    probes = DisentanglementProbes(8, 4, 3, control=True).double()
    rows = [(i, o, t) for i in range(3) for o in range(2) for t in PLACES[o]]
    states = torch.stack([hidden[i, t] for i, _, t in rows])
    identities = torch.stack([color[i, o] * 4 + shape[i, o] for i, o, _ in rows])
    expected = nn.functional.cross_entropy(probes.identity(states), identities)
    assert torch.allclose(probes.loss(hidden, mask, shape, color), expected)
    assert len(probes.accuracy(hidden, mask, shape, color)) == 1
    assert (
        sum(p.numel() for p in DisentanglementProbes(768, control=True).parameters()) == 769 * 256
    )


def test_disentanglement_gradients_reach_object_tokens_and_probes_only():
    """Gradients agree with finite differences, are 0 off the objects, and reach every probe."""
    hidden, mask, shape, color = probe_case(n=2)
    probes = DisentanglementProbes(8, 4, 3).double()
    hidden.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda h: probes.loss(h, mask, shape, color), (hidden,))
    probes.loss(hidden, mask, shape, color).backward()
    touched = hidden.grad.abs().sum(dim=-1) > 0
    assert torch.equal(touched, mask.any(dim=1))
    assert all(float(p.grad.abs().sum()) > 0 for p in probes.parameters())


def test_probes_start_by_seed_and_leave_the_global_generator():
    """The same seed starts the same probes; the global generator is untouched."""
    before = torch.get_rng_state()
    one, two, other = (DisentanglementProbes(8, seed=seed).shape.weight for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_losses_refuse_what_cannot_be():
    """Each wrong argument is one line that names it."""
    roles, attention = roles_of(), own()
    cases = [
        (lambda: DisentanglementProbes(7), "dim 7 has no two halves"),
        (lambda: within_object(attention, roles, "text"), "unknown denominator 'text'"),
        (lambda: pattern_scores(attention, roles, "text"), "unknown form 'text'"),
        (lambda: losses.pipeline_loss({}, roles, form="text"), "unknown form 'text'"),
        (lambda: losses.pipeline_loss({3: attention}, roles), "no attention of layer 4"),
        (lambda: losses.stages_of({"between_pair": (1,)}, 1), "has no layers"),
        (lambda: losses.stages_of({"within": (1,)}, 1), "unknown stage 'within'"),
        (
            lambda: losses.stages_of({"within_object": (1,), "within_pair": (1,)}, 1),
            "layer 1 is in two stages",
        ),
        (lambda: losses.random_heads(12, 13, 0), "heads 13 is out of range; legal: 1 .. 12"),
        (
            lambda: Roles(objects=roles.objects, background=roles.background, pairs=((0, 2),)),
            "do not suit 2 objects",
        ),
        (
            lambda: Roles(objects=roles.objects, background=roles.background[:, :5]),
            "does not suit objects",
        ),
    ]
    for call, line in cases:
        with pytest.raises(InputError, match=re.escape(line)) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_losses_take_half_precision():
    """bfloat16 states and attention give float32 losses, those of the same numbers in float32."""
    hidden, mask, shape, color = probe_case()
    half = hidden.bfloat16()
    for control in (False, True):
        probes = DisentanglementProbes(8, 4, 3, control)
        found = probes(half, mask, shape, color)
        assert found.dtype == torch.float32
        assert torch.allclose(found, probes(half.float(), mask, shape, color))
    maps = random_attention().bfloat16()
    for form in FORMS:
        given = {"layers": {"within_pair": (7,)}, "heads": losses.random_heads(3, 2, 0)}
        found = losses.pipeline_loss({7: maps}, roles_of(n=2), form=form, **given)
        wide = losses.pipeline_loss({7: maps.float()}, roles_of(n=2), form=form, **given)
        assert found.dtype == torch.float32
        assert torch.allclose(found, wide)
