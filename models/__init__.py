"""Baselines that show a dataset is learnable, the trainer that runs them, and their evaluation.

Everything is loaded when first used: importing the package does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samediff_stimuli import lazy

if TYPE_CHECKING:
    from samediff_stimuli.models.answerers import NamedAnswerer, answerer
    from samediff_stimuli.models.evaluation import Report, SplitReport, evaluate, judge
    from samediff_stimuli.models.predictions import Predictions, predict
    from samediff_stimuli.models.trials import (
        Trial,
        agreement,
        by_participant,
        read_trial_table,
        trial_table,
    )

# No name of a module beside this file: that would be the module once it is imported.
_HOMES = {
    "NamedAnswerer": "answerers",
    "Predictions": "predictions",
    "Report": "evaluation",
    "SplitReport": "evaluation",
    "Trial": "trials",
    "agreement": "trials",
    "answerer": "answerers",
    "by_participant": "trials",
    "evaluate": "evaluation",
    "judge": "evaluation",
    "predict": "predictions",
    "read_trial_table": "trials",
    "trial_table": "trials",
}

__all__ = [
    "NamedAnswerer",
    "Predictions",
    "Report",
    "SplitReport",
    "Trial",
    "agreement",
    "answerer",
    "by_participant",
    "evaluate",
    "judge",
    "predict",
    "read_trial_table",
    "trial_table",
]


def __dir__() -> list[str]:
    """The module's names, those not yet loaded too."""
    return sorted({*globals(), *__all__})


__getattr__ = lazy.importer(__name__, _HOMES)
