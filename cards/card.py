"""The dataset card: README.md of a dataset folder, made from its manifest and its validation."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from samediff_stimuli import tasks
from samediff_stimuli.cards import validated
from samediff_stimuli.cards.citations import CITATIONS, REFERENCES
from samediff_stimuli.cards.parquet import features
from samediff_stimuli.manifest import Manifest, in_words
from samediff_stimuli.markdown import markdown_table
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.table import Column
from samediff_stimuli.tasks import Split, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """What is to be said of images that this package did not make.

    Attributes:
        license: as the Hub spells it; "unknown" if nobody said.
        notes: lines for the card: where the images come from and what was done to them.
        files: text of files that go into the dataset folder, by name.
        versions: releases of what decoded the images.
    """

    license: str = "unknown"
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)


def command(recipe: Recipe) -> str:
    """The shortest command that makes a recipe: no option that follows from the others."""
    task = tasks.get(recipe.task)
    make = type(recipe.options)
    specs = {spec.name: spec.metadata for spec in dataclasses.fields(make)}
    fixed = {name: getattr(recipe.options, name) for name in specs if specs[name].get("derived")}
    needed = {n: getattr(recipe.options, n) for n in make.names() if n not in fixed}
    for name in list(needed):
        fewer = {other: value for other, value in needed.items() if other != name}
        with contextlib.suppress(InputError):  # what is left may not go together
            if make(**fixed, **fewer) == recipe.options:
                needed = fewer
    words = ["samediff-stimuli generate", f"--task {recipe.task}", f"--seed {recipe.seed}"]
    if not task.source:
        space = task.space(recipe)
        words = ["samediff-stimuli import", "FOLDER" if space is None else "SOURCE", "--out DIR"]
        words += [f"--label {f.name}" for f in (space.factors if space else ()) if not f.held]
    offered = {n: metadata for n, metadata in specs.items() if not metadata.get("derived")}
    local = {n: metadata["sign"] for n, metadata in offered.items() if metadata.get("local")}
    used = [n for n, s in local.items() if s is None or (s and getattr(recipe.options, s))]
    words += [f"--{name.replace('_', '-')} PATH" for name in used]
    for name, value in needed.items():
        flag = name.replace("_", "-")
        words.append(
            f"--{'' if value else 'no-'}{flag}"
            if isinstance(value, bool)
            else f"--{flag} {shlex.quote(str(value))}"
        )
    return " ".join(words)


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
    recipe, origin = manifest.recipe, origin or Origin()
    task = tasks.get(recipe.task)
    splits = task.splits(recipe)
    counts = {split.name: manifest.counts(split.name) for split in splits}
    sections = [
        f"---\n{_yaml(manifest, origin)}\n---",
        f"# {_title(manifest)}",
        task.summary,
        "![Some stimuli of every split](preview.png)",
        "## Load it",
        _loading(manifest),
        "## Make it again, to the byte",
        f"```sh\n{command(recipe)}\n```\n\n{_recipe(manifest)}",
        "## Splits",
        markdown_table(
            [
                "split",
                "rows" if task.more_views else "images",
                "what is in it",
                "digest of its content",
            ],
            [
                [f"`{s.name}`", f"{s.rows:,}", s.about, f"`{manifest.split_digest(s.name)[:16]}`"]
                for s in splits
            ],
        ),
        *_repeats(manifest),
        "## Balance",
        _BALANCE if task.source else "Images of every class in every split.",
        _balance(task.columns(recipe), counts),
        "## Columns",
        _columns(task, recipe),
        *(_departures(task) if task.departures else []),
        *(part for head, text in task.sections(recipe).items() for part in (f"## {head}", text)),
        *([] if task.source else _origin(origin, is_grid=task.space(recipe) is not None)),
        "## Files and digests",
        _DIGESTS,
        markdown_table(
            ["file", "bytes", "SHA-256"],
            [
                [f"`{f.path}`", f"{f.n_bytes:,}", f"`{f.sha256[:16]}`"]
                for f in manifest.data_files()[:_FILES]
            ],
        ),
        *_more_files(manifest),
        f"Content digest of the whole dataset: `{manifest.digest()}`",
        "## Licence and citation",
        _rights(task, recipe) if task.source else _rights_of_others(origin),
    ]
    return validated.with_section("\n\n".join(sections) + "\n", validation)


def _recipe(manifest: Manifest) -> str:
    """The recipe, or where it is; and what decided the pixels besides it."""
    text, made_with = manifest.recipe.canonical_json(), manifest.made_with
    is_grid = tasks.get(manifest.recipe.task).space(manifest.recipe) is not None
    told = "see `manifest.json`." if is_grid and len(text) > _LONG else f"`{text}`"
    return f"Recipe: {told}" + (f"\n\nMade with {in_words(made_with)}." if made_with else "")


def _more_files(manifest: Manifest) -> list[str]:
    """How many files the table leaves out."""
    files = manifest.data_files()[_FILES:]
    n_bytes = sum(file.n_bytes for file in files)
    return [f"And {len(files)} more, {n_bytes:,} bytes: see `manifest.json`."] if files else []


def _title(manifest: Manifest) -> str:
    """The task's title, the dataset's name, and its seed if it was made from one."""
    task = tasks.get(manifest.recipe.task)
    seed = f", seed {manifest.recipe.seed}" if task.source else ""
    drawn = task.space(manifest.recipe) is not None and task.source
    like = "-like, drawn by samediff-stimuli" if drawn and task.made_here(manifest.recipe) else ""
    return f"{task.title}{like} (`{manifest.name}`{seed})"


def _departures(task: Task) -> list[str]:
    """How the set differs from the paper's, and what to beware of."""
    white = () if task.costly else (_WHITE,)  # costly images are photographs, as it were
    return [
        "## Deliberate departures",
        f"This set follows {REFERENCES[task.source]} except in this:",
        "\n".join(f"- {departure}" for departure in task.departures),
        "## Limits",
        "\n".join(f"- {limit}" for limit in (*task.limits, *white, *_LIMITS)),
    ]


