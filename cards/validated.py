"""What a validation found, in a dataset folder: validation.json, a picture, a part of the card."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samediff_stimuli import engine, manifest
from samediff_stimuli.manifest import Manifest
from samediff_stimuli.markdown import markdown_table, plain
from samediff_stimuli.recipe import InputError

REPORT, PICTURE = "validation.json", "validation.png"
VERSION = 1  # of the report
HEADING = "## Validation"
_BEFORE = "## Files and digests"  # the heading that it is put before
_CARD = "README.md"
NOT_VALIDATED = (
    "Not validated: no audit of repeats and shortcuts, and no baseline, was run on this copy. "
    "`samediff-stimuli validate DIR` runs them, and tells here what they found."
)
_CLASSES = 16  # of a column whose classes the card lists

_BY_STEP, _BY_EPOCH = ("step", "loss"), ("epoch", "train", "validation")  # of a curve

Report = Mapping[str, Any]


def read(folder: Path, digest: str) -> dict[str, Any] | None:
    """The report of a dataset folder; None if it has none, or one of another content.

    Args:
        folder: the dataset folder.
        digest: its content digest.
    """
    report = stored(folder)
    return report if report is not None and report.get("digest") == digest else None


def stored(folder: Path) -> dict[str, Any] | None:
    """The report in a folder, whatever dataset it is of; None if there is none that is whole."""
    try:
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        known = report["validation"] == VERSION and isinstance(report["digest"], str)
        section(report)  # what the card could not tell is not whole
        for recipe in report["recipes"].values():
            for line in (line for run in recipe["runs"].values() for line in run["curve"]):
                keys = _BY_STEP if "partition" in line else _BY_EPOCH
                if not all(line[key] is None or isinstance(line[key], int | float) for key in keys):
                    return None
        return report if known else None
    except Exception:  # data of other forms raise many kinds
        return None


def attach(folder: Path, report: Report, picture: Path | None) -> Manifest:
    """Write report, picture and the card's part, and list them in the manifest.

    The content and its digest stay as they are. All files are written under temporary names first,
    then renamed one after another; meanwhile the manifest lists none of them, so a folder where
    this was interrupted is not taken for damaged.

    Args:
        folder: the dataset folder.
        report: plain data, of this dataset.
        picture: PNG to take along; it is moved. None for none.

    Returns:
        The manifest with what was added.

    Raises:
        InputError: if the folder holds another dataset by now; nothing is written.
    """
    found = manifest.load(folder)
    if report["digest"] != found.digest():
        raise InputError(
            f"{folder} has content {found.digest()[:16]}, not {report['digest'][:16]}, which was "
            "validated; validate it again"
        )
    card = folder / _CARD
    texts = {REPORT: json.dumps(report, indent=1) + "\n"}
    if card.is_file():
        texts[_CARD] = with_section(card.read_text(encoding="utf-8"), report)
    fresh = {name: folder / f".{name}.{os.getpid()}.tmp" for name in texts}
    kept = {extra.path: extra for extra in found.extras}
    kept.pop(PICTURE, None)
    try:
        for name, path in fresh.items():
            path.write_text(texts[name], encoding="utf-8")
        if picture is not None:
            fresh[PICTURE] = picture
        for name, path in fresh.items():
            record = engine.record_of(path.parent, path)
            kept[name] = dataclasses.replace(record, path=name)
        made = dataclasses.replace(found, extras=tuple(kept.values()))
        others = tuple(extra for extra in found.extras if extra.path not in {*texts, PICTURE})
        manifest.write(folder, dataclasses.replace(found, extras=others))
        for name, path in fresh.items():
            os.replace(path, folder / name)
        if picture is None:
            (folder / PICTURE).unlink(missing_ok=True)  # of an earlier report
        manifest.write(folder, made)
    finally:
        for path in fresh.values():
            path.unlink(missing_ok=True)
    return made


def with_section(card: str, report: Report | None) -> str:
    """The text of a card with a part on this report in place of an earlier one.

    Args:
        card: the text, with or without such a part.
        report: of the dataset; None says that it is not validated.
    """
    bare = re.sub(rf"(?ms)^{HEADING}\n.*?(?=^## )", "", card)
    if f"\n{_BEFORE}\n" not in bare:
        return bare
    head, tail = bare.split(f"\n{_BEFORE}\n", 1)
    told = NOT_VALIDATED if report is None else section(report)
    return f"{head}\n{HEADING}\n\n{told}\n\n{_BEFORE}\n{tail}"


def section(report: Report) -> str:
    """The card's part on a report: checks, then every recipe's runs, bounds and accuracies."""
    parts = [checks(report["checks"])]
    if any(recipe["runs"] for recipe in report["recipes"].values()):
        parts.append(f"![Learning curves, and what was reached on every split]({PICTURE})")
    for name, recipe in report["recipes"].items():
        parts += recipe_section(name, recipe)
    return "\n\n".join(parts)


def checks(found: Report) -> str:
    """What verification, audit and shortcut baselines found, and their bounds."""
    verify, audit, shortcuts = found["verify"], found["audit"], found["shortcuts"]
    told = [
        f"`verify`: {verify['files']} files hashed, {verify['decoded']:,} images decoded, "
        f"{verify['remade']:,} made anew"
        + (f" ({verify['unmade']})" if verify["unmade"] else "")
        + "."
    ]
    if "skipped" in audit:
        told.append(f"`audit`: {audit['skipped']}.")
    else:
        furthest = audit["furthest"]
        told.append(
            f"`audit`: {audit['rows']:,} images, {audit['repeated']:,} of them occur again; of "
            f"{audit['statistics']} statistics "
            + (
                f"{plain(furthest['feature'])} says most of {plain(furthest['target'])} (split "
                f"{furthest['split']}, area {furthest['auc']:.3f}; chance is 0.5)."
                if furthest
                else "none is judged."
            )
            + (f" {audit['note']}" if audit["note"] else "")
        )
    if "skipped" in shortcuts:
        told.append(f"Shortcuts: {shortcuts['skipped']}.")
    else:
        told.append(
            f"Shortcuts: linear readouts, fitted on up to {shortcuts['rows']:,} stimuli of "
            f"{shortcuts['fitted']}; the accuracy of each that is nearest its bound, "
            "and that: " + "; ".join(_shortcut(each) for each in _nearest(shortcuts["found"])) + "."
        )
    lines = "\n".join(f"- {line}" for line in told)
    return f"{lines}\n\n{gates(found['gates'])}"


def _nearest(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of every view, the readout that got nearest its bound, or furthest beyond it."""
    best: dict[str, dict[str, Any]] = {}
    for each in found:
        other = best.get(each["view"])
        if other is None or each["accuracy"] - each["bound"] > other["accuracy"] - other["bound"]:
            best[each["view"]] = each
    return list(best.values())


