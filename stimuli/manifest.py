"""The manifest is the index of a dataset folder: recipe, columns, files and digests.

It is written last and atomically, so a folder with a manifest is whole. It holds no time and no
name of a machine: two manifests of one recipe made by the same versions are byte-equal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from samediff_stimuli import tasks
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.replacing import replacing
from samediff_stimuli.shards import DamagedError

NAME = "manifest.json"
MANIFEST_VERSION = 1
_ABOUT = "about"  # says nothing of the content; holds the SHA-256 of all else
MOST_BYTES = 1 << 28  # bytes that are read; a set of a million images takes less than a hundredth


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """A file of the folder: POSIX path relative to it, size, SHA-256 in hex."""

    path: str
    n_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """A shard: rows [start, start + rows) of a split, its file, and its mirror's file if any.

    Attributes:
        arrays: name of a column, or of a row's image -> digest of the decoded array, independent
            of any codec.
        counts: class column -> how often each class occurs in it, over all objects of a row.
    """

    split: str
    start: int
    rows: int
    file: FileRecord
    mirror: FileRecord | None
    arrays: dict[str, str]
    counts: dict[str, list[int]]

    def files(self) -> list[FileRecord]:
        """Its file, and its mirror's if there is one."""
        return [self.file, *([self.mirror] if self.mirror else [])]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ShardRecord:
        """Back from `dataclasses.asdict`."""
        mirror = data["mirror"]
        return cls(
            split=str(data["split"]),
            start=int(data["start"]),
            rows=int(data["rows"]),
            file=_file(data["file"]),
            mirror=None if mirror is None else _file(mirror),
            arrays={str(name): str(digest) for name, digest in data["arrays"].items()},
            counts={str(name): [int(n) for n in ns] for name, ns in data["counts"].items()},
        )


@dataclass(frozen=True, kw_only=True)
class IndexRecord:
    """A split that is a list of rows of the stored one.

    Attributes:
        split: its name.
        rows: its length.
        file: the HDF5 file that holds them as dataset "row".
        digest: SHA-256 of the little-endian uint32 rows, hex.
        counts: class column -> how often each class occurs in it.
    """

    split: str
    rows: int
    file: FileRecord
    digest: str
    counts: dict[str, list[int]]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> IndexRecord:
        """Back from `dataclasses.asdict`."""
        return cls(
            split=str(data["split"]),
            rows=int(data["rows"]),
            file=_file(data["file"]),
            digest=str(data["digest"]),
            counts={str(name): [int(n) for n in ns] for name, ns in data["counts"].items()},
        )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a dataset folder holds.

    Attributes:
        recipe: what the dataset follows from.
        shards: in order of splits and rows.
        indices: the splits that are lists of rows of the one stored split, if there are any.
        repeats: partition -> images of its other splits whose pixels its first split has, too;
            only of sets that are grids of factors.
        extras: card, Croissant, preview, and what else lies beside the data.
        versions: releases of this package and of the codecs that wrote the files.
        made_with: what decided the pixels besides the recipe; see `Task.made_with`.
    """

    recipe: Recipe
    shards: tuple[ShardRecord, ...]
    extras: tuple[FileRecord, ...]
    versions: dict[str, str]
    indices: tuple[IndexRecord, ...] = ()
    repeats: dict[str, int] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The dataset's config name, e.g. "rmts-p32"."""
        return tasks.get(self.recipe.task).name_of(self.recipe)

    def of_split(self, split: str) -> tuple[ShardRecord, ...]:
        """The shards that hold one split, in order: all of the stored one's for a list of rows.

        Raises:
            InputError: if there is no such split.
        """
        tasks.split_of(self.recipe, split)
        stored = self.shards[0].split if self.index_of(split) else split
        return tuple(shard for shard in self.shards if shard.split == stored)

    def index_of(self, split: str) -> IndexRecord | None:
        """The record of a split that is a list of rows, else None."""
        return next((index for index in self.indices if index.split == split), None)

    def counts(self, split: str) -> dict[str, list[int]]:
        """How often each class of each class column occurs in a split."""
        index = self.index_of(split)
        if index is not None:
            return index.counts
        shards = [shard.counts for shard in self.of_split(split)]
        return {
            name: [sum(column) for column in zip(*(counts[name] for counts in shards), strict=True)]
            for name in shards[0]
        }

    def split_digest(self, split: str) -> str:
        """SHA-256 over the array digests of a split's shards: what is in it, whatever the codec."""
        arrays: list[Any] = [shard.arrays for shard in self.of_split(split)]
        index = self.index_of(split)
        if index is not None:
            arrays = [*arrays, index.digest]
        return hashlib.sha256(_canonical(arrays).encode()).hexdigest()

    def digest(self) -> str:
        """SHA-256 over the recipe's and all splits' digests: the identity of the content."""
        splits = tasks.get(self.recipe.task).splits(self.recipe)
        parts = {split.name: self.split_digest(split.name) for split in splits}
        return hashlib.sha256(_canonical([self.recipe.digest(), parts]).encode()).hexdigest()

    def files(self) -> list[FileRecord]:
        """Every file of the folder but the manifest itself."""
        return [*self.data_files(), *(index.file for index in self.indices), *self.extras]

    def data_files(self) -> list[FileRecord]:
        """The shards, then their mirrors."""
        mirrors = [shard.mirror for shard in self.shards if shard.mirror]
        return [*(shard.file for shard in self.shards), *mirrors]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        task = tasks.get(self.recipe.task)
        data = {
            "manifest": MANIFEST_VERSION,
            "name": self.name,
            "recipe": self.recipe.as_dict(),
            "recipe_digest": self.recipe.digest(),
            "digest": self.digest(),
            "image_shape": list(task.image_shape(self.recipe)),
            "columns": [dataclasses.asdict(column) for column in task.columns(self.recipe)],
            "splits": [
                {**_plain_split(split), "digest": self.split_digest(split.name)}
                for split in task.splits(self.recipe)
            ],
            "shards": [dataclasses.asdict(shard) for shard in self.shards],
            "extras": [dataclasses.asdict(extra) for extra in self.extras],
            "versions": self.versions,
        }
        if len(task.views) > 1:
            data["views"] = [view.name for view in task.views]
        if self.indices:
            data["indices"] = [dataclasses.asdict(index) for index in self.indices]
        if self.repeats:
            data["repeats"] = self.repeats
        if self.made_with:
            data["made_with"] = self.made_with
        plain: dict[str, Any] = json.loads(json.dumps(data))  # tuples become lists
        return plain


