"""Whether a card is true: its front matter, tables, links and code are held to the folder.

The Hub checks a card when it is uploaded, and only its syntax; `datasets` takes a wrong licence, a
size that is none and a pattern that matches too much without a word. All rules here work offline.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from samediff_stimuli import tasks
from samediff_stimuli.cards import croissant
from samediff_stimuli.cards.commands import command
from samediff_stimuli.cards.folder import CARD
from samediff_stimuli.cards.front_matter import dataset_info, size_category, split_card
from samediff_stimuli.cards.hub_terms import LICENSES, SIZE_CATEGORIES, TASK_CATEGORIES
from samediff_stimuli.cards.parquet import features_of
from samediff_stimuli.manifest import Manifest, ShardRecord, load
from samediff_stimuli.recipe import in_a_line

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_ELSEWHERE = re.compile(r"[a-z]+:|#")


@dataclass(frozen=True, kw_only=True)
class _Card:
    """A card: the folder that it is in, that folder's manifest, its front matter and its text."""

    folder: Path
    manifest: Manifest
    data: dict[str, Any]
    text: str


def problems(folder: Path | str, *, deep: bool = False) -> list[str]:
    """What is wrong with the card of a dataset folder, and with its Croissant file; a line each.

    Args:
        folder: the dataset folder.
        deep: also have `datasets` load every config, in a temporary cache.

    Raises:
        InputError: if the folder is no dataset.
        DamagedError: if its manifest is damaged.
    """
    folder = Path(folder)
    manifest = load(folder)
    try:
        whole = (folder / CARD).read_text(encoding="utf-8")
        data, text = split_card(whole)
    except (OSError, ValueError) as error:
        return [f"{folder / CARD}: {error}"]
    card = _Card(folder=folder, manifest=manifest, data=data, text=text)
    rules = [_terms, _configs, _info, _links, _code]
    found = [f"{folder / CARD}: {problem}" for rule in rules for problem in rule(card)]
    found += _shards(card)
    found += [f"{folder / croissant.NAME}: {problem}" for problem in _croissant(card)]
    return [*found, *_loads(card)] if deep and not found else found


def _values(data: dict[str, Any], name: str) -> list[Any]:
    """The values of a field that may be one or a list."""
    value = data.get(name)
    return value if isinstance(value, list) else [] if value is None else [value]


def _terms(card: _Card) -> Iterator[str]:
    """Licence, size and task are words that the Hub knows, and the size is the true one."""
    known: dict[str, tuple[Any, str]] = {
        "license": (LICENSES, "huggingface.co/docs/hub/repositories-licenses lists them"),
        "size_categories": (SIZE_CATEGORIES, f"legal: {', '.join(SIZE_CATEGORIES)}"),
        "task_categories": (TASK_CATEGORIES, "huggingface.co/tasks lists them"),
    }
    for name, (legal, which) in known.items():
        values = _values(card.data, name)
        if not values:
            yield f"it has no {name}"
        for value in values:
            if not isinstance(value, str) or value not in legal:
                yield f"{name} {value!r} is not of the Hub's; {which}"
    stored = tasks.get(card.manifest.recipe.task).stored_splits(card.manifest.recipe)
    rows = sum(split.rows for split in stored)
    if _values(card.data, "size_categories") != [size_category(rows)]:
        yield f"size_categories must be {size_category(rows)!r}: there are {rows:,} rows"


def _configs(card: _Card) -> Iterator[str]:
    """Every pattern matches files of its own split, and every data file is matched once."""
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCardData

    try:
        configs = MetadataConfigs.from_dataset_card_data(DatasetCardData(**card.data))
        patterns = list(_patterns(configs))
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        yield f"datasets refuses its configs: {said}"
        return
    if [*configs] != [card.manifest.name]:
        yield f"its configs are {', '.join(configs) or 'none'}, not {card.manifest.name}"
    splits = {(s.mirror or s.file).path: s.split for s in card.manifest.shards}
    matched: Counter[str] = Counter()
    for split, pattern in patterns:
        files = _matches(card.folder, pattern)
        matched.update(files)
        if not files:
            yield f"pattern {pattern!r} matches no file"
        for file in files:
            if splits.get(file) != split:
                yield f"pattern {pattern!r} of split {split} matches {file}, which is not of it"
    for file in splits:
        if matched[file] != 1:
            yield f"{matched[file]} patterns match {file}; it must be one"


