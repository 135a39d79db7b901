"""The front matter of a card: YAML that the Hub files a dataset by, and that `datasets` reads."""

from __future__ import annotations

import re
from typing import Any

import yaml

from samediff_stimuli import tasks
from samediff_stimuli.cards.hub_terms import SIZE_CATEGORIES
from samediff_stimuli.cards.origin import Origin
from samediff_stimuli.cards.parquet import features_of
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.tasks import Split

_FRONT = re.compile(r"\A---\n(.*?\n)---\n", re.DOTALL)


def split_card(card: str) -> tuple[dict[str, Any], str]:
    """The YAML at the head of a card as plain data, and the text below it.

    Raises:
        ValueError: if there is no YAML, or it is none.
    """
    found = _FRONT.match(card)
    if found is None:
        raise ValueError("it does not begin with front matter between two lines of ---")
    try:
        data = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        raise ValueError(f"its front matter is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ValueError("its front matter is no mapping")
    return data, card[found.end() :]


def front_matter(manifest: Manifest, origin: Origin, pretty_name: str) -> str:
    """The YAML of a dataset's card, without the lines of dashes around it.

    Args:
        manifest: of the dataset.
        origin: of images that this package did not make.
        pretty_name: the title, in plain text.
    """
    from huggingface_hub import DatasetCardData

    task = tasks.get(manifest.recipe.task)
    ours: dict[str, Any] = {"license": task.license(manifest.recipe), "tags": [*task.tags]}
    if task.made_here(manifest.recipe):
        ours |= {
            "annotations_creators": ["machine-generated"],
            "source_datasets": ["original"],
            "tags": ["synthetic", *task.tags],
        }
    theirs = {"license": origin.license, "tags": ["samediff-stimuli"]}
    data = DatasetCardData(
        **(ours if task.source else theirs),
        task_categories=["image-classification"],
        size_categories=[size_category(sum(s.rows for s in task.stored_splits(manifest.recipe)))],
        pretty_name=pretty_name,
        configs=[config(manifest)],
        dataset_info=dataset_info(manifest),
    )
    return str(data.to_yaml())


def size_category(rows: int) -> str:
    """The Hub's size category of a number of rows."""
    power = max(0, len(str(rows)) - 3)
    return SIZE_CATEGORIES[min(power, len(SIZE_CATEGORIES) - 1)]


def config(manifest: Manifest) -> dict[str, Any]:
    """The entry of `configs:`: which files each split is read from."""
    task, name = tasks.get(manifest.recipe.task), manifest.name
    mirrored = _is_mirrored(manifest)
    place, suffix = ("data", "parquet") if mirrored else ("hdf5", "h5")
    made: dict[str, Any] = {
        "config_name": name,
        "default": True,
        "data_files": [
            {"split": split.name, "path": f"{place}/{name}/{split.name}-*.{suffix}"}
            for split in task.stored_splits(manifest.recipe)
        ],
    }
    return made if mirrored else made | {"batch_size": 32}  # else a whole shard of arrays is held


def dataset_info(manifest: Manifest) -> dict[str, Any]:
    """The entry of `dataset_info:`: types of all columns, and rows of each split."""
    task = tasks.get(manifest.recipe.task)
    array_shape = None if _is_mirrored(manifest) else task.image_shape(manifest.recipe)
    return {
        "config_name": manifest.name,
        "features": _yaml_features(features_of(manifest.recipe), array_shape),
        "splits": [_split_info(manifest, s) for s in task.stored_splits(manifest.recipe)],
    }


def _is_mirrored(manifest: Manifest) -> bool:
    return manifest.shards[0].mirror is not None


def _split_info(manifest: Manifest, split: Split) -> dict[str, Any]:
    """A split's name, rows, and bytes of the files that `load_dataset` reads."""
    files = [shard.mirror or shard.file for shard in manifest.of_split(split.name)]
    n_bytes = sum(file.n_bytes for file in files)
    return {"name": split.name, "num_bytes": n_bytes, "num_examples": split.rows}


def _yaml_features(
    types: dict[str, Any], array_shape: tuple[int, int, int] | None
) -> list[dict[str, Any]]:
    """`dataset_info.features`; images as arrays of `array_shape` when there is no mirror."""

    def dtype(feature: dict[str, Any]) -> dict[str, Any]:
        if feature["_type"] == "ClassLabel":
            names = {str(index): name for index, name in enumerate(feature["names"])}
            return {"dtype": {"class_label": {"names": names}}}
        if feature["_type"] == "List":
            inner = dtype(feature["feature"])
            return {"list": inner.get("dtype", inner)}
        if feature["_type"] == "Image":
            array = {"array3_d": {"shape": list(array_shape or ()), "dtype": "uint8"}}
            return {"dtype": array if array_shape else "image"}
        return {"dtype": feature["dtype"]}

    return [{"name": name, **dtype(feature)} for name, feature in types.items()]
