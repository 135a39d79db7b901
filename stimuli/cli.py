"""The command line. Each command imports what it needs when it runs, so `--help` stays instant.

Results go to stdout, progress and messages to stderr. Exit codes: 0 fine, 1 a check failed, 2 bad
usage or input.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samediff_stimuli import cli_remote
from samediff_stimuli.cli_analysis import attention_command, interchange_command
from samediff_stimuli.cli_crew import crew_options
from samediff_stimuli.cli_evaluation import audit_command, evaluate_command
from samediff_stimuli.cli_folders import download_command, export_command, import_command
from samediff_stimuli.cli_gallery import preview_command, serve_command
from samediff_stimuli.cli_group import Commands, fail
from samediff_stimuli.cli_hub import publish_command
from samediff_stimuli.cli_models import matrix_command, train_command
from samediff_stimuli.cli_remote import Place
from samediff_stimuli.cli_report import progress, say_made, size
from samediff_stimuli.cli_validation import validate_command
from samediff_stimuli.engines import Engine
from samediff_stimuli.recipe import InputError

if TYPE_CHECKING:
    from samediff_stimuli.recipe import Recipe


class _TaskCommand(click.Command):
    """A command that also takes the options of every task; they are loaded when it is asked for."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        known = {param.name for param in self.params}
        self.params += [option for option in _task_options() if option.name not in known]
        return super().get_params(ctx)


def _task_options() -> Iterator[click.Option]:
    """One option for each field of any task's options; None means the task's default."""
    from samediff_stimuli import tasks

    found: dict[str, dict[str, tuple[Any, str, Any]]] = {}
    for task in tasks.registry().values():
        hints = typing.get_type_hints(task.options)
        for spec in dataclasses.fields(task.options):
            if not spec.metadata.get("derived"):
                meaning = hints[spec.name], spec.metadata["about"], spec.default
                found.setdefault(spec.name, {})[task.name] = meaning
    optional = {task for by_task in found.values() for task in by_task}
    for name, by_task in found.items():
        flag = f"--{name.replace('_', '-')}"
        kinds = [hint for hint, _, _ in by_task.values()]
        flags = [f"{flag}/--no-{flag[2:]}"] if bool in kinds else [flag]
        kind = None if bool in kinds else _plain(kinds)
        text = _help(by_task, everywhere=set(by_task) == optional)
        yield click.Option(flags, type=kind, default=None, help=text)


def _help(by_task: dict[str, tuple[Any, str, Any]], everywhere: bool) -> str:
    """The help of an option: what it means to whom, its defaults, and who has it."""
    groups: dict[str, dict[str, Any]] = {}
    for task, (_, about, default) in by_task.items():
        groups.setdefault(about, {})[task] = default
    texts = [_meaning(about, group) for about, group in groups.items()]
    whole = everywhere and len(texts) == 1
    named = zip(texts, groups.values(), strict=True)
    return " ".join(text if whole else f"{text} [{', '.join(group)}]" for text, group in named)


def _meaning(about: str, by_task: dict[str, Any]) -> str:
    """What an option is, and its default, or the usual one and whose is another."""
    values = list(by_task.values())
    usual = max(values, key=values.count)
    defaults = [f"default {usual}"] if usual not in (None, False) else []
    for task, default in by_task.items():
        if default not in (usual, None):
            defaults.append(f"{task}: {default}")
    text = f"{about[:1].upper()}{about[1:]}"
    return f"{text} ({'; '.join(defaults)})." if defaults else f"{text}."


def _plain(hints: list[Any]) -> Any:
    """The type of an option, None left out; a choice among the words of all tasks for Literals."""
    words: dict[str, None] = {}
    for hint in map(_given, hints):
        if typing.get_origin(hint) is not typing.Literal:
            return hint
        words |= dict.fromkeys(typing.get_args(hint))
    return click.Choice(list(words))