def _shortcut(found: Report) -> str:
    return f"{found['view']} {found['accuracy']:.3f} (to {found['bound']:.3f})"


def gates(found: list[dict[str, Any]]) -> str:
    """A table of bounds and what was reached."""
    heads = ["gate", "bound", "reached", "", "why this bound"]
    return markdown_table(heads, [[*cells_of(gate), gate["why"]] for gate in found])


def cells_of(gate: Report) -> list[str]:
    """A gate's name, bound and value, and whether it was passed."""
    reached = number(gate["value"])
    return [gate["gate"], bound(gate), reached, "passed" if gate["passed"] else "**failed**"]


def bound(gate: Report) -> str:
    """What a gate asks for, in words."""
    low, high = gate["low"], gate["high"]
    if low is None:
        return f"at most {number(high)}"
    return f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def number(value: float | None) -> str:
    """A count as it is, any other number with three decimals, and what is missing as nothing."""
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def recipe_section(name: str, recipe: Report, *, by_class: bool = True) -> list[str]:
    """Paragraphs on a recipe: its bounds, and what each run reached on every split and class."""
    about = recipe["about"][:1].upper() + recipe["about"][1:]
    if not recipe["runs"]:
        return [f"### Recipe `{name}`", f"{about}."]
    parts = [
        f"### Recipe `{name}`",
        f"{about}. Source: {recipe['source']}. Takes {recipe['hours']}.",
    ]
    judged = [
        [f"`{run_name}`", *cells_of(gate), gate["why"]]
        for run_name, run in recipe["runs"].items()
        for gate in run["gates"]
    ]
    if judged:
        heads = ["run", "gate", "bound", "reached", "", "why this bound"]
        parts.append(markdown_table(heads, judged))
    parts.append(results(recipe["runs"]))
    if by_class:
        parts += classes(recipe["runs"])
    made_by = [f"- `{run_name}`: {made(run)}" for run_name, run in recipe["runs"].items()]
    return [*parts, "\n".join(made_by)]


def classes(runs: Mapping[str, Report]) -> list[str]:
    """A table of what runs reached on the classes of every column: a column for each split."""
    splits = list(dict.fromkeys(split for run in runs.values() for split in run["splits"]))
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for name, run in runs.items():
        for split, found in run["splits"].items():
            for column, by in found["by"].items():
                for cls, each in by.items() if len(by) <= _CLASSES else ():
                    cell = f"{number(each['value'])} of {each['n']:,}"
                    rows.setdefault((f"`{name}`", plain(column), plain(cls)), {})[split] = cell
    if not rows:
        return []
    measure = next(iter(runs.values()))["measure"]
    table = markdown_table(
        ["run", "column", "class", *(f"`{split}`" for split in splits)],
        [[*key, *(cells.get(split, "") for split in splits)] for key, cells in rows.items()],
    )
    head = f"<details><summary>By class: {measure} of so many images</summary>"
    return [f"{head}\n\n{table}\n\n</details>"]


def results(runs: Mapping[str, Report]) -> str:
    """A table of what runs reached: a row for each split, what is known of it beside."""
    names = list(dict.fromkeys(split for run in runs.values() for split in run["splits"]))
    heads = ["split", "images"]
    for name, run in runs.items():
        heads += [f"`{name}` {run['measure']}", *(["before"] if run["expected"] else [])]
    rows = []
    for split in names:
        sizes = [run["splits"][split]["n"] for run in runs.values() if split in run["splits"]]
        row = [f"`{split}`", f"{sizes[0]:,}"]
        for run in runs.values():
            row.append(share(run["splits"][split]) if split in run["splits"] else "")
            row += [number(run["expected"].get(split))] if run["expected"] else []
        rows.append(row)
    return markdown_table(heads, rows)


def share(found: Report) -> str:
    """A value with its interval."""
    if found["value"] is None:
        return ""
    text = number(found["value"])
    if found["low"] is None:
        return text
    return f"{text} ({number(found['low'])} to {number(found['high'])})"


def made(run: Report) -> str:
    """How a run was made, in a line."""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return f"{run['minutes']:.1f} minutes on {run['device']}; {versions}."
