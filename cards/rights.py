"""Whose a dataset is: licences of data, code and assets, and what to cite, for its card."""

from __future__ import annotations

from pathlib import Path

from samediff_stimuli import tasks
from samediff_stimuli.cards.citations import CITATIONS, package_citation
from samediff_stimuli.cards.front_matter import split_card
from samediff_stimuli.cards.origin import Origin
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.markdown import markdown_table

CODE = "mit"  # the licence of this package


def license_of(manifest: Manifest, origin: Origin) -> str:
    """The licence of the images, as the Hub spells it; "unknown" if nobody said."""
    task = tasks.get(manifest.recipe.task)
    return task.license(manifest.recipe) if task.source else origin.license


def stated_license(folder: Path, manifest: Manifest) -> str:
    """The licence of a finished folder's images: of imported ones, only its card knows.

    Args:
        folder: the dataset folder.
        manifest: its manifest.
    """
    task = tasks.get(manifest.recipe.task)
    if task.source:
        return task.license(manifest.recipe)
    try:
        front, _ = split_card((folder / "README.md").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # no card, or one that somebody has broken
        front = {}
    return str(front.get("license", "unknown"))


def licences(manifest: Manifest, origin: Origin) -> str:
    """Markdown: a table of what is under which licence, and what is missing."""
    task, license = tasks.get(manifest.recipe.task), license_of(manifest, origin)
    by_us = task.made_here(manifest.recipe) and license != "unknown" and bool(task.source)
    rows = [
        ["images and columns", f"`{license}`", _who(manifest, license, by_us)],
        ["the code that made the folder", f"`{CODE}`", "samediff-stimuli"],
        ["assets that the images show", *_assets(license, by_us)],
    ]
    parts = [markdown_table(["what", "licence", "whose"], rows)]
    return "\n\n".join([*parts, *([_UNKNOWN[bool(task.source)]] * (license == "unknown"))])


def _who(manifest: Manifest, license: str, by_us: bool) -> str:
    if by_us:
        return "made by samediff-stimuli"
    stated = " as whoever imported them states" if license != "unknown" else ""
    read = tasks.get(manifest.recipe.task).source and license != "unknown"
    return "their makers'" + ("" if read else stated)


def _assets(license: str, by_us: bool) -> tuple[str, str]:
    if by_us:
        return (
            f"`{CODE}`",
            "none from elsewhere: the code of samediff-stimuli draws every shape, glyph, texture "
            "and object",
        )
    return f"`{license}`", "their makers'"


def citations(manifest: Manifest) -> str:
    """Markdown: BibTeX of the paper whose design the data follow, if any, and of this package."""
    task = tasks.get(manifest.recipe.task)
    ours = package_citation(manifest.versions.get("samediff-stimuli"))
    if not task.source:
        return f"Cite the images' makers. The package that made the folder:\n\n{_bibtex(ours)}"
    also = "" if task.license(manifest.recipe) != "unknown" else " the pictures' makers,"
    of_grid = task.space(manifest.recipe) is not None
    made = of_grid and not task.made_here(manifest.recipe)
    also = " the makers of the images, as named above," if made else also
    return (
        f"Cite{also} the paper whose design the data follow, and the package that made the folder:"
        f"\n\n{_bibtex(CITATIONS[task.source], ours)}"
    )


def _bibtex(*entries: str) -> str:
    text = "\n\n".join(entries)
    return f"```bibtex\n{text}\n```"


_UNKNOWN = {  # by whether this package drew the pictures into stimuli of its own
    True: (
        "The objects are pictures that somebody brought: whoever shares this dataset must find out "
        "their licence and state it, here and above."
    ),
    False: (
        "The licence of these images is unknown: whoever shares this dataset must find it out and "
        "state it, here and above (`samediff-stimuli import --license ID`)."
    ),
}
