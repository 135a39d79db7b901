"""Commands that show a dataset: a contact sheet, a gallery as one page, and one that is served."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from samediff_stimuli import cli_report
from samediff_stimuli.cli_models import beside
from samediff_stimuli.recipe import InputError

_DEFAULT = 1200  # stimuli of a page: a few MB at full size
_folder = click.Path(path_type=Path)


@click.command("preview")
@click.argument("folder", type=_folder)
@click.option("--html", is_flag=True, help="Write a gallery: a page that any browser opens.")
@click.option(
    "--out", type=_folder, help="File; default FOLDER-preview.png or FOLDER-gallery.html."
)
@click.option(
    "--limit",
    type=int,
    help="Stimuli of a gallery, 1 to 20000, as many of each split and whole matched groups; "
    f"default {_DEFAULT}. Many are shown smaller.",
)
def preview_command(folder: Path, html: bool, out: Path | None, limit: int | None) -> None:
    """Draw a contact sheet of a dataset, or a gallery to look around in.

    The gallery is one HTML file that needs no network: stimuli by split, label and factor, the
    scene of each, boxes, instance masks and patch grids laid over them, balance charts, and the
    learning curves of a validated set. For a set of any size, see 'samediff-stimuli serve'.

    \b
    samediff-stimuli preview rmts-p32-seed0
    samediff-stimuli preview rmts-p32-seed0 --html
    samediff-stimuli preview rmts-p32-seed0 --html --limit 20000 --out all.html
    """
    if html:
        _write_gallery(folder, out, _DEFAULT if limit is None else limit)
        return
    if limit is not None:
        raise InputError(f"--limit {limit} is of a gallery; give --html as well")
    from samediff_stimuli import preview as drawing
    from samediff_stimuli.manifest import load

    picture = drawing.sheet_of_folder(folder, load(folder))
    out = beside(folder, "preview.png") if out is None else out
    drawing.save(picture, out)
    click.echo(str(out))


def _write_gallery(folder: Path, out: Path | None, limit: int) -> None:
    from samediff_stimuli.cards.gallery_page import write_gallery
    from samediff_stimuli.manifest import load

    out = beside(folder, "gallery.html") if out is None else out
    made = load(folder)
    with cli_report.progress(None, f"packing {made.name}") as on_rows:
        shown = write_gallery(folder, made, out, limit, on_rows)
    size = cli_report.size(out.stat().st_size)
    click.echo(str(out))
    click.echo(f"{shown:,} stimuli, {size}; open it in any browser", err=True)


@click.command("serve")
@click.argument("folder", type=_folder)
@click.option(
    "--port", type=int, default=8765, show_default=True, help="Port; 0 for one that is free."
)
def serve_command(folder: Path, port: int) -> None:
    """Show the gallery of a whole dataset in a browser of this machine, until Ctrl-C.

    Rows and images are read when they are looked at, so that a set may have any size. The server
    only reads, and listens on 127.0.0.1 alone: no other machine reaches it.

    \b
    samediff-stimuli serve rmts-p32-seed0
    samediff-stimuli serve dsprites-procedural-all-seed0 --port 9000
    """
    from samediff_stimuli.cards.serving import HOST, server_of

    server = server_of(folder, port)
    click.echo(f"http://{HOST}:{server.server_port}/")
    sys.stdout.flush()  # whoever reads it through a pipe waits for it
    click.echo(f"serving {folder}; Ctrl-C ends it", err=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("ended", err=True)
    finally:
        server.server_close()
