"""Places that commands write to: folders, or URLs where a command can send to one."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samediff_stimuli.cli_report import progresses, say_exported, say_held
from samediff_stimuli.recipe import InputError
from samediff_stimuli.remote import is_url

if TYPE_CHECKING:
    from samediff_stimuli.cards.exports.format import Format, Source
    from samediff_stimuli.recipe import Recipe


class Place(click.Path):
    """A path; a URL stays a string, or is refused.

    Args:
        urls: whether the command can send to URLs.
    """

    def __init__(self, *, urls: bool) -> None:
        """Take any path."""
        super().__init__(path_type=Path)
        self.urls = urls

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or the URL as it is."""
        if not is_url(value):
            return super().convert(value, param, ctx)
        if not self.urls:
            raise InputError(f"--out {value} is a URL; this command writes folders: give a path")
        return value


def generate(recipe: Recipe, name: str, url: str, overwrite: bool, **how: Any) -> None:
    """Make a dataset and send it to a URL; say what is there.

    Args:
        recipe: what to make.
        name: the dataset's name.
        url: of the folder.
        overwrite: replace another dataset there.
        how: what else `dataset.generate` takes.
    """
    from samediff_stimuli import tasks
    from samediff_stimuli.cards import remote

    began = time.perf_counter()
    total = sum(split.rows for split in tasks.get(recipe.task).stored_splits(recipe))
    with progresses((total, f"making {name}"), (None, f"sending {name}")) as (on_rows, on_bytes):
        how |= {"overwrite": overwrite, "on_rows": on_rows, "on_bytes": on_bytes}
        made = remote.generate(recipe, url, **how)
    say_held(url, made, time.perf_counter() - began)
    first = tasks.get(recipe.task).splits(recipe)[0].name
    click.echo("\nNext:\n  from samediff_stimuli.loaders import from_url")
    click.echo(f"  data = from_url({json.dumps(url, ensure_ascii=False)}, {json.dumps(first)})")


def export(source: Source, url: str, format: Format, **how: Any) -> None:
    """Export a dataset and send it to a URL; say what is there.

    Args:
        source: what is exported.
        url: of the folder.
        format: that planned it.
        how: what else `exports.remote.send` takes.
    """
    from samediff_stimuli.cards.exports import remote

    name, steps = source.made.name, format.steps(source)
    with progresses((steps, f"exporting {name}"), (None, f"sending {name}")) as (rows, sent):
        shown = remote.send(replace(source, on_rows=rows), url, format, on_bytes=sent, **how)
    there, here = (json.dumps(each, ensure_ascii=False) for each in (url, _name_of(url)))
    fetch = f"fs, root = fsspec.url_to_fs({there}); fs.get(root, {here}, recursive=True)"
    fetching = f"python -c {shlex.quote(f'import fsspec; {fetch}')}  # to have it here"
    say_exported(url, shown, [fetching])


def _name_of(url: str) -> str:
    """The last part of a URL."""
    return url.rstrip("/").rpartition("/")[2]
