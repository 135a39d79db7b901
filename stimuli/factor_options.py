"""Options of the sets that are grids of factors: where the images come from, how rows are split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from samediff_stimuli.factors import FactorSpace, label_files, official
from samediff_stimuli.factors.archives import PUBLISHED
from samediff_stimuli.factors.expression import parse
from samediff_stimuli.factors.holding import KINDS
from samediff_stimuli.recipe import InputError, Options, derived, local_option, option

VARIANTS = ("random", *KINDS)
Source = Literal["procedural", "official"]
Variant = Literal["all", "random", "composition", "interpolation", "extrapolation"]
Twins = Literal["drop", "merge", "keep"]


def check_choice(name: str, value: object, legal: tuple[str, ...]) -> None:
    """Refuse a word that is not one of a few.

    Raises:
        InputError: if it is none of them.
    """
    if value not in legal:
        raise InputError(f"{name} {value!r} is not legal; legal: {', '.join(legal)}")


@dataclass(frozen=True, kw_only=True)
class SplitOptions(Options):
    """How the rows of a grid of factors are split into train and test.

    Raises:
        InputError: for a value outside its range, options that do not go together, or label files
            that are not what they should be.
    """

    variant: Variant = option("all", "how train and test are split; 'all' gives the four of them")
    hold_out: str | None = option(
        None, "a split of your own: what is true of test, e.g. \"scale>=4 & shape=='heart'\""
    )
    train_percent: int = option(30, "images of the random split that are for training, in per cent")
    twins: Twins | None = option(
        None, "images that show the same: drop the later one, put both in one part, or keep all"
    )
    split_labels: str | None = local_option(
        "folder of the benchmark's NAME_VARIANT_PART_labels.npz, to split as it does",
        sign="labelled",
    )
    labelled: tuple[str, ...] = derived("splits of the label files", ())
    labelled_rows: tuple[int, ...] = derived("images of each of them", ())
    labelled_content: str = derived("SHA-256 over their rows", "")
    materialize: bool = option(False, "store train and test by themselves, as the Hub shows them")

    def __post_init__(self) -> None:
        """Resolve defaults, look at files, and check every range."""
        check_choice("variant", self.variant, ("all", *VARIANTS))
        if self.twins is not None:
            check_choice("twins", self.twins, ("drop", "merge", "keep"))
        if type(self.train_percent) is not int or not 1 <= self.train_percent <= 99:
            raise InputError(f"train_percent {self.train_percent} is out of range; legal: 1 .. 99")
        for name, value in (("hold_out", self.hold_out), ("split_labels", self.split_labels)):
            if value is not None and not isinstance(value, str):
                raise InputError(f"{name} {value!r} is no text; give a str, or leave it out")
        if not isinstance(self.materialize, bool):
            raise InputError(f"materialize {self.materialize!r} is not legal; legal: True, False")
        labelled = bool(self.labelled) or self.split_labels is not None
        if self.twins is None:
            object.__setattr__(self, "twins", "keep" if labelled else "drop")
        self._check_split_labels()
        if labelled and self.twins == "merge":
            raise InputError("twins 'merge' is not possible with split_labels; legal: drop, keep")
        if self.hold_out is not None:
            if self.variant != "all" or self.labelled:
                other = "variant" if self.variant != "all" else "split_labels"
                raise InputError(f"hold_out and {other} are two ways to split; give one")
            parse(self.hold_out, self.space)
        if self.train_percent != 30 and (labelled or "random" not in self.partitions):
            raise InputError(
                f"train_percent {self.train_percent} is for the random split; leave it out, or "
                "give variant random"
            )
        if self.twins != "drop" and not labelled and not any(f.twins for f in self.space.factors):
            raise InputError(f"twins {self.twins!r}: {self.space.name} has none; leave it out")
        if self.materialize and len(self.partitions) > 1:
            raise InputError(
                "materialize takes one variant, or hold_out: else every image is stored "
                f"{len(self.partitions)} times; legal: {', '.join(self.partitions)}"
            )

    @property
    def space(self) -> FactorSpace:
        """The factors; each set's own class has them."""
        raise NotImplementedError

    @property
    def makers(self) -> tuple[str, ...]:
        """Words for a dataset's name: who made the images."""
        raise NotImplementedError

    @property
    def kinds(self) -> tuple[str, ...]:
        """The variants that 'all' stands for."""
        return VARIANTS

    @property
    def partitions(self) -> tuple[str, ...]:
        """The ways in which the set is split into train and test."""
        if self.hold_out is not None:
            return ("hold_out",)
        if self.labelled:
            return tuple(dict.fromkeys(name.rsplit("_", 1)[0] for name in self.labelled))
        return self.kinds if self.variant == "all" else (self.variant,)

    def _check_split_labels(self) -> None:
        if self.split_labels is None:
            if len(self.labelled) != len(self.labelled_rows) or bool(self.labelled) != bool(
                self.labelled_content
            ):
                raise InputError("labelled, labelled_rows and labelled_content go together")
            return
        folder = str(Path(self.split_labels).absolute())
        wanted = VARIANTS if self.variant == "all" else (self.variant,)
        found = label_files.read(folder, self.space, wanted, drop=self.twins == "drop")
        content = label_files.content(found)
        if self.labelled_content not in ("", content):
            raise InputError(f"split_labels {self.split_labels!r} are not those of the recipe")
        object.__setattr__(self, "split_labels", folder)
        object.__setattr__(self, "labelled", tuple(found))
        object.__setattr__(self, "labelled_rows", tuple(map(len, found.values())))
        object.__setattr__(self, "labelled_content", content)

    def held_out(self, text: str) -> Self:
        """The options of the same images, split anew by `hold_out`.

        What is of another way to split is left out. Images that show the same are dropped, merged
        or kept as before; a set that has none drops none, whatever its label files said.

        Raises:
            InputError: if the expression is not legal.
        """
        others: dict[str, Any] = {"variant": "all", "train_percent": 30, "split_labels": None}
        others |= {"labelled": (), "labelled_rows": (), "labelled_content": ""}
        twins = self.twins if any(factor.twins for factor in self.space.factors) else "drop"
        return replace(self, hold_out=text, twins=twins, **others)

    def tag(self) -> str:
        """What names a dataset of these options, after the task's name."""
        words = list(self.makers)
        if self.variant != "all":
            words.append(self.variant)
        if self.hold_out is not None:
            words.append(f"held-{hashlib.sha256(self.hold_out.encode()).hexdigest()[:8]}")
        if self.labelled:
            words.append(f"labels-{self.labelled_content[:8]}")
        if self.twins != ("keep" if self.labelled else "drop"):
            words.append(f"twins-{self.twins}")
        if self.train_percent != 30:
            words.append(f"train{self.train_percent}")
        if self.materialize:
            words.append("materialized")
        return "-".join(words)


