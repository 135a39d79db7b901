"""Make a dataset of a folder of images that came from elsewhere.

Every file is read and checked before anything is written; then the engine makes shards, mirror and
card as for any other dataset, and `provenance.csv` says which row is which file.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import __version__ as pillow_version
from PIL import features

from samediff_stimuli import engine, tasks
from samediff_stimuli.cards import dataset, folder
from samediff_stimuli.cards.hub_terms import LICENSES
from samediff_stimuli.cards.listing import Listing, scan
from samediff_stimuli.cards.origin import Origin
from samediff_stimuli.image_files import MAX_SIDE, FileInfo, Source, digest_of, read
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.remote import is_url
from samediff_stimuli.tasks.imported import MAX_CLASSES, ImportedOptions, order

COLUMNS = ("split", "index", "label", "file", "bytes", "sha256", "mode", "width", "height")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image of the dataset to be: where it goes, and what its file was.

    Attributes:
        split: split name.
        index: row number in the split.
        label: class number.
        file: POSIX path relative to the imported folder.
        info: what the file is.
        shape: (height, width) of the image as it goes into the dataset.
        digest: of that image, from `digest_of`.
    """

    split: str
    index: int
    label: int
    file: str
    info: FileInfo
    shape: tuple[int, int]
    digest: bytes