def _patterns(configs: Any) -> Iterator[tuple[str, str]]:
    """Split and pattern of all data files of all configs, in whichever way they are written."""
    from datasets.data_files import sanitize_patterns

    for config in configs.values():
        for split, patterns in sanitize_patterns(config.get("data_files") or {}).items():
            yield from ((str(split), pattern) for pattern in patterns)


def _matches(folder: Path, pattern: str) -> list[str]:
    """The files in a folder that a pattern matches, relative to it; none outside of it."""
    try:
        return sorted(path.relative_to(folder).as_posix() for path in folder.glob(pattern))
    except (NotImplementedError, ValueError):  # an absolute pattern, or ".."
        return []


def _info(card: _Card) -> Iterator[str]:
    """`dataset_info` gives the rows of every split, and type and classes of every column."""
    found = [i for i in _values(card.data, "dataset_info") if isinstance(i, dict)]
    info = next((i for i in found if i.get("config_name") == card.manifest.name), None)
    if info is None:
        yield f"it has no dataset_info of {card.manifest.name}"
        return
    true = dataset_info(card.manifest)
    for field, what in (("splits", "split"), ("features", "column")):
        here = {str(e.get("name")): e for e in _values(info, field) if isinstance(e, dict)}
        there = {entry["name"]: entry for entry in true[field]}
        for name in sorted(here.keys() | there.keys()):
            if name not in here:
                yield f"dataset_info lacks {what} {name!r}"
            elif name not in there:
                yield f"dataset_info has {what} {name!r}, which is not there"
            elif here[name] != there[name]:
                has, should = _short(here[name]), _short(there[name])
                yield f"dataset_info of {what} {name!r} is {has}, not {should}"


def _short(entry: dict[str, Any]) -> str:
    """What a split or column is, cut to a line."""
    text = json.dumps({k: v for k, v in entry.items() if k != "name"}, ensure_ascii=False)
    return text if len(text) < 90 else f"{text[:87]}..."


def _links(card: _Card) -> Iterator[str]:
    """Every picture and file that it links to is in the folder."""
    for target in _LINK.findall(_FENCED.sub("", card.text)):
        file = target.split("#")[0]
        if not _ELSEWHERE.match(target) and not (card.folder / file).exists():
            yield f"it links to {target}, which is not there"


def _code(card: _Card) -> Iterator[str]:
    """Every block of code parses, and the command is the one that makes this dataset."""
    blocks = _FENCED.findall(card.text)
    if "```" in _FENCED.sub("", card.text) or any("```" in code for _, code in blocks):
        yield "a block of code has no end"
    for language, code in blocks:
        try:
            if language == "python":
                ast.parse(code)
            elif language == "json":
                json.loads(code)
            elif language == "sh":
                yield from _command(card, [shlex.split(line) for line in code.splitlines()])
        except (SyntaxError, ValueError) as error:
            yield f"a block of {language} does not parse: {in_a_line(error)}"


def _command(card: _Card, lines: list[list[str]]) -> Iterator[str]:
    """A command that makes a dataset makes this one."""
    right = command(card.manifest.recipe)
    for words in lines:
        if words[:2] == shlex.split(right)[:2] and words != shlex.split(right):
            yield f"{shlex.join(words)!r} does not make this dataset; {right!r} does"