def _origin(origin: Origin, is_grid: bool) -> list[str]:
    """Where images of others come from, and what to beware of."""
    what = "with a table of what they show" if is_grid else "from a folder of classes"
    return [
        "## Where the images come from",
        f"This package did not make the images; it read them {what}.",
        "\n".join(f"- {note}" for note in origin.notes),
        "## Limits",
        _LIMITS_OF_GRIDS if is_grid else _LIMITS_OF_OTHERS,
    ]


def _repeats(manifest: Manifest) -> list[str]:
    """How many images of a test part have the pixels of an image in its training part."""
    if not manifest.repeats:
        return []
    rows = [[f"`{name}`", f"{count:,}"] for name, count in manifest.repeats.items()]
    text = "Test images whose every pixel is that of some training image, by the images' digests:"
    return [text, markdown_table(["partition", "images"], rows)]


def _rights(task: Task, recipe: Recipe) -> str:
    license = task.license(recipe)
    if license == "unknown":
        return (
            "The objects are pictures that somebody brought: whoever shares this dataset must "
            "state their licence, here and above. Please cite their makers, and the paper whose "
            f"design the data follow:\n\n```bibtex\n{CITATIONS[task.source]}\n```"
        )
    return (
        f"The data are free under `{license}`. Please cite the paper whose design they follow:\n\n"
        f"```bibtex\n{CITATIONS[task.source]}\n```"
    )


def _rights_of_others(origin: Origin) -> str:
    if origin.license == "unknown":
        return (
            "The licence of these images is unknown: whoever shares this dataset must find it out "
            "and state it, here and above (`samediff-stimuli import --license ID`). Cite the "
            "images' makers."
        )
    return (
        f"Whoever imported the images states their licence, `{origin.license}`; cite their makers."
    )


