"""The pages that benchmarks are shown on."""

from __future__ import annotations

import platform
from pathlib import Path

import click
import numpy as np

from samediff_stimuli.engine import available_workers
from samediff_stimuli.markdown import markdown_table

HEAD = ("what", "ours", "alternative", "ratio")


def machine() -> str:
    """Where a page was made."""
    return (
        f"on {platform.machine()}, {available_workers()} processors, Python "
        f"{platform.python_version()}, NumPy {np.__version__}"
    )


def show_page(
    title: str,
    about: str,
    table: list[list[str]],
    out: Path | None,
    heads: tuple[str, ...] = HEAD,
) -> None:
    """Print a page of one table; write it to a file as well, if one is given."""
    text = f"# {title}\n\n{about}\n\n{markdown_table(heads, table)}\n"
    click.echo(text)
    if out:
        out.write_text(text, encoding="utf-8")
