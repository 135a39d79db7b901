"""Auxiliary losses and attention patterns: known answers, the formulas by hand, gradients."""

import math
import re

import pytest
import torch
from torch import nn

from samediff_stimuli.models import losses
from samediff_stimuli.models.losses import DisentanglementProbes, Roles
from samediff_stimuli.recipe import InputError

TOKENS = 12  # a class token, then 11 patches
PLACES = {0: (1, 2), 1: (3, 4), 2: (5, 6), 3: (7, 8)}  # tokens of each object; 9 to 11 are ground
SCORES = (losses.within_object, losses.within_pair, losses.between_pair, losses.background)


def roles_of(n_objects=2, n=1):
    """Roles of n images that show the first objects of PLACES."""
    objects = torch.zeros(n, n_objects, TOKENS, dtype=torch.bool)
    for number in range(n_objects):
        objects[:, number, list(PLACES[number])] = True
    ground = ~objects.any(dim=1)
    ground[:, 0] = False
    pairs = tuple((a, a + 1) for a in range(0, n_objects, 2))
    return Roles(objects=objects, background=ground, pairs=pairs)


def attention_to(targets, n=1, heads=3):
    """Attention whose every row is spread evenly over target tokens."""
    row = torch.zeros(TOKENS)
    row[list(targets)] = 1 / len(targets)
    return row.expand(n, heads, TOKENS, TOKENS).clone()


def own(n_objects=2):
    """Attention of object tokens to their own object, even; of other tokens to the class token."""
    attention = attention_to([0])
    for number in range(n_objects):
        for token in PLACES[number]:
            attention[:, :, token] = 0
            attention[:, :, token, list(PLACES[number])] = 0.5
    return attention


def random_attention(n=2, heads=3, **options):
    """Attention of random logits."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(n, heads, TOKENS, TOKENS, generator=generator, **options).softmax(dim=-1)


@pytest.mark.parametrize("n_objects", [2, 4])
def test_attention_within_objects_is_all_local(n_objects):
    """Where objects look at themselves only, WO is 1, the others 0 and the heat map says local."""
    roles, attention = roles_of(n_objects), own(n_objects)
    expected = (1.0, 0.0, 0.0, 0.0)
    for score, value in zip(SCORES, expected, strict=True):
        found = score(attention, roles)
        assert torch.allclose(found, torch.full((1, 3, n_objects), value)), score.__name__
    for form in losses.FORMS:
        pattern = losses.pattern_scores(attention, roles, form)
        assert torch.allclose(pattern.within_object, torch.ones(1, 3))
        assert torch.allclose(pattern.local_global, torch.zeros(1, 3))


@pytest.mark.parametrize("n_objects", [2, 4])
def test_attention_to_background_is_all_global(n_objects):
    """Where everything looks at the background, BG and the heat map are 1 and WO is 0."""
    roles = roles_of(n_objects)
    attention = attention_to(roles.background[0].nonzero().flatten().tolist())
    assert torch.allclose(losses.background(attention, roles), torch.ones(1, 3, n_objects))
    for form in losses.FORMS:
        pattern = losses.pattern_scores(attention, roles, form)
        for value, expected in (("background", 1), ("local_global", 1), ("within_object", 0)):
            found = getattr(pattern, value)
            assert torch.allclose(found, torch.full((1, 3), float(expected)), atol=1e-6), value


def test_uniform_attention_is_in_proportion_to_tokens():
    """Uniform attention gives each role its share of the tokens, the class token to no role."""
    roles, attention = roles_of(4), attention_to(range(TOKENS))
    expected = (2, 2, 4, 3)  # tokens of the object, its partner, the other pair, the ground
    for score, tokens in zip(SCORES, expected, strict=True):
        found = score(attention, roles)
        assert torch.allclose(found, torch.full((1, 3, 4), tokens / TOKENS)), score.__name__
    pattern = losses.pattern_scores(attention, roles, "paper")
    assert torch.allclose(pattern.local_global, torch.full((1, 3), 9 / TOKENS))
    assert torch.allclose(pattern.within_object, torch.full((1, 3), 3 / TOKENS))
    code = losses.pattern_scores(attention, roles, "code")
    assert torch.allclose(code.local_global, torch.full((1, 3), 5 / TOKENS))
    assert torch.allclose(code.within_object, torch.full((1, 3), 7 / TOKENS))


@pytest.mark.parametrize("n_objects", [2, 4])
def test_scores_equal_sums_by_hand(n_objects):
    """On random attention every score is what loops over tokens give, in both denominators."""
    roles, attention = roles_of(n_objects, n=2), random_attention()
    ground = roles.background[0].nonzero().flatten().tolist()
    for place in range(n_objects):
        partner = place ^ 1
        others = [t for o in range(n_objects) if o // 2 != place // 2 for t in PLACES[o]]
        aims = (PLACES[place], PLACES[partner], others, ground)
        for score, aim in zip(SCORES, aims, strict=True):
            for image, head in ((0, 0), (1, 2)):
                rows = attention[image, head, list(PLACES[place])]
                by_hand = float(rows[:, list(aim)].sum() / rows.sum())
                paper = score(attention, roles)[image, head, place]
                code = score(attention, roles, "code")[image, head, place]
                assert float(paper) == pytest.approx(by_hand, abs=1e-6), score.__name__
                assert float(code) == pytest.approx(by_hand / 2, abs=1e-6), score.__name__


def test_forms_differ_where_the_two_maxima_are_of_different_objects():
    """The code adds two maxima, the text takes the maximum of one sum; they part as they should."""
    attention = attention_to([0])
    attention[:, :, list(PLACES[0])] = attention_to(PLACES[1])[:, :, :2]  # object 0: all to 1
    attention[:, :, list(PLACES[1])] = attention_to([9, 10, 11])[
        :, :, :2
    ]  # object 1: all to ground
    paper = losses.pattern_scores(attention, roles_of(), "paper")
    code = losses.pattern_scores(attention, roles_of(), "code")
    assert torch.allclose(paper.local_global, torch.ones(1, 3))
    assert torch.allclose(code.local_global, torch.full((1, 3), 2.0))


def test_between_pair_takes_the_stronger_direction_of_whole_pairs():
    """A pair's score is its share of attention to the other pair; the larger of the two counts."""
    attention = attention_to([0])
    attention[:, :, 1] = attention_to([5])[:, :, 0]  # one of the display pair's four tokens
    attention[:, :, [5, 6, 7]] = attention_to([2])[:, :, :3]  # three of the sample pair's four
    found = losses.pattern_scores(attention, roles_of(4)).between_pair
    assert torch.allclose(found, torch.full((1, 3), 0.75))


def test_half_precision_attention_is_summed_in_single():
    """Scores of bfloat16 attention are float32 and exact sums of it, under autocast too."""
    roles, attention = roles_of(n=2), random_attention().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = losses.within_object(attention, roles)
    assert found.dtype == torch.float32
    assert torch.allclose(found, losses.within_object(attention.float(), roles), atol=1e-6)


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
    score = losses.within_object(attention[4], roles, "code").mean(dim=-1)
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
    for form in losses.FORMS:
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
        after = losses.within_object(logits.detach().softmax(dim=-1), roles_of()).mean()
        assert values[-1] < values[0]
        assert float(after) > 0.9


@pytest.mark.parametrize("form", losses.FORMS)
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
        (lambda: losses.within_object(attention, roles, "text"), "unknown denominator 'text'"),
        (lambda: losses.pattern_scores(attention, roles, "text"), "unknown form 'text'"),
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