_FILES = 100  # that the card lists
_LONG = 20_000  # characters: of a grid of which many combinations have no image

_BALANCE = (
    "Counts of every class in every split, made from the scenes. Per-object columns give the "
    "smallest and the largest count over the classes that occur."
)

_LIMITS_OF_OTHERS = (
    "Labels are the names of the folders; nothing was checked against what the images show, "
    "neither balance nor leaks between splits, beyond what is said above. `samediff-stimuli "
    "verify` checks that this copy holds the pixels that were imported; it cannot make them anew."
)

_LIMITS_OF_GRIDS = (
    "Nothing was checked against what the images show, neither the levels nor the balance of what "
    "no factor tells. R2 is taken over the variance of the whole grid, whichever of its images "
    "there are. `samediff-stimuli verify` checks that this copy holds the pixels that were "
    "imported; it cannot make them anew."
)

_WHITE = "Stimuli are synthetic, on a white ground; success on them says little about photographs."
_LIMITS = (
    "Labels, balance, uniqueness and placement are checked by the package's tests for every "
    "split; `samediff-stimuli verify` checks this copy, and `samediff-stimuli audit` measures on "
    "its images what repeats, and what ink, luminance, boxes, centroids and distances say of the "
    "label.",
)

_DIGESTS = (
    "SHA-256 of files names this copy; its codecs' versions are in `manifest.json`. The *content* "
    "digests do not depend on any codec: a column's is SHA-256 of its little-endian bytes, the "
    "images' is SHA-256 over the XXH3-128 digests of the decoded images in order, both shard by "
    "shard; a split's and the dataset's are SHA-256 of the canonical JSON of those."
)


def _yaml(manifest: Manifest, origin: Origin) -> str:
    from huggingface_hub import DatasetCardData

    task = tasks.get(manifest.recipe.task)
    splits = task.stored_splits(manifest.recipe)
    name = manifest.name
    mirrored = {shard.split for shard in manifest.shards if shard.mirror}
    config: dict[str, Any] = {
        "config_name": name,
        "default": True,
        "data_files": [
            {"split": split.name, "path": f"data/{name}/{split.name}-*.parquet"} for split in splits
        ],
    }
    if not mirrored:
        config["batch_size"] = 32  # else a whole shard of arrays is held at once
        config["data_files"] = [
            {"split": split.name, "path": f"hdf5/{name}/{split.name}-*.h5"} for split in splits
        ]
    info = {
        "config_name": name,
        "features": _yaml_features(task, manifest.recipe, mirrored=bool(mirrored)),
        "splits": [_split_info(manifest, split) for split in splits],
    }
    total = sum(split.rows for split in splits)
    ours: dict[str, Any] = {"license": task.license(manifest.recipe), "tags": [*task.tags]}
    if task.made_here(manifest.recipe):
        ours |= {
            "annotations_creators": ["machine-generated"],
            "source_datasets": ["original"],
            "tags": ["synthetic", *task.tags],
        }
    data = DatasetCardData(
        **(ours if task.source else {"license": origin.license, "tags": ["samediff-stimuli"]}),
        task_categories=["image-classification"],
        size_categories=[size_category(total)],
        pretty_name=_title(manifest).replace("`", ""),
        configs=[config],
        dataset_info=info,
    )
    return str(data.to_yaml())


def _split_info(manifest: Manifest, split: Split) -> dict[str, Any]:
    """A split's name, rows, and bytes of the files that `load_dataset` reads."""
    files = [shard.mirror or shard.file for shard in manifest.of_split(split.name)]
    n_bytes = sum(file.n_bytes for file in files)
    return {"name": split.name, "num_bytes": n_bytes, "num_examples": split.rows}


def size_category(rows: int) -> str:
    """The Hub's size category of a number of rows."""
    bounds = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    if rows < 1000:
        return "n<1K"
    power = min((len(str(rows)) - 1) - 3, len(bounds) - 2)
    return f"{bounds[power]}<n<{bounds[power + 1]}"


