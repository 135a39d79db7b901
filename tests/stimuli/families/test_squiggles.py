"""Squiggles are simple closed curves, each a pure function of key and number."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from samediff_stimuli import fixed, rng, strokes
from samediff_stimuli.families import squiggles
from samediff_stimuli.families.squiggles import Squiggles, is_simple, outline

KEY = rng.stream_key("test")


def cross(a, b, c, d):
    """Whether segments a b and c d share a point, in exact fractions: an oracle of another kind."""
    r, s = (b[0] - a[0], b[1] - a[1]), (d[0] - c[0], d[1] - c[1])
    q = (c[0] - a[0], c[1] - a[1])
    bottom = r[0] * s[1] - r[1] * s[0]
    if bottom:
        t = Fraction(q[0] * s[1] - q[1] * s[0], bottom)
        u = Fraction(q[0] * r[1] - q[1] * r[0], bottom)
        return 0 <= t <= 1 and 0 <= u <= 1
    if q[0] * r[1] - q[1] * r[0]:
        return False
    axis = 0 if r[0] or s[0] else 1
    low, high = sorted((a[axis], b[axis])), sorted((c[axis], d[axis]))
    return low[0] <= high[1] and high[0] <= low[1]


def crosses_itself(points):
    """Whether edges that are not neighbours share a point."""
    n = len(points)
    edges = [(points[i], points[(i + 1) % n]) for i in range(n)]
    return any(
        cross(*edges[i], *edges[j])
        for i in range(n)
        for j in range(i + 2, n)
        if not (i == 0 and j == n - 1)
    )


def test_curves_do_not_cross_themselves():
    """A sample of curves is simple by an exact test that shares nothing with the code."""
    for number in (0, 1, 17, 99_999, 10**12):
        assert not crosses_itself(outline(KEY, number).tolist())


def test_a_thousand_curves_are_simple():
    """A thousand curves pass the quick test on all pairs of edges."""
    assert all(is_simple(outline(KEY, number)) for number in range(1000))


@pytest.mark.slow
def test_very_many_curves_are_simple():
    """So do ten thousand more (100,000 were run once)."""
    make = outline.__wrapped__
    assert all(is_simple(make(KEY, number)) for number in range(1000, 11_000))


POLYGONS = {
    "square": ([(0, 0), (4, 0), (4, 4), (0, 4)], True),
    "bow tie": ([(0, 0), (4, 4), (4, 0), (0, 4)], False),
    "touching corner": ([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)], False),
    "overlapping edges": ([(0, 0), (6, 0), (6, 2), (4, 2), (4, 0), (2, 0), (2, 3), (0, 3)], False),
    "spiral": (
        [(0, 0), (9, 0), (9, 9), (2, 9), (2, 3), (4, 3), (4, 7), (7, 7), (7, 2), (0, 2)],
        True,
    ),
}


@pytest.mark.parametrize("name", POLYGONS)
def test_the_quick_test_is_right(name):
    """The quick test agrees with the exact one, touching included."""
    points, simple = POLYGONS[name]
    assert crosses_itself(points) == (not simple)
    assert is_simple(np.array(points)) == simple


def test_the_quick_test_agrees_on_random_polygons():
    """On random polygons, simple or not, both tests agree."""
    verdicts = set()
    for state in range(300):
        words = rng.mix(KEY, state, np.arange(10))
        points = rng.below(words, 12).reshape(5, 2)
        edges = np.abs(points - np.roll(points, 1, axis=0)).sum(axis=1)
        if not edges.all():
            continue
        verdict = crosses_itself(points.tolist())
        assert is_simple(points) == (not verdict)
        verdicts.add(verdict)
    assert verdicts == {True, False}


def test_a_curve_is_a_pure_function():
    """The same key and number give the same curve, whatever was made before; others differ."""
    first = outline.__wrapped__(KEY, 5)
    [outline.__wrapped__(KEY, n) for n in range(3)]
    assert np.array_equal(first, outline.__wrapped__(KEY, 5))
    assert not np.array_equal(first, outline(KEY, 6))
    assert not np.array_equal(first, outline(rng.stream_key("other"), 5))


def test_curves_fill_their_square():
    """The longer side of a curve's box is the square's."""
    for number in range(50):
        span = np.ptp(outline(KEY, number), axis=0)
        assert span.max() >= 2 * fixed.HALF - 2
        assert np.abs(outline(KEY, number)).max() <= fixed.HALF


def test_drawn_curves_are_closed_unfilled_lines():
    """Ink is one ring: one piece, one hole; at least a pixel wide; black on white."""
    from scipy import ndimage

    for number in range(20):
        for angle, scale in ((0, 1000), (33, 700)):
            sprite = Squiggles(KEY).draw(number, 64, angle, scale)
            assert ndimage.label(sprite.mask, np.ones((3, 3)))[1] == 1
            parts, _ = ndimage.label(np.pad(~sprite.mask, 1, constant_values=True))
            sizes = np.sort(np.bincount(parts.reshape(-1))[1:])
            assert sizes[-2] > 60  # outside and inside
            assert sizes[:-2].sum() < 12  # a spike may close over a few pixels
            assert sprite.pixels[~sprite.mask].min() == 255
            assert sprite.pixels.min() == 0
            assert (np.ptp(sprite.pixels, axis=-1) == 0).all()


def test_ink_follows_length():
    """The measure that partners are matched by predicts drawn ink within a few per cent."""
    family = Squiggles(KEY)
    lengths = family.ink(np.arange(60))
    drawn = [
        (255 - family.draw(n, 64, 0, 1000).pixels[..., 0].astype(int)).sum() for n in range(60)
    ]
    ratio = np.array(drawn) / lengths
    assert ratio.std() / ratio.mean() < 0.02


def test_circle_is_exact():
    """Cosines are rounded exactly; none is near a tie, so no library's rounding could differ."""
    for n in (16, 128, 360, squiggles._TABLE, 1024):
        exact = np.cos(2 * np.pi * np.arange(n) / n) * fixed.UNIT
        assert np.array_equal(fixed.circle(n)[:, 0], np.round(exact))
        assert np.array_equal(
            fixed.circle(n)[:, 1], np.round(np.sin(2 * np.pi * np.arange(n) / n) * fixed.UNIT)
        )


def test_strokes_cover_what_a_pen_covers():
    """A stroke covers the sub-pixels within half a width of its line, and no other."""
    size, width = 16, 9
    line = np.array([[-20, -11], [13, 18], [21, -15]])
    got = strokes.stroke([line], size, width)
    side = size * strokes.FINE
    y, x = np.mgrid[:side, :side] - side // 2
    near = np.full((side, side), np.inf)
    for a, b in itertools.pairwise(line):
        d = b - a
        t = np.clip(((x - a[0]) * d[0] + (y - a[1]) * d[1]) / (d @ d), 0, 1)
        near = np.minimum(near, np.hypot(x - a[0] - t * d[0], y - a[1] - t * d[1]))
    tiles = [
        (near <= width / 2 + slack).reshape(size, 4, size, 4).sum(axis=(1, 3))
        for slack in (-1.2, 1.2)
    ]
    assert (tiles[0] <= got).all()
    assert (got <= tiles[1]).all()


def test_fills_cover_the_inside():
    """A fill covers the sub-pixels whose centres are inside."""
    triangle = np.array([[-24, -24], [24, -24], [-24, 24]])
    got = strokes.fill(triangle, 16)
    assert abs(int(got.sum()) - 48 * 48 // 2) <= 48
    assert got[2:5, 2:5].min() == 16
    assert got[12:, 12:].max() == 0
