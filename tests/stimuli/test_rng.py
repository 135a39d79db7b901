"""Randomness is exact integer arithmetic on raw Philox words."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samediff_stimuli import rng


def test_philox_matches_the_published_vector():
    """Philox4x64-10 with zero key: the second block is the reference's answer to counter 1."""
    # Random123's known-answer file: philox4x64 10, counter 0, key 0.
    expected = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    before_zero = np.random.Philox(key=0, counter=2**256 - 1).random_raw(4)
    assert before_zero.tolist() == expected


def test_blocks_of_a_range_are_blocks_one_by_one():
    """Any block can be made alone: a range is its blocks, one after the other."""
    key = rng.stream_key("test", 1)
    whole = rng.blocks(key, 7, 5)
    assert np.array_equal(whole, np.concatenate([rng.blocks(key, 7 + i, 1) for i in range(5)]))


def test_stream_keys_differ():
    """Keys depend on every part, its type and where parts are cut."""
    keys = [
        rng.stream_key(*parts)
        for parts in [(1, 2), (12,), ("1", 2), (1, "2"), ("12",), ("a", "b"), ("ab",), (2, 1)]
    ]
    assert len(set(keys)) == len(keys)


@given(st.integers(1, 3000), st.integers(0, 2**128 - 1), st.integers(-5, 5))
def test_permute_is_a_bijection(size, key, tweak):
    """Every index of the domain is hit exactly once, for any size, key and tweak."""
    out = rng.permute(key, np.arange(size), size, np.full(size, tweak))
    assert np.array_equal(np.sort(out), np.arange(size))


def test_permute_refuses_indices_outside():
    """An index beyond the domain is an error, not a wrapped index."""
    with pytest.raises(ValueError, match=r"outside \[0, 10\)"):
        rng.permute(1, np.array([10]), 10, np.array([0]))


def test_permutations_differ_between_tweaks_and_look_uniform():
    """The image of a fixed index over many tweaks is uniform (chi-square within five sigma)."""
    tweaks = np.arange(40_000)
    out = rng.permute(3, np.zeros(len(tweaks), dtype=np.int64), 50, tweaks)
    counts = np.bincount(out, minlength=50)
    chi2 = ((counts - 800) ** 2 / 800).sum()
    assert abs(chi2 - 49) < 5 * math.sqrt(2 * 49)


@pytest.mark.parametrize("sigma", [1, 4, 10, 16, 32, 64])
def test_normal_offsets_are_the_quantiles(sigma):
    """The table has the mean, spread and tail of round(N(0, sigma)), and is symmetric."""
    table = rng.normal_offsets(sigma).astype(np.float64)
    assert abs(table.mean()) < 1e-3
    assert abs(table.std() - math.sqrt(sigma**2 + 1 / 12)) < 0.002 * sigma
    for k in (0, sigma, 2 * sigma):
        share = 0.5 * (1 + math.erf((k + 0.5) / sigma / math.sqrt(2)))
        assert abs((table <= k).mean() - share) < 2**-16
    assert np.array_equal(table, -table[::-1])


def test_normal_offsets_golden():
    """The noise table of the paper's sd 10 never changes."""
    table = rng.normal_offsets(10)
    digest = hashlib.sha256(table.astype("<i2").tobytes()).hexdigest()
    assert digest == "e6f6806ea851ad7702773971966b02520cd2ed7fa47a676a69be0fa84d0d2afa"
    assert rng.normal_offsets(0).any() == np.False_


def test_sigma_out_of_range():
    """A sigma that no table exists for is refused."""
    with pytest.raises(ValueError, match="legal: 0"):
        rng.normal_offsets(65)


def test_below_covers_its_range_evenly():
    """Bounded integers reach both ends and are uniform within five sigma."""
    values = rng.below(rng.blocks(5, 0, 9000).reshape(-1), 9)
    counts = np.bincount(values, minlength=9)
    assert len(counts) == 9
    assert np.abs(counts - 4000).max() < 5 * math.sqrt(4000)