def _yaml_features(task: Task, recipe: Recipe, mirrored: bool) -> list[dict[str, Any]]:
    """`dataset_info.features`; images as arrays when there is no mirror."""

    def dtype(feature: dict[str, Any]) -> dict[str, Any]:
        if feature["_type"] == "ClassLabel":
            names = {str(index): name for index, name in enumerate(feature["names"])}
            return {"dtype": {"class_label": {"names": names}}}
        if feature["_type"] == "List":
            inner = dtype(feature["feature"])
            return {"list": inner.get("dtype", inner)}
        if feature["_type"] == "Image":
            array = {"array3_d": {"shape": list(task.image_shape(recipe)), "dtype": "uint8"}}
            return {"dtype": "image" if mirrored else array}
        return {"dtype": feature["dtype"]}

    found = features(task.columns(recipe), [view.name for view in task.views])
    return [{"name": name, **dtype(feature)} for name, feature in found.items()]


def _loading(manifest: Manifest) -> str:
    """The code that loads the dataset, or a split that is a list of rows of its grid."""
    mirrored, first = manifest.shards[0].mirror is not None, manifest.shards[0].split
    what = "Parquet: PIL images, class labels" if mirrored else "HDF5: arrays, class labels"
    name, index = manifest.name, next(iter(manifest.indices), None)
    is_grid = tasks.get(manifest.recipe.task).space(manifest.recipe) is not None
    loader, values = ("FactorDataset", "targets") if is_grid else ("StimulusDataset", "labels")
    lead, imports = "", "from datasets import load_dataset"
    code = f'data = load_dataset("DIR_OR_REPO", "{name}")  # {what}'
    if index is not None:
        lead = (
            "Every image is stored once, in the split `grid`; the others are lists of its rows.\n\n"
        )
        imports = f"import h5py\n{imports}"
        code = f'''data = load_dataset("DIR_OR_REPO", "{name}", split="{first}")  # {what}
{index.split} = data.select(h5py.File("DIR/{index.file.path}")["row"][:])'''
        first = index.split
    stored = manifest.shards[0].split
    return f"""{lead}```python
{imports}

{code}
```

```python
from samediff_stimuli.loaders import {loader}, make_loader

data = {loader}("DIR", "{first}")  # HDF5: (image, {values}), uint8 images
for images, {values} in make_loader(data, batch_size=128, shuffle=True, seed=0):
    ...
```

Without the package: `load_dataset("hdf5", data_files="DIR/hdf5/{name}/{stored}-*.h5")`."""


def _balance(columns: tuple[Column, ...], counts: dict[str, dict[str, list[int]]]) -> str:
    rows = []
    for column in columns:
        if not column.names:
            continue
        few = len(column.names) <= 4
        cells = []
        for split in counts.values():
            found = split[column.name]
            used = [count for count in found if count]
            spread = f"{len(used)} classes, {min(used):,} to {max(used):,}"
            cells.append(" / ".join(f"{count:,}" for count in found) if few else spread)
        label = f"`{column.name}`" + (f" ({' / '.join(column.names)})" if few else "")
        rows.append([label, *cells])
    return markdown_table(["column", *(f"`{split}`" for split in counts)], rows)


def _columns(task: Task, recipe: Recipe) -> str:
    image_shape = task.image_shape(recipe)
    kind = f"{'grey' if image_shape[-1] == 1 else 'RGB'}; PNG in Parquet, array in HDF5"
    rows = [
        [f"`{view.name}`", f"uint8 {image_shape}", "; ".join(filter(None, [view.about, kind])), ""]
        for view in task.views
    ]
    for column in task.columns(recipe):
        shape = f" {column.shape}" if column.shape else ""
        names = ", ".join(f"{index} {name}" for index, name in enumerate(column.names))
        rows.append([f"`{column.name}`", f"{column.dtype}{shape}", column.about, names])
    return markdown_table(["column", "type", "meaning", "classes"], rows)
