"""The gallery as one HTML page: assembled from its parts, with nothing from elsewhere.

A dataset's words enter the page as JSON alone, from which the script makes text, never markup. The
page's own policy lets no other script run, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from samediff_stimuli.cards import gallery
from samediff_stimuli.cards.gallery_packing import (
    Stimuli,
    pack_columns,
    pack_masks,
    sheets,
    thumbs_for,
)
from samediff_stimuli.manifest import Manifest, write_atomically
from samediff_stimuli.recipe import InputError

SCRIPTS = ("gallery_sources.js", "gallery_drawing.js", "gallery_charts.js", "gallery.js")
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src 'unsafe-inline'; img-src data:; "
    "connect-src {connect}; base-uri 'none'; form-action 'none'"
)


def write_gallery(
    folder: Path,
    made: Manifest,
    out: Path,
    limit: int,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> int:
    """Write a dataset's gallery as a page that needs nothing else, under a temporary name first.

    Args:
        folder: the dataset folder.
        made: its manifest.
        out: file to write.
        limit: stimuli to show; see `gallery.choose`.
        on_rows: told the number of stimuli as their thumbnails, then their masks, are made.

    Returns:
        How many stimuli it shows.

    Raises:
        InputError: if the limit is out of range, or `out` cannot be a page; nothing is written.
        DamagedError: if the dataset is damaged.
    """
    _check(out)
    stimuli = Stimuli(folder, made, gallery.choose(made, limit))
    thumbs = thumbs_for(stimuli)
    about = gallery.about(folder, made)
    places, columns = pack_columns(stimuli.table)
    about |= {
        "served": False,
        "shown": len(stimuli),
        "packed": places,
        "thumbs": asdict(thumbs),
    }
    for split in about["splits"]:
        split["shown"] = len(stimuli.rows[split["name"]])
    pictures = {f"sheet-{n}": sheet for n, sheet in enumerate(sheets(stimuli, thumbs, on_rows))}
    masks = {"masks": pack_masks(stimuli, thumbs, on_rows)} if about["masks"] else {}
    write_atomically(out, page(about, {"columns": columns}, {**pictures, **masks}))
    return len(stimuli)


def _check(out: Path) -> None:
    """Refuse what cannot be a page's file, before any work; no dataset's file ends in .html."""
    if out.is_dir() or not out.name:
        raise InputError(f"--out {out} is a folder; give a file name for the page")
    if out.suffix not in (".html", ".htm"):
        raise InputError(f"--out {out} is no name of a page; legal: one that ends in .html")
    if not out.parent.is_dir():
        raise InputError(f"--out {out} cannot be written: there is no folder {out.parent}")


def page(
    about: Mapping[str, Any],
    early: Mapping[str, bytes] | None = None,
    late: Mapping[str, bytes] | None = None,
) -> str:
    """The page of a dataset.

    Args:
        about: what `gallery.about` says, and how the stimuli lie in the blocks.
        early: blocks of bytes by name, that the first stimuli need.
        late: blocks that may arrive while the page is in use.
    """
    blocks = f'<script type="application/json" id="about">{json_text(about)}</script>\n'
    parts = {
        "policy": escape(policy(served=about["served"])),
        "title": escape(f"{about['name']}: gallery"),
        "style": _part("gallery.css"),
        "script": script(),
        "data": blocks + "\n".join(_block(*item) for item in (early or {}).items()),
        "late": "\n".join(_block(*item) for item in (late or {}).items()),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _part("gallery.html"))


def policy(*, served: bool) -> str:
    """The content security policy: our script and no other, and no network but the own server."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return _POLICY.format(script=f"sha256-{digest}", connect="'self'" if served else "'none'")


def script() -> str:
    """The page's script: its parts in a scope of their own."""
    return "\n".join(['(() => {\n"use strict";', *map(_part, SCRIPTS), "})();"])


def json_text(data: Any) -> str:
    """JSON that can stand inside a script element, whatever words it holds."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _block(name: str, data: bytes) -> str:
    """A block of bytes: no browser looks into a script of this type."""
    return f'<script type="text/plain" id="block-{name}">{base64.b64encode(data).decode()}</script>'


def _part(name: str) -> str:
    return files("samediff_stimuli.cards").joinpath(name).read_text(encoding="utf-8")
