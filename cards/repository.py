"""What a repository on the Hub holds: the files of its datasets, and the card over all of them.

Where files lie is told in `samediff_stimuli.hub`. The card's configs are, for each dataset, its
Parquet mirror under its name, and its few rows under NAME-mini; `mini` are those of the first.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from samediff_stimuli import hub, manifest, tasks
from samediff_stimuli.cards import mini, tables
from samediff_stimuli.cards.card import command, size_category
from samediff_stimuli.cards.citations import CITATIONS
from samediff_stimuli.cards.folder import CARD, PREVIEW
from samediff_stimuli.manifest import FileRecord, Manifest
from samediff_stimuli.markdown import markdown_table

_PLACEHOLDER = '"DIR_OR_REPO"'  # in the code of a dataset's own card
_FIRST_SECTION = "\n## "
_COPY = """ A copy is a dataset's folder:

```sh
hf download {} --repo-type dataset --local-dir DIR
samediff-stimuli verify DIR
```"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Member:
    """A dataset of a repository.

    Attributes:
        manifest: of its folder.
        card: text of its own card.
        mini: stored split -> bytes of the Parquet file of its few rows.
    """

    manifest: Manifest
    card: str
    mini: Mapping[str, int]

    @property
    def name(self) -> str:
        """Its config."""
        return self.manifest.name


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """A file of a repository: its POSIX path there, its content or where that is, size, SHA-256."""

    path: str
    content: Path | bytes
    n_bytes: int
    sha256: str


def files_of(folder: Path, found: Manifest, cuts: Mapping[str, bytes]) -> Iterator[File]:
    """The files of a dataset, wherever they lie in a repository but in its root.

    Args:
        folder: the dataset's folder, verified.
        found: its manifest.
        cuts: stored split -> Parquet file of its few rows.
    """
    for record in found.files():
        yield _from_folder(folder, record, hub.place(found.name, record.path))
    text = (folder / manifest.NAME).read_bytes()
    yield _from_memory(hub.own_place(found.name, manifest.NAME), text)
    for split, data in cuts.items():
        yield _from_memory(_mini_path(found.name, split), data)


def root_files(folder: Path, found: Manifest, card: str) -> Iterator[File]:
    """What makes a copy of a repository with a single dataset a dataset's folder, but its card.

    Args:
        folder: the dataset's folder, verified.
        found: its manifest.
        card: of the repository, which the manifest in the root lists.
    """
    extras = []
    for record in found.extras:
        if record.path == CARD:
            shown = card_file(card)
            record = FileRecord(path=CARD, n_bytes=shown.n_bytes, sha256=shown.sha256)
        elif hub.place(found.name, record.path) != record.path:
            yield _from_folder(folder, record, record.path)
        extras.append(record)
    listed = dataclasses.replace(found, extras=tuple(extras))
    yield _from_memory(manifest.NAME, manifest.text(listed).encode())


def root_paths(found: Manifest) -> list[str]:
    """Paths of `root_files`, of a dataset that is in a repository."""
    return [manifest.NAME, *(record.path for record in found.extras if record.path != CARD)]


def card_file(card: str) -> File:
    """The card of a repository as its README.md."""
    return _from_memory(CARD, card.encode())


def is_of(path: str, config: str) -> bool:
    """Whether a path in a repository belongs to a dataset's files, the root's left out."""
    tops = (*hub.DATA, hub.MANIFESTS, hub.MINI)
    return path.startswith(tuple(f"{top}/{config}/" for top in tops))


def mini_sizes(config: str, sizes: Mapping[str, int]) -> dict[str, int]:
    """Stored split -> bytes of the Parquet file of its few rows, by the files of a repository.

    Args:
        config: the dataset's name.
        sizes: path -> bytes of all files.
    """
    head, tail = _mini_path(config, "|").split("|")
    found = {p: n for p, n in sizes.items() if p.startswith(head) and p.endswith(tail)}
    return {path[len(head) : -len(tail)]: n for path, n in found.items()}