def import_folder(
    source: Path | str | Listing,
    out: Path | str,
    *,
    split: str | None = None,
    size: int | None = None,
    license: str = "unknown",
    workers: int | None = None,
    parquet: bool = True,
    overwrite: bool = False,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Manifest:
    """Make a dataset of a folder of images, or finish one that was interrupted.

    Args:
        source: a folder of FOLDER/CLASS/* or FOLDER/SPLIT/CLASS/*, or its listing.
        out: the dataset folder; see `cards.dataset.generate`.
        split: what to call the one split of FOLDER/CLASS/*; "test" when None.
        size: side in pixels that every image is padded with white and resized to, or None.
        license: the images' licence as the Hub spells it, e.g. "cc-by-4.0".
        workers: processes; all available processors when None.
        parquet: write the Parquet mirror that `load_dataset(out)` reads.
        overwrite: replace a dataset of other images.
        on_rows: told every image twice: when it was checked, and when it was written.

    Returns:
        The manifest of the finished folder.

    Raises:
        InputError: for a folder or file that cannot be imported; nothing is changed.
        OSError: if the disk is full; finished shards stay, and the same call goes on from there.
    """
    workers = check_arguments(workers, size, license)
    out = local(out)
    listing = source if isinstance(source, Listing) else scan(source, split)
    if out.resolve().is_relative_to(listing.folder):
        raise InputError(f"--out {out} lies in the folder that is imported; give another")
    if len(listing.classes) > MAX_CLASSES:
        raise InputError(f"{listing.folder} has too many classes; legal: 2 .. {MAX_CLASSES}")
    folder.check_place(out)
    rows = examine(listing, size, workers, on_rows)
    return dataset.generate(
        recipe_of(listing, rows, size),
        out,
        workers=workers,
        parquet=parquet,
        overwrite=overwrite,
        on_rows=on_rows,
        origin=origin_of(listing, rows, size, license),
    )


def local(out: Path | str) -> Path:
    """The folder of this machine that a dataset is imported to.

    Raises:
        InputError: if it is a URL.
    """
    if is_url(out):
        raise InputError(f"--out {out} is a URL; imports write folders: give a path")
    return Path(out)


def check_arguments(workers: int | None, size: int | None, license: str) -> int:
    """The number of workers, all processors for None.

    Raises:
        InputError: for one that is out of range, a side that is, or no name of a licence.
    """
    workers = engine.available_workers() if workers is None else workers
    if workers < 1:
        raise InputError(f"workers {workers} is out of range; legal: 1 or more")
    if size is not None and not 1 <= size <= MAX_SIDE:
        raise InputError(f"image_size {size} is out of range; legal: 1 .. {MAX_SIDE}")
    if license not in LICENSES:
        near = difflib.get_close_matches(license.lower(), sorted(LICENSES), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(
            f"license {license!r} is not legal; {hint}legal: the Hub's names, e.g. cc-by-4.0, mit, "
            "other, unknown (huggingface.co/docs/hub/repositories-licenses)"
        )
    return workers


def examine(
    listing: Listing, size: int | None, workers: int, on_rows: Callable[[int], None]
) -> list[Row]:
    """Read every file once, in threads; all rows of all splits, in order.

    Raises:
        InputError: for the first file that cannot be used, or images of unequal size.
    """
    places = list(_places(listing))

    def look(place: tuple[str, int, int, str]) -> Row:
        split, index, label, file = place
        image, info = read(listing.folder / file, size)
        return Row(
            split=split,
            index=index,
            label=label,
            file=file,
            info=info,
            shape=(image.shape[0], image.shape[1]),
            digest=digest_of(image),
        )

    rows: list[Row] = []
    with ThreadPoolExecutor(workers) as pool:
        try:
            for row in pool.map(look, places):
                rows.append(row)
                on_rows(1)
                _check_size(rows[0], row)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return rows


def _places(listing: Listing) -> Iterator[tuple[str, int, int, str]]:
    """Split, index, label and file of every row, in order."""
    for split, files, counts in zip(listing.splits, listing.files, listing.counts(), strict=True):
        flat = [(label, file) for label, of_class in enumerate(files) for file in of_class]
        for index, number in enumerate(order(counts).tolist()):
            yield (split, index, *flat[number])


def _check_size(first: Row, row: Row) -> None:
    if row.shape != first.shape:
        sizes = [f"{r.file} is {r.shape[1]} x {r.shape[0]}" for r in (first, row)]
        raise InputError(
            f"images differ in size: {', '.join(sizes)}; give --image-size N to pad all with "
            "white to a square and resize them to N x N"
        )


def recipe_of(listing: Listing, rows: Sequence[Row], size: int | None) -> Recipe:
    """The recipe of a folder's images: their number, names and content, and where they lie."""
    content = hashlib.sha256()
    for row in rows:
        content.update(row.digest + row.label.to_bytes(4, "little"))
    height, width = rows[0].shape
    options = ImportedOptions(
        image_height=height,
        image_width=width,
        classes=listing.classes,
        splits=listing.splits,
        counts=tuple(count for counts in listing.counts() for count in counts),
        content=content.hexdigest(),
        source=Source(
            folder=listing.folder,
            files=tuple(row.file for row in rows),
            digests=b"".join(row.digest for row in rows),
            size=size,
        ),
    )
    return tasks.make_recipe("imported", 0, options)


def provenance(listing: Listing, rows: Sequence[Row]) -> str:
    """The text of provenance.csv: a line for each row of the dataset."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        file, label = row.info, listing.classes[row.label]
        about = (file.n_bytes, file.sha256, file.mode, file.width, file.height)
        writer.writerow((row.split, row.index, label, row.file, *about))
    return text.getvalue()


def origin_of(listing: Listing, rows: Sequence[Row], size: int | None, license: str) -> Origin:
    """What the card says of the images."""
    origin = origin_of_files(listing, rows, size, license)
    notes = [*origin.notes, *_repeats(rows)]
    if listing.strays:
        notes.append(
            f"{len(listing.strays):,} other files and folders beside the images were left out."
        )
    return replace(origin, notes=tuple(notes))


def origin_of_files(
    listing: Listing, rows: Sequence[Row], size: int | None, license: str
) -> Origin:
    """What is to be said of images, each of which is a file, whatever is in them."""
    table = provenance(listing, rows)
    versions = {"pillow": pillow_version}
    if any(row.info.kind == "JPEG" for row in rows):
        turbo = features.version("libjpeg_turbo")
        versions["libjpeg"] = f"turbo {turbo}" if turbo else str(features.version("jpg"))
    sha256 = hashlib.sha256(table.encode()).hexdigest()
    which = f"`{folder.PROVENANCE}` names each row's file and its SHA-256; its own is `{sha256}`."
    notes = (which, *_notes([row.info for row in rows], size, versions))
    return Origin(license=license, notes=notes, files={folder.PROVENANCE: table}, versions=versions)


def _notes(files: Sequence[FileInfo], size: int | None, versions: dict[str, str]) -> Iterator[str]:
    """Lines on the files, and on all that was done to their pixels."""
    kinds, modes = Counter(file.kind for file in files), Counter(file.mode for file in files)
    yield (
        f"{len(files):,} files: {_counted(kinds)}; colour modes {_counted(modes)}. All are stored "
        "as 8-bit RGB; colour profiles are not applied."
    )
    if any(mode.startswith("I") for mode in modes):
        yield "16-bit greyscale was divided by 257, rounding down."
    if clear := sum(file.clear for file in files):
        yield f"{clear:,} files had transparency; it is white here."
    if turned := sum(file.turned for file in files):
        yield f"{turned:,} JPEG files were turned as their EXIF orientation says."
    changed = sum((file.height, file.width) != (size, size) for file in files)
    if size is not None and changed:
        yield (
            f"{changed:,} images were padded with white to a square and resized to {size} x {size} "
            f"(`--image-size {size}`, Pillow's LANCZOS filter)."
        )
    if kinds["JPEG"]:
        yield (
            "Pixels of JPEG files depend on the decoder and its version, here Pillow "
            f"{versions['pillow']} with libjpeg {versions['libjpeg']}; import the PNG files that "
            "`samediff-stimuli export` writes for the same pixels everywhere."
        )


def _repeats(rows: Sequence[Row]) -> Iterator[str]:
    """What is to be known of images that occur more than once."""
    seen: dict[bytes, set[tuple[str, int]]] = {}
    for row in rows:
        seen.setdefault(row.digest, set()).add((row.split, row.label))
    if len(seen) == len(rows):
        yield "No two images have the same pixels."
        return
    splits = sum(len({split for split, _ in places}) > 1 for places in seen.values())
    labels = sum(len({label for _, label in places}) > 1 for places in seen.values())
    yield (
        f"{len(rows) - len(seen):,} images repeat the pixels of another; {splits:,} pictures occur "
        f"in more than one split, {labels:,} under more than one label."
    )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
