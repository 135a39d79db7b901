"""The tables of a card: splits, balance, columns, files."""

from __future__ import annotations

from samediff_stimuli import tasks
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.markdown import markdown_table, plain
from samediff_stimuli.table import Column
from samediff_stimuli.tasks import Split

FEW = 4  # classes that balance lists one by one
LISTED = 100  # files that the card lists
SHOWN = 12  # files that it lists in sight
_NAMED = 40  # classes that the table of columns lists; others are in the front matter


def splits(manifest: Manifest, *, brief: bool = False) -> str:
    """What is in each split, and, unless `brief`, which of them training shows nothing of."""
    found = tasks.get(manifest.recipe.task).splits(manifest.recipe)
    held = any(split.held_out for split in found)
    what = "rows" if tasks.get(manifest.recipe.task).more_views else "images"
    heads = ["split", what, "what is in it", *(["held out"] * held), "digest of its content"]
    shown = 3 if brief else len(heads)
    rows = [_split(manifest, split, held)[:shown] for split in found]
    return markdown_table(heads[:shown], rows)


def _split(manifest: Manifest, split: Split, held: bool) -> list[str]:
    out = ["yes" if split.held_out else "no"] * held
    digest = manifest.split_digest(split.name)[:16]
    return [f"`{split.name}`", f"{split.rows:,}", plain(split.about), *out, f"`{digest}`"]


def balance(manifest: Manifest) -> str:
    """How often every class of every class column occurs in each split."""
    task = tasks.get(manifest.recipe.task)
    names = [split.name for split in task.splits(manifest.recipe)]
    counts = [manifest.counts(name) for name in names]
    rows = []
    for column in task.columns(manifest.recipe):
        if column.names:
            few = len(column.names) <= FEW
            label = f"`{column.name}`" + (
                f" ({' / '.join(map(plain, column.names))})" if few else ""
            )
            rows.append([label, *(_counts(found[column.name], few) for found in counts)])
    return markdown_table(["column", *(f"`{name}`" for name in names)], rows)


def _counts(found: list[int], few: bool) -> str:
    """All counts; or the smallest and the largest over the classes that occur."""
    used = [count for count in found if count]
    if few:
        same = len(used) == len(found) and min(used) == max(used)
        return f"{used[0]:,} each" if same else " / ".join(f"{count:,}" for count in found)
    spread = f"{min(used):,} each" if min(used) == max(used) else f"{min(used):,} to {max(used):,}"
    return f"{len(used)} classes, {spread}"


def columns(manifest: Manifest) -> str:
    """Type, meaning and classes of every column."""
    task = tasks.get(manifest.recipe.task)
    shape = task.image_shape(manifest.recipe)
    kind = f"{'grey' if shape[-1] == 1 else 'RGB'}; PNG in Parquet, array in HDF5"
    rows = [
        [f"`{view.name}`", f"uint8 {shape}", "; ".join(filter(None, [view.about, kind])), ""]
        for view in task.views
    ]
    for column in task.columns(manifest.recipe):
        of_row = f" {column.shape}" if column.shape else ""
        cells = [f"`{column.name}`", f"{column.dtype}{of_row}", column.about, _classes(column)]
        rows.append(cells)
    return markdown_table(["column", "type", "meaning", "classes"], rows)


def _classes(column: Column) -> str:
    numbered = [f"{index} {plain(name)}" for index, name in enumerate(column.names)]
    if len(numbered) <= _NAMED:
        return ", ".join(numbered)
    return f"{', '.join(numbered[:3])} .. {numbered[-1]}; all in the front matter of this file"


def files(manifest: Manifest) -> str:
    """Bytes and SHA-256 of each file; how many are left out, if there are many."""
    listed, more = manifest.data_files()[:LISTED], manifest.data_files()[LISTED:]
    rows = [[f"`{f.path}`", f"{f.n_bytes:,}", f"`{f.sha256[:16]}`"] for f in listed]
    table = markdown_table(["file", "bytes", "SHA-256"], rows)
    n_bytes = sum(file.n_bytes for file in more)
    if len(rows) > SHOWN:
        table = f"<details><summary>{len(rows)} files</summary>\n\n{table}\n\n</details>"
    left = f"\n\nAnd {len(more)} more, {n_bytes:,} bytes: see `manifest.json`."
    return table + (left if more else "")


def repeats(manifest: Manifest) -> str:
    """How many images of a test part have the pixels of an image in its training part."""
    rows = [[f"`{name}`", f"{count:,}"] for name, count in manifest.repeats.items()]
    text = "Test images whose every pixel is that of some training image, by the images' digests:"
    return f"{text}\n\n{markdown_table(['partition', 'images'], rows)}"
