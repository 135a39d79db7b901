"""What the silhouettes promise: no cue in ink or bounding box, and no two alike."""

import hashlib
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from scipy import ndimage

from samediff_stimuli import silhouettes

SIZES = (24, 21, 12)
EVERY = range(silhouettes.N_TRAIN + silhouettes.N_OOD)
GOLDEN = {
    12: "0b199343b24c23286b57e1b34a7e35b922fc3850ee7f17a28f45c0bad7912c22",
    21: "c9d3822e06854cc5bf6abdcb099ca9837849e6c6fc07086c383a06c512de2175",
    24: "b4ffb8787cbcd13273a01fe514986221f675493b02d57728a68a802f70e4b529",
}
# size -> smallest difference of two silhouettes, as a share of the mean ink
APART = {24: 0.46, 21: 0.48, 12: 0.43}  # achieved: 0.4609, 0.4899, 0.4385


def symmetries(mask):
    """The mask under the 8 symmetries of the square."""
    turned = [np.rot90(mask, k) for k in range(4)]
    return turned + [t[:, ::-1] for t in turned]


def placements(mask):
    """(72, (size + 2)**2) bool: the mask under 8 symmetries and 9 shifts of up to 1 px."""
    return np.array(
        [
            np.pad(turned, ((dy, 2 - dy), (dx, 2 - dx))).ravel()
            for turned in symmetries(mask)
            for dy, dx in product(range(3), repeat=2)
        ]
    )


def in_polygon(points, x, y):
    """Whether a point is in or on a polygon, by where a ray to the right crosses its edges."""
    inside = False
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if y0 == y1:
            if y == y0 and min(x0, x1) <= x <= max(x0, x1):
                return True
        elif min(y0, y1) <= y <= max(y0, y1):
            crossing = x0 + (y - y0) * Fraction(x1 - x0, y1 - y0)
            if crossing == x:
                return True
            if crossing > x and y != max(y0, y1):
                inside = not inside
    return inside


def in_part(part, x, y):
    """Whether a point is in or on a disc or polygon."""
    if isinstance(part, silhouettes.Disc):
        return (x - part.cx) ** 2 + (y - part.cy) ** 2 <= part.r**2
    return in_polygon(part.points, x, y)


def test_there_are_sixteen_and_four_with_names_of_their_own():
    """Sixteen training and four further silhouettes, each with its own one-word name."""
    names = [shape.name for shape in silhouettes.SILHOUETTES]
    assert (silhouettes.N_TRAIN, silhouettes.N_OOD) == (16, 4)
    assert len(set(names)) == len(names) == len(EVERY)
    assert all(name.isalpha() and name.islower() for name in names)


@pytest.mark.parametrize("size", [8, 9, 12, 16, 18, 21, 24, 28, 48])
def test_ink_is_no_cue(size):
    """At every size all silhouettes ink the same number of pixels, 4/9 of the square."""
    ink = silhouettes.masks(size).sum(axis=(1, 2))
    assert set(ink) == {round(4 * size * size / 9)}


@pytest.mark.parametrize("size", SIZES)
def test_few_pixels_are_moved_for_it(size):
    """At the papers' sizes at most 3 pixels differ from the plain outline."""
    for index in EVERY:
        plain = silhouettes.inside(index, size)
        assert (plain ^ silhouettes.rasterise(index, size)).sum() <= 3


@pytest.mark.parametrize("size", SIZES)
def test_bounding_box_is_no_cue(size):
    """Each touches all four sides of its square, so every bounding box is the square."""
    masks = silhouettes.masks(size)
    sides = (masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1])
    assert all(side.any(axis=1).all() for side in sides)


@pytest.mark.parametrize("size", SIZES)
def test_each_is_one_piece(size):
    """Each is one component of pixels that share sides."""
    assert [ndimage.label(mask)[1] for mask in silhouettes.masks(size)] == [1] * len(EVERY)


@pytest.mark.parametrize("size", SIZES)
def test_no_two_are_alike(size):
    """Two silhouettes differ by at least 0.46 (24 px), 0.48 (21 px), 0.43 (12 px) of the mean ink
    under every rotation, mirror and shift of up to 1 px.
    """
    masks = silhouettes.masks(size)
    mean = masks.sum() / len(masks)
    fixed = [np.pad(mask, 1).ravel() for mask in masks]
    moved = [placements(mask) for mask in masks]
    for a, b in combinations(EVERY, 2):
        assert (fixed[a] ^ moved[b]).sum(axis=1).min() >= APART[size] * mean, (a, b)


@pytest.mark.parametrize("size", SIZES)
def test_none_is_as_symmetric_as_the_square(size):
    """No silhouette is its own image under more than four of the square's eight symmetries."""
    for mask in silhouettes.masks(size):
        assert sum(np.array_equal(mask, image) for image in symmetries(mask)) <= 4


@pytest.mark.parametrize("size", [12, 21])
def test_pixels_are_exact(size):
    """A pixel is inside if and only if its centre is in a part and no hole, in exact fractions."""
    at = [Fraction(silhouettes.CANVAS * (2 * i + 1), 2 * size) for i in range(size)]
    for index, shape in enumerate(silhouettes.SILHOUETTES):
        expected = [
            [
                any(in_part(part, x, y) for part in shape.parts)
                and not any(in_part(hole, x, y) for hole in shape.holes)
                for x in at
            ]
            for y in at
        ]
        np.testing.assert_array_equal(silhouettes.inside(index, size), expected, shape.name)


@pytest.mark.parametrize("size", GOLDEN)
def test_bytes_are_the_same_everywhere(size):
    """The packed masks have the digests they were released with."""
    packed = np.packbits(silhouettes.masks(size))
    assert hashlib.sha256(packed.tobytes()).hexdigest() == GOLDEN[size]


def test_masks_stack_what_rasterise_draws():
    """Masks are the twenty rasterised silhouettes in order, shared and therefore read-only."""
    masks = silhouettes.masks(24)
    assert masks.shape == (len(EVERY), 24, 24)
    assert masks.dtype == np.bool_
    assert silhouettes.masks(24) is masks
    for index in EVERY:
        np.testing.assert_array_equal(masks[index], silhouettes.rasterise(index, 24))
    for shared in (masks, silhouettes.rasterise(0, 24)):
        with pytest.raises(ValueError, match="read-only"):
            shared[0] = True


def test_impossible_requests_are_refused():
    """Too small a size and an index without silhouette raise ValueError naming the limit."""
    with pytest.raises(ValueError, match="at least 8 px, got 7"):
        silhouettes.masks(7)
    with pytest.raises(ValueError, match="at least 8 px, got 0"):
        silhouettes.rasterise(0, 0)
    for index in (-1, len(EVERY)):
        with pytest.raises(ValueError, match=r"in \[0, 20\)"):
            silhouettes.rasterise(index, 24)
    assert silhouettes.masks(8).shape == (20, 8, 8)
