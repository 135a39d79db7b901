"""The baseline of Schott et al. 2021 on every way in which a factor set is split."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from samediff_stimuli import tasks
from samediff_stimuli.loaders import FactorDataset
from samediff_stimuli.manifest import load, write_atomically
from samediff_stimuli.models import factor_report
from samediff_stimuli.models.factor_cnn import FactorTrainConfig, train_factors
from samediff_stimuli.models.factors import Evaluation
from samediff_stimuli.recipe import InputError


def train_partitions(
    folder: Path | str,
    out: Path | str,
    config: FactorTrainConfig,
    tell: Callable[[str], None],
    variants: Sequence[str] = (),
) -> dict[str, Evaluation]:
    """Train the baseline on train, and test it on test, of each partition of a factor set.

    Args:
        folder: the dataset folder.
        out: run folder: a folder for each partition, and result.json, result.md and result.png over
            all of them.
        config: how to train.
        tell: given lines of progress.
        variants: which partitions; all when empty.

    Returns:
        Partition -> what was measured on its test split.

    Raises:
        InputError: no factor set, or no such partition.
    """
    folder, out = Path(folder), Path(out)
    manifest = load(folder)
    pairs = _pairs(tasks.get(manifest.recipe.task).splits(manifest.recipe))
    for name in variants:
        if name not in pairs:
            raise InputError(f"unknown variant {name!r}; {folder} has {', '.join(pairs)}")
    found = {}
    for name in variants or pairs:
        train, test = (FactorDataset(folder, split) for split in pairs[name])
        tell(f"{name}: {len(train):,} images to train on, {len(test):,} to test on")
        run = train_factors(
            train, {"test": test}, out / name, config, tell, digest=manifest.digest()
        )
        found[name] = run.evaluations["test"]
        _report(out, manifest.name, manifest.digest(), config, found)
    return found


def _pairs(splits: Sequence[tasks.Split]) -> dict[str, tuple[str, str]]:
    """Partition -> its train and test split."""
    of: dict[str, list[str]] = {}
    for split in splits:
        of.setdefault(split.partition, []).append(split.name)
    return {name: (parts[0], parts[1]) for name, parts in of.items() if len(parts) == 2}


def _report(
    out: Path, name: str, digest: str, config: FactorTrainConfig, found: dict[str, Evaluation]
) -> None:
    """result.json, result.md and result.png over the partitions so far."""
    report = {
        "dataset": name,
        "digest": digest,
        "config": dataclasses.asdict(config),
        "results": {partition: each.as_dict() for partition, each in found.items()},
    }
    write_atomically(out / "result.json", json.dumps(report, indent=1) + "\n")
    write_atomically(out / "result.md", factor_report.markdown(found))
    factor_report.plot(found, out / "result.png", title=name)
