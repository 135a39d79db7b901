"""The pages that benchmarks are shown on."""

from __future__ import annotations

from pathlib import Path

import click

from samediff_stimuli.markdown import markdown_table

HEAD = ("what", "ours", "alternative", "ratio")


def show_page(title: str, about: str, table: list[list[str]], out: Path | None) -> None:
    """Print a page of one table; write it to a file as well, if one is given."""
    text = f"# {title}\n\n{about}\n\n{markdown_table(HEAD, table)}\n"
    click.echo(text)
    if out:
        out.write_text(text, encoding="utf-8")
