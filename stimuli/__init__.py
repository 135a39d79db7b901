"""Visual same-different datasets, made to the byte from a seed.

`make_recipe` says what to make, `generate` writes it to a folder, `render` makes single stimuli.
Everything is loaded when first used: importing the package imports neither torch nor datasets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samediff_stimuli import lazy

if TYPE_CHECKING:
    from samediff_stimuli.aligned_options import AlignedOptions
    from samediff_stimuli.blender_scenes.photoreal_options import PhotorealOptions
    from samediff_stimuli.cards.audit import audit
    from samediff_stimuli.cards.dataset import generate
    from samediff_stimuli.cards.downloading import download
    from samediff_stimuli.cards.exports.folder import export
    from samediff_stimuli.cards.importing import import_folder
    from samediff_stimuli.cards.importing_factors import import_factors
    from samediff_stimuli.cards.publishing import publish
    from samediff_stimuli.das_options import DasOptions
    from samediff_stimuli.engines import Engine
    from samediff_stimuli.manifest import Manifest
    from samediff_stimuli.novelty import novel_pairs
    from samediff_stimuli.placed_options import PlacedOptions
    from samediff_stimuli.quad_options import QuadOptions
    from samediff_stimuli.recipe import InputError, Recipe
    from samediff_stimuli.shards import DamagedError
    from samediff_stimuli.tasks import design, make_recipe, render
    from samediff_stimuli.tasks.alphanumerics import AlphanumericsOptions
    from samediff_stimuli.tasks.dissociation import DissociationOptions
    from samediff_stimuli.tasks.dsprites import DspritesOptions
    from samediff_stimuli.tasks.mpi3d import MPI3DOptions
    from samediff_stimuli.tasks.naturalistic import NaturalisticOptions
    from samediff_stimuli.tasks.shapes import ShapesOptions
    from samediff_stimuli.tasks.shapes3d import Shapes3DOptions
    from samediff_stimuli.tasks.transfer import TransferOptions
    from samediff_stimuli.verification import verify

_HOMES = {
    "AlignedOptions": "aligned_options",
    "AlphanumericsOptions": "tasks.alphanumerics",
    "DamagedError": "shards",
    "DasOptions": "das_options",
    "DissociationOptions": "tasks.dissociation",
    "DspritesOptions": "tasks.dsprites",
    "Engine": "engines",
    "InputError": "recipe",
    "MPI3DOptions": "tasks.mpi3d",
    "Manifest": "manifest",
    "NaturalisticOptions": "tasks.naturalistic",
    "PhotorealOptions": "blender_scenes.photoreal_options",
    "PlacedOptions": "placed_options",
    "QuadOptions": "quad_options",
    "Recipe": "recipe",
    "Shapes3DOptions": "tasks.shapes3d",
    "ShapesOptions": "tasks.shapes",
    "TransferOptions": "tasks.transfer",
    "audit": "cards.audit",
    "design": "tasks",
    "download": "cards.downloading",
    "export": "cards.exports.folder",
    "generate": "cards.dataset",
    "import_factors": "cards.importing_factors",
    "import_folder": "cards.importing",
    "make_recipe": "tasks",
    "publish": "cards.publishing",
    "novel_pairs": "novelty",
    "render": "tasks",
    "verify": "verification",
}

__all__ = [
    "AlignedOptions",
    "AlphanumericsOptions",
    "DamagedError",
    "DasOptions",
    "DissociationOptions",
    "DspritesOptions",
    "Engine",
    "InputError",
    "MPI3DOptions",
    "Manifest",
    "NaturalisticOptions",
    "PhotorealOptions",
    "PlacedOptions",
    "QuadOptions",
    "Recipe",
    "Shapes3DOptions",
    "ShapesOptions",
    "TransferOptions",
    "audit",
    "design",
    "download",
    "export",
    "generate",
    "import_factors",
    "import_folder",
    "make_recipe",
    "novel_pairs",
    "publish",
    "render",
    "verify",
]


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})


__getattr__ = lazy.importer(__name__, _HOMES)