def _mini_path(config: str, split: str) -> str:
    return f"{hub.MINI}/{config}/{split}-00000-of-00001.parquet"


def _from_folder(folder: Path, record: FileRecord, path: str) -> File:
    content = folder / record.path
    return File(path=path, content=content, n_bytes=record.n_bytes, sha256=record.sha256)


def _from_memory(path: str, content: bytes) -> File:
    digest = hashlib.sha256(content).hexdigest()
    return File(path=path, content=content, n_bytes=len(content), sha256=digest)


def configs_of(members: Sequence[Member]) -> list[str]:
    """The configs of a repository, the one that is loaded by default first."""
    names = [member.name for member in members]
    return [*names, hub.MINI, *map(hub.mini_of, names)]


def front_matter(card: str) -> tuple[dict[str, Any], str]:
    """A card's YAML as plain data, and its Markdown."""
    from huggingface_hub import DatasetCard

    parsed = DatasetCard(card)
    data: Any = parsed.data
    return data.to_dict(), parsed.text


def repository_card(repo_id: str, members: Sequence[Member]) -> str:
    """The text of a repository's card: YAML that `datasets` parses, then Markdown.

    Args:
        repo_id: ORG/NAME.
        members: its datasets, the default one first.
    """
    from huggingface_hub import DatasetCardData

    fronts, bodies = zip(*(front_matter(member.card) for member in members), strict=True)
    data = DatasetCardData(**_front(repo_id.rpartition("/")[2], members, fronts))
    if len(members) == 1:
        body = _with_overview(bodies[0], _overview(repo_id, members, fronts))
        body = body.replace(_PLACEHOLDER, json.dumps(repo_id)).strip("\n")
    else:
        body = "\n\n".join(_body(repo_id, members, fronts))
    return f"---\n{data.to_yaml()}\n---\n\n{body}\n"


