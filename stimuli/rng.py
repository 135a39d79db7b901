"""Every random bit of every dataset comes from here: raw Philox4x64-10 words and integer maths.

Only `BitGenerator.random_raw` is used, because NumPy keeps raw streams stable for ever and does
not keep the distributions of `Generator` stable. What turns words into bounded integers, orders
and Gaussian offsets is integer arithmetic of our own, so the same key gives the same values on
every machine, NumPy version and number of workers.
"""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

U64 = np.uint64
Words = NDArray[np.uint64]
WORDS_PER_BLOCK = 4  # one step of Philox4x64's counter makes four 64-bit words
MAX_SIGMA = 64
_FEISTEL_ROUNDS = 3  # each changes both halves


def stream_key(*parts: str | int) -> int:
    """A 128-bit Philox key: BLAKE2b of the parts, each with its type and length.

    Args:
        parts: what names the stream, e.g. format version, seed, task, split, purpose.
    """
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = f"{'i' if isinstance(part, int) else 's'}{part}".encode()
        state.update(len(text).to_bytes(4, "little") + text)
    return int.from_bytes(state.digest(), "little")


def blocks(key: int, start: int, count: int) -> Words:
    """Philox blocks [start, start + count) of a stream.

    Who consumes randomness owns a range of blocks of its own: neighbouring *starts* overlap.

    Args:
        key: from `stream_key`.
        start: first block, >= 0.
        count: number of blocks, >= 0.

    Returns:
        (count, 4) uint64.
    """
    bits = np.random.Philox(key=key, counter=start)
    raw = np.asarray(bits.random_raw(count * WORDS_PER_BLOCK), dtype=U64)
    return raw.reshape(count, WORDS_PER_BLOCK)


def below(words: Words, bound: int) -> NDArray[np.int64]:
    """Integers in [0, bound) from the high halves of words; bias below bound / 2**32.

    Args:
        words: uint64 of any shape.
        bound: in [1, 2**31].
    """
    if not 1 <= bound <= 2**31:
        raise ValueError(f"below: bound {bound} is out of range; legal: 1 .. 2**31")
    return (((words >> U64(32)) * U64(bound)) >> U64(32)).astype(np.int64)


def order(words: Words) -> NDArray[np.int64]:
    """A uniformly random order of 0 .. n-1: the stable argsort of n words.

    Args:
        words: (..., n) uint64; the last axis is ordered.
    """
    return np.argsort(words, axis=-1, kind="stable")


def mix(key: int, *values: NDArray[np.int64] | int) -> Words:
    """A keyed 64-bit hash of tuples of integers, element by element.

    Each value is folded in with the SplitMix64 finaliser (Steele, Lea & Flood 2014).

    Args:
        key: from `stream_key`; its low 64 bits start the hash, its high 64 bits end it.
        values: integers, or int64 arrays that broadcast against each other.

    Returns:
        uint64 of the broadcast shape.
    """
    mask = 2**64 - 1
    state: Words = np.asarray(key & mask, dtype=U64)
    with np.errstate(over="ignore"):
        for value in (*values, key >> 64):
            folded = U64(value & mask) if isinstance(value, int) else value.astype(U64)
            state = _finalise(state ^ folded)
    return state


def _finalise(state: Words) -> Words:
    """One step of SplitMix64: add the golden ratio, then its finaliser, modulo 2**64."""
    state = state + U64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> U64(27))) * U64(0x94D049BB133111EB)
    return state ^ (state >> U64(31))


def permute(
    key: int, index: NDArray[np.int64], size: int, tweak: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Where a keyed permutation of [0, size) sends each index; one permutation per tweak value.

    A Feistel network on a grid of a x b cells, a and b near the square root of the size, walked
    along its cycles until it lands inside [0, size) (fewer than a cells lie outside): a bijection
    for each (key, tweak), without a table of what was used.

    Args:
        key: from `stream_key`.
        index: (n,) int64 in [0, size).
        size: the domain, in [1, 2**60].
        tweak: (n,) int64; rows with the same tweak share a permutation.

    Returns:
        (n,) int64 in [0, size).

    Raises:
        ValueError: if an index lies outside the domain.
    """
    if index.size and (int(index.min()) < 0 or int(index.max()) >= size):
        raise ValueError(f"permute: index outside [0, {size})")
    a = U64(math.isqrt(size - 1) + 1)
    b = U64(-(-size // int(a)))
    out, keyed = index.astype(U64), mix(key, tweak)
    todo = np.arange(len(index))
    while len(todo):
        left, right = np.divmod(out[todo], b)
        state = keyed[todo]
        for _ in range(_FEISTEL_ROUNDS):
            state = state + U64(0xD1B54A32D192ED03)  # another round key
            left = (left + _finalise(state ^ right) % a) % a
            state = state + U64(0xD1B54A32D192ED03)
            right = (right + _finalise(state ^ left) % b) % b
        out[todo] = left * b + right
        todo = todo[out[todo] >= U64(size)]
    return out.astype(np.int64)


@lru_cache(maxsize=16)
def normal_offsets(sigma: int) -> NDArray[np.int16]:
    """The quantile table of round(N(0, sigma)): a 16-bit word looks up its Gaussian offset.

    Entry u is the k with 65536 * Phi((k - 1/2) / sigma) <= u < 65536 * Phi((k + 1/2) / sigma),
    thresholds rounded to integers, in 60-digit decimal arithmetic (no libm, so no platform).

    Args:
        sigma: standard deviation in grey levels, an integer in [0, 64].

    Returns:
        (65536,) int16, read-only.

    Raises:
        ValueError: if sigma is out of range.
    """
    if not 0 <= sigma <= MAX_SIGMA:
        raise ValueError(f"sigma {sigma} is out of range; legal: 0 .. {MAX_SIGMA}")
    upper: list[int] = []  # upper[k] words lie below k + 1/2
    while sigma and (not upper or upper[-1] < 2**16):
        upper.append(_round_phi(2 * len(upper) + 1, 2 * sigma))
    positive = np.array(upper or [2**16], dtype=np.int64)
    thresholds = np.concatenate([2**16 - positive[::-1], positive])
    table = np.searchsorted(thresholds, np.arange(2**16), side="right") - len(positive)
    offsets = table.astype(np.int16)
    offsets.flags.writeable = False
    return offsets


def _round_phi(numerator: int, denominator: int) -> int:
    """round(65536 * Phi(numerator / denominator)) by the Taylor series of erf, exactly rounded."""
    with localcontext() as context:
        context.prec = 60
        x = Decimal(numerator) / Decimal(denominator) / Decimal(2).sqrt()
        if x > 5:  # 1 - Phi < 1e-12, far below half a word
            return 2**16
        term = total = x
        for n in range(1, 200):
            term *= -x * x / n
            total += term / (2 * n + 1)
        phi = (1 + 2 * total / _PI.sqrt()) / 2
        return int((phi * 2**16).to_integral_value())


_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
