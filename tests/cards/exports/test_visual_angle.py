"""Degrees of visual angle are what trigonometry says."""

import math

import numpy as np
import pytest

from samediff_stimuli import InputError
from samediff_stimuli.cards.exports.visual_angle import Screen, flat, scene

HALF = Screen(viewing_distance_cm=50, pixels_per_cm=20)  # 1000 pixels to the eye


def test_cases_by_hand():
    """Sizes and places with known tangents."""
    assert HALF.offset(1000) == 45  # tan 45 = 1
    assert HALF.offset(-1000) == -45
    assert HALF.extent(2000) == 90  # 2 atan(1000 / 1000)
    assert HALF.extent(2000 / math.sqrt(3)) == 60  # 2 atan(1 / sqrt 3) = 2 * 30
    assert HALF.offset(0) == HALF.extent(0) == 0
    # At 57 cm a centimetre is about a degree: 2 atan(0.5 / 57) = 1.00515...
    assert Screen(viewing_distance_cm=57, pixels_per_cm=40).extent(40) == 1.0052


def test_angle_between_lines_of_sight():
    """Opposite points add up, at right angles Pythagoras does not hold, and nothing is 0."""
    assert HALF.between((1000, 0), (-1000, 0)) == 90
    assert HALF.between((0, 1000), (0, 0)) == 45
    # (1, 0, 1) and (0, 1, 1): cos = 1 / 2
    assert HALF.between((1000, 0), (0, 1000)) == 60
    assert HALF.between((30, -40), (30, -40)) == 0


def test_between_agrees_with_the_dot_product():
    """The angle is the arc cosine of the unit vectors' product."""
    for ax, ay, bx, by in np.random.default_rng(0).integers(-400, 400, (50, 4)).tolist():
        a, b = np.array([ax, ay, 1000.0]), np.array([bx, by, 1000.0])
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        found = HALF.between((ax, ay), (bx, by))
        assert found == pytest.approx(math.degrees(math.acos(min(1, cosine))), abs=1e-4)


def test_a_scene_by_hand():
    """Boxes become places from the middle, right and up, sizes, eccentricities and a distance."""
    found = scene(HALF, (200, 400), [(0, 0, 100, 40), (280, 130, 320, 170)])
    assert (found["width_px"], found["height_px"]) == (400, 200)
    first, second = found["objects"]
    assert (first["x_px"], first["y_px"]) == (50 - 200, 100 - 20)
    assert (first["width_px"], first["height_px"]) == (100, 40)
    assert first["eccentricity_px"] == 170  # 150, 80, 170: 8, 15, 17 times ten
    assert first["eccentricity_deg"] == round(math.degrees(math.atan(0.17)), 4)
    assert (second["x_px"], second["y_px"]) == (100, -50)
    assert second["x_deg"] == round(math.degrees(math.atan(0.1)), 4)
    assert second["y_deg"] == round(math.degrees(math.atan(-0.05)), 4)
    (distance,) = found["distances"]
    assert distance["objects"] == [0, 1]
    assert distance["px"] == round(math.hypot(250, 130), 4)
    assert distance["deg"] == HALF.between((-150, 80), (100, -50))
    named = flat(found)
    assert named["object_1_x_deg"] == second["x_deg"]
    assert named["distance_0_1_deg"] == distance["deg"]
    assert len(named) == 4 + 2 * 10 + 2
    assert scene(HALF, (200, 400), [])["objects"] == []


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1e6])
def test_impossible_screens(value):
    """Distance and resolution must be numbers of this world."""
    with pytest.raises(InputError, match=r"viewing_distance_cm .* legal: 1 .. 10000"):
        Screen(viewing_distance_cm=value, pixels_per_cm=40)
    with pytest.raises(InputError, match=r"pixels_per_cm .* legal: 1 .. 1000"):
        Screen(viewing_distance_cm=57, pixels_per_cm=value)
