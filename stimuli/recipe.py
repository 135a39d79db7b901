"""A recipe is everything a dataset follows from; its digest is the dataset's name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import Any

FORMAT_VERSION = 1  # raise it with every change of bytes, and list the change under "Data"
MAX_SEED = 2**63 - 1


class InputError(ValueError):
    """A wrong argument or input: one line that names it, its value, what is legal, the way out."""


def in_a_line(error: BaseException) -> str:
    """What an error of a library says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of every task's options: a frozen dataclass whose fields are the CLI's options."""

    @classmethod
    def names(cls) -> list[str]:
        """The options that belong to a recipe: all but those that say where something lies."""
        return [field.name for field in fields(cls) if not field.metadata.get("local")]

    def as_dict(self) -> dict[str, Any]:
        """The options that belong to a recipe, by name; tuples as lists."""
        values = {name: getattr(self, name) for name in self.names()}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}


def option(default: Any, about: str, tag: str | None = None) -> Any:
    """A dataclass field with a default and the help line that the CLI and the card show.

    Args:
        default: its default.
        about: the help line.
        tag: what names a dataset that departs from the default, before the value; "" for the
            value alone; None if the option does not show in names.
    """
    return field(default=default, metadata={"about": about, "tag": tag})


def local_option(about: str, offered: bool = True, sign: str | None = None) -> Any:
    """A field that says where something lies on this machine: no part of the recipe's identity.

    Args:
        about: the help line.
        offered: whether it is an option of the CLI.
        sign: the derived field that is set if a recipe was made with this option; None if all are,
            "" if the data do not depend on it.
    """
    metadata = {"about": about, "local": True, "derived": not offered, "sign": sign}
    return field(default=None, compare=False, metadata=metadata)


def derived(about: str, default: Any = None) -> Any:
    """A field that follows from a local option, or stands for it: no option of the CLI."""
    return field(default=default, metadata={"about": about, "derived": True})


def tags(options: Options) -> list[str]:
    """What names a dataset beside its task: the tagged options that are not at their default."""
    found = []
    for spec in fields(options):
        tag, value = spec.metadata.get("tag"), getattr(options, spec.name)
        if tag is not None and value != spec.default:
            found.append(tag if isinstance(value, bool) else f"{tag}{value}")
    return found


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Task, seed and options of one dataset.

    Attributes:
        task: name of a registered task.
        seed: integer in [0, 2**63); 0 is a seed like any other.
        options: the task's options with every default resolved.
    """

    task: str
    seed: int
    options: Options

    def __post_init__(self) -> None:
        """Check the seed."""
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise InputError(f"seed {self.seed!r} is not an integer")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"seed {self.seed} is out of range; legal: 0 .. 2**63 - 1")

    def as_dict(self) -> dict[str, Any]:
        """Plain data: format version, task, seed and the options by name."""
        return {
            "format": FORMAT_VERSION,
            "task": self.task,
            "seed": self.seed,
            "options": self.options.as_dict(),
        }

    def canonical_json(self) -> str:
        """The one JSON text of this recipe: sorted keys, no spaces, ASCII."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, 64 hex digits."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()

    def key(self, split: str, purpose: str) -> int:
        """The Philox key of one purpose in one split; options do not enter it."""
        from samediff_stimuli import rng

        return rng.stream_key(FORMAT_VERSION, self.seed, self.task, split, purpose)
