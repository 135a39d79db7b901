"""The baseline of Schott et al. 2021 on every way in which a factor set is split."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from samediff_stimuli import locks, tasks
from samediff_stimuli.loaders import FactorDataset
from samediff_stimuli.manifest import load, write_atomically
from samediff_stimuli.models import factor_report, figures
from samediff_stimuli.models.factor_cnn import FactorTrainConfig, train_factors
from samediff_stimuli.models.factor_report import Evaluation
from samediff_stimuli.models.run_folder import RESULT, check_run_folder, finished
from samediff_stimuli.recipe import InputError


def train_partitions(
    folder: Path | str,
    out: Path | str,
    config: FactorTrainConfig,
    tell: Callable[[str], None],
    variants: Sequence[str] = (),
    *,
    overwrite: bool = False,
) -> dict[str, Evaluation]:
    """Train the baseline on train, and test it on test, of each partition of a factor set.

    A partition that was trained and tested before, in the same way, is not trained again.

    Args:
        folder: the dataset folder.
        out: run folder: a folder for each partition, and, written last, result.md, result.json
            and, if matplotlib is installed, result.png over all of them.
        config: how to train.
        tell: given lines of progress.
        variants: which partitions; all when empty.
        overwrite: whether to train again what was trained in the same way.

    Returns:
        Partition -> what was measured on its test split.

    Raises:
        InputError: no factor set, no such partition, a finished run of another kind or a dataset
            in `out`, or another process that writes there.
    """
    folder, out = Path(folder), Path(out)
    manifest = load(folder)
    check_run_folder(out)
    pairs = _pairs(tasks.get(manifest.recipe.task).splits(manifest.recipe))
    for name in variants:
        if name not in pairs:
            raise InputError(f"unknown variant {name!r}; {folder} has {', '.join(pairs)}")
    chosen, found = tuple(dict.fromkeys(variants)) or tuple(pairs), {}
    about = {
        "variants": list(variants),
        "digest": manifest.digest(),
        "config": dataclasses.asdict(config),
    }
    with locks.held(out / locks.NAME, f"--out {out}"):
        if not overwrite and (out / RESULT).exists():
            _check_same(out, about)
        for name in chosen:
            result = out / name / RESULT
            known = None if overwrite else _finished(result, manifest.digest(), config)
            if known is None:
                train, test = (FactorDataset(folder, split) for split in pairs[name])
                tell(f"{name}: {len(train):,} images to train on, {len(test):,} to test on")
                digest = manifest.digest()
                run = train_factors(train, {"test": test}, out / name, config, tell, digest=digest)
                known = run.evaluations["test"]
            found[name] = known
        results = {name: each.as_dict() for name, each in found.items()}
        report = {"dataset": manifest.name, "folder": str(folder), **about, "results": results}
        picture = out / "result.png"
        write_atomically(out / "result.md", page(report))
        write_atomically(out / RESULT, json.dumps(report, indent=1) + "\n")
        figures.drawn(partial(factor_report.plot, found, title=manifest.name), picture, tell)
        return found


def _check_same(out: Path, about: Mapping[str, Any]) -> None:
    """Refuse to replace what a run of another kind has finished.

    Raises:
        InputError: if the run folder holds such a run.
    """
    try:
        report = json.loads((out / RESULT).read_text(encoding="utf-8"))
        if all(_anywhere(report[name]) == _anywhere(value) for name, value in about.items()):
            return
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise finished(out)


def _anywhere(found: Any) -> Any:
    """What a report says, without the device: that does not decide what is learned."""
    return {k: v for k, v in found.items() if k != "device"} if isinstance(found, dict) else found


def _pairs(splits: Sequence[tasks.Split]) -> dict[str, tuple[str, str]]:
    """Partition -> its train and test split."""
    of: dict[str, list[str]] = {}
    for split in splits:
        of.setdefault(split.partition, []).append(split.name)
    return {name: (parts[0], parts[1]) for name, parts in of.items() if len(parts) == 2}


def _finished(path: Path, digest: str, config: FactorTrainConfig) -> Evaluation | None:
    """What an earlier run of the same kind found, if there was one."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["digest"] != digest:
            return None
        if _anywhere(report["config"]) != _anywhere(dataclasses.asdict(config)):
            return None
        return factor_report.evaluation_from_dict(report["results"]["test"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def page(report: Mapping[str, Any]) -> str:
    """The results as a page: of what, how to come to them again, and tables.

    Args:
        report: what result.json holds.
    """
    config = report["config"]
    words = ["samediff-stimuli", "train", report["folder"]]
    for name in ("steps", "batch_size", "lr", "seed"):
        words += [f"--{name.replace('_', '-')}", str(config[name])]
    words += [word for variant in report["variants"] for word in ("--variant", variant)]
    rows = f"{config['test_images']:,}" if config["test_images"] else "all"
    found = {n: factor_report.evaluation_from_dict(each) for n, each in report["results"].items()}
    return (
        f"# The baseline of Schott et al. 2021 on `{report['dataset']}`\n\n"
        f"`{shlex.join(words)}`; content digest `{report['digest'][:16]}`. Trained on train of "
        f"each partition, tested on {rows} rows of its test, drawn at random.\n\n"
        f"{factor_report.markdown(found)}"
    )
