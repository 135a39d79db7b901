"""Attention patterns: known answers, the formulas by hand, batches and numbers of any kind."""

import numpy as np
import pytest
import torch

from samediff_stimuli import AlignedOptions, make_recipe, tasks
from samediff_stimuli.loaders import token_labels
from samediff_stimuli.models import attention as patterns
from samediff_stimuli.models.attention import Roles
from samediff_stimuli.recipe import InputError
from tests.attention_maps import (
    PLACES,
    TOKENS,
    attention_to,
    own,
    random_attention,
    roles_of,
)

SCORES = (patterns.within_object, patterns.within_pair, patterns.between_pair, patterns.background)


@pytest.mark.parametrize("n_objects", [2, 4])
def test_attention_within_objects_is_all_local(n_objects):
    """Where objects look at themselves only, WO is 1, the others 0 and the heat map says local."""
    roles, attention = roles_of(n_objects), own(n_objects)
    expected = (1.0, 0.0, 0.0, 0.0)
    for score, value in zip(SCORES, expected, strict=True):
        found = score(attention, roles)
        assert torch.allclose(found, torch.full((1, 3, n_objects), value)), score.__name__
    for form in patterns.FORMS:
        pattern = patterns.pattern_scores(attention, roles, form)
        assert torch.allclose(pattern.within_object, torch.ones(1, 3))
        assert torch.allclose(pattern.local_global, torch.zeros(1, 3))


@pytest.mark.parametrize("n_objects", [2, 4])
def test_attention_to_background_is_all_global(n_objects):
    """Where everything looks at the background, BG and the heat map are 1 and WO is 0."""
    roles = roles_of(n_objects)
    attention = attention_to(roles.background[0].nonzero().flatten().tolist())
    assert torch.allclose(patterns.background(attention, roles), torch.ones(1, 3, n_objects))
    for form in patterns.FORMS:
        pattern = patterns.pattern_scores(attention, roles, form)
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
    pattern = patterns.pattern_scores(attention, roles, "paper")
    assert torch.allclose(pattern.local_global, torch.full((1, 3), 9 / TOKENS))
    assert torch.allclose(pattern.within_object, torch.full((1, 3), 3 / TOKENS))
    code = patterns.pattern_scores(attention, roles, "code")
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
    paper = patterns.pattern_scores(attention, roles_of(), "paper")
    code = patterns.pattern_scores(attention, roles_of(), "code")
    assert torch.allclose(paper.local_global, torch.ones(1, 3))
    assert torch.allclose(code.local_global, torch.full((1, 3), 2.0))


def test_between_pair_takes_the_stronger_direction_of_whole_pairs():
    """A pair's score is its share of attention to the other pair; the larger of the two counts."""
    attention = attention_to([0])
    attention[:, :, 1] = attention_to([5])[:, :, 0]  # one of the display pair's four tokens
    attention[:, :, [5, 6, 7]] = attention_to([2])[:, :, :3]  # three of the sample pair's four
    found = patterns.pattern_scores(attention, roles_of(4)).between_pair
    assert torch.allclose(found, torch.full((1, 3), 0.75))


def test_half_precision_attention_is_summed_in_single():
    """Scores of bfloat16 attention are float32 and exact sums of it, under autocast too."""
    roles, attention = roles_of(n=2), random_attention().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = patterns.within_object(attention, roles)
    assert found.dtype == torch.float32
    assert torch.allclose(found, patterns.within_object(attention.float(), roles), atol=1e-6)


def roles_of_stimuli(task, n_prefix, **changes):
    """Roles of two stimuli of 2 x 2 patches an object, from their boxes."""
    table = tasks.get(task).design(
        make_recipe(task, 0, AlignedOptions(patch_size=16)), "test", 0, 2
    )
    batch = {"box": torch.from_numpy(table["box"].astype(np.int64)), **changes}
    batch["image"] = torch.zeros(2, 3, 224, 224, dtype=torch.uint8)
    return Roles.of(token_labels(batch, 16, n_prefix))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n_prefix", [0, 1, 5])
@pytest.mark.parametrize(("task", "k"), [("discrimination", 2), ("rmts", 4)])
def test_uniform_attention_on_stimuli(task, k, n_prefix, dtype):
    """On 2 x 2 patches an object, uniform attention is in proportion to tokens."""
    tokens = 196 + n_prefix
    maps = torch.full((2, 3, tokens, tokens), 1 / tokens, dtype=dtype)
    found = patterns.pattern_scores(maps, roles_of_stimuli(task, n_prefix))
    expected = {
        "within_pair": 4 / tokens,
        "between_pair": 4 * (k - 2) / tokens,
        "background": (196 - 4 * k) / tokens,
        "local_global": (196 - 4) / tokens,
        "within_object": (4 + n_prefix) / tokens,
    }
    for name, value in expected.items():
        scores = getattr(found, name)
        assert scores.dtype == torch.float32
        assert torch.allclose(scores, torch.full((2, 3), value), atol=1e-5), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n_prefix", [1, 5])
def test_attention_to_prefix_tokens_is_neither_object_nor_ground(n_prefix, dtype):
    """What goes to class and register tokens is in the denominator, and counts as not global."""
    roles = roles_of_stimuli("rmts", n_prefix)
    tokens = 196 + n_prefix
    maps = torch.zeros(2, 3, tokens, tokens, dtype=dtype)
    maps[..., :n_prefix] = 1 / n_prefix
    for score in SCORES:
        assert torch.equal(score(maps, roles), torch.zeros(2, 3, 4)), score.__name__
    maps[..., :n_prefix] = 0.5 / n_prefix
    maps[..., -1] = 0.5  # the last patch, at the bottom right
    ground = roles.background[:, -1].float()[:, None]
    found = patterns.pattern_scores(maps, roles)
    assert torch.allclose(found.background, 0.5 * ground.expand(2, 3), atol=1e-2)


def test_odd_objects_have_no_pattern():
    """Three objects make no pairs."""
    with pytest.raises(InputError, match="3 objects make no pairs"):
        roles_of_stimuli("rmts", 1, box=torch.zeros(2, 3, 4, dtype=torch.int64))
