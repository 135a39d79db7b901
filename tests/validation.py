"""Validate the released sets, and keep what says so: cards/releases/NAME and cards/VALIDATION.md.

`python -m tests.validation` makes each released set that recipe `quick` suits in a scratch folder,
validates it, and copies manifest, card, report and picture. `--recipe lepori2024 --device cuda`
runs the outstanding trainings on a machine with a GPU. What is interrupted goes on when the same
command is run again; `--resume` also leaves out what is validated already.
"""

import argparse
import json
import re
import shutil
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from samediff_stimuli import AlignedOptions, InputError, generate, make_recipe, tasks
from samediff_stimuli.cards import croissant, validated
from samediff_stimuli.cli_report import progress
from samediff_stimuli.manifest import load
from samediff_stimuli.markdown import markdown_table
from samediff_stimuli.models import recipes
from samediff_stimuli.models.validation import validate
from samediff_stimuli.recipe import FORMAT_VERSION, Recipe
from tests.cases import FACTOR_SETS, recipe_of
from tests.test_release import DIGESTS, FIRST, RELEASES

ROOT = Path(__file__).resolve().parents[1]
CARDS = ROOT / "cards"
KEPT = CARDS / "releases"
PAGE = CARDS / "VALIDATION.md"
SCRATCH = ROOT / "build" / "validation"
FILES = ("manifest.json", "README.md", croissant.NAME, validated.REPORT, validated.PICTURE)


@dataclass(frozen=True, kw_only=True)
class Released:
    """A set that is validated.

    Attributes:
        recipe: what it is made from.
        digest: the content digest that tests pin; None where only its own manifest has it.
        only: training recipes that it is for; all that suit when empty.
    """

    recipe: Recipe
    digest: str | None = None
    only: tuple[str, ...] = ()

    @property
    def name(self):
        """The dataset's name."""
        return tasks.get(self.recipe.task).name_of(self.recipe)

    def planned(self):
        """Names of the training recipes that it is to be validated with."""
        names = self.only or tuple(recipes.RECIPES)
        found = [name for name in names if recipes.suits(name, self.recipe)]
        trained = [name for name in found if name != recipes.CHECKS]
        return trained or found


@lru_cache(maxsize=1)
def released():
    """Name -> every set of tests/test_release.py, photoreal, and the other geometries of the paper
    that `lepori2024` is about."""
    pins = {name: digest for name, (digest, _) in RELEASES.items()}
    pins |= {key.split("-")[0]: digest for key, digest in json.loads(DIGESTS.read_text()).items()}
    found = [Released(recipe=recipe_of(*case), digest=pins[case[0]]) for case in FIRST]
    found += [Released(recipe=make_recipe(name, 0), digest=pins[name]) for name in FACTOR_SETS]
    photos = load(KEPT / "photoreal")
    found.append(Released(recipe=photos.recipe, digest=photos.digest()))
    for task in sorted(RELEASES):
        for patch, combinations in ((16, 256), (32, 32), (16, 32), (14, 256), (14, 32)):
            options = AlignedOptions(patch_size=patch, combinations=combinations)
            found.append(Released(recipe=make_recipe(task, 0, options), only=("lepori2024",)))
    return {each.name: each for each in found}


def report_of(name):
    """The report kept of a set as it is released; None if there is none, or one of other data."""
    report, pinned = validated.stored(KEPT / name), released()[name].digest
    return report if report and pinned in (None, report["digest"]) else None


def keep(folder, name):
    """Copy what says which data a set holds and how it was validated; no images of it."""
    place = KEPT / name
    place.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        if (folder / file).is_file():
            shutil.copy(folder / file, place / file)


def bring_back(folder, name):
    """Put what was validated before into a set that was made anew, so that reports add up."""
    kept, digest = report_of(name), load(folder).digest()
    if kept is None or kept["digest"] != digest or validated.stored(folder) is not None:
        return
    picture = folder.with_name(f"{folder.name}-picture.png")
    has = (KEPT / name / validated.PICTURE).is_file()
    if has:
        shutil.copy(KEPT / name / validated.PICTURE, picture)
    validated.attach(folder, kept, picture if has else None)


def run(name, runs, given):
    """Make a set if it is not there, validate it, keep the reports; whether all gates passed."""
    each, folder = released()[name], given.scratch / name
    with progress(None, f"making {name}") as on_rows:
        made = generate(each.recipe, folder, on_rows=on_rows)
    if each.digest not in (None, made.digest()):
        raise InputError(f"{name} has digest {made.digest()[:12]}; released is {each.digest[:12]}")
    bring_back(folder, name)
    found = validate(
        folder,
        given.recipe,
        given.scratch / f"{name}-validation",
        runs=runs,
        device=given.device,
        tell=lambda line: print(line, file=sys.stderr, flush=True),
        progress=progress,
    )
    print(f"## {name}\n\n{found.markdown()}", flush=True)
    for problem in found.problems():
        print(f"Error: {name}: {problem}", file=sys.stderr, flush=True)
    if found.attached:
        keep(folder, name)
        PAGE.write_text(page())
    return not found.problems()