def _front(
    name: str, members: Sequence[Member], fronts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The front matter of all datasets in one: what is said of each, lists joined."""
    merged: dict[str, Any] = {}
    for key, value in copy.deepcopy(fronts[0]).items():
        others = [front[key] for front in fronts[1:] if key in front]
        if len(others) == len(fronts) - 1:
            merged[key] = value
            for other in others if isinstance(value, list) else ():
                merged[key] += [entry for entry in other if entry not in merged[key]]
    rows = sum(shard.rows for member in members for shard in member.manifest.shards)
    licenses = list(dict.fromkeys(front["license"] for front in fronts))
    return merged | {
        "license": licenses[0] if len(licenses) == 1 else licenses,
        "size_categories": [size_category(rows)],
        "pretty_name": fronts[0]["pretty_name"] if len(fronts) == 1 else name,
        "configs": list(_configs(members, fronts)),
        "dataset_info": list(_infos(members, fronts)),
    }


def _configs(
    members: Sequence[Member], fronts: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """`configs:` of the card."""
    for member, front in zip(members, fronts, strict=True):
        for config in front["configs"]:
            plain = {name: value for name, value in config.items() if name != "default"}
            is_first = member is members[0] and config is front["configs"][0]
            yield plain | ({"default": True} if is_first else {})
    for name, member in _minis(members):
        paths = {split: _mini_path(member.name, split) for split in mini.sizes(member.manifest)}
        files = [{"split": split, "path": path} for split, path in paths.items()]
        yield {"config_name": name, "data_files": files}


def _infos(
    members: Sequence[Member], fronts: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """`dataset_info:` of the card; the files of few rows tell their features themselves."""
    for front in fronts:
        info = front["dataset_info"]
        yield from info if isinstance(info, list) else [info]
    for name, member in _minis(members):
        splits = [
            {"name": split, "num_bytes": member.mini.get(split, 0), "num_examples": rows}
            for split, rows in mini.sizes(member.manifest).items()
        ]
        yield {"config_name": name, "splits": splits}


def _minis(members: Sequence[Member]) -> Iterator[tuple[str, Member]]:
    """The configs of few rows, and whose they are."""
    yield hub.MINI, members[0]
    for member in members:
        yield hub.mini_of(member.name), member


def _with_overview(body: str, overview: str) -> str:
    """A dataset's own card with a part before its first section."""
    head, mark, tail = body.partition(_FIRST_SECTION)
    return f"{head.rstrip()}\n\n{overview}\n{mark}{tail}"


def _overview(repo_id: str, members: Sequence[Member], fronts: Sequence[Mapping[str, Any]]) -> str:
    """What a repository holds, and the code that loads it."""
    first = members[0].name
    split = tasks.get(members[0].manifest.recipe.task).splits(members[0].manifest.recipe)[0].name
    repo = json.dumps(repo_id)
    return f"""## In this repository

{_table(members, fronts)}

`{hub.MINI}` and `...-{hub.MINI}` are some rows of every split, whole matched groups, drawn by the
content digest; `{hub.MINI}` is `{hub.mini_of(first)}`.

```python
from datasets import load_dataset

data = load_dataset({repo}, "{first}")  # Parquet: PIL images, class labels
few = load_dataset({repo}, "{hub.MINI}")
stream = load_dataset({repo}, "{first}", streaming=True)
```

```python
from samediff_stimuli.loaders import from_hub, make_loader

data = from_hub({repo}, "{first}", "{split}")  # only the HDF5 files it needs, checked, kept
loader = make_loader(data, batch_size=128, shuffle=True, seed=0)
```

`{hub.MANIFESTS}/CONFIG/` holds a dataset's manifest, with the SHA-256 of every file, and its own
card; `hdf5/CONFIG/` its shards.{_COPY.format(repo_id) if len(members) == 1 else ""}"""


def _table(members: Sequence[Member], fronts: Sequence[Mapping[str, Any]]) -> str:
    """The table of datasets."""
    rows = []
    for member, front in zip(members, fronts, strict=True):
        found = member.manifest
        task = tasks.get(found.recipe.task)
        images = sum(shard.rows for shard in found.shards) * len(task.views)
        few = sum(mini.sizes(found).values()) * len(task.views)
        rows.append(
            [
                f"[`{member.name}`]({hub.own_place(member.name, CARD)})",
                task.summary,
                f"{images:,} ({few:,} in `{hub.mini_of(member.name)}`)",
                ", ".join(split.name for split in task.splits(found.recipe)),
                f"`{front['license']}`",
                f"`{found.digest()[:16]}`",
            ]
        )
    return markdown_table(
        ["config", "question", "images", "splits", "licence", "content digest"], rows
    )


def _body(
    repo_id: str, members: Sequence[Member], fronts: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """The Markdown of a repository with more than one dataset."""
    yield f"# {repo_id.rpartition('/')[2]}"
    yield f"{len(members)} datasets of samediff-stimuli, each with a card of its own."
    yield _overview(repo_id, members, fronts)
    for member, front in zip(members, fronts, strict=True):
        found, own = member.manifest, hub.own_place(member.name, CARD)
        task = tasks.get(found.recipe.task)
        yield f"## {front['pretty_name']}"
        yield task.summary
        if any(extra.path == PREVIEW for extra in found.extras):
            yield f"![Some stimuli of every split]({hub.own_place(member.name, PREVIEW)})"
        yield tables.splits(found, brief=True)
        yield f"```sh\n{command(found.recipe)}\n```"
        yield f"[Its card]({own}): columns, balance, limits, digests, licence and citation."
    cited = dict.fromkeys(tasks.get(member.manifest.recipe.task).source for member in members)
    entries = [CITATIONS[source] for source in cited if source]
    if entries:
        papers = "\n\n".join(entries)
        yield f"## Citation\n\nThe papers whose designs these follow:\n\n```bibtex\n{papers}\n```"
