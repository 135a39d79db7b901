"""What the card of minimal quads says besides: the edits, and how to take them out."""

from __future__ import annotations

from samediff_stimuli import aligned_options
from samediff_stimuli.markdown import markdown_table
from samediff_stimuli.quad_options import CHANGES, GROUP, VARIANTS, is_rmts
from samediff_stimuli.recipe import Recipe

DEPARTURES = (
    "The paper has no such sets. Its released code renders the counterparts of a scene anew, at "
    "other offsets and with other noise; here the rows of a group share places, offsets and "
    "noise, and differ in pixels of the edited object alone.",
    aligned_options.OWN_SILHOUETTES,
    aligned_options.OWN_NOISE,
    "Every object is a group's base, and every object what a double edit leads to, equally often "
    "to within one; old and new shapes and colours are as frequent as that.",
    "In rmts the display and the sample of a group never share an object, in any of its rows.",
    "No stimulus occurs twice, within or across splits, but for the two controls, which show their "
    "base at another offset and with other noise.",
    "With 32 combinations no two shapes share two colours, so that the row `both` of a group takes "
    "a shape and a colour of its own; otherwise it takes those of the rows `shape` and `color`.",
    aligned_options.OWN_RING,
    aligned_options.OWN_OOD,
)

_ROWS = f"""Row {GROUP} g + v of a split is variant v of group g. In its base, the row `same`, the
edited pair shows one object twice; every other row differs from it in the edited object alone:"""

_COUNTERFACTUALS = f"""Any two rows of a group are a minimal pair. `changed_box` and
`changed_tokens` say where a row differs from its base, to the pixel. Each object of a pair is
`edited` in half the groups.

```python
import torch
from samediff_stimuli.loaders import StimulusDataset

data = StimulusDataset("DIR", "test", columns=["label", "changed_tokens"])
groups = torch.arange(len(data) // {GROUP})
base, shape = data.batch({GROUP} * groups), data.batch({GROUP} * groups + 1)
```"""

_KEPT = {
    False: "From `same`, each edit of shape or colour flips the label and the controls keep it; "
    "among `shape`, `color` and `both` each edit keeps it.",
    True: "In half the groups the display pair is edited, in half the sample pair, while the other "
    "pair is the same or different, half each. From `same`, each edit of shape or colour flips the "
    "label, from different to same where the other pair is different, and the controls keep it; "
    "among `shape`, `color` and `both` each edit makes another different pair and keeps it.",
}


def sections(recipe: Recipe) -> dict[str, str]:
    """Markdown by heading."""
    rows = [
        [str(number), f"`{variant}`", " and ".join(changed) or "nothing: the base"]
        for number, (variant, changed) in enumerate(zip(VARIANTS, CHANGES, strict=True))
    ]
    table = markdown_table(["v", "variant", "what differs from the base"], rows)
    return {"Edits": "\n\n".join([_ROWS, table, _KEPT[is_rmts(recipe)], _COUNTERFACTUALS])}
