"""Datasets go to the Hub: checked, then sent in one commit, which a cut leaves undone.

Large files are stored by their SHA-256, and arrive before the commit that shows them. So a run that
broke off is taken up by the same call: what arrived is not sent again, and until the commit the
repository shows what it showed before.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samediff_stimuli import hub, manifest, verification
from samediff_stimuli.cards import mini, repository
from samediff_stimuli.cards.folder import CARD
from samediff_stimuli.cards.front_matter import split_card
from samediff_stimuli.cards.repository import File, Member
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.recipe import InputError
from samediff_stimuli.shards import DamagedError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_KIND = "dataset"
_BRANCH = "main"
_TAG = re.compile(r"[A-Za-z0-9](?!.*(\.\.|\.lock$|\.$))[\w.-]*", re.ASCII)
_GIVEN = frozenset({".gitattributes"})  # what the Hub puts into a new repository
_MANIFEST = re.compile(rf"{hub.MANIFESTS}/([^/]+)/{re.escape(manifest.NAME)}")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a repository is to hold.

    Attributes:
        repo_id: ORG/NAME.
        members: its datasets, the default one first.
        files: all that is written, in order of paths; files of datasets that are there already are
            left as they are.
        card: the text of its card.
    """

    repo_id: str
    members: tuple[Member, ...]
    files: tuple[File, ...]
    card: str


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was published.

    Attributes:
        plan: what the repository holds.
        url: its page.
        commit: the commit that holds it.
        changed: files that were new or other than before; none if all was there.
    """

    plan: Plan
    url: str
    commit: str
    changed: tuple[File, ...]


@dataclass(frozen=True, kw_only=True)
class _Remote:
    """A repository as it is: head commit if it exists, entries by path, tags, our datasets."""

    head: str | None = None
    entries: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    members: tuple[Member, ...] = ()


def publish(
    folders: Sequence[Path],
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Published:
    """Put datasets into a repository on the Hub; those that it holds stay.

    Args:
        folders: dataset folders, each with its Parquet mirror.
        repo_id: ORG/NAME; made if there is none.
        private: make it private.
        revision: tag for this state, e.g. "v1.0".
        on_rows: told the number of rows of each shard as it is verified.

    Raises:
        InputError: no such dataset, one that does not verify or has no mirror, two of one name, a
            repository of something else, a token that is refused, no network. Unless the upload
            had begun, nothing was changed.
        DamagedError: a manifest is damaged.
    """
    from huggingface_hub import HfApi

    found = _read(folders, repo_id, revision)
    api = HfApi()
    with _told(repo_id, f"nothing was sent to {repo_id}"):
        remote = _look(api, repo_id, private)
    _check_names(found, remote, repo_id)
    planned = _plan(found, repo_id, remote.members, on_rows)
    changed = tuple(file for file in planned.files if not _is_there(file, remote))
    gone = _gone(planned, found, remote)
    _check_tag(revision, remote, bool(changed or gone))
    with _told(repo_id, f"nothing was sent to {repo_id}"):
        head = _opened(api, repo_id, remote, private)
    with _told(repo_id, f"the upload to {repo_id} broke off", resumes=True):
        commit = _send(api, planned, head, changed, gone)
        if revision is not None and revision not in remote.tags:
            api.create_tag(repo_id, tag=revision, revision=commit, repo_type=_KIND)
    url = f"{api.endpoint}/datasets/{repo_id}"
    return Published(plan=planned, url=url, commit=commit, changed=changed)


def plan(
    folders: Sequence[Path],
    repo_id: str,
    revision: str | None = None,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Plan:
    """What `publish` would put into a new repository; asks no network.

    Args:
        folders: as for `publish`.
        repo_id: as for `publish`.
        revision: as for `publish`; only its spelling is checked.
        on_rows: as for `publish`.

    Raises:
        InputError: as `publish` would before it asks the Hub.
        DamagedError: a manifest is damaged.
    """
    return _plan(_read(folders, repo_id, revision), repo_id, (), on_rows)


def _read(
    folders: Sequence[Path], repo_id: str, revision: str | None
) -> list[tuple[Path, Manifest]]:
    """The manifests of folders that may be published as far as these tell."""
    hub.check_repo_id(repo_id)
    if revision is not None and (revision == _BRANCH or not _TAG.fullmatch(revision)):
        raise InputError(
            f"--revision {revision!r} cannot be a tag; legal: letters, digits, '.', '-' and '_', "
            f"not {_BRANCH}, e.g. v1.0"
        )
    by_name: dict[str, tuple[Path, Manifest]] = {}
    for folder in folders:
        found = manifest.load(folder)
        if any(shard.mirror is None for shard in found.shards):
            raise InputError(
                f"{folder} has no Parquet mirror, which load_dataset reads; make the dataset again "
                "without --no-parquet"
            )
        if found.name in by_name:
            other, same = by_name[found.name]
            raise InputError(f"{folder} and {other} {_both(found, same)}; publish one of them")
        by_name[found.name] = folder, found
    return list(by_name.values())


def _both(one: Manifest, other: Manifest) -> str:
    """What two datasets of one name are to each other."""
    if one.digest() == other.digest():
        return f"are the same dataset, {one.name}"
    seeds = f"seeds {one.recipe.seed} and {other.recipe.seed}"
    how = seeds if one.recipe.seed != other.recipe.seed else "other options"
    return f"are both named {one.name} but differ ({how})"


def _check_names(found: Sequence[tuple[Path, Manifest]], remote: _Remote, repo_id: str) -> None:
    """Raise InputError if the repository has another dataset under a name."""
    there = {member.name: member.manifest for member in remote.members}
    for folder, own in found:
        other = there.get(own.name)
        if other is not None and other.digest() != own.digest():
            raise InputError(
                f"{folder} and what {repo_id} holds {_both(own, other)}; nothing was sent; publish "
                "it to another repository"
            )


def _look(api: HfApi, repo_id: str, private: bool) -> _Remote:
    """A repository as it is, if it may be written; changes nothing."""
    from huggingface_hub.errors import RepositoryNotFoundError

    api.whoami()  # a token is there and good
    try:
        info = api.repo_info(repo_id, repo_type=_KIND)
    except RepositoryNotFoundError:
        return _Remote()
    if private and not info.private:
        raise InputError(
            f"--private: {repo_id} exists and is public; make it private on its page first, or "
            "leave --private out"
        )
    listed = api.list_repo_tree(repo_id, recursive=True, revision=info.sha, repo_type=_KIND)
    entries = {entry.path: entry for entry in listed if hasattr(entry, "blob_id")}  # no folders
    found = [match[1] for path in entries if (match := _MANIFEST.fullmatch(path))]
    names = [name for name in found if hub.own_place(name, CARD) in entries]
    strange = sorted(set(entries) - _GIVEN)
    if strange and not names:
        raise InputError(
            f"{repo_id} exists and is none of ours: it holds {strange[0]!r}, and no "
            f"{hub.MANIFESTS}/; it was left as it is; give another --repo-id"
        )
    refs = api.list_repo_refs(repo_id, repo_type=_KIND)
    return _Remote(
        head=info.sha,
        entries=entries,
        tags={tag.name: tag.target_commit for tag in refs.tags},
        members=_members(api, repo_id, str(info.sha), names, entries) if names else (),
    )


def _members(
    api: HfApi, repo_id: str, head: str, names: Sequence[str], entries: Mapping[str, Any]
) -> tuple[Member, ...]:
    """The datasets that a repository holds, in the order of its card."""
    sizes = {path: entry.size for path, entry in entries.items()}
    with tempfile.TemporaryDirectory() as scratch:

        def text(path: str) -> str:
            kept = api.hf_hub_download(
                repo_id, path, repo_type=_KIND, revision=head, local_dir=scratch
            )
            return Path(kept).read_text(encoding="utf-8", errors="replace")

        members = {}
        for name in sorted(names):
            text(hub.own_place(name, manifest.NAME))
            card = text(hub.own_place(name, CARD))
            try:
                found = manifest.load(Path(scratch) / hub.MANIFESTS / name)
            except DamagedError as error:
                raise InputError(f"{repo_id} was left as it is: {error}") from error
            few = repository.mini_sizes(name, sizes)
            members[name] = Member(manifest=found, card=card, mini=few)
        listed = _listed(text(CARD)) if CARD in entries else []
    order = [name for name in listed if name in members]
    return tuple(members[name] for name in dict.fromkeys([*order, *members]))


def _listed(card: str) -> list[str]:
    """Names of the configs of a repository's card; none of one that somebody has broken."""
    try:
        front, _ = split_card(card)
        return [str(config["config_name"]) for config in front.get("configs", ())]
    except (ValueError, TypeError, KeyError):
        return []


