"""PyTorch datasets and loaders over dataset folders, and endless streams of fresh stimuli."""

from samediff_stimuli.loaders.dataset import StimulusDataset
from samediff_stimuli.loaders.loader import BatchLoader, ShuffledBatches, make_loader
from samediff_stimuli.loaders.stream import StimulusStream
from samediff_stimuli.loaders.tokens import (
    background_token_mask,
    object_token_mask,
    patch_coverage,
)

__all__ = [
    "BatchLoader",
    "ShuffledBatches",
    "StimulusDataset",
    "StimulusStream",
    "background_token_mask",
    "make_loader",
    "object_token_mask",
    "patch_coverage",
]