def _given(hint: Any) -> Any:
    """A type hint without None."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return hint


def _recipe(task: str, seed: int, given: dict[str, Any]) -> Recipe:
    from samediff_stimuli import tasks

    chosen = tasks.get(task)
    specs = dataclasses.fields(chosen.options)
    own = {field.name for field in specs if not field.metadata.get("derived")}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in own:
            flags = [f"--{own_name.replace('_', '-')}" for own_name in sorted(own)]
            has = ", ".join(flags) or "none"
            raise InputError(f"--{name.replace('_', '-')} is no option of {task!r}; it has {has}")
    return tasks.make_recipe(task, seed, chosen.options(**given))


_seed = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), required=True, help="Any integer from 0."
)
_task = click.option("--task", required=True, help="Name of a task; see 'samediff-stimuli list'.")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="samediff-stimuli")
def main() -> None:
    """Make visual same-different datasets, to the byte, from a seed.

    To begin:

    \b
      samediff-stimuli generate --task rmts --seed 0    make a set, in rmts-p32-seed0
      samediff-stimuli verify rmts-p32-seed0            check it
      samediff-stimuli serve rmts-p32-seed0             look at it in a browser
      samediff-stimuli train rmts-p32-seed0             train a small baseline on it

    'samediff-stimuli COMMAND --help' says what a command does and writes, with examples. Results
    go to stdout, progress and messages to stderr.
    """


main.add_command(preview_command)
main.add_command(serve_command)
main.add_command(import_command)
main.add_command(export_command)
main.add_command(download_command)
main.add_command(audit_command)
main.add_command(train_command)
main.add_command(evaluate_command)
main.add_command(attention_command)
main.add_command(interchange_command)
main.add_command(matrix_command)
main.add_command(validate_command)
main.add_command(publish_command)


@main.command("list")
def list_tasks() -> None:
    """List the tasks that can be made: name, question, and splits at their default sizes.

    Nothing is written.

    \b
    samediff-stimuli list
    """
    from samediff_stimuli import tasks

    width = max(map(len, tasks.registry()))
    for task in tasks.registry().values():
        click.echo(f"{task.name:<{width}}  {task.summary}")
        try:
            splits = task.splits(tasks.make_recipe(task.name, 0))
            sizes = ", ".join(f"{split.name} {split.rows:,}" for split in splits)
        except InputError as error:  # it needs somebody's images
            sizes = str(error)
        click.echo(f"{'':<{width}}  {sizes}")
    click.echo("\nMake one: samediff-stimuli generate --task NAME --seed 0", err=True)


@main.command(cls=_TaskCommand)
@_task
@_seed
@click.option("--out", type=Place(urls=True), help="Folder or URL; default NAME-seedSEED here.")
@crew_options
@click.option("--parquet/--no-parquet", default=True, help="Write the Parquet mirror as well.")
@click.option("--dry-run", is_flag=True, help="Say how many files, bytes and seconds; write none.")
@click.option("--overwrite", is_flag=True, help="Replace another dataset in the folder.")
def generate(
    task: str,
    seed: int,
    out: Path | str | None,
    workers: int | None,
    engine: str,
    address: str | None,
    parquet: bool,
    dry_run: bool,
    overwrite: bool,
    **given: Any,
) -> None:
    """Make a dataset: HDF5 shards, a Parquet mirror, card, manifest and preview.

    All goes to one folder, which load_dataset and StimulusDataset take; it says what to type next.
    An interrupted run goes on where it stopped when the same command is run again. The same
    command gives the same images on every machine; rendered ones, on every machine of one kind.

    --out takes any URL of fsspec, too: the set is made in the user's cache ($SAMEDIFF_STIMULI_CACHE
    names another place, with room for it), then sent, its manifest last. s3:// needs the package
    s3fs, gs:// gcsfs.

    \b
    samediff-stimuli generate --task discrimination --seed 0
    samediff-stimuli generate --task rmts --seed 0 --patch-size 16 --combinations 32
    samediff-stimuli generate --task rmts --seed 1 --train 100000 --ood 0 --out big --dry-run
    samediff-stimuli generate --task rmts --seed 0 --engine dask --address tcp://HOST:8786
    samediff-stimuli generate --task rmts --seed 0 --out s3://BUCKET/rmts-p32-seed0
    """
    import time

    chosen = Engine(name=engine, address=address)
    recipe = _recipe(task, seed, given)
    from samediff_stimuli import tasks
    from samediff_stimuli.cards import dataset

    name = tasks.get(task).name_of(recipe)
    out = Path(f"{name}-seed{seed}") if out is None else out
    total = sum(split.rows for split in tasks.get(task).stored_splits(recipe))
    if dry_run:
        guess = dataset.estimate(recipe, workers, parquet, chosen)
        images = total * len(tasks.get(task).views)
        click.echo(f"{out}: {images:,} images in {guess.files} files, about {size(guess.n_bytes)}")
        click.echo(f"about {guess.seconds:.0f} s with {guess.workers} workers; nothing was written")
        return
    how: dict[str, Any] = {"workers": workers, "parquet": parquet, "engine": chosen}
    if isinstance(out, str):
        return cli_remote.generate(recipe, name, out, overwrite, **how)
    began = time.perf_counter()
    with progress(total, f"making {name}") as on_rows:
        made = dataset.generate(recipe, out, overwrite=overwrite, on_rows=on_rows, **how)
    splits = {split.name for split in tasks.get(task).splits(recipe)}
    trains = "validation" in splits or tasks.get(task).space(recipe) is not None
    then = ["verify", "train" if trains else "audit"]
    say_made(out, made, time.perf_counter() - began, then)


@main.command(cls=_TaskCommand)
@_task
@_seed
@click.option("--split", required=True, help="Split name, e.g. test.")
@click.option("--index", type=click.IntRange(0), required=True, help="Row number in the split.")
@click.option(
    "--png",
    type=click.Path(path_type=Path),
    help="Picture file to write; a further image of the row goes beside it, named after it.",
)
def show(task: str, seed: int, split: str, index: int, png: Path | None, **given: Any) -> None:
    """Make one stimulus without the rest: a PNG file, and its scene as JSON on stdout.

    It is the image that a dataset of this recipe has there. The file is
    NAME-seedSEED-SPLIT-INDEX.png here, unless --png says otherwise. A row of several images, as of
    das, gives a file for each.

    \b
    samediff-stimuli show --task rmts --seed 0 --split test --index 17
    """
    recipe = _recipe(task, seed, given)
    from samediff_stimuli import preview, tasks
    from samediff_stimuli.image_files import as_picture

    chosen = tasks.get(task)
    table = tasks.design(recipe, split, [index])
    row = table.row(0)
    named = {c.name: c.named(row[c.name]) for c in chosen.columns(recipe)}
    png = Path(f"{chosen.name_of(recipe)}-seed{seed}-{split}-{index}.png") if png is None else png
    files = {"png": png}
    for view in chosen.more_views:
        files[view.name] = png.with_name(f"{png.stem}-{view.name}{png.suffix}")
    for view, path in zip(chosen.views, files.values(), strict=True):
        image = chosen.render(recipe, split, table, view=view.name)[0]
        preview.save(as_picture(image), path)
    where = {name: str(path) for name, path in files.items()}
    scene = {**where, "split": split, **named, "recipe": recipe.as_dict()}
    click.echo(json.dumps(scene, indent=1))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Make every row anew, not a few a split; load the set with datasets.",
)
@click.option("--objects", type=click.Path(), help="Pictures that a naturalistic set is made of.")
@click.option(
    "--archive", type=click.Path(), help="Published file that a factor set was read from."
)
@click.option("--split-labels", type=click.Path(), help="Label files that it was split by.")
@click.option("--device", help="What renders a photoreal set's sample: auto, cpu or a kind of GPU.")
@click.option("--blender-python", type=click.Path(), help="Interpreter that has bpy, for the same.")
@crew_options
def verify(
    folder: Path,
    everything: bool,
    workers: int | None,
    engine: str,
    address: str | None,
    **places: str | None,
) -> None:
    """Check a dataset: hashes of files and arrays, rows made anew and compared, and its card.

    The card is held to the folder: licence, size and task are of the Hub's lists, every pattern
    matches its files, rows, types and class names are the shards', links exist, code parses. With
    --all, load_dataset must load it too. Nothing is written. A line for each problem, and exit
    code 1, if anything is not what the recipe gives.

    \b
    samediff-stimuli verify rmts-p32-seed0
    samediff-stimuli verify rmts-p32-seed0 --all
    """
    from samediff_stimuli import verification
    from samediff_stimuli.cards import checking
    from samediff_stimuli.manifest import load
    from samediff_stimuli.shards import DamagedError

    chosen = Engine(name=engine, address=address)
    try:
        total = sum(shard.rows for shard in load(folder).shards)
        with progress(total, f"checking {folder}") as on_rows:
            report = verification.verify(
                folder, everything, on_rows, workers=workers, engine=chosen, **places
            )
        of_card = checking.problems(folder, deep=everything and not report.problems)
    except DamagedError as error:
        fail(str(error), 1)
    problems = (*report.problems, *of_card)
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    click.echo(
        f"{folder}: {report.files} files hashed, {report.decoded:,} images decoded, "
        f"{report.remade:,} made anew, the card checked: "
        f"{len(problems) or 'no'} problems"
    )
    if report.unmade:
        click.echo(f"images were not made anew: {report.unmade}")
    if problems:
        click.echo("To mend it, delete the files named and run the command that made it.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
