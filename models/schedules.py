"""Learning rates: pure functions of the step and of the validation accuracies so far.

Sources: Lepori, Tartaglini et al. 2024 sweep ExponentialLR(0.95) and ReduceLROnPlateau(mode max,
patience 40, factor 0.1); Tartaglini et al. 2023 have a patience of a fifth of the epochs. In their
released code the first is stepped with an accuracy for an epoch, which leaves the rate as good as
constant, and the second of 2023 watches for a minimum; here both do what they say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

SCHEDULES = ("cosine", "exponential", "plateau", "constant")
GAMMA = 0.95  # of the exponential schedule, an epoch
FACTOR = 0.1  # of the plateau schedule
_THRESHOLD = 1e-4  # relative: torch's default, below which an accuracy is no better


def factor_at(
    schedule: str,
    step: int,
    total: int,
    warmup: int,
    steps_per_epoch: int,
    history: Sequence[float],
    patience: int,
) -> float:
    """What the peak learning rate is multiplied by, in [0, 1].

    Every schedule begins with a linear warm-up.

    Args:
        schedule: in `SCHEDULES`.
        step: optimiser steps done.
        total: steps in all.
        warmup: steps of warm-up.
        steps_per_epoch: steps of an epoch.
        history: validation accuracy of each epoch that is over.
        patience: epochs without a better accuracy that "plateau" bears.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "cosine":
        done = (step - warmup) / max(1, total - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    if schedule == "exponential":
        return GAMMA ** (step // steps_per_epoch)
    if schedule == "plateau":
        return FACTOR ** drops(history, patience)
    return 1.0


def drops(history: Sequence[float], patience: int) -> int:
    """How often torch's ReduceLROnPlateau(mode="max") has cut the rate after these accuracies."""
    best, waited, cut = -math.inf, 0, 0
    for accuracy in history:
        if best == -math.inf or accuracy > best * (1 + _THRESHOLD):
            best, waited = accuracy, 0
        else:
            waited += 1
        if waited > patience:
            cut, waited = cut + 1, 0
    return cut
