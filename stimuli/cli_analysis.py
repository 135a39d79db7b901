"""Commands that look inside a model: where its attention goes, and what its tokens hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from samediff_stimuli import cli_report
from samediff_stimuli.markdown import markdown_table
from samediff_stimuli.recipe import InputError

if TYPE_CHECKING:
    from samediff_stimuli.models.attention_report import AttentionReport
    from samediff_stimuli.models.checkpoints import Checkpoint
    from samediff_stimuli.models.interchange_report import InterchangeReport

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
@cli_report.seed_option("Of the choice of images.")
@click.option(
    "--pretrained", is_flag=True, help="Of timm:NAME: timm's weights, from the Hub or its cache."
)
@click.option("--weights", type=_folder, help="Of timm:NAME: a local file of its weights.")
@cli_report.device_option
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
    from samediff_stimuli.models import attention_plot, figures
    from samediff_stimuli.models.attention_report import attention_report, check, chosen
    from samediff_stimuli.models.run_folder import check_run_folder
    from samediff_stimuli.models.train_config import pick_device
    from samediff_stimuli.models.vits import vit_of

    check_run_folder(out)
    figures.check()
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
    files: dict[str, str | Callable[[Path], None]] = {
        "attention.csv": report.csv(),
        "attention_heads.png": partial(attention_plot.heat_map, report),
        "attention_layers.png": partial(attention_plot.lines, report),
    }
    _write(out, "attention", report, files)
    click.echo(_summary(report))


def _write(
    out: Path,
    stem: str,
    report: AttentionReport | InterchangeReport,
    files: Mapping[str, str | Callable[[Path], None]],
) -> None:
    """Write a report's files, each whole or not at all, the JSON file last; say which.

    Args:
        out: the folder.
        stem: of the JSON file's name.
        report: for that file.
        files: the text of each other file, or what draws it, by name.
    """
    import json

    from samediff_stimuli.manifest import write_atomically

    out.mkdir(parents=True, exist_ok=True)
    whole = out / f"{stem}.json"
    whole.unlink(missing_ok=True)  # an older one's, which is no longer whole
    for name, content in files.items():
        if isinstance(content, str):
            write_atomically(out / name, content)
        else:
            content(out / name)
    write_atomically(whole, json.dumps(report.as_dict(), indent=1) + "\n")
    click.echo(f"{out}: {', '.join([whole.name, *files])}", err=True)


def _summary(report: AttentionReport) -> str:
    """A table for the terminal: the largest score of each layer's heads."""
    from samediff_stimuli.cli_evaluation import aligned

    largest = report.by_layer()
    rows = [
        [str(layer), *(f"{value:.3f}" for value in values)]
        for layer, values in enumerate(zip(*largest.values(), strict=True), start=1)
    ]
    return aligned(markdown_table(["layer", *largest], rows))


@click.command("interchange")
@click.argument("run", type=_folder)
@click.argument("folder", metavar="DIR", type=_folder)
@click.option("--out", type=_folder, help="Folder for page, tables and picture; default RUN.")
@click.option("--layers", help="Hidden states to change, e.g. 0,2,4; default all that blocks read.")
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Passes over train for each layer and property; the default is the paper's.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Rows in a step."
)
@cli_report.seed_option("Of what is learned.")
@cli_report.device_option
def interchange_command(
    run: Path,
    folder: Path,
    out: Path | None,
    layers: str | None,
    epochs: int,
    batch_size: int,
    seed: int,
    device: str,
) -> None:
    """In which layers can an object's shape or colour be exchanged, so that the ViT's answer turns?

    RUN is a run folder or checkpoint of train's, of a ViT; DIR is a set of --task das, with images
    and patches of the model's size. For each layer, shape and colour, distributed alignment search
    (Lepori et al. 2024, section 4) learns on the train split which subspace of the object's tokens
    holds the property. The table has the share of test rows that get the target label when it is
    exchanged, when the tokens are exchanged whole (which moves the other property, too), when the
    subspace is exchanged in tokens without an object, and without any of it. --out gets

    \b
    interchange.md    what was done, and a table of each test split
    interchange.json, interchange.csv    every number, with its interval
    interchange.png   lines by layer

    \b
    samediff-stimuli train discrimination-p32-seed0 --model vit_mini --disentangle 2 --epochs 6
    samediff-stimuli generate --task das --seed 0
    samediff-stimuli interchange discrimination-p32-seed0-run das-discrimination-p32-seed0
    """
    from samediff_stimuli import das_options
    from samediff_stimuli.models import figures, interchange_plot, interchange_rows
    from samediff_stimuli.models.interchange import InterchangeConfig
    from samediff_stimuli.models.interchange_report import interchange_report, layers_of
    from samediff_stimuli.models.run_folder import check_run_folder
    from samediff_stimuli.models.train_config import pick_device
    from samediff_stimuli.models.vits import trained_vit

    name, found, vit = trained_vit(run)
    out = (run if run.is_dir() else run.parent) if out is None else out
    check_run_folder(out)
    figures.check()
    where = pick_device(device)
    config = InterchangeConfig(epochs=epochs, batch_size=batch_size, seed=seed)
    chosen = layers_of(vit, None if layers is None else _numbers(layers))
    manifest = interchange_rows.check(vit, folder)
    total = len(chosen) * len(das_options.options_of(manifest.recipe).factors) * epochs
    with cli_report.progress(total, f"learning interchanges of {name}") as on_step:
        report = interchange_report(
            vit,
            folder,
            model=name,
            about=_about(found),
            layers=chosen,
            config=config,
            device=where,
            on_step=on_step,
        )
    files: dict[str, str | Callable[[Path], None]] = {
        "interchange.md": report.markdown(),
        "interchange.csv": report.csv(),
        "interchange.png": partial(interchange_plot.lines, report),
    }
    _write(out, "interchange", report, files)
    click.echo(_tables(report))


def _numbers(layers: str) -> list[int]:
    """Layers of "0,2,4".

    Raises:
        InputError: anything else.
    """
    try:
        return [int(layer) for layer in layers.split(",")]
    except ValueError:
        raise InputError(f"--layers {layers!r} is no list; legal: e.g. 0,2,4") from None


def _about(found: Checkpoint) -> str:
    """What a page says of a checkpoint's model."""
    config = found.config
    words = [f"{name} {config[name]}" for name in ("epochs", "lr", "seed") if name in config]
    if config.get("disentangle") is not None:
        words.append(f"with the disentanglement loss at layer {config['disentangle']}")
    how = f" ({', '.join(words)})" if words else ""
    return (
        f"The model is `{found.architecture.kind}`, trained on `{found.dataset}`, content digest "
        f"`{found.digest[:16]}`{how}."
    )


def _tables(report: InterchangeReport) -> str:
    """For the terminal: the kept rows of each split."""
    from samediff_stimuli.cli_evaluation import aligned

    parts = [f"{split}\n\n{aligned(report.table(split))}" for split in report.rows]
    return "\n\n".join(parts)
