"""Baselines that show a dataset is learnable, the trainer that runs them, and their evaluation.

Everything is loaded when first used: importing the package does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samediff_stimuli import lazy

if TYPE_CHECKING:
    from samediff_stimuli.models.answerers import NamedAnswerer, answerer
    from samediff_stimuli.models.attention import (
        PatternScores,
        Roles,
        pattern_scores,
    )
    from samediff_stimuli.models.directions import (
        LinearProbe,
        fit_probe,
        fit_probes,
        random_direction,
        shuffled,
    )
    from samediff_stimuli.models.evaluation import Report, SplitReport, evaluate, judge
    from samediff_stimuli.models.losses import (
        DisentanglementProbes,
        pipeline_loss,
        random_heads,
    )
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
    "DisentanglementProbes": "losses",
    "LinearProbe": "directions",
    "NamedAnswerer": "answerers",
    "PatternScores": "attention",
    "Predictions": "predictions",
    "Report": "evaluation",
    "Roles": "attention",
    "SplitReport": "evaluation",
    "Trial": "trials",
    "agreement": "trials",
    "answerer": "answerers",
    "by_participant": "trials",
    "evaluate": "evaluation",
    "fit_probe": "directions",
    "fit_probes": "directions",
    "judge": "evaluation",
    "pattern_scores": "attention",
    "pipeline_loss": "losses",
    "predict": "predictions",
    "random_direction": "directions",
    "random_heads": "losses",
    "read_trial_table": "trials",
    "shuffled": "directions",
    "trial_table": "trials",
}

__all__ = [
    "DisentanglementProbes",
    "LinearProbe",
    "NamedAnswerer",
    "PatternScores",
    "Predictions",
    "Report",
    "Roles",
    "SplitReport",
    "Trial",
    "agreement",
    "answerer",
    "by_participant",
    "evaluate",
    "fit_probe",
    "fit_probes",
    "judge",
    "pattern_scores",
    "pipeline_loss",
    "predict",
    "random_direction",
    "random_heads",
    "read_trial_table",
    "shuffled",
    "trial_table",
]


def __dir__() -> list[str]:
    """The module's names, those not yet loaded too."""
    return sorted({*globals(), *__all__})


__getattr__ = lazy.importer(__name__, _HOMES)
