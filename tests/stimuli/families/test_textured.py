"""Textured shapes: exact ink, exact luma, and rounds of pairs that differ in everything."""

import numpy as np
import pytest
from PIL import Image

from samediff_stimuli import InputError, palette, rng, silhouettes
from samediff_stimuli.families import textured
from samediff_stimuli.families.textured import Textured, Tinted, all_differ


def test_hues_have_the_luma_of_their_level():
    """Every hue at every grey level in use has exactly that luma; hues are far from each other."""
    table = textured.hues()
    used = range(textured.MIDDLE - textured.CONTRAST, textured.MIDDLE + textured.CONTRAST + 1)
    for level in used:
        assert (palette.luma(table[:, level]) == level).all()
        row = table[:, level].astype(int)
        apart = np.abs(row[:, None] - row[None]).sum(axis=-1) + 99 * np.eye(16)
        assert apart.min() > 15
    assert table[:, list(used)].max() < 255


def test_luma_is_pillows():
    """Our luma is what Pillow's convert("L") gives."""
    words = rng.mix(1, np.arange(3000)).reshape(-1, 50, 3)
    colors = (words >> np.uint64(56)).astype(np.uint8)
    assert np.array_equal(palette.luma(colors), np.asarray(Image.fromarray(colors).convert("L")))


@pytest.mark.parametrize(
    ("angle", "scale"), [(0, 1000), (0, 450), (37, 1000), (45, 700), (180, 1000)]
)
def test_ink_is_the_same_for_all(angle, scale):
    """All silhouettes, turned and scaled alike, ink the same number of pixels; so does a square."""
    inks = {int(textured.silhouette(s, 64, angle, scale).sum()) for s in range(16)}
    inks.add(int(textured._square(64, angle, scale).sum()))
    assert len(inks) == 1


def test_unturned_silhouettes_are_the_drawn_ones():
    """Without a turn the silhouettes are those of the patch-aligned sets; half turns are exact."""
    for shape in range(16):
        upright = textured.silhouette(shape, 64, 0, 1000)
        assert np.array_equal(upright, silhouettes.rasterise(shape, 64))
        half = textured.silhouette(shape, 64, 180, 1000)[::-1, ::-1]
        assert (half != upright).mean() < 0.03


def test_levels_are_one_multiset():
    """Whatever the texture, the same grey levels are dealt out, mean 128."""
    mask = silhouettes.rasterise(3, 64)
    dealt = [np.sort(textured.levels(mask, t, 0, 1000, 44)) for t in range(16)]
    assert all(np.array_equal(dealt[0], other) for other in dealt)
    assert abs(dealt[0].mean() - 128) < 0.51
    assert dealt[0].min() >= 84
    assert dealt[0].max() <= 172


def test_all_objects_look_different():
    """A sample of objects: no two of the 4,096, nor of the 5,120 tinted ones, look the same."""
    for family in (Textured(), Tinted()):
        numbers = rng.order(rng.mix(7, np.arange(family.count)))[:300].tolist()
        seen = {family.draw(number, 64, 0, 1000).pixels.tobytes() for number in numbers}
        assert len(seen) == 300


def test_rounds_differ_in_everything():
    """A round uses every object once on each side, and no pair shares an attribute."""
    family = Textured()
    for n in (6, 100, 1200):
        members = rng.order(rng.mix(9, np.arange(family.count), n))[:n]
        if n == 6:
            members = np.arange(6) * 273  # all attributes differ: any round will do
        for number in range(3):
            pairs = all_differ(family, members, rng.stream_key("round", number))
            assert all(sorted(pairs[:, c]) == sorted(members) for c in (0, 1))
            one, two = (family.attributes(pairs[:, c]) for c in (0, 1))
            assert all((one[name] != two[name]).all() for name in one)


def test_impossible_rounds_are_refused():
    """Objects that all share a colour cannot be paired: the error says so, after bounded tries."""
    with pytest.raises(InputError, match="8 objects cannot be paired so that all pairs differ"):
        all_differ(Textured(), np.arange(8) * 16, 1)