def data_format():
    """The data's format and the release that it is listed under in the changelog."""
    text = (ROOT / "CHANGELOG.md").read_text()
    for release in re.split(r"(?m)^## ", text)[1:]:
        if re.search(rf"(?m)^- Format {FORMAT_VERSION}\b", release):
            return f"{FORMAT_VERSION}, of {release.splitlines()[0].strip()}"
    raise InputError(f"format {FORMAT_VERSION} is not in CHANGELOG.md; list it under Data")


def rows_of(each):
    """The lines of the page on a set: one for each run that was made, one for all others."""
    report = report_of(each.name)
    name = f"[{each.name}](releases/{each.name})" if report else each.name
    for recipe in each.planned():
        known = {} if report is None else report["recipes"].get(recipe, {})
        runs = [run.name for run in recipes.get(recipe).runs(each.recipe)]
        if known and not runs:
            yield [name, recipe, "no training", _result(report), "", "", _format_of(report)]
        for run, made in known.get("runs", {}).items():
            splits = made["splits"].items()
            reached = ", ".join(f"{s} {validated.number(v['value'])}" for s, v in splits)
            device = f"{made['device']}; {made['minutes']:.1f} minutes"
            result = _result(report, made["gates"])
            yield [name, recipe, run, result, reached, device, _format_of(report)]
        left = [run for run in runs if run not in known.get("runs", {})]
        if left or not known:
            yield [name, recipe, ", ".join(left), "not run", "", "", data_format()]


def _result(report, gates=()):
    """Whether a run and the checks passed, or what failed."""
    found = [*report["checks"]["gates"], *gates]
    failed = [gate["gate"] for gate in found if not gate["passed"]]
    return f"**failed**: {', '.join(failed)}" if failed else "passed"


def _format_of(report):
    """The data format of a report."""
    return data_format() if report["format"] == FORMAT_VERSION else str(report["format"])


INTRODUCTION = """# Validation of the released sets

Made by `python -m tests.validation` from the reports in [releases](releases), which hold recipe,
card, digests and validation of each set, and none of its images. A set passes if its files verify,
no image occurs twice, no statistic and no shortcut tells the label, and every run keeps its bounds.
Reached is accuracy (of grids of factors: R2) by split; the reports have intervals and classes. What
is not run: `python -m tests.validation --recipe RECIPE --device cuda --resume`."""


def page():
    """cards/VALIDATION.md, from what is kept in cards/releases and nothing else."""
    heads = ["set", "recipe", "run", "result", "reached", "device", "data format"]
    rows = [row for each in released().values() for row in rows_of(each)]
    about = [
        [f"`{r.name}`", r.about, r.source, r.hours, r.expects, r.suits]
        for r in recipes.RECIPES.values()
    ]
    table = markdown_table(["recipe", "trains", "source", "takes", "expected", "for"], about)
    parts = [INTRODUCTION, markdown_table(heads, rows), "## Recipes", table]
    return "\n\n".join(parts) + "\n"


def outstanding(each, given):
    """Names of the runs to make on a set; None if there is nothing to do.

    Raises:
        InputError: a set that was asked for, and that the recipe or run is not for.
    """
    recipe = given.recipe
    if given.sets is None and recipe not in each.planned():
        return None
    known = [run.name for run in recipes.get(recipe).runs(each.recipe)]
    asked = [name for name in given.runs if given.sets is not None or name in known]
    if given.runs and not asked:
        return None
    wanted = recipes.runs_of(recipe, each.recipe, asked, device=given.device)
    if given.sets is None and not asked and wanted and not any(run.chosen for run in wanted):
        print(f"{each.name}: its runs start from published weights; name one with --run")
        return None
    report = report_of(each.name) if given.resume else None
    if report is None or recipe not in report["recipes"]:
        return [run.name for run in wanted]
    made = report["recipes"][recipe]["runs"]
    left = [run.name for run in wanted if run.name not in made]
    if not left:
        print(f"{each.name}: validated already", file=sys.stderr)
    return left or None


def main(arguments=None):
    """Validate sets; exit code 1 if a gate failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.validation", description=__doc__)
    parser.add_argument("--recipe", default="quick", choices=list(recipes.RECIPES))
    parser.add_argument("--set", dest="sets", nargs="+", metavar="NAME", choices=list(released()))
    parser.add_argument("--run", dest="runs", nargs="+", default=[], help="runs of the recipe")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true", help="leave out what is validated already")
    parser.add_argument("--scratch", type=Path, default=SCRATCH)
    parser.add_argument("--page", action="store_true", help="only write cards/VALIDATION.md anew")
    given = parser.parse_args(arguments)
    given.scratch.mkdir(parents=True, exist_ok=True)
    passed = True
    for name, each in {} if given.page else released().items():
        if name not in (given.sets or [name]):
            continue
        try:
            runs = outstanding(each, given)
            passed &= runs is None or run(name, runs, given)
        except InputError as error:
            print(f"Error: {name}: {error}", file=sys.stderr, flush=True)
            passed = False
    PAGE.write_text(page())
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
