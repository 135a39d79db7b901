"""The options of commands whose work many processes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from samediff_stimuli.engines import NAMES as ENGINES

_CREW = (
    click.option(
        "--workers",
        type=click.IntRange(1),
        help="Shards worked on at once; default: what is fastest here, or all workers of "
        "--address.",
    ),
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="loky",
        show_default=True,
        help="Who works on the shards: processes of this machine (loky), or workers of Dask or "
        "Ray.",
    ),
    click.option(
        "--address",
        help="A running cluster: of Dask tcp://HOST:8786; of Ray HOST:6379 on one of its nodes, "
        "ray://HOST:10001 from elsewhere, or auto. Its workers need this package, and the folder "
        "at the same path on a shared file system. Without it, dask and ray start --workers here.",
    ),
)


def crew_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say who works on the shards."""
    for option in reversed(_CREW):
        command = option(command)
    return command
