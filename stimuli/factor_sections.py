"""What the card of a factor set says besides: its factors, what is held out, twins, the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from samediff_stimuli.factor_options import FactorOptions, SplitOptions
from samediff_stimuli.factors import Factor, official
from samediff_stimuli.factors.holding import holding
from samediff_stimuli.markdown import markdown_table
from samediff_stimuli.recipe import Recipe

if TYPE_CHECKING:
    from samediff_stimuli.factor_set import FactorSet


def sections(of: FactorSet, recipe: Recipe) -> dict[str, str]:
    """Markdown by heading; of images of others, the card itself says where they come from."""
    options = recipe.options
    assert isinstance(options, SplitOptions)  # make_recipe has checked it
    found = {"Who made the images": _source(of, options)} if _is_drawn(options) else {}
    found |= {"Factors": _factors(of), "What the splits hold out": _held(of, recipe, options)}
    if any(factor.twins for factor in of.space.factors):
        found["Twins"] = _twins(of, options)
    if of.turns:
        found["Symmetry"] = _symmetry(of)
    return found | ({"Limits": _LIMITS} if _is_drawn(options) else {})


def _is_drawn(options: SplitOptions) -> TypeGuard[FactorOptions]:
    return isinstance(options, FactorOptions)


def _source(of: FactorSet, options: FactorOptions) -> str:
    if options.source == "procedural":
        return (
            f"This package drew every image; none is from the published {of.title}. {of.look} "
            f"Results on these images are not results on {of.title}: name the set "
            f"`{of.space.name}-procedural` when you report them, and make the other one with "
            "`--source official --archive FILE`."
        )
    archive = official.published(of.space.name, options.archive_name)
    return (
        f"The images are those of the published file `{archive.file}` (MD5 `{archive.md5}`), pixel "
        f"by pixel{', times 255' if archive.scale != 1 else ''}; this package read them and drew "
        "none. "
        f"Cite their makers: {archive.cite}"
    )


def _factors(of: FactorSet) -> str:
    rows = [
        [f"`{f.name}`", str(len(f)), _values(f), f.about, "yes" if f.held else "no"]
        for f in of.space.factors
    ]
    text = markdown_table(["factor", "levels", "values", "what it is", "may be held out"], rows)
    return f"{text}\n\nThe last factor varies fastest. Targets are level / (levels - 1)."


def _values(factor: Factor) -> str:
    if factor.names:
        return ", ".join(factor.names)
    first, second, last = factor.values[0], factor.values[1], factor.values[-1]
    return f"{first:.4g}, {second:.4g} .. {last:.4g}" if len(factor) > 2 else f"{first}, {second}"


def _held(of: FactorSet, recipe: Recipe, options: SplitOptions) -> str:
    rows = []
    for partition in options.partitions:
        train, test = of.counts(recipe, partition)
        text = of.expression(recipe, partition)
        what = "listed in the label files" if options.labelled else "drawn at random"
        rows.append(
            [
                f"`{partition}`",
                what if text is None else f"`{text}`",
                f"{100 * train / (train + test):.1f} : {100 * test / (train + test):.1f}",
                _alone(of, partition) if text and options.hold_out is None else "",
            ]
        )
    text = markdown_table(
        ["partition", "test", "train : test", "factors of which no level is held out"], rows
    )
    about = _PUBLISHED if options.labelled else _OURS if _is_drawn(options) else _OF_OTHERS
    return f"{about}\n\n{text}"


def _alone(of: FactorSet, partition: str) -> str:
    taking_part = dict(holding(of.space, partition).levels)
    return ", ".join(f"`{name}`" for name in of.space.names if name not in taking_part)


def _twins(of: FactorSet, options: SplitOptions) -> str:
    pairs = [(f.name, *pair) for f in of.space.factors for pair in f.twins]
    shown = "; ".join(
        f"`{name}` {later} shows what {earlier} shows" for name, later, earlier in pairs
    )
    factor = next(f for f in of.space.factors if f.twins)
    rows = len(of.space) // len(factor) * len(factor.twins)
    what = {
        "drop": "The later one is in no split, so that every image has one label.",
        "merge": "Both are in the same part: the later one goes where the earlier one goes.",
        "keep": "Both are kept as they fall; see above how many are astride.",
    }[options.twins or "drop"]
    return (
        f"{shown}: {rows:,} of {len(of.space):,} images are the second of a pair. {what} Where "
        "both are kept, no model can tell their levels apart: over the grid, R2 of "
        f"`{factor.name}` is at most {_bound(factor):.3f}."
    )


def _symmetry(of: FactorSet) -> str:
    names = of.space.factor(of.shape).names
    turned = [f"the {n} after 1/{t} turn" for n, t in zip(names, of.turns, strict=True) if t > 1]
    reach = sum(1 / turns**2 for turns in of.turns) / len(of.turns)
    return (
        f"Some shapes look nearly the same when they are turned: {', '.join(turned)}. To the pixel "
        "only twins show the same, but small sprites differ by as little as a pixel. A model that "
        f"does not see that gets an R2 of `orientation` of about {reach:.2f} at most; the column "
        "`phase` is the orientation up to the shape's symmetry. Orientation is a circle: what "
        "extrapolation holds out lies between levels of training, the last and the first."
    )


def _bound(factor: Factor) -> float:
    """The largest R2 over the grid of a model that sees images, if twins are kept."""
    n = len(factor)
    lost = sum((later - earlier) ** 2 for later, earlier in factor.twins) / (2 * n * (n - 1) ** 2)
    return 1 - lost * 12 * (n - 1) / (n + 1)


_OURS = (
    "The levels are ours: Schott et al. 2021 published the geometry of the splits and ready label "
    "files, not the levels (`--split-labels DIR` takes those files). Numbers are levels."
)
_OF_OTHERS = (
    "The levels are chosen by this package, after the geometry of the splits of Schott et al. 2021 "
    "(arXiv:2107.08221). Numbers are levels."
)
_PUBLISHED = (
    "The rows are those of the label files that were given, in their order; their SHA-256 is in "
    "the recipe. Nothing says here that they are the benchmark's own."
)
_LIMITS = (
    "One small object in one scene: what a model does here says little about photographs. R2 is "
    "taken over the variance of the whole grid, as the benchmark does: it can fall far below 0."
)