def in_words(made_with: Mapping[str, str]) -> str:
    """What decided the pixels, for people."""
    return ", ".join(f"{name} {value}" for name, value in made_with.items()) or "nothing known"


def _plain_split(split: tasks.Split) -> dict[str, Any]:
    """A split as plain data; without its partition if the dataset is parted in one way only."""
    plain = dataclasses.asdict(split)
    return plain if split.partition else {k: v for k, v in plain.items() if k != "partition"}


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest atomically."""
    write_atomically(folder / NAME, text(manifest))


def problem(folder: Path) -> str | None:
    """What is wrong with a manifest that `load` takes: a byte that changes nothing it looks at.

    Raises:
        DamagedError: if it cannot be read as one.
    """
    path = folder / NAME
    with _damage(path):
        found = path.read_text(encoding="utf-8")
        data = json.loads(found)
        if found != _text(data):
            return f"{path}: it is not written as this package writes it"
        about = data.pop(_ABOUT, None)  # of manifests by earlier releases there is none
        if about is not None and about != _about(data):
            return f"{path}: it does not have the SHA-256 that it says"
    return None


def _text(data: Any) -> str:
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def _about(data: dict[str, Any]) -> dict[str, str]:
    return {"sha256": hashlib.sha256(_canonical(data).encode()).hexdigest()}


def text(manifest: Manifest) -> str:
    """The manifest as its file has it."""
    data = manifest.as_dict()
    return _text(data | {_ABOUT: _about(data)})


def write_atomically(path: Path, content: str) -> None:
    """Write a text file under a temporary name, then rename it."""
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def load(folder: Path) -> Manifest:
    """The manifest of a dataset folder.

    Raises:
        InputError: if the folder is no dataset, or another release's.
        DamagedError: if the manifest cannot be read as one.
    """
    path = folder / NAME
    if not path.is_file():
        what = "an unfinished dataset" if (folder / ".partial").is_dir() else "not a dataset"
        raise InputError(
            f"{folder} is {what}: it has no {NAME}; run the "
            "'samediff-stimuli generate' or 'import' command that makes, or finishes, it"
        )
    with _damage(path):
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["manifest"] != MANIFEST_VERSION:
            raise InputError(f"{path} has version {data['manifest']!r}; this release reads 1")
        manifest = Manifest(
            recipe=tasks.recipe_from_dict(data["recipe"]),
            shards=tuple(ShardRecord.from_dict(shard) for shard in data["shards"]),
            extras=tuple(_file(extra) for extra in data["extras"]),
            versions={str(k): str(v) for k, v in data["versions"].items()},
            indices=tuple(IndexRecord.from_dict(index) for index in data.get("indices", [])),
            repeats={str(k): int(v) for k, v in data.get("repeats", {}).items()},
            made_with={str(k): str(v) for k, v in data.get("made_with", {}).items()},
        )
        _check_rows(manifest)
        same = _wordless(manifest.as_dict()) == _wordless(data)
        if data["digest"] != manifest.digest() or not same:
            raise DamagedError(f"{path} is damaged: its digests do not fit its contents")
        return manifest


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turns what is raised by data of other forms into DamagedError."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        yield
    except InputError:
        raise
    except (
        *(ValueError, LookupError, TypeError, AttributeError),
        *(ArithmeticError, RecursionError, MemoryError),
    ) as error:
        raise DamagedError(f"{path} is damaged: {error!r:.300}") from error


def _check_rows(manifest: Manifest) -> None:
    """Raise ValueError unless every row of every split is in one shard, or in one list of rows."""
    task, recipe = tasks.get(manifest.recipe.task), manifest.recipe
    ends = {split.name: 0 for split in task.stored_splits(recipe)}
    for shard in manifest.shards:
        if shard.rows < 1 or ends.get(shard.split) != shard.start:
            raise ValueError(f"shard {shard.file.path!r} does not follow the one before")
        ends[shard.split] += shard.rows
    if len({index.split for index in manifest.indices}) != len(manifest.indices):
        raise ValueError("a split has two lists of rows")
    ends |= {index.split: index.rows for index in manifest.indices}
    if ends != {split.name: split.rows for split in task.splits(recipe)} | {
        split.name: split.rows for split in task.stored_splits(recipe)
    }:
        raise ValueError("it does not list all rows of its splits")


def _wordless(data: Any) -> Any:
    """Plain data without what is only said about it: a later release may say it better."""
    if isinstance(data, dict):
        return {key: _wordless(value) for key, value in data.items() if key != "about"}
    return [_wordless(value) for value in data] if isinstance(data, list) else data


def _file(data: dict[str, Any]) -> FileRecord:
    path = str(data["path"])
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in path:
        raise ValueError(f"path {path!r} leaves the folder")
    if pure == PurePosixPath() or not path.isprintable():
        raise ValueError(f"path {path!r} names no file")
    return FileRecord(path=path, n_bytes=int(data["n_bytes"]), sha256=str(data["sha256"]))


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))
