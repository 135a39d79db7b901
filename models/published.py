"""What is known of the sets already: the authors' accuracies, and our first baselines.

The log is that of the code of Lepori, Tartaglini et al. 2024 (relational-circuits, results.csv at
7f6b3e3): one run each, unseeded, best on validation. Their `test_iid` was built on the test of
unseen combinations in some runs; where both agree to within 0.0001 it is left out here.
"""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = (
    "validation",
    "test",
    "test_compositional",
    "ood_shape",
    "ood_color",
    "ood_shape_color",
)


@dataclass(frozen=True, kw_only=True)
class LogRow:
    """One run of the authors' log.

    Attributes:
        accuracy: split -> accuracy; those of `SPLITS` that were logged and mean what they say.
        disentangle: index of the hidden state that was probed; None without that loss.
    """

    accuracy: dict[str, float]
    disentangle: int | None = None


def _row(*values: float | None, disentangle: int | None = None) -> LogRow:
    """A row of values in the order of `SPLITS`; None where there is none."""
    pairs = zip(SPLITS, values, strict=True)
    return LogRow(accuracy={n: v for n, v in pairs if v is not None}, disentangle=disentangle)


# (task, patch side, combinations) -> run -> row. With 256 combinations none is held out, and the
# log's compositional test is a second test like the first.
LOG: dict[tuple[str, int, int], dict[str, LogRow]] = {
    ("discrimination", 16, 256): {
        "scratch": _row(0.8042, 0.805, None, 0.7844, 0.7056, 0.6694),
        "disentangled": _row(0.9613, 0.9584, None, 0.80, 0.7703, 0.6787, disentangle=2),
        "clip": _row(0.9953, 0.9933, None, 0.9898, 0.9934, 0.9802),
        "imagenet": _row(0.9764, 0.9752, None, 0.8704, 0.9715, 0.9224),
        "dino": _row(0.9794, 0.9563, None, 0.8934, 0.9573, 0.8894),
        "mae": _row(0.9822, 0.9795, None, 0.9436, 0.9258, 0.8620),
    },
    ("discrimination", 16, 32): {
        "scratch": _row(0.7588, 0.765, 0.7597, 0.7492, 0.628, 0.5972),
        "disentangled": _row(0.9415, None, 0.7856, None, None, None, disentangle=3),
        "clip": _row(0.9991, None, 0.9847, 0.9748, 0.9747, 0.9516),
        "imagenet": _row(0.9943, None, 0.9572, 0.8756, 0.9569, 0.8789),
        "dino": _row(0.9957, 0.9228, 0.9469, 0.8531, 0.9241, 0.8413),
        "mae": _row(0.9836, None, 0.9488, 0.8884, 0.9180, 0.8505),
    },
    ("discrimination", 32, 256): {
        "scratch": _row(0.8931, 0.8842, None, 0.5432, 0.4689, 0.4669),
        "disentangled": _row(0.9891, 0.9909, None, 0.5656, 0.5473, 0.5208, disentangle=4),
        "clip": _row(0.9977, 0.9964, None, 0.936, 0.9802, 0.9575),
    },
    ("discrimination", 32, 32): {
        "scratch": _row(0.8773, 0.88, 0.7831, 0.5418, 0.5364, 0.5201),
        "disentangled": _row(0.9976, 0.9966, 0.935, 0.5463, 0.498, 0.4841, disentangle=4),
        "clip": _row(0.9998, None, 0.9848, 0.9759, 0.9767, 0.9802),
    },
    ("discrimination", 14, 256): {"dinov2": _row(0.997, 0.995, None, 0.9888, 0.9808, 0.9625)},
    ("discrimination", 14, 32): {"dinov2": _row(0.9784, None, 0.9853, 0.95, 0.973, 0.947)},
    ("rmts", 16, 256): {
        "scratch": _row(0.4992, 0.4959, None, 0.5045, 0.498, 0.4909),
        "clip": _row(0.9791, 0.9831, None, 0.9372, 0.9547, 0.85),
        "imagenet": _row(0.882, 0.8934, None, 0.6847, 0.7047, None),
        "dino": _row(0.8981, 0.8769, None, 0.6637, 0.7691, 0.695),
        "mae": _row(0.928, 0.9344, None, 0.8714, 0.7923, 0.6605),
    },
    ("rmts", 16, 32): {
        "scratch": _row(0.50, 0.5001, 0.50, None, None, None),
        "clip": _row(0.9797, 0.9802, 0.983, 0.9428, 0.9578, 0.8508),
        "imagenet": _row(0.9386, 0.9233, 0.8398, 0.7937, 0.7531, 0.6827),
        "dino": _row(0.9577, 0.947, 0.8523, 0.7345, 0.728, 0.6828),
        "mae": _row(0.9217, None, 0.8527, 0.8028, 0.7773, 0.6897),
    },
    ("rmts", 32, 256): {
        "scratch": _row(0.5, 0.5, None, 0.4961, 0.4978, 0.4847),
        "disentangled": _row(0.5128, 0.5028, None, 0.492, 0.5053, 0.4859, disentangle=2),
        "clip": _row(0.9861, 0.9736, None, 0.93, 0.9468, 0.9052),
    },
    ("rmts", 32, 32): {
        "scratch": _row(0.5, 0.5, 0.5, 0.4961, 0.4978, 0.4847),
        "disentangled": _row(0.6402, None, 0.59, 0.5096, 0.4855, 0.4833, disentangle=3),
        "clip": _row(0.9848, 0.9825, 0.9827, 0.8947, 0.944, 0.8618),
    },
    ("rmts", 14, 256): {"dinov2": _row(0.9819, 0.988, None, 0.92, 0.944, 0.8467)},
    ("rmts", 14, 32): {"dinov2": _row(0.9694, 0.9643, 0.9472, 0.934, 0.945, 0.82)},
}

# Mean R2 by test split of the baseline network of Schott et al. 2021 on our drawn grids, seed 0 on
# a CPU: cards/baselines (shapes3d after 800 steps, dsprites after 3,000).
GRIDS: dict[str, dict[str, float]] = {
    "dsprites": {
        "random_test": 0.874,
        "composition_test": 0.531,
        "interpolation_test": 0.867,
        "extrapolation_test": 0.647,
    },
    "shapes3d": {
        "random_test": 0.994,
        "composition_test": 0.978,
        "interpolation_test": 0.968,
        "extrapolation_test": 0.583,
    },
}
