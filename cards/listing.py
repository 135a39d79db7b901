"""What a folder of images holds: splits, classes and files, before any file is opened.

Two layouts are known: FOLDER/CLASS/* and FOLDER/SPLIT/CLASS/*, of PNG and JPEG files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from samediff_stimuli import manifest
from samediff_stimuli.image_files import SUFFIXES
from samediff_stimuli.recipe import InputError
from samediff_stimuli.tasks.imported import check_class, check_split

_LAYOUT = "FOLDER/CLASS/*.png or FOLDER/SPLIT/CLASS/*.png (or .jpg, .jpeg)"
_JUNK = "__MACOSX"  # what archives made on macOS unpack to


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The image files of a folder.

    Attributes:
        folder: absolute.
        splits: names in byte order.
        classes: names in the order of their labels.
        files: for each split, for each class, POSIX paths relative to the folder in byte order.
        strays: what else the folder holds, relative to it; a folder ends in "/".
    """

    folder: Path
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    files: tuple[tuple[tuple[str, ...], ...], ...]
    strays: tuple[str, ...]

    def counts(self) -> tuple[tuple[int, ...], ...]:
        """Images of each class, for each split."""
        return tuple(tuple(map(len, classes)) for classes in self.files)

    def __len__(self) -> int:
        """Number of images."""
        return sum(map(sum, self.counts()))


@dataclass(frozen=True, kw_only=True)
class _Level:
    """The entries of one folder, by name, in byte order."""

    folders: tuple[str, ...]
    images: tuple[str, ...]
    strays: tuple[str, ...]


def scan(folder: Path | str, split: str | None = None) -> Listing:
    """List the images of a folder; open none of them.

    Hidden files, and files that are no PNG or JPEG by name, are strays. Links to files are
    followed, links to folders are refused.

    Args:
        folder: the folder.
        split: what to call the one split of FOLDER/CLASS/*; "test" when None.

    Raises:
        InputError: no such folder, another layout, empty classes, or names that are not legal.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds {_LAYOUT}")
    if (folder / manifest.NAME).is_file():
        raise InputError(f"{folder} is a dataset of this package already; nothing to import")
    folder = folder.resolve()
    top = _level(folder)
    inner = {name: _level(folder / name) for name in top.folders}
    nested = [name for name, level in inner.items() if level.folders]
    if not nested:
        check_split("test" if split is None else split)
        return _listing(folder, top.strays + top.images, {split or "test": inner}, flat=True)
    for name, level in inner.items():
        if level.images or not level.folders:
            what = "images" if level.images else "no folders"
            raise InputError(
                f"{folder} mixes layouts: {nested[0]} holds folders, {name} holds {what}; "
                f"legal: {_LAYOUT}"
            )
    if split is not None:
        raise InputError(
            f"--split {split} is for a folder of classes; {folder} has splits {', '.join(inner)}"
        )
    strays = [*top.strays, *top.images]
    deep = {}
    for name, level in inner.items():
        check_split(name)
        strays += [f"{name}/{stray}" for stray in level.strays]
        deep[name] = {label: _level(folder / name / label) for label in level.folders}
    return _listing(folder, tuple(strays), deep, flat=False)


def _listing(
    folder: Path, strays: tuple[str, ...], levels: dict[str, dict[str, _Level]], flat: bool
) -> Listing:
    """Check the classes of every split, and put them in order."""
    labels = in_order({label for classes in levels.values() for label in classes})
    if not labels:
        raise InputError(f"{folder} holds no folders of classes; legal: {_LAYOUT}")
    if len(labels) == 1:
        raise InputError(f"{folder} has only one class, {labels[0]}; give two or more")
    files, found = [], list(strays)
    for split, classes in levels.items():
        of_split = []
        for label in labels:
            check_class(label)
            at = label if flat else f"{split}/{label}"
            level = classes.get(label)
            if level is None or not (level.images or level.folders):
                raise InputError(
                    f"class {at} of {folder} holds no PNG or JPEG file; fill or remove it"
                )
            if level.folders:
                raise InputError(
                    f"{folder / at} holds a folder, {level.folders[0]}; too deep: legal: {_LAYOUT}"
                )
            of_split.append(tuple(f"{at}/{name}" for name in level.images))
            found += [f"{at}/{name}" for name in level.strays]
        files.append(tuple(of_split))
    return Listing(
        folder=folder,
        splits=tuple(levels),
        classes=labels,
        files=tuple(files),
        strays=tuple(found),
    )


def in_order(labels: set[str]) -> tuple[str, ...]:
    """Class names in the order of their labels: different 0, same 1; else byte order."""
    if {label.lower() for label in labels} == {"different", "same"} and len(labels) == 2:
        return tuple(sorted(labels, key=str.lower))
    return tuple(sorted(labels, key=os.fsencode))


def _level(folder: Path) -> _Level:
    """The entries of a folder.

    Raises:
        InputError: a folder that cannot be read, a link to a folder, a broken link, or a name
            that cannot be printed, such as one that is not UTF-8.
    """
    folders, images, strays = [], [], []
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from error
    for entry in found:
        name, is_folder = entry.name, os.path.isdir(entry.path)
        hidden = name.startswith(".") or name == _JUNK
        if hidden or not (is_folder or name.lower().endswith(SUFFIXES)):
            strays.append(f"{name}/" if is_folder else name)
        elif not name.isprintable():
            raise InputError(f"{folder} holds {name!r}, a name that cannot be printed; rename it")
        elif is_folder and entry.is_symlink():
            raise InputError(f"{entry.path} is a link to a folder; put the folder itself there")
        elif is_folder:
            folders.append(name)
        elif os.path.isfile(entry.path):
            images.append(name)
        else:
            raise InputError(f"{entry.path} is no file, or a broken link; remove it")
    return _Level(folders=tuple(folders), images=tuple(images), strays=tuple(strays))
