"""The ten conditions of the transfer battery: what each shows, and that twins are matched."""

import numpy as np
import pytest

from samediff_stimuli import rng
from samediff_stimuli.families.contours import CONDITIONS, Contours, lines_of
from samediff_stimuli.families.squiggles import is_simple
from samediff_stimuli.fixed import HALF

KEY = rng.stream_key("test")


def corners(condition, number):
    """The corners of a closed outline, the repeated start dropped."""
    (line,) = lines_of(Contours(condition, KEY), number)
    return line[:-1] if (line[0] == line[-1]).all() else line


@pytest.mark.parametrize("condition", CONDITIONS)
def test_outlines_stay_in_their_square(condition):
    """Every outline lies in its square, and every twin differs from its twin."""
    family = Contours(condition, KEY)
    for pair in range(150):
        both = [lines_of(family, 2 * pair + twin) for twin in (0, 1)]
        assert all(np.abs(line).max() <= HALF for lines in both for line in lines)
        drawn = [family.draw(2 * pair + twin, 96, 0, 600).pixels for twin in (0, 1)]
        assert (drawn[0] != drawn[1]).any(axis=-1).sum() > 25, (condition, pair)


@pytest.mark.parametrize("condition", ["irregular", "regular", "filled", "original"])
def test_closed_outlines_are_simple(condition):
    """Closed outlines never cross themselves."""
    for number in range(300):
        assert is_simple(corners(condition, number)), (condition, number)


def test_polygons_have_three_to_seven_sides():
    """Twins have different numbers of sides; all five numbers occur; regular ones are regular."""
    seen = set()
    for pair in range(100):
        sides = [len(corners("irregular", 2 * pair + twin)) for twin in (0, 1)]
        assert sides[0] != sides[1]
        seen |= set(sides)
        polygon = corners("regular", 2 * pair).astype(float)
        lengths = np.hypot(*(polygon - np.roll(polygon, 1, axis=0)).T)
        assert np.ptp(lengths) / lengths.mean() < 0.01
        irregular = corners("irregular", 2 * pair).astype(float)
        lengths = np.hypot(*(irregular - np.roll(irregular, 1, axis=0)).T)
        assert np.ptp(lengths) / lengths.mean() > 0.02
    assert seen == {3, 4, 5, 6, 7}


def test_conditions_share_their_polygons():
    """irregular, wider_line and random_color show one polygon; open lacks its last side."""
    for number in range(40):
        polygon = corners("irregular", number)
        assert np.array_equal(polygon, corners("wider_line", number))
        assert np.array_equal(polygon, corners("random_color", number))
        assert len(corners("open", number)) == len(polygon)
        assert len(corners("filled", number)) == len(polygon)


def ink(condition, number):
    """Darkness of a drawn object."""
    pixels = Contours(condition, KEY).draw(number, 96, 0, 700).pixels
    return float((255 - pixels.astype(float)).sum())


@pytest.mark.parametrize("condition", CONDITIONS)
def test_twins_have_like_ink(condition):
    """Twins have the same ink to a few per cent, and neither twin has more on the whole."""
    ratio = np.array([ink(condition, 2 * p) / ink(condition, 2 * p + 1) for p in range(100)])
    assert np.abs(ratio - 1).mean() < 0.03
    assert abs(ratio.mean() - 1) < 0.02


def test_wider_lines_are_twice_as_wide():
    """wider_line has about twice the ink of irregular; filled has one piece without a hole."""
    ratio = [ink("wider_line", n) / ink("irregular", n) for n in range(40)]
    assert 1.8 < np.mean(ratio) < 2.05


def test_random_colors_are_shared_and_visible():
    """Twins have one colour, pairs have many, and none is near white."""
    family = Contours("random_color", KEY)
    colors = [family._color(number) for number in range(200)]
    assert colors[::2] == colors[1::2]
    assert len(set(colors)) > 95
    assert max(max(color) for color in colors) < 200


def test_scrambled_twins_have_the_same_parts():
    """A scrambled polygon has the quarters of its twin, each moved outwards."""
    family = Contours("scrambled", KEY)
    for pair in range(30):
        whole, parts = (family.draw(2 * pair + twin, 96, 0, 1000).mask for twin in (0, 1))
        spans = [np.ptp(np.argwhere(mask), axis=0) for mask in (whole, parts)]
        assert (spans[1] >= spans[0] + 2 * 96 * 2 // 3 // 40).all()


def test_lines_are_mirrored_and_arrows_turned_round():
    """Twins of lines are mirror images; twins of arrows have the same shaft and other heads."""
    for pair in range(30):
        one, two = (corners("lines", 2 * pair + twin) for twin in (0, 1))
        assert any(np.array_equal(two, one * mirror) for mirror in ([1, -1], [-1, 1]))
        a, b = (lines_of(Contours("arrows", KEY), 2 * pair + twin) for twin in (0, 1))
        assert np.array_equal(a[0], b[0])
        assert len(a) == len(b) >= 2
        assert not np.array_equal(a[1], b[1])


def repeats(condition, numbers, scale):
    """How many of some objects look like another one of them, to the pixel."""
    family = Contours(condition, KEY)
    seen = {family.draw(number, 96, 0, scale).pixels.tobytes() for number in numbers}
    return len(numbers) - len(seen)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_no_two_objects_look_the_same(condition):
    """Objects of different numbers differ in pixels, at the smallest scale too."""
    assert repeats(condition, range(300), 450) == 0


@pytest.mark.slow
@pytest.mark.parametrize("condition", CONDITIONS)
def test_no_two_objects_of_a_battery_look_the_same(condition):
    """Nor do any two of the 1,800 objects of the default battery."""
    assert repeats(condition, range(1800), 450) == 0
    assert repeats(condition, range(1800), 1000) == 0