def _plan(
    found: Sequence[tuple[Path, Manifest]],
    repo_id: str,
    there: Sequence[Member],
    on_rows: Callable[[int], None],
) -> Plan:
    """Verify folders, and lay out a repository of them and of what is there."""
    members = {member.name: member for member in there}
    files: list[File] = []
    for folder, own in found:
        _verify(folder, on_rows)
        cuts = dict(mini.cut(folder, own))
        card = (folder / CARD).read_text(encoding="utf-8")
        few = {split: len(data) for split, data in cuts.items()}
        members[own.name] = Member(manifest=own, card=card, mini=few)
        files += repository.files_of(folder, own, cuts)
    whole = tuple(members.values())
    card = repository.repository_card(repo_id, whole)
    files.append(repository.card_file(card))
    if len(whole) == 1:
        (folder, own), *_ = found
        files += repository.root_files(folder, own, card)
    in_order = tuple(sorted(files, key=lambda file: file.path))
    return Plan(repo_id=repo_id, members=whole, files=in_order, card=card)


def _verify(folder: Path, on_rows: Callable[[int], None]) -> None:
    problems = verification.verify(folder, on_rows=on_rows).problems
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        raise InputError(
            f"{folder} does not verify: {problems[0]}{more}; nothing was sent; see "
            f"'samediff-stimuli verify {folder}'"
        )