def _shards(card: _Card) -> Iterator[str]:
    """The files have the rows, types and class names that card and manifest give."""
    for shard in card.manifest.shards:
        for file, look in ((shard.file, _hdf5), (shard.mirror, _parquet)):
            if file is None:
                continue
            try:
                yield from (f"{card.folder / file.path}: {p}" for p in look(card, shard))
            except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
                yield f"{card.folder / file.path}: cannot be read: {in_a_line(error)}"


def _hdf5(card: _Card, shard: ShardRecord) -> Iterator[str]:
    """Rows, types and class names of an HDF5 shard."""
    task = tasks.get(card.manifest.recipe.task)
    shape = task.image_shape(card.manifest.recipe)
    true = {c.name: (c.dtype, c.shape, c.names) for c in task.columns(card.manifest.recipe)}
    true |= {view.name: ("uint8", shape, ()) for view in task.views}
    with h5py.File(card.folder / shard.file.path) as file:
        for name in sorted(true.keys() | file.keys()):
            if name not in file or name not in true:
                yield f"column {name!r} is {'missing' if name in true else 'not declared'}"
                continue
            values, (dtype, of_row, names) = file[name], true[name]
            if len(values) != shard.rows:
                yield f"column {name!r} has {len(values):,} rows, not {shard.rows:,}"
            if (values.dtype, values.shape[1:]) != (np.dtype(dtype), of_row):
                yield f"column {name!r} is {values.dtype} {values.shape[1:]}, not {dtype} {of_row}"
            if tuple(json.loads(values.attrs.get("names", "[]"))) != names:
                yield f"column {name!r} has other class names"


def _parquet(card: _Card, shard: ShardRecord) -> Iterator[str]:
    """Rows, types and class names of a Parquet file."""
    import datasets
    import pyarrow.parquet as pq

    assert shard.mirror is not None  # asked for no other
    true = datasets.Features.from_dict(features_of(card.manifest.recipe))
    file = pq.ParquetFile(card.folder / shard.mirror.path)
    with file:
        rows, schema = file.metadata.num_rows, file.schema_arrow
    if rows != shard.rows:
        yield f"it has {rows:,} rows, not {shard.rows:,}"
    found = datasets.Features.from_arrow_schema(schema)
    for name in sorted(true.keys() | found.keys()):
        if found.get(name) != true.get(name):
            yield f"column {name!r} is {found.get(name)}, not {true.get(name)}"


def _croissant(card: _Card) -> Iterator[str]:
    """If there is a Croissant file: it is of this content, and lists the data files as they are."""
    path = card.folder / croissant.NAME
    if not path.is_file():
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        listed = {f["contentUrl"]: f["sha256"] for f in found["distribution"] if "sha256" in f}
        identifier = found["identifier"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"it cannot be read as Croissant: {type(error).__name__}: {in_a_line(error)}"
        return
    if identifier != f"sha256:{card.manifest.digest()}":
        yield f"it is of content {identifier}, not sha256:{card.manifest.digest()}"
    indices = [index.file for index in card.manifest.indices]
    true = {file.path: file.sha256 for file in (*card.manifest.data_files(), *indices)}
    for file in sorted(true.keys() | listed.keys()):
        if true.get(file) != listed.get(file):
            yield f"{file} is not listed as it is in the manifest"


def _loads(card: _Card) -> Iterator[str]:
    """`datasets` loads the config: every split with its rows."""
    import datasets

    name = card.manifest.name
    stored = tasks.get(card.manifest.recipe.task).stored_splits(card.manifest.recipe)
    true = {split.name: split.rows for split in stored}
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory() as cache:
            loaded = datasets.load_dataset(str(card.folder), name, cache_dir=cache)
            found = {split: len(rows) for split, rows in loaded.items()}
            del loaded  # it maps files of the cache
    except Exception as error:  # of any kind: it reads what anybody may have written
        yield f"{card.folder}: load_dataset does not load {name}: {in_a_line(error)}"
        return
    finally:
        if not shown:
            datasets.enable_progress_bars()
    if found != true:
        yield f"{card.folder}: load_dataset gives rows {found}, not {true}"
