"""Whether a dataset may be released: verify, audit, shortcut baselines, and a recipe's training.

Everything is judged against stated bounds. The report goes into the dataset folder, and its card
tells it; what was trained, and what is finished, is kept beside the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samediff_stimuli import engine, locks, tasks, verification
from samediff_stimuli.cards import validated
from samediff_stimuli.cards.audit import SHOWN_ONLY, Audit, audit
from samediff_stimuli.manifest import Manifest, load, write_atomically
from samediff_stimuli.models import figures, recipes, validation_plot, validation_runs
from samediff_stimuli.models.factor_cnn import FactorTrainConfig
from samediff_stimuli.models.shortcuts import ShortcutReport, shortcuts
from samediff_stimuli.models.train import pick_device
from samediff_stimuli.models.validation_runs import Found, rounded
from samediff_stimuli.recipe import FORMAT_VERSION, InputError

Progress = Callable[[int | None, str], AbstractContextManager[Callable[[int], None]]]

SHORTCUT_ROWS = 4000  # of each split
_CHECKS = "checks.json"
# Sets whose statistics are shown and not judged, and why.
_UNJUDGED = {
    "naturalistic": "Statistics are not judged: pictures differ in ink as they do, and few of them "
    "are shown often."
}


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What a validation found.

    Attributes:
        recipe: name of the training recipe.
        report: what validation.json holds, plain data; of other recipes as well.
        runs: names of the runs that were asked for.
        attached: whether it is in the dataset folder: not if that is damaged.
    """

    recipe: str
    report: Found
    runs: tuple[str, ...]
    attached: bool

    def gates(self) -> list[Found]:
        """Every gate of the checks and of the runs that were asked for."""
        found = list(self.report["checks"]["gates"])
        made = self.report["recipes"].get(self.recipe, {"runs": {}})["runs"]
        for name in self.runs:
            gates = made[name]["gates"] if name in made else []
            found += [{**gate, "gate": f"{name}: {gate['gate']}"} for gate in gates]
        return found

    def problems(self) -> list[str]:
        """One line for each failed gate, then its details."""
        lines = []
        for gate in self.gates():
            if gate["passed"]:
                continue
            reached = validated.number(gate["value"])
            lines.append(f"{gate['gate']} is {reached}; {validated.bound(gate)} ({gate['why']})")
            lines += [f"  {line}" for line in gate.get("details", [])]
        return lines

    def markdown(self) -> str:
        """The checks, and this recipe's runs."""
        made = self.report["recipes"].get(self.recipe)
        parts = [validated.checks(self.report["checks"])]
        if made is not None:
            parts += validated.recipe_section(self.recipe, made, by_class=False)
        return "\n\n".join(parts) + "\n"


@contextlib.contextmanager
def _silent(total: int | None, what: str) -> Any:
    """Progress that nobody looks at."""
    yield lambda rows: None


def validate(
    folder: Path | str,
    recipe: str,
    out: Path | str | None = None,
    *,
    runs: Sequence[str] = (),
    device: str = "auto",
    weights: str | None = None,
    tell: Callable[[str], None] = lambda line: None,
    progress: Progress = _silent,
) -> Validation:
    """Check a dataset folder, train a recipe on it, judge both, and write the report into it.

    An interrupted validation goes on where it stopped. Reports of several recipes and runs add up
    in the folder; those of another content are replaced. A folder whose verification fails is not
    trained on, and not changed.

    Args:
        folder: the dataset folder.
        recipe: name of a training recipe, see `recipes.RECIPES`.
        out: folder for what is trained and finished; default FOLDER-validation. Each content
            digest has its own folder in it.
        runs: names of the recipe's runs; when empty, those that need no published weights.
        device: "auto", "cpu", "cuda" or "mps".
        weights: local file of the weights that the one chosen run starts from.
        tell: given lines of progress.
        progress: given a total and words, opens a bar: a context whose value is told of steps.

    Raises:
        InputError: no dataset, an unknown recipe or run, one that does not suit the dataset, no
            such device, several processes, or another that validates the same.
        DamagedError: if the manifest, or a file that is trained on, is damaged.
    """
    folder = Path(folder)
    manifest = load(folder)
    chosen = recipes.runs_of(recipe, manifest.recipe, runs, device=device, weights=weights)
    pick_device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("validate runs in one process; call it without torchrun")
    store = _store(folder, manifest, out)
    with locks.held(store / locks.NAME, f"--out {store}"):
        checks = _checks(folder, manifest, store, tell, progress)
        report = _begun(folder, manifest, tell)
        report["checks"] = {name: part for name, part in checks.items() if name != "state"}
        names = tuple(run.name for run in chosen)
        if checks["verify"]["problems"]:
            tell(
                f"{folder} is not what its manifest says: nothing is trained, nothing in it changed"
            )
            return Validation(recipe=recipe, report=report, runs=names, attached=False)
        about = recipes.get(recipe)
        head = {"about": about.about, "source": about.source, "hours": about.hours}
        before = report["recipes"].get(recipe, {"runs": {}})["runs"]
        report["recipes"][recipe] = {**head, "expects": about.expects, "runs": before}
        for run in chosen:
            total = _images(manifest, run)
            with progress(total, f"{recipe}: {run.name}") as on_images:
                place = store / recipe / run.name
                before[run.name] = validation_runs.find(
                    folder, manifest, run, place, tell, on_images
                )
        for run in chosen:
            before[run.name]["gates"] = validation_runs.judge(run, before)
        report = rounded(report)
        write_atomically(store / validated.REPORT, json.dumps(report, indent=1) + "\n")
        picture = store / validated.PICTURE
        drawn = validation_plot.plot(report, picture)
        if not drawn and any(each["runs"] for each in report["recipes"].values()):
            tell(f"no picture: {figures.ABSENT}")
        with locks.held(folder / locks.NAME, str(folder)):
            validated.attach(folder, report, picture if drawn else None)
        return Validation(recipe=recipe, report=report, runs=names, attached=True)