def _is_there(file: File, remote: _Remote) -> bool:
    """Whether a repository has exactly this file."""
    entry = remote.entries.get(file.path)
    if entry is None or entry.size != file.n_bytes:
        return False
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == file.sha256)
    content = file.content if isinstance(file.content, bytes) else file.content.read_bytes()
    blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content)  # as git names it
    return bool(entry.blob_id == blob.hexdigest())


def _gone(planned: Plan, found: Sequence[tuple[Path, Manifest]], remote: _Remote) -> list[str]:
    """Files of a repository that are no longer part of it."""
    kept = {file.path for file in planned.files}
    ours = {path for path in remote.entries for _, own in found if repository.is_of(path, own.name)}
    if len(remote.members) == 1:  # in the root while it is the only one
        ours |= set(repository.root_paths(remote.members[0].manifest)) & set(remote.entries)
    return sorted(ours - kept)


def _check_tag(revision: str | None, remote: _Remote, changes: bool) -> None:
    """Raise InputError if a tag is there and would have to move."""
    tagged = remote.tags.get(revision) if revision is not None else None
    if tagged is not None and (changes or tagged != remote.head):
        raise InputError(
            f"--revision {revision} is there and tags another state ({tagged[:12]}); nothing was "
            "sent; give a new tag"
        )


def _opened(api: HfApi, repo_id: str, remote: _Remote, private: bool) -> str:
    """The head commit of the repository, made if there is none."""
    if remote.head is not None:
        return remote.head
    api.create_repo(repo_id, private=private or None, repo_type=_KIND)
    return str(api.repo_info(repo_id, repo_type=_KIND).sha)


def _send(
    api: HfApi, planned: Plan, head: str, changed: Sequence[File], gone: Sequence[str]
) -> str:
    """Commit what is new on top of the head; the commit that the repository is at."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    if not changed and not gone:
        return head
    add = [CommitOperationAdd(path_in_repo=f.path, path_or_fileobj=f.content) for f in changed]
    drop = [CommitOperationDelete(path_in_repo=path) for path in gone]
    names = ", ".join(member.name for member in planned.members)
    made = api.create_commit(
        planned.repo_id,
        [*add, *drop],
        commit_message=f"{names}, by samediff-stimuli",
        parent_commit=head,  # refused if somebody else commits meanwhile
        repo_type=_KIND,
    )
    return str(made.oid)


@contextlib.contextmanager
def _told(repo_id: str, what: str, resumes: bool = False) -> Iterator[None]:
    """Turn what the Hub's library raises into one line."""
    try:
        yield
    except (InputError, DamagedError):
        raise
    except hub.network_errors() as error:
        again = "; run the same command again: what arrived is not sent twice"
        hint = again if resumes and hub.may_pass(error) else ""
        raise InputError(f"{what}: {hub.in_a_line(error, repo_id)}{hint}") from error
