"""The audit finds what is there: repeats, and statistics that tell the label."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from samediff_stimuli import generate, make_recipe, render
from samediff_stimuli.cards import audit as auditing
from samediff_stimuli.cards.audit import FEATURES, Confound, area, audit, distances, features_of
from samediff_stimuli.placed_options import PlacedOptions
from samediff_stimuli.tasks.dissociation import DissociationOptions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small set of squiggles."""
    path = tmp_path_factory.mktemp("audit") / "set"
    options = PlacedOptions(train=160, validation=64, test=64)
    generate(make_recipe("squiggles", 0, options), path, workers=1, parquet=False)
    return path


def test_a_good_set_passes(folder):
    """A set of ours has no repeat, and no statistic tells the label."""
    found = audit(folder)
    assert found.rows == 288
    assert len(found.repeats) == 6
    assert not any(found.repeats.values())
    assert {c.feature for c in found.confounds} == set(FEATURES)
    assert found.problems() == []
    page = found.markdown()
    assert "0 of them occur again" in page
    assert page.count("\n| ") == len(FEATURES) + 2


def test_dissociation_is_audited_by_its_bits(tmp_path):
    """Labels of more than two classes are left to the columns of two: the three bits."""
    recipe = make_recipe("dissociation", 0, DissociationOptions(test=64))
    generate(recipe, tmp_path / "set", workers=1, parquet=False)
    targets = {c.target for c in audit(tmp_path / "set").confounds}
    assert targets == {"same_color", "same_texture", "same_shape"}


def test_repeats_are_counted():
    """Images that come back are counted within a split and across splits."""
    seen = {"a": Counter({b"x": 3, b"y": 1}), "b": Counter({b"x": 1, b"z": 2})}
    assert auditing._repeats(seen) == {("a", "a"): 2, ("a", "b"): 3, ("b", "b"): 1}


def test_a_confound_is_named():
    """A statistic far from chance becomes a problem that names it; luck does not."""
    bad = Confound(split="test", target="label", feature="ink", auc=0.6, spread=0.5, error=0.01)
    good = dataclasses.replace(bad, auc=0.52)
    shown = dataclasses.replace(bad, feature="contrast")
    found = auditing.Audit(
        name="x", digest="", rows=1, repeats={("a", "a"): 2}, confounds=(bad, good, shown)
    )
    assert [line.split(":")[0] for line in found.problems()] == [
        "2 images of a occur again in a",
        "test",
    ]
    assert "ink tells label: area 0.600" in found.problems()[1]


def test_a_bar_in_a_name_parts_no_cells():
    """Every line of the table has as many cells as the head, whatever splits are called."""
    one = Confound(split="a|b", target="label", feature="ink", auc=0.5, spread=0.5, error=0.01)
    two = dataclasses.replace(one, target="x|y")
    page = auditing.Audit(name="x", digest="", rows=1, repeats={}, confounds=(one, two)).markdown()
    assert "| statistic | a\\|b label | a\\|b x\\|y |\n| --- | --- | --- |\n| ink | 0.500" in page


def test_area_is_the_share_of_pairs_in_order():
    """The area is the share of (same, different) pairs that the score orders rightly."""
    values = np.array([0.1, 0.4, 0.4, 0.8, 0.3, 0.9])
    label = np.array([0, 1, 0, 1, 0, 1], dtype=bool)
    pairs = [(a > b) + (a == b) / 2 for a in values[label] for b in values[~label]]
    assert area(values, label) == pytest.approx(np.mean(pairs))


def test_features_measure_what_they_say():
    """Ink, luma, box and centroid of a picture drawn by hand; a blank one has no ink."""
    image = np.full((20, 30, 3), 255, dtype=np.uint8)
    image[5:10, 12:20] = 0
    ink, luminance, contrast, width, height, x, y = features_of(image)
    assert (ink, width, height, x, y, contrast) == (40, 8, 5, 15.5, 7.0, 0)
    assert luminance == pytest.approx(255 * 560 / 600)
    assert features_of(np.full((20, 30, 3), 255, dtype=np.uint8))[0] == 0
    boxes = np.array([[[0, 0, 10, 10], [30, 40, 40, 50]]])
    assert distances(boxes) == pytest.approx([50])


def test_squiggles_images_are_looked_at(folder):
    """The audit reads decoded pixels: its ink is that of rendered images."""
    options = PlacedOptions(train=160, validation=64, test=64)
    images = render(make_recipe("squiggles", 0, options), "test", slice(0, 4))
    direct = [(image != 255).any(axis=-1).sum() for image in images]
    assert [features_of(image)[0] for image in images] == direct