def _store(folder: Path, manifest: Manifest, out: Path | str | None) -> Path:
    """The folder for what is finished, of this content alone.

    Raises:
        InputError: if it cannot be made, or is the dataset itself.
    """
    whole = folder.resolve()
    place = whole.with_name(f"{whole.name}-validation") if out is None else Path(out)
    if place.resolve() == whole:
        raise InputError(f"--out {out} is the dataset; give another folder")
    store = place / manifest.digest()[:12]
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {place} cannot be written: {error.strerror}") from None
    return store


def _begun(folder: Path, manifest: Manifest, tell: Callable[[str], None]) -> Found:
    """The report in the folder, to go on with, or a new one."""
    digest = manifest.digest()
    known = validated.stored(folder)
    if known is not None and known["digest"] != digest:
        tell(
            f"{folder / validated.REPORT} is of content {known['digest'][:12]}, the dataset's is "
            f"{digest[:12]}: the old report is replaced"
        )
        known = None
    return {
        "validation": validated.VERSION,
        "dataset": manifest.name,
        "digest": digest,
        "format": FORMAT_VERSION,
        "recipe": manifest.recipe.as_dict(),
        "checks": {},
        "recipes": {} if known is None else known["recipes"],
    }


def _images(manifest: Manifest, run: recipes.Run) -> int | None:
    """How many images a run trains on in all, if it says so as it goes."""
    if isinstance(run.config, FactorTrainConfig):
        return None
    rows = next(
        s.rows for s in tasks.get(manifest.recipe.task).splits(manifest.recipe) if s.name == "train"
    )
    size = run.config.batch_size
    return run.config.epochs * (rows // size * size)


def _checks(
    folder: Path, manifest: Manifest, store: Path, tell: Callable[[str], None], progress: Progress
) -> Found:
    """What verify, audit and shortcut baselines find; kept until a file changes."""
    state = _state(folder, manifest)
    try:
        known: Found = json.loads((store / _CHECKS).read_text(encoding="utf-8"))
        if state is not None and known["state"] == state:
            tell(f"checks: finished before; {store / _CHECKS} is taken")
            return known
    except (OSError, ValueError, KeyError, TypeError):
        pass
    began, rows = time.perf_counter(), sum(shard.rows for shard in manifest.shards)
    with progress(rows, "verify") as on_rows:
        verified = dataclasses.asdict(verification.verify(folder, False, on_rows))
    found: Found = {"verify": verified}
    if verified["problems"]:
        none = {"skipped": "not looked at: verification failed"}
        found |= {"audit": none, "shortcuts": none}
    elif tasks.get(manifest.recipe.task).space(manifest.recipe) is not None:
        found |= _of_grid(manifest)
    else:
        with progress(rows, "audit") as on_rows:
            found["audit"] = _audited(audit(folder, on_rows), manifest.recipe.task)
        splits = len(tasks.get(manifest.recipe.task).splits(manifest.recipe))
        try:
            with progress(splits, "shortcuts") as on_split:
                read = shortcuts(folder, rows=SHORTCUT_ROWS, on_done=lambda split: on_split(1))
            found["shortcuts"] = _read_out(read)
        except InputError as error:  # what the set shows is not theirs to read
            found["shortcuts"] = {"skipped": str(error)}
    found["gates"] = _gates(found)
    found["minutes"] = (time.perf_counter() - began) / 60
    found["versions"] = validation_runs.versions()
    found = rounded(found)
    if not verified["problems"]:
        kept = {"state": state or _state(folder, manifest), **found}
        write_atomically(store / _CHECKS, json.dumps(kept, indent=1) + "\n")
    return found


def _state(folder: Path, manifest: Manifest) -> str | None:
    """A digest of how the data files lie there; None if something that is written last differs."""
    try:
        for extra in manifest.extras:
            if engine.record_of(folder, folder / extra.path) != extra:
                return None
        files = [*manifest.data_files(), *(index.file for index in manifest.indices)]
        stats = [(file.path, (folder / file.path).stat()) for file in files]
    except OSError:
        return None
    seen = [[path, stat.st_size, stat.st_mtime_ns] for path, stat in stats]
    text = json.dumps([manifest.digest(), validation_runs.versions(), SHORTCUT_ROWS, seen])
    return hashlib.sha256(text.encode()).hexdigest()


def _of_grid(manifest: Manifest) -> Found:
    """What stands for audit and shortcuts of a grid of factors, each of which an image tells."""
    told = ", ".join(f"{name} {count:,}" for name, count in manifest.repeats.items())
    return {
        "audit": {
            "skipped": "images were compared when the set was made; test images with the pixels "
            f"of a training image: {told or 'not counted'}",
            "repeated": sum(manifest.repeats.values()),
        },
        "shortcuts": {"skipped": "an image is to tell every factor, so there are none"},
    }


def _audited(found: Audit, task: str) -> Found:
    """An audit as plain data."""
    judged = [c for c in found.confounds if c.feature not in SHOWN_ONLY]
    furthest = max(judged, key=lambda c: abs(c.auc - 0.5) / c.error, default=None)
    lines, telling = found.problems(), sum(c.tells for c in found.confounds)
    return {
        "rows": found.rows,
        "repeated": sum(found.repeats.values()),
        "repeats": [[*pair, count] for pair, count in found.repeats.items() if count],
        "statistics": len(judged),
        "furthest": furthest and dataclasses.asdict(furthest),
        "note": _UNJUDGED.get(task, ""),
        "problems": lines,
        "telling": [] if task in _UNJUDGED else lines[len(lines) - telling :],
    }


def _read_out(found: ShortcutReport) -> Found:
    """Shortcut baselines as plain data."""
    return {
        "rows": found.rows,
        "fitted": found.fitted,
        "found": [
            {
                "view": s.view,
                "target": s.target,
                "split": s.split,
                "n": s.n,
                "accuracy": s.accuracy,
                "ceiling": s.ceiling.value,
                "bound": s.bound,
                "tells": s.tells,
            }
            for s in found.found
        ],
        "problems": found.problems(),
    }


def _gates(found: Found) -> list[Found]:
    """The gates of the checks: nothing may be found."""
    audited, read = found["audit"], found["shortcuts"]
    counts = [
        ("verify: problems", found["verify"]["problems"], "the folder is what its recipe gives"),
    ]
    if "telling" in audited:
        repeats = [f"{n} of {a} occur again in {b}" for a, b, n in audited["repeats"]]
        counts.append(("audit: images that occur again", repeats, "no leak between splits"))
        why = "4 standard errors from chance" if not audited["note"] else "not judged"
        counts.append(("audit: statistics that tell the label", audited["telling"], why))
    if "problems" in read:
        why = "4 standard errors above ceiling or chance"
        counts.append(("shortcuts: readouts beyond their bound", read["problems"], why))
    gates = [_count(name, len(lines), lines, why) for name, lines, why in counts]
    if "repeated" in audited and "telling" not in audited:
        name = "audit: test images with the pixels of a training image"
        gates.append(_count(name, audited["repeated"], [], "no leak between splits"))
    return gates


def _count(name: str, value: int, details: Sequence[str], why: str) -> Found:
    return {
        "gate": name,
        "low": None,
        "high": 0,
        "value": value,
        "passed": value == 0,
        "why": why,
        "details": list(details),
    }