@dataclass(frozen=True, kw_only=True)
class _SourceOptions(Options):
    source: Source = option("procedural", "who made the images: this package, or an archive")
    archive: str | None = local_option(
        "the published file, for --source official", sign="archive_name"
    )
    archive_name: str = derived("which published file it is", "")


@dataclass(frozen=True, kw_only=True)
class FactorOptions(SplitOptions, _SourceOptions):  # the source's fields come first
    """Options of a set that this package draws; each set's own class has its space.

    Raises:
        InputError: as `SplitOptions`, or for an archive that is not what it should be.
    """

    def __post_init__(self) -> None:
        """Look at the archive, then at all else."""
        self._check_source()
        super().__post_init__()

    @property
    def makers(self) -> tuple[str, ...]:
        """Procedural or official, and which archive, if there is a choice."""
        if self.archive_name in ("", self.space.name):
            return (self.source,)
        return (self.source, self.archive_name.removeprefix(f"{self.space.name}_"))

    def _check_source(self) -> None:
        check_choice("source", self.source, ("procedural", "official"))
        if self.source == "procedural":
            if self.archive is not None or self.archive_name:
                raise InputError("archive is for source 'official'; give --source official, too")
            return
        if self.archive is None:
            if not self.archive_name:
                names = " or ".join(each.name for each in PUBLISHED[self.space.name])
                raise InputError(
                    "source 'official' needs --archive FILE; 'samediff-stimuli download NAME' "
                    f"fetches it: {names}"
                )
            official.published(self.space.name, self.archive_name)
            return
        path = Path(self.archive).absolute()  # workers may have been started elsewhere
        found = official.identify_once(path, self.space)
        if self.archive_name not in ("", found.name):
            raise InputError(f"archive {self.archive!r} is {found.name}, not {self.archive_name}")
        object.__setattr__(self, "archive", str(path))
        object.__setattr__(self, "archive_name", found.name)
