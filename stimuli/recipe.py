"""A recipe is everything a dataset follows from; its digest is the dataset's name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

FORMAT_VERSION = 1  # raise it with every change of bytes, and list the change under "Data"
MAX_SEED = 2**63 - 1


class InputError(ValueError):
    """A wrong argument or input: one line that names it, its value, what is legal, the way out."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of every task's options: a frozen dataclass whose fields are the CLI's options."""


def option(default: Any, about: str) -> Any:
    """A dataclass field with a default and the help line that the CLI and the card show."""
    return field(default=default, metadata={"about": about})


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
            "options": asdict(self.options),
        }

    def canonical_json(self) -> str:
        """The one JSON text of this recipe: sorted keys, no spaces, ASCII."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, 64 hex digits."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()
