"""What is to be said of images that this package did not make."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """What is to be said of images that this package did not make.

    Attributes:
        license: as the Hub spells it; "unknown" if nobody said.
        notes: lines for the card: where the images come from and what was done to them.
        files: text of files that go into the dataset folder, by name.
        versions: releases of what decoded the images.
    """

    license: str = "unknown"
    notes: tuple[str, ...] = ()
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
