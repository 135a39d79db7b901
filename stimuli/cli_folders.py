"""Commands for what is in a folder: import images, export them, download them."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samediff_stimuli import cli_remote, cli_report
from samediff_stimuli.cards import exports
from samediff_stimuli.cli_crew import crew_options
from samediff_stimuli.cli_remote import Place
from samediff_stimuli.engines import Engine
from samediff_stimuli.recipe import InputError

if TYPE_CHECKING:
    from samediff_stimuli.cards.exports.format import Format

_SHOWN = 5  # strays that are named


@click.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", type=Place(urls=False), required=True, help="Dataset folder.")
@click.option("--split", help="Name of the one split of FOLDER/CLASS/*; default test.")
@click.option(
    "--image-size",
    type=click.IntRange(1, 4096),
    help="Pad every image with white to a square and resize it to this side.",
)
@click.option("--table", type=click.Path(path_type=Path), help="CSV: column file, and the factors.")
@click.option("--images-key", help="Images of an archive; default images, or else imgs.")
@click.option("--labels-key", help="Labels of it; default labels, or else latents_classes.")
@click.option("--names", help="Names of the factors, separated by commas.")
@click.option("--label", help="Factor that is the class; default: the first that has names.")
@click.option("--variant", help="How factors are split: all (default), or random, composition, ...")
@click.option("--hold-out", help="A split of factors of your own, e.g. 'age>=4'.")
@click.option("--train-percent", type=int, help="Of the random split of factors; default 30.")
@click.option(
    "--materialize/--no-materialize", help="Store train and test of factors by themselves."
)
@click.option("--license", default="unknown", show_default=True, help="E.g. cc-by-4.0.")
@click.option(
    "--workers", type=click.IntRange(1), help="Processes; default: all available processors."
)
@click.option("--parquet/--no-parquet", default=True, help="Write the Parquet mirror as well.")
@click.option("--overwrite", is_flag=True, help="Replace another dataset in the folder.")
def import_command(
    source: Path,
    out: Path,
    split: str | None,
    image_size: int | None,
    license: str,
    workers: int | None,
    parquet: bool,
    overwrite: bool,
    **factors: Any,
) -> None:
    """Make a dataset of images that came from elsewhere.

    The folder holds what 'generate' writes, too; every command takes it.

    SOURCE is a folder that holds same/ and different/, or any other classes, or a folder of classes
    for each split. PNG and JPEG files become 8-bit RGB; transparency becomes white; JPEG files are
    turned as their EXIF orientation says. Every file is checked before anything is written, and
    provenance.csv says which row is which file.

    Or it is an .npz or HDF5 file of images (n, height, width[, 3]), uint8, and labels (n, factors);
    or, with --table, a folder of files, and a column for each factor in the table. These become a
    grid of factors, split into train and test as dsprites is.

    \b
    samediff-stimuli import stimuli_folder --out mine
    samediff-stimuli import photos --out mine --image-size 224 --license cc-by-4.0
    samediff-stimuli import faces.npz --out faces --names person,age,smile --label person
    samediff-stimuli import photos --table faces.csv --out faces --variant extrapolation
    """
    common: dict[str, Any] = {
        "license": license,
        "workers": workers,
        "parquet": parquet,
        "overwrite": overwrite,
    }
    given = {n: value for n, value in factors.items() if value is not None and value is not False}
    if "table" in given or source.is_file() or source.suffix in (".npz", ".h5", ".hdf5"):
        if split is not None:
            raise InputError(f"--split {split} is for a folder of classes; leave it out")
        _import_factors(source, out, size=image_size, **given, **common)
    else:
        for name, value in given.items():
            flag = f"--{name.replace('_', '-')}"
            raise InputError(
                f"{flag} {value} is for an .npz or HDF5 file, or a folder with --table; {source} "
                "is neither"
            )
        _import_folder(source, out, split, size=image_size, **common)


def _import_factors(source: Path, out: Path, names: str | None = None, **given: Any) -> None:
    import time

    from samediff_stimuli.cards.importing_factors import import_factors

    named = None if names is None else [name.strip() for name in names.split(",")]
    began = time.perf_counter()
    with cli_report.progress(None, f"importing {source}") as on_rows:
        made = import_factors(source, out, names=named, on_rows=on_rows, **given)
    cli_report.say_made(out, made, time.perf_counter() - began, ["verify", "preview"])


def _import_folder(folder: Path, out: Path, split: str | None, **given: Any) -> None:
    import time

    from samediff_stimuli.cards.importing import import_folder
    from samediff_stimuli.cards.listing import scan

    listing = scan(folder, split)
    began = time.perf_counter()
    with cli_report.progress(2 * len(listing), f"importing {folder}") as on_rows:
        made = import_folder(listing, out, on_rows=on_rows, **given)
    if listing.strays:
        named = ", ".join(map(ascii, listing.strays[:_SHOWN]))
        more = ", ..." if len(listing.strays) > _SHOWN else ""
        click.echo(
            f"Left out, no images of a class: {len(listing.strays)}: {named}{more}", err=True
        )
    cli_report.say_made(out, made, time.perf_counter() - began, ["verify", "preview"])


@click.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--format", "kind", type=click.Choice(list(exports.MODULES)), required=True, help="See above."
)
@click.option("--out", type=Place(urls=True), required=True, help="Folder to write, or its URL.")
@click.option("--split", "splits", multiple=True, help="Split to write; give it again for more.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export in the folder.")
@crew_options
@click.option(
    "--objects", type=click.Path(), help="coco: pictures that a naturalistic set is made of."
)
@click.option("--trials", type=int, help="trials: how many each participant sees; default 96.")
@click.option("--participants", type=int, help="trials: how many orders to make; default 1.")
@click.option("--order-seed", type=int, help="trials: of choice and order; default 0.")
@click.option("--question", help="trials: column that is asked for; default the label.")
@click.option("--key-different", help="trials: key for 'different'; default f.")
@click.option("--key-same", help="trials: key for 'same'; default j.")
@click.option("--viewing-distance-cm", type=float, help="trials: from eye to screen; default 57.")
@click.option(
    "--pixels-per-cm", type=float, help="trials: of the screen; default 37.8 (96 an inch)."
)
def export_command(
    folder: Path,
    kind: str,
    out: Path | str,
    splits: tuple[str, ...],
    overwrite: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    **options: Any,
) -> None:
    """Write a dataset in the format of others.

    Many workers, of this machine or of a cluster, can write png, coco, parquet and webdataset; the
    files are the same.

    \b
    png            OUT/SPLIT/CLASS/0000012.png, and every column in OUT/SPLIT.csv and .jsonl;
                   'import' takes the folder back.
    coco           The same in OUT/images, and every object's mask in OUT/annotations.
    parquet        The files that load_dataset(OUT) reads, alone, with a small card.
    webdataset     Tar files, OUT/SPLIT-000000.tar, of .png, .json and .cls; load_dataset too.
    numpy          OUT/SPLIT/images.npy, which can be memory-mapped, and columns.npz.
    trials         An experiment for people: stimuli, trials.csv and trials.json with sizes in
                   pixels and degrees, a page (jsPsych) and a program (PsychoPy) that run it.
    benchmark-npz  What the benchmark of Schott et al. 2021 reads, of grids of factors.

    \b
    samediff-stimuli export rmts-p32-seed0 --format png --out rmts-png
    samediff-stimuli export rmts-p32-seed0 --format coco --split test --out rmts-coco
    samediff-stimuli export rmts-p32-seed0 --format webdataset --out rmts-tar --workers 8
    samediff-stimuli export rmts-p32-seed0 --format trials --participants 20 --out rmts-people
    """
    from samediff_stimuli.cards.exports.folder import source_of, write

    chosen = _format(kind, {name: value for name, value in options.items() if value is not None})
    source = chosen.plan(source_of(folder, splits or None))
    crew = Engine(name=engine, address=address)
    how: dict[str, Any] = {"overwrite": overwrite, "workers": workers, "engine": crew}
    if isinstance(out, str):
        cli_remote.export(source, out, chosen, **how)
        return
    with cli_report.progress(chosen.steps(source), f"exporting {folder}") as on_rows:
        write(replace(source, on_rows=on_rows), out, chosen, **how)
    commands = chosen.then(str(out) if not str(out).startswith("-") else f"./{out}")
    cli_report.say_exported(out, chosen.shown(out), commands)


def _format(kind: str, given: dict[str, Any]) -> Format:
    """A format with its options.

    Raises:
        InputError: if an option belongs to another format.
    """
    takers = {n: {spec.name for spec in fields(exports.get(n))} for n in exports.MODULES if given}
    for name, value in given.items():
        if name not in takers[kind]:
            flag = f"--{name.replace('_', '-')}"
            of = next(other for other in takers if name in takers[other])
            raise InputError(f"{flag} {value} is for --format {of}; leave it out")
    return exports.get(kind)(**given)


@click.command("download")
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("."),
    show_default=True,
    help="Folder or file.",
)
def download_command(name: str, out: Path) -> None:
    """Download a published archive: dsprites, shapes3d, mpi3d_toy, mpi3d_realistic or mpi3d_real.

    One file is written, which 'generate --source official' reads. Mirrors are tried in turn; a
    download that was cut goes on where it stopped; size and MD5 are
    checked at the end.

    \b
    samediff-stimuli download dsprites
    samediff-stimuli generate --task dsprites --seed 0 --source official --archive FILE
    """
    from samediff_stimuli.cards.downloading import download
    from samediff_stimuli.factors.archives import PUBLISHED

    known = {archive.name: (of, archive) for of, some in PUBLISHED.items() for archive in some}
    if name not in known:
        raise InputError(f"unknown archive {name!r}; known: {', '.join(known)}")
    task, archive = known[name]
    with cli_report.progress(archive.n_bytes, f"downloading {archive.file}") as on_bytes:
        path = download(archive, out, on_bytes)
    click.echo(f"{path}: its MD5 is right; licence {archive.license}; cite {archive.cite}")
    click.echo("\nNext:")
    made = f"samediff-stimuli generate --task {task} --seed 0 --source official"
    click.echo(f"  {made} --archive {shlex.quote(str(path))}")
