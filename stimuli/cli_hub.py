"""The command that puts datasets on the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samediff_stimuli import cli_report

if TYPE_CHECKING:
    from samediff_stimuli.cards.publishing import Plan, Published


@click.command("publish")
@click.argument("folders", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--repo-id", required=True, help="ORG/NAME; made if there is no such repository.")
@click.option("--private", is_flag=True, help="Make the repository private.")
@click.option("--revision", metavar="TAG", help="Tag this state, e.g. v1.0.")
@click.option("--dry-run", is_flag=True, help="List files and show the card; ask no network.")
def publish_command(
    folders: tuple[Path, ...], repo_id: str, private: bool, revision: str | None, dry_run: bool
) -> None:
    """Put datasets on the Hub: HDF5 shards, Parquet mirror, manifest, card, preview, validation.

    Each of FOLDERS becomes a config named as its dataset, e.g. rmts-p32, and another of some
    hundred rows, rmts-p32-mini; mini is that of the first. Datasets that the repository holds
    already stay, so that more can be added later; its card is made anew. A folder that does not
    verify is refused, and so is a repository that holds something else.

    Everything appears at once, in one commit. When the connection breaks, run the same command
    again: what arrived is not sent twice. Log in with 'hf auth login', or set HF_TOKEN.

    \b
    samediff-stimuli publish rmts-p32-seed0 --repo-id ORG/NAME --dry-run
    samediff-stimuli publish rmts-p32-seed0 --repo-id ORG/NAME --revision v1.0
    samediff-stimuli publish discrimination-p32-seed0 squiggles-seed0 --repo-id ORG/NAME
    """
    from samediff_stimuli.cards import publishing
    from samediff_stimuli.manifest import load

    total = sum(shard.rows for folder in folders for shard in load(folder).shards)
    with cli_report.progress(total, "checking") as on_rows:
        if dry_run:
            planned = publishing.plan(folders, repo_id, revision, on_rows)
        else:
            made = publishing.publish(
                folders, repo_id, private=private, revision=revision, on_rows=on_rows
            )
    if dry_run:
        _say_planned(planned)
    else:
        _say_published(made, revision)


def _say_planned(planned: Plan) -> None:
    """List what would be sent, and show the card."""
    for file in planned.files:
        click.echo(f"{file.n_bytes:>13,}  {file.path}")
    n_bytes = sum(file.n_bytes for file in planned.files)
    click.echo(f"{planned.repo_id}: {len(planned.files)} files, {cli_report.size(n_bytes)}\n")
    click.echo(planned.card)
    click.echo("Nothing was sent.", err=True)


def _say_published(made: Published, revision: str | None) -> None:
    """Say what is on the Hub, and the code that loads it."""
    from samediff_stimuli import tasks
    from samediff_stimuli.cards.repository import configs_of

    planned = made.plan
    n_bytes = sum(file.n_bytes for file in made.changed)
    kept = len(planned.files) - len(made.changed)
    click.echo(
        f"{made.url}: {len(made.changed)} files new or changed, {cli_report.size(n_bytes)}; {kept} "
        "were there"
    )
    tagged = f", tag {revision}" if revision else ""
    click.echo(f"commit {made.commit}{tagged}")
    repo = json.dumps(planned.repo_id)
    pinned = f", revision={json.dumps(revision)}" if revision else ""
    click.echo("\nNext:\n  from datasets import load_dataset")
    for config in configs_of(planned.members):
        click.echo(f"  data = load_dataset({repo}, {json.dumps(config)}{pinned})")
    first = planned.members[0]
    split = tasks.get(first.manifest.recipe.task).splits(first.manifest.recipe)[0].name
    words = f"{repo}, {json.dumps(first.name)}, {json.dumps(split)}{pinned}"
    click.echo("\n  from samediff_stimuli.loaders import from_hub")
    click.echo(f"  data = from_hub({words})  # HDF5, the fast reader")
