"""The command that makes a dataset again."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex

from samediff_stimuli import tasks
from samediff_stimuli.recipe import InputError, Recipe


def command(recipe: Recipe) -> str:
    """The shortest command that makes a recipe: no option that follows from the others."""
    task = tasks.get(recipe.task)
    make = type(recipe.options)
    specs = {spec.name: spec.metadata for spec in dataclasses.fields(make)}
    fixed = {name: getattr(recipe.options, name) for name in specs if specs[name].get("derived")}
    needed = {n: getattr(recipe.options, n) for n in make.names() if n not in fixed}
    for name in list(needed):
        fewer = {other: value for other, value in needed.items() if other != name}
        with contextlib.suppress(InputError):  # what is left may not go together
            if make(**fixed, **fewer) == recipe.options:
                needed = fewer
    words = ["samediff-stimuli generate", f"--task {recipe.task}", f"--seed {recipe.seed}"]
    if not task.source:
        space = task.space(recipe)
        words = ["samediff-stimuli import", "FOLDER" if space is None else "SOURCE", "--out DIR"]
        words += [f"--label {f.name}" for f in (space.factors if space else ()) if not f.held]
    offered = {n: metadata for n, metadata in specs.items() if not metadata.get("derived")}
    local = {n: metadata["sign"] for n, metadata in offered.items() if metadata.get("local")}
    used = [n for n, s in local.items() if s is None or (s and getattr(recipe.options, s))]
    words += [f"--{name.replace('_', '-')} PATH" for name in used]
    for name, value in needed.items():
        flag = name.replace("_", "-")
        words.append(
            f"--{'' if value else 'no-'}{flag}"
            if isinstance(value, bool)
            else f"--{flag} {shlex.quote(str(value))}"
        )
    return " ".join(words)
