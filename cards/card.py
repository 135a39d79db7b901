"""The dataset card: README.md of a dataset folder, made from its manifest and its validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from samediff_stimuli import tasks
from samediff_stimuli.cards import rights, scope, tables, validated
from samediff_stimuli.cards.citations import REFERENCES
from samediff_stimuli.cards.commands import command
from samediff_stimuli.cards.front_matter import front_matter, size_category
from samediff_stimuli.cards.loading import loading
from samediff_stimuli.cards.origin import Origin
from samediff_stimuli.manifest import Manifest, in_words
from samediff_stimuli.markdown import code

__all__ = ["Origin", "card", "command", "size_category", "title"]


def card(
    manifest: Manifest,
    origin: Origin | None = None,
    validation: Mapping[str, Any] | None = None,
) -> str:
    """The text of the card: YAML that `datasets` parses, then Markdown.

    Args:
        manifest: of the dataset; no more than that is needed if this package made the images.
        origin: of images that it did not make.
        validation: the report in validation.json, if the dataset was validated.
    """
    origin, task = origin or Origin(), tasks.get(manifest.recipe.task)
    own = {h: t for h, t in task.sections(manifest.recipe).items() if h != scope.LIMITS}
    sections = {
        "Load it": loading(manifest),
        "Make it again, to the byte": _making(manifest),
        "Splits": _splits(manifest),
        "Balance": _balance(manifest),
        "Columns": tables.columns(manifest),
        **own,
        **_provenance(manifest, origin),
        "Uses": _uses(manifest),
        "Limits and known shortcuts": _listed(scope.limits(manifest)),
        "Files and digests": _files(manifest),
        "Licence": rights.licences(manifest, origin),
        "Citation": rights.citations(manifest),
    }
    head = [
        f"---\n{front_matter(manifest, origin, title(manifest).replace('`', ''))}\n---",
        f"# {title(manifest)}",
        f"{task.summary} {_in_numbers(manifest)}",
        "![Some stimuli of every split](preview.png)",
    ]
    body = [part for heading, text in sections.items() for part in (f"## {heading}", text)]
    return validated.with_section("\n\n".join([*head, *body]) + "\n", validation)


def title(manifest: Manifest) -> str:
    """The task's title, the dataset's name, and its seed if it was made from one."""
    task = tasks.get(manifest.recipe.task)
    seed = f", seed {manifest.recipe.seed}" if task.source else ""
    drawn = task.space(manifest.recipe) is not None and task.source
    like = "-like, drawn by samediff-stimuli" if drawn and task.made_here(manifest.recipe) else ""
    return f"{task.title}{like} (`{manifest.name}`{seed})"


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _in_numbers(manifest: Manifest) -> str:
    """How many images of which size in how many splits, and what their labels are."""
    task, recipe = tasks.get(manifest.recipe.task), manifest.recipe
    height, width, channels = task.image_shape(recipe)
    total = sum(split.rows for split in task.stored_splits(recipe))
    n_splits, label = len(task.splits(recipe)), task.label_column(recipe)
    kind = "grey" if channels == 1 else "RGB"
    names = [code(name) for name in label.names]
    few = f"{', '.join(names[:-1])} or {names[-1]}"
    rows = f"rows of {len(task.views)} {kind} images" if task.more_views else f"{kind} images"
    classes = few if len(names) <= tables.FEW else f"one of {len(names)} classes"
    return (
        f"{total:,} {rows} of {width} x {height} pixels, "
        f"{n_splits} split{'s' * (n_splits > 1)}; `{label.name}` is {classes}."
    )


def _making(manifest: Manifest) -> str:
    """The command, the recipe or where it is, and what decided the pixels besides it."""
    text, made_with = manifest.recipe.canonical_json(), manifest.made_with
    task = tasks.get(manifest.recipe.task)
    is_grid = task.space(manifest.recipe) is not None
    long = is_grid and len(text) > _LONG
    told = " see `manifest.json`." if long else f"\n\n```json\n{text}\n```"
    release = manifest.versions.get("samediff-stimuli")
    how = f"With samediff-stimuli {release}:" if release else "With samediff-stimuli:"
    anew = ", and rows with those that it makes anew" if task.source else ""
    check = f"`samediff-stimuli verify DIR` compares a folder with its digests{anew}."
    parts = [how, f"```sh\n{command(manifest.recipe)}\n```", check, f"Recipe:{told}"]
    return "\n\n".join([*parts, *([f"Made with {in_words(made_with)}."] if made_with else [])])


def _splits(manifest: Manifest) -> str:
    """The table of splits, what "held out" means, and what repeats."""
    found = tasks.get(manifest.recipe.task).splits(manifest.recipe)
    lists = [_LISTS] if manifest.indices else []
    held = [_HELD_OUT] if any(split.held_out for split in found) else []
    repeats = [tables.repeats(manifest)] if manifest.repeats else []
    return "\n\n".join([*lists, tables.splits(manifest), *held, *repeats])


def _balance(manifest: Manifest) -> str:
    made = tasks.get(manifest.recipe.task).source
    about = _BALANCE if made else "Images of every class in every split."
    return f"{about}\n\n{tables.balance(manifest)}"


def _provenance(manifest: Manifest, origin: Origin) -> dict[str, str]:
    """How the set differs from the paper's, or where images of others come from."""
    task = tasks.get(manifest.recipe.task)
    if task.departures:
        lead = f"This set follows {REFERENCES[task.source]} except in this:"
        return {"Deliberate departures": f"{lead}\n\n{_listed(task.departures)}"}
    if task.source:
        return {}
    is_grid = task.space(manifest.recipe) is not None
    what = "with a table of what they show" if is_grid else "from a folder of classes"
    lead = f"This package did not make the images; it read them {what}."
    return {"Where the images come from": f"{lead}\n\n{_listed(origin.notes)}"}


def _uses(manifest: Manifest) -> str:
    """What the set is for, and what it is not for."""
    return "\n\n".join(
        [
            _listed(scope.uses(manifest)),
            "It is not for:",
            _listed(scope.misuses(manifest)),
            scope.people(manifest),
        ]
    )


def _files(manifest: Manifest) -> str:
    whole = f"Content digest of the whole dataset: `{manifest.digest()}`"
    return f"{_DIGESTS}\n\n{tables.files(manifest)}\n\n{whole}"


_LONG = 20_000  # characters: of a grid of which many combinations have no image

_LISTS = "Every image is stored once, in the split `grid`; the others are lists of its rows."
_HELD_OUT = "Held out: no row of the split is one that the rule of the training split admits."
_BALANCE = (
    "Counts of every class in every split, made from the scenes. Per-object columns give the "
    "smallest and the largest count over the classes that occur."
)
_DIGESTS = (
    "SHA-256 of files names this copy; its codecs' versions are in `manifest.json`. The *content* "
    "digests do not depend on any codec: a column's is SHA-256 of its little-endian bytes, the "
    "images' is SHA-256 over the XXH3-128 digests of the decoded images in order, both shard by "
    "shard; a split's and the dataset's are SHA-256 of the canonical JSON of those."
)
