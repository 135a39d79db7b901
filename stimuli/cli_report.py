"""What commands tell people: progress on stderr; on stdout what was made and what to type next."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samediff_stimuli.recipe import InputError

if TYPE_CHECKING:
    from samediff_stimuli.manifest import Manifest


@contextlib.contextmanager
def progress(total: int | None, what: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; yields the function to tell it how many rows or bytes are done."""
    with progresses((total, what)) as (advance,):
        yield advance


@contextlib.contextmanager
def progresses(*bars: tuple[int | None, str]) -> Iterator[tuple[Callable[[int], None], ...]]:
    """Several at once, as `progress` has one."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.progress import Task as Job
    from rich.progress import TimeRemainingColumn as Remaining
    from rich.text import Text

    class Speed(ProgressColumn):
        """How many are done in a second."""

        def render(self, task: Job) -> Text:
            speed = task.speed or 0.0
            return Text(f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s" if speed else "")

    text, done = TextColumn("{task.description}"), MofNCompleteColumn()
    columns = (text, BarColumn(), done, Speed(), Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        jobs = [bar.add_task(what, total=total) for total, what in bars]
        yield tuple(partial(bar.advance, job) for job in jobs)


def size(n_bytes: int) -> str:
    """A number of bytes for people."""
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes < 1e9 else f"{n_bytes / 1e9:,.2f} GB"


device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or mps."
)


def seed_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option --seed, 0 by default, and its help."""
    return click.option(
        "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help=what
    )


def check_file(flag: str, out: Path) -> None:
    """Refuse a path that no file can be written to.

    Args:
        flag: that gave it, e.g. "--json".
        out: the path.

    Raises:
        InputError: a folder, or a file in a folder that is not there.
    """
    if out.is_dir():
        raise InputError(f"{flag} {out} is a folder; give a file name")
    if not out.parent.is_dir():
        raise InputError(f"{flag} {out} cannot be written: there is no folder {out.parent}")


def say_held(place: Path | str, made: Manifest, seconds: float) -> None:
    """Say what a dataset folder holds.

    Args:
        place: the folder, or its URL.
        made: its manifest.
        seconds: how long it took.
    """
    from samediff_stimuli import tasks

    task = tasks.get(made.recipe.task)
    splits = task.splits(made.recipe)
    total = sum(shard.rows for shard in made.shards) * len(task.views)
    n_bytes = sum(file.n_bytes for file in made.files())
    click.echo(f"{place}: {total:,} images, {size(n_bytes)}, in {seconds:.1f} s")
    for split in splits:
        click.echo(f"  {split.name:<18} {split.rows:>9,}  {split.about}")
    click.echo(f"content digest {made.digest()}")


def say_exported(place: Path | str, shown: Sequence[str], then: Sequence[str]) -> None:
    """Say what an export holds, and what to type next.

    Args:
        place: the folder, or its URL.
        shown: what it holds, in short.
        then: commands.
    """
    click.echo(f"{place}:")
    for line in shown:
        click.echo(f"  {line}")
    if then:
        click.echo("\nNext:")
    for command in then:
        click.echo(f"  {command}")


def say_made(out: Path, made: Manifest, seconds: float, then: Sequence[str]) -> None:
    """Say what a dataset folder holds, and what to type next.

    Args:
        out: the folder.
        made: its manifest.
        seconds: how long it took.
        then: names of commands that take the folder.
    """
    from samediff_stimuli import tasks

    say_held(out, made, seconds)
    splits = tasks.get(made.recipe.task).splits(made.recipe)
    named = str(out) if not str(out).startswith("-") else f"./{out}"
    quoted = json.dumps(named, ensure_ascii=False)
    load = f"from datasets import load_dataset; print(load_dataset({quoted}))"
    first = f'D({quoted}, "{splits[0].name}")'
    read = f"from samediff_stimuli.loaders import StimulusDataset as D; print(len({first}))"
    click.echo("\nNext:")
    for command in then:
        click.echo(f"  samediff-stimuli {command} {shlex.quote(named)}")
    for code in (load, read):
        click.echo(f"  python -c {shlex.quote(code)}")
