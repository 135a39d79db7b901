"""The small card of an export that `load_dataset` reads: where the files of each split are."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from samediff_stimuli.cards.exports.format import Source
from samediff_stimuli.cards.rights import stated_license

CARD = "README.md"


def write_card(source: Source, out: Path, data_files: Sequence[tuple[str, str]]) -> None:
    """Write README.md, whose `configs` make `load_dataset(out)` work.

    Args:
        source: what was exported.
        out: the folder.
        data_files: each split's name and the pattern of its files.
    """
    from huggingface_hub import DatasetCardData

    files = [{"split": split, "path": pattern} for split, pattern in data_files]
    config = {"config_name": source.made.name, "default": True, "data_files": files}
    head = DatasetCardData(license=stated_license(source.folder, source.made), configs=[config])
    text = f"""---
{head.to_yaml()}
---

# {source.task.title} (`{source.made.name}`)

{source.task.summary}

```python
from datasets import load_dataset

data = load_dataset("DIR_OR_REPO")
```

Exported by `samediff-stimuli export` from the dataset whose content digest is
`{source.made.digest()}`; its own card says how it was made.
"""
    (out / CARD).write_text(text, encoding="utf-8")


def loading(out: str) -> str:
    """The command that loads an export that has a card."""
    quoted = json.dumps(out, ensure_ascii=False)
    code = f"from datasets import load_dataset; print(load_dataset({quoted}))"
    return f"python -c {shlex.quote(code)}"
