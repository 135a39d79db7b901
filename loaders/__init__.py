"""PyTorch datasets and loaders over dataset folders, and endless streams of fresh stimuli."""

from samediff_stimuli.loaders.dataset import StimulusDataset
from samediff_stimuli.loaders.factor_samplers import (
    Pairs,
    Traversals,
    changed_pairs,
    matched_pairs,
    transitions,
    traversals,
)
from samediff_stimuli.loaders.factors import FactorDataset
from samediff_stimuli.loaders.hub import from_hub
from samediff_stimuli.loaders.interventions import InterventionBatch, intervention_batch
from samediff_stimuli.loaders.labels import TokenLabels, token_labels
from samediff_stimuli.loaders.loader import BatchLoader, ShuffledBatches, make_loader
from samediff_stimuli.loaders.remote import from_url
from samediff_stimuli.loaders.stream import StimulusStream
from samediff_stimuli.loaders.tokens import (
    background_token_mask,
    box_coverage,
    object_token_mask,
    patch_coverage,
)

__all__ = [
    "BatchLoader",
    "FactorDataset",
    "InterventionBatch",
    "Pairs",
    "ShuffledBatches",
    "StimulusDataset",
    "StimulusStream",
    "TokenLabels",
    "Traversals",
    "background_token_mask",
    "box_coverage",
    "changed_pairs",
    "from_hub",
    "from_url",
    "intervention_batch",
    "make_loader",
    "matched_pairs",
    "object_token_mask",
    "patch_coverage",
    "token_labels",
    "transitions",
    "traversals",
]
