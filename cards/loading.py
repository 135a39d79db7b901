"""The code that loads a dataset, each way there is, for its card."""

from __future__ import annotations

from samediff_stimuli import tasks
from samediff_stimuli.manifest import IndexRecord, Manifest


def loading(manifest: Manifest) -> str:
    """Markdown: `datasets`, then PyTorch from a folder and from the Hub, then plain HDF5."""
    index = next(iter(manifest.indices), None)
    return "\n\n".join(
        [
            "`DIR` is this folder, `REPO` a repository of the Hub that holds it. With Hugging Face "
            "`datasets`:",
            _block(*(_whole(manifest) if index is None else _listed(manifest, index))),
            "With PyTorch, which reads the HDF5 shards; `from_hub` fetches those of one split:",
            _block(*_torch(manifest)),
            "Without this package: the shards are plain HDF5, which `datasets` reads too; it calls "
            "whatever it is given `train`:",
            _block("from datasets import load_dataset", "", *_plain(manifest)),
        ]
    )


def _block(*lines: str) -> str:
    code = "\n".join(lines)
    return f"```python\n{code}\n```"


def _first(manifest: Manifest) -> str:
    """The split to begin with: train if it is stored, else the first that is."""
    stored = [shard.split for shard in manifest.shards]
    return "train" if "train" in stored else stored[0]


def _whole(manifest: Manifest) -> list[str]:
    """All splits, then one of them as a stream."""
    mirrored = manifest.shards[0].mirror is not None
    what = "PIL images, class labels" if mirrored else "arrays, class labels"
    which = f'"DIR_OR_REPO", "{manifest.name}"'
    return [
        "from datasets import load_dataset",
        "",
        f"data = load_dataset({which})  # every split: {what}",
        f'rows = load_dataset({which}, split="{_first(manifest)}", streaming=True)',
    ]


def _listed(manifest: Manifest, index: IndexRecord) -> list[str]:
    """The grid, then a split that is a list of its rows."""
    stored = _first(manifest)
    return [
        "import h5py",
        "from datasets import load_dataset",
        "",
        f'data = load_dataset("DIR_OR_REPO", "{manifest.name}", split="{stored}")  # every image',
        "# every other split is a list of its rows:",
        f'{index.split} = data.select(h5py.File("DIR/{index.file.path}")["row"][:])',
    ]


def _torch(manifest: Manifest) -> list[str]:
    """One split, and batches of it."""
    is_grid = tasks.get(manifest.recipe.task).space(manifest.recipe) is not None
    loader, values = ("FactorDataset", "targets") if is_grid else ("StimulusDataset", "labels")
    index = next(iter(manifest.indices), None)
    split = index.split if index else _first(manifest)
    return [
        f"from samediff_stimuli.loaders import {loader}, from_hub, make_loader",
        "",
        f'data = {loader}("DIR", "{split}")  # (image, {values}), uint8 images',
        f'data = from_hub("REPO", "{manifest.name}", "{split}")  # the same',
        f"for images, {values} in make_loader(data, batch_size=128, shuffle=True, seed=0):",
        "    ...",
    ]


def _plain(manifest: Manifest) -> list[str]:
    """The HDF5 shards of a split, read by `datasets`."""
    return [
        f'files = "DIR/hdf5/{manifest.name}/{_first(manifest)}-*.h5"',
        'rows = load_dataset("hdf5", data_files=files, split="train")',
    ]
