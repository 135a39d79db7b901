"""Make a whole dataset folder: shards, mirror, preview, card, and the manifest last of all."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py

from samediff_stimuli import codec, locks, manifest, preview, tasks
from samediff_stimuli.cards import croissant, factors, folder, remote, validated
from samediff_stimuli.cards.card import card
from samediff_stimuli.cards.origin import Origin
from samediff_stimuli.cards.parquet import ParquetMirror
from samediff_stimuli.engine import (
    PARTIAL,
    Maker,
    Shard,
    make_shard,
    maker,
    plan,
    record_of,
    run,
    usual_workers,
)
from samediff_stimuli.engines import LOKY, Crew, Engine, chosen_workers, opened
from samediff_stimuli.manifest import Manifest, ShardRecord
from samediff_stimuli.recipe import InputError, Recipe
from samediff_stimuli.remote import is_url


def generate(
    recipe: Recipe,
    out: Path | str,
    *,
    workers: int | None = None,
    parquet: bool = True,
    overwrite: bool = False,
    on_rows: Callable[[int], None] = lambda rows: None,
    origin: Origin | None = None,
    engine: Engine = LOKY,
    on_shard: Callable[[ShardRecord], None] = lambda record: None,
) -> Manifest:
    """Make a dataset folder, or finish one that was interrupted.

    Args:
        recipe: what to make, from `make_recipe`.
        out: the folder; made if missing, finished if it holds this recipe's unfinished dataset.
            Or the URL of one, e.g. "s3://bucket/name"; see `cards.remote.generate`.
        workers: shards made at once; when None, all workers of the cluster at the engine's
            address, else as many processes as make this set fastest.
        parquet: write the Parquet mirror that `load_dataset(out)` reads.
        overwrite: replace a dataset of another recipe.
        on_rows: told the number of rows of each shard as it is finished.
        origin: of images that this package did not make; card and origin are written anew even
            if the folder is finished.
        engine: who makes the shards. Workers of a cluster must see the folder at the same path.
            Local workers of Dask import the calling script, which so needs the usual
            `if __name__ == "__main__"`.
        on_shard: given the record of each shard as it is finished, or found so in an unfinished
            folder.

    Returns:
        The manifest of the finished folder.

    Raises:
        InputError: if the folder holds something else, cannot be written, or is being written by
            another process, if what the images are made from is not at hand, or if the engine
            cannot start; nothing is changed. Also if a worker of a cluster does not see the
            folder, or would make other images.
        OSError: if the disk is full or a cluster is lost; finished shards stay, and the same call
            goes on from there.
    """
    workers = chosen_workers(workers, usual_workers(recipe), engine)
    if is_url(out):
        how: dict[str, Any] = {"workers": workers, "origin": origin, "engine": engine}
        how |= {"parquet": parquet, "overwrite": overwrite, "on_rows": on_rows}
        how |= {"on_shard": on_shard}
        return remote.generate(recipe, str(out), **how)
    out = Path(out)
    folder.check(out, recipe, parquet, overwrite)
    done = None if origin else folder.complete(out, recipe, parquet)
    if done is not None and not (out / PARTIAL).exists():
        locks.sweep(out / locks.NAME, f"--out {out}")
        on_rows(sum(shard.rows for shard in done.shards))
        return done
    with locks.held(out / locks.NAME, f"--out {out}"):
        folder.check(out, recipe, parquet, overwrite)  # from here on nobody else changes it
        out = out.absolute()  # workers may have been started in another folder
        done = folder.complete(out, recipe, parquet)
        if done is not None and origin is None:
            shutil.rmtree(out / PARTIAL, ignore_errors=True)  # a run killed at its very end
            on_rows(sum(shard.rows for shard in done.shards))
            return done
        with opened(engine, workers, tasks.get(recipe.task).costly) as crew:
            made_by = _maker(recipe, crew)
            factors.check_lists(recipe)
            folder.check_maker(out, recipe, parquet, made_by.made_with, overwrite)
            folder.prepare(out, recipe, parquet, made_by.made_with)
            mirror = _mirror(recipe) if parquet else None
            shards = run(recipe, out, crew, mirror, on_rows, made_by, on_shard)
        made = _finish(out, recipe, tuple(shards), origin or Origin(), made_by.made_with)
        shutil.rmtree(out / PARTIAL)
        return made


def _mirror(recipe: Recipe) -> ParquetMirror:
    task = tasks.get(recipe.task)
    return ParquetMirror(task.columns(recipe), [view.name for view in task.views])


def _maker(recipe: Recipe, crew: Crew) -> Maker:
    """What makes the images, asked where they are made: a cluster may have what is not here."""
    found: Maker = crew.call(maker, recipe)
    if found.missing is not None:
        raise InputError(f"the images of {recipe.task!r} cannot be made: {found.missing}")
    if found.release != version("samediff-stimuli"):
        raise InputError(
            f"the workers have samediff-stimuli {found.release}, this machine has "
            f"{version('samediff-stimuli')}; install the same everywhere"
        )
    return found


def versions(*, parquet: bool) -> dict[str, str]:
    """Releases of this package and of what else the bytes of files follow from."""
    return {
        "samediff-stimuli": version("samediff-stimuli"),
        "h5py": version("h5py"),
        "hdf5": h5py.version.hdf5_version,
        "zlib-ng": codec.version(),
        **({"pyarrow": version("pyarrow")} if parquet else {}),
    }


def _finish(
    out: Path,
    recipe: Recipe,
    shards: tuple[ShardRecord, ...],
    origin: Origin,
    made_with: dict[str, str],
) -> Manifest:
    """Write preview, card, Croissant and the origin's files, then the manifest."""
    bare = Manifest(
        recipe=recipe,
        shards=shards,
        extras=(),
        versions={**versions(parquet=shards[0].mirror is not None), **origin.versions},
        indices=factors.write_indices(out, recipe),
        repeats=factors.repeats(out, recipe, shards),
        made_with=made_with,
    )
    preview.save(preview.sheet_of_folder(out, bare), out / folder.PREVIEW)
    report = validated.read(out, bare.digest())
    manifest.write_atomically(out / folder.CARD, card(bare, origin, report))
    texts = {croissant.NAME: croissant.croissant(bare, origin), **origin.files}
    for name, text in texts.items():
        manifest.write_atomically(out / name, text)
    names = [folder.CARD, folder.PREVIEW, *texts]
    if report is not None:  # files of a finished folder were lost and are made anew
        names += [n for n in (validated.REPORT, validated.PICTURE) if (out / n).is_file()]
    extras = tuple(record_of(out, out / name) for name in names)
    made = replace(bare, extras=extras)
    manifest.write(out, made)
    return made


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What making a dataset would take: workers, files, bytes on disk, seconds on these workers."""

    workers: int
    files: int
    n_bytes: int
    seconds: float


_BESIDE = 4  # files: manifest, card, Croissant, preview
_SAMPLE, _FEW = 64, 1  # rows of each split that an estimate makes; of costly images


def estimate(recipe: Recipe, workers: int | None, parquet: bool, engine: Engine = LOKY) -> Estimate:
    """Make a few rows of each split in a temporary folder here, and scale them up.

    Args:
        recipe: what would be made.
        workers: as for `generate`; a cluster elsewhere is only asked how many it has.
        parquet: count the mirror too.
        engine: as for `generate`.

    Raises:
        InputError: if the cluster cannot be asked, or if what images are made from is not here.
    """
    workers = chosen_workers(workers, usual_workers(recipe), engine)
    if workers is None:
        with opened(engine, None, tasks.get(recipe.task).costly) as crew:
            workers = crew.size()
    task = tasks.get(recipe.task)
    mirror = _mirror(recipe) if parquet else None
    shards = plan(recipe)
    lists = len(set(task.splits(recipe)) - set(task.stored_splits(recipe)))
    n_bytes = seconds = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        folder.prepare(scratch, recipe, parquet, {})

        def make(split: tasks.Split) -> ShardRecord:
            rows = min(split.rows, _FEW if task.costly else _SAMPLE)
            shard = Shard(split=split.name, number=0, count=1, start=0, rows=rows)
            return make_shard(recipe, scratch, shard, mirror)[1]

        make(task.stored_splits(recipe)[0])  # pays for the imports
        for split in task.stored_splits(recipe):
            began = time.perf_counter()
            record = make(split)
            share = split.rows / record.rows
            seconds += (time.perf_counter() - began) * share
            n_bytes += record.file.n_bytes * share
            n_bytes += record.mirror.n_bytes * share if record.mirror else 0
    alone = task.costly and engine.address is None  # processes of one machine share processors
    return Estimate(
        workers=workers,
        files=len(shards) * (2 if parquet else 1) + lists + _BESIDE,
        n_bytes=round(n_bytes),
        seconds=seconds if alone else seconds / min(workers, len(shards)),
    )
