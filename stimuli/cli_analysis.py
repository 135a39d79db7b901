"""Commands that look inside a model: where its attention goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from samediff_stimuli import cli_report

if TYPE_CHECKING:
    from samediff_stimuli.models.attention_report import AttentionReport

_folder = click.Path(path_type=Path)


@click.command("attention")
@click.argument("what", metavar="MODEL")
@click.argument("folder", metavar="DIR", type=_folder)
@click.option("--out", type=_folder, required=True, help="Folder for pictures and tables.")
@click.option("--split", default="test", show_default=True, help="Split whose images are shown.")
@click.option(
    "--images",
    type=click.IntRange(1),
    default=250,
    show_default=True,
    help="Images of each label; the default is the paper's.",
)
@click.option(
    "--form",
    type=click.Choice(["paper", "code"]),
    default="paper",
    show_default=True,
    help="Scores as the paper's text defines them, or as its authors' code has them.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Of the choice of images.",
)
@click.option(
    "--pretrained", is_flag=True, help="Of timm:NAME: timm's weights, from the Hub or its cache."
)
@click.option("--weights", type=_folder, help="Of timm:NAME: a local file of its weights.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option(
    "--batch-size", type=click.IntRange(1), default=16, show_default=True, help="Images at once."
)
def attention_command(
    what: str,
    folder: Path,
    out: Path,
    split: str,
    images: int,
    form: str,
    seed: int,
    pretrained: bool,
    weights: Path | None,
    device: str,
    batch_size: int,
) -> None:
    """Where do the heads of MODEL look: within objects, within pairs, between pairs, elsewhere?

    MODEL is a run folder or checkpoint of train's, of a ViT, or timm:NAME[.TAG] for one of timm's,
    with random weights unless --pretrained or --weights says otherwise. DIR is a dataset of pairs
    of objects.

    Attention-pattern scores follow Lepori et al. 2024: of the attention that leaves an object's
    tokens, the share that goes to the other object of its pair (WP), to the other pair (BP, rmts
    alone) and to the background (BG); what is left counts as within the object (WO). --out gets

    \b
    attention.json, attention.csv   every score of every layer and head, the mean over images
    attention_heads.png             heat map: 0, the head is local, to 1, it is global
    attention_layers.png            the largest score of each layer's heads, by kind

    \b
    samediff-stimuli attention timm:vit_base_patch16_224 rmts-p16-seed0 --out attention
    samediff-stimuli attention rmts-p16-seed0-run rmts-p16-seed0 --out attention --images 50
    """
    from samediff_stimuli.loaders import StimulusDataset
    from samediff_stimuli.models import attention_plot
    from samediff_stimuli.models.attention_report import attention_report, check, chosen
    from samediff_stimuli.models.train_config import pick_device
    from samediff_stimuli.models.vits import vit_of

    cli_report.check_out(out)
    attention_plot.check()
    where = pick_device(device)
    dataset = StimulusDataset(folder, split)
    rows, _ = chosen(dataset, images, seed)
    name, vit = vit_of(what, dataset, pretrained=pretrained, weights=weights)
    check(vit, dataset)
    with cli_report.progress(len(rows), f"asking {what}") as on_rows:
        report = attention_report(
            vit,
            dataset,
            model=name,
            images=images,
            form=form,
            seed=seed,
            batch_size=batch_size,
            device=where,
            on_rows=on_rows,
        )
    _write(out, report)
    click.echo(_summary(report))
    click.echo(
        f"{out}: attention.json, attention.csv, attention_heads.png, attention_layers.png",
        err=True,
    )


def _write(out: Path, report: AttentionReport) -> None:
    """Write pictures and tables, each whole or not at all; the JSON file last."""
    import json

    from samediff_stimuli.manifest import write_atomically
    from samediff_stimuli.models import attention_plot

    out.mkdir(parents=True, exist_ok=True)
    (out / "attention.json").unlink(missing_ok=True)  # an older one's, which is no longer whole
    attention_plot.heat_map(report, out / "attention_heads.png")
    attention_plot.lines(report, out / "attention_layers.png")
    write_atomically(out / "attention.csv", report.csv())
    write_atomically(out / "attention.json", json.dumps(report.as_dict(), indent=1) + "\n")


def _summary(report: AttentionReport) -> str:
    """A table for the terminal: the largest score of each layer's heads."""
    from samediff_stimuli.cli_evaluation import aligned

    largest = report.by_layer()
    lines = [
        f"| layer | {' | '.join(largest)} |",
        f"| {' | '.join(['---'] * (len(largest) + 1))} |",
    ]
    for layer, values in enumerate(zip(*largest.values(), strict=True), start=1):
        lines.append(f"| {layer} | {' | '.join(f'{value:.3f}' for value in values)} |")
    return aligned("\n".join(lines))
