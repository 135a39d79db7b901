"""Make a grid of factors of images that came from elsewhere, with a table of what they show.

Everything is read and checked before anything is written; then the engine makes shards, lists of
rows, mirror and card as for any other grid.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli import tasks
from samediff_stimuli.cards import dataset, folder, importing
from samediff_stimuli.cards.factor_listing import FactorListing, list_archive, list_table
from samediff_stimuli.cards.listing import Listing
from samediff_stimuli.cards.origin import Origin
from samediff_stimuli.factor_options import Variant
from samediff_stimuli.factor_task import GRID
from samediff_stimuli.factors import Factor, arrays
from samediff_stimuli.factors.arrays import ArrayImages
from samediff_stimuli.image_files import Source, digest_of
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.markdown import code, plain
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.shards import file_sha256
from samediff_stimuli.tasks.factors import ImportedFactorOptions, pack

_TOLD = 64  # images between two calls of on_rows
_SHOWN = 40  # levels of a factor that a note names
_DIGEST = 32  # bytes

OnRows = Callable[[int], None]


def import_factors(
    source: Path | str,
    out: Path | str,
    *,
    table: Path | str | None = None,
    images_key: str | None = None,
    labels_key: str | None = None,
    names: Sequence[str] | None = None,
    label: str | None = None,
    variant: Variant = "all",
    hold_out: str | None = None,
    train_percent: int = 30,
    materialize: bool = False,
    size: int | None = None,
    license: str = "unknown",
    workers: int | None = None,
    parquet: bool = True,
    overwrite: bool = False,
    on_rows: OnRows = lambda rows: None,
) -> Manifest:
    """Make a grid of factors of images and their labels, or finish one that was interrupted.

    Args:
        source: an .npz or HDF5 file of images and labels; with `table`, the folder of the files.
        out: the dataset folder; see `cards.dataset.generate`.
        table: CSV file with a column `file`, and one for each factor.
        images_key: of an archive: see `list_archive`.
        labels_key: of an archive: see `list_archive`.
        names: of the columns of labels; see `list_archive`, `list_table`.
        label: name of the factor that is the class; see `list_archive`.
        variant: how train and test are split; "all" gives every way that there are levels for.
        hold_out: a split of your own: what is true of test, e.g. "scale>=4 & shape=='heart'".
        train_percent: images of the random split that are for training, in per cent.
        materialize: store train and test by themselves.
        size: with `table`: see `import_folder`, as for all that follow.
        license: see `import_folder`.
        workers: see `import_folder`.
        parquet: see `import_folder`.
        overwrite: see `import_folder`.
        on_rows: see `import_folder`.

    Returns:
        The manifest of the finished folder.

    Raises:
        InputError: for images or labels that cannot be imported; nothing is changed.
        OSError: if the disk is full; finished shards stay, and the same call goes on from there.
    """
    workers, out = importing.check_arguments(workers, size, license), importing.local(out)
    listing = _listed(source, table, images_key, labels_key, names, label, size)
    options = _draft(listing, variant, hold_out, train_percent, materialize)
    _check_place(listing, out)
    with _read(listing, options, out, size, workers, on_rows) as (recipe, origin):
        return dataset.generate(
            recipe,
            out,
            workers=workers,
            parquet=parquet,
            overwrite=overwrite,
            on_rows=on_rows,
            origin=replace(origin, license=license),
        )


def _listed(
    source: Path | str,
    table: Path | str | None,
    images_key: str | None,
    labels_key: str | None,
    names: Sequence[str] | None,
    label: str | None,
    size: int | None,
) -> FactorListing:
    """The labels of an archive, or of a table."""
    unfit: dict[str, object] = {"images_key": images_key, "labels_key": labels_key}
    what = "an archive"
    if table is None:
        unfit, what = {"image_size": size}, "a folder with a table"
    for name, value in unfit.items():
        if value is not None:
            raise InputError(f"{name} {value!r} is for {what}; leave it out")
    if table is not None:
        return list_table(source, table, names=names, label=label)
    return list_archive(
        source, images_key=images_key, labels_key=labels_key, names=names, label=label
    )


def _draft(
    listing: FactorListing,
    variant: Variant,
    hold_out: str | None,
    train_percent: int,
    materialize: bool,
) -> ImportedFactorOptions:
    """Options of the set, all but what only the images say; refuses splits that cannot be."""
    space = listing.space
    height, width, channels = listing.shape or (1, 1, 3)
    options = ImportedFactorOptions(
        variant=variant,
        hold_out=hold_out,
        train_percent=train_percent,
        materialize=materialize,
        factors=space.names,
        sizes=space.sizes,
        values=tuple(value for factor in space.factors for value in factor.values),
        label=listing.label,
        image_height=height,
        image_width=width,
        channels=channels,
        present=pack(np.sort(listing.rows), len(space)),
        content="0" * 2 * _DIGEST,
    )
    tasks.make_recipe("factors", 0, options)  # now, before all images are read
    return options


def _check_place(listing: FactorListing, out: Path) -> None:
    """Raise InputError unless a dataset may be written there; change nothing."""
    if listing.table is not None and out.resolve().is_relative_to(listing.source.resolve()):
        raise InputError(f"--out {out} lies in the folder that is imported; give another")
    folder.check_place(out)


@contextmanager
def _read(
    listing: FactorListing,
    draft: ImportedFactorOptions,
    out: Path,
    size: int | None,
    workers: int,
    on_rows: OnRows,
) -> Iterator[tuple[Recipe, Origin]]:
    """Read every image once; yields the recipe, which knows where they lie, and their origin."""
    order = np.argsort(listing.rows)
    if listing.shape is None:
        options, origin = _read_files(listing, order, draft, size, workers, on_rows)
        yield tasks.make_recipe("factors", 0, options), origin
        return
    path, key = listing.source, listing.keys[0]
    in_order = np.array_equal(order, np.arange(len(order)))
    images = ArrayImages(path=path, key=key, shape=listing.shape, state=arrays.state_of(path))
    unpacked = None if in_order or arrays.is_sought(path, key) else _beside(out)
    try:
        digests, brightest = _look(images, len(order), unpacked, on_rows)
        images = replace(images, order=None if in_order else order)
        if unpacked is not None:
            state = arrays.state_of(unpacked)
            images = replace(images, unpacked=unpacked, unpacked_state=state)
        content = hashlib.sha256(digests[order].tobytes()).hexdigest()
        recipe = tasks.make_recipe("factors", 0, replace(draft, content=content, source=images))
        yield recipe, _origin_of_archive(listing, in_order, brightest)
    finally:
        arrays.close()
        if unpacked is not None:
            unpacked.unlink(missing_ok=True)


def _beside(out: Path) -> Path:
    """A new, hidden file in the folder that `out` is in, or would be in."""
    there = next(path for path in out.absolute().parents if path.exists())
    handle, made = tempfile.mkstemp(".tmp", f".{out.absolute().name}.images.", there)
    os.close(handle)
    return Path(made)


def _look(
    images: ArrayImages, n: int, unpacked: Path | None, on_rows: OnRows
) -> tuple[NDArray[np.uint8], int]:
    """Go through the images of an archive, in its own order.

    Args:
        images: of the archive.
        n: their number.
        unpacked: a file to write their bytes to, or None.
        on_rows: told the number of images as they are looked at.

    Returns:
        (n, 32) uint8 digests, and the largest value of a pixel.
    """
    digests, brightest, seen, told = bytearray(), 0, 0, 0
    with nullcontext() if unpacked is None else unpacked.open("wb") as file:
        for image in images.images(np.arange(n)):
            digests += digest_of(image)
            brightest = max(brightest, int(image.max()))
            if file is not None:
                file.write(image.data)
            seen += 1
            if seen % _TOLD == 0 or seen == n:
                on_rows(seen - told)
                told = seen
    return np.frombuffer(digests, dtype=np.uint8).reshape(n, _DIGEST), brightest


def _read_files(
    listing: FactorListing,
    order: NDArray[np.int64],
    draft: ImportedFactorOptions,
    size: int | None,
    workers: int,
    on_rows: OnRows,
) -> tuple[ImportedFactorOptions, Origin]:
    """Read every file once: the options, and what is to be said of the files."""
    levels = listing.space.levels(listing.rows[order])[:, listing.space.names.index(listing.label)]
    files = tuple(listing.files[number] for number in order.tolist())
    listed = Listing(
        folder=listing.source,
        splits=(GRID,),
        classes=tuple(map(str, listing.space.factor(listing.label).values)),
        files=((files,),),
        strays=(),
    )
    rows = importing.examine(listed, size, workers, on_rows)
    rows = [replace(row, label=level) for row, level in zip(rows, levels.tolist(), strict=True)]
    digests = b"".join(row.digest for row in rows)
    height, width = rows[0].shape
    options = replace(
        draft,
        image_height=height,
        image_width=width,
        content=hashlib.sha256(digests).hexdigest(),
        source=Source(folder=listing.source, files=files, digests=digests, size=size),
    )
    origin = importing.origin_of_files(listed, rows, size, "unknown")
    return options, replace(origin, notes=(*_notes(listing), *origin.notes))


def _origin_of_archive(listing: FactorListing, in_order: bool, brightest: int) -> Origin:
    """What is to be said of the images of an archive."""
    notes = list(_notes(listing))
    if not in_order:
        notes.append("The images are in the order of the grid here, in the archive in another.")
    if brightest <= 1:
        notes.append(f"No pixel is above {brightest}: multiply the images by 255 to see them.")
    return Origin(notes=tuple(notes))


def _notes(listing: FactorListing) -> Iterator[str]:
    """Lines on where the labels come from, and on what they say."""
    path, space = listing.table or listing.source, listing.space
    flags = [f"--names {','.join(listing.columns)}"]
    if listing.keys:
        flags = ["--images-key {} --labels-key {}".format(*listing.keys), *flags]
    kind = "Table" if listing.table else "Archive"
    yield (
        f"{kind} {code(path.name)}: {path.stat().st_size:,} bytes, "
        f"SHA-256 `{file_sha256(path)}`; read with `{' '.join(flags)}`."
    )
    whole = len(listing) == len(space)
    share = "all" if whole else f"{100 * len(listing) / len(space):.1f} %"
    yield f"{len(listing):,} images, {share} of the {len(space):,} combinations of levels."
    levels = "; ".join(f"`{factor.name}`: {_values(factor)}" for factor in space.factors)
    yield f"Factors, and what their levels stand for: {levels}."
    for name, value in listing.constant:
        yield f"`{name}` is {plain(str(value))} for every image, and so no factor."


def _values(factor: Factor) -> str:
    few = len(factor) <= _SHOWN
    values = [plain(str(value)) for value in (factor.values if few else factor.values[:3])]
    return ", ".join(values) + ("" if few else f" .. {plain(str(factor.values[-1]))}")
