"""Papers that the datasets come from, by citation key."""

from __future__ import annotations

CITATIONS: dict[str, str] = {
    "lepori2024": """@inproceedings{lepori2024beyond,
  title     = {Beyond the Doors of Perception: Vision Transformers Represent Relations
               Between Objects},
  author    = {Lepori, Michael A. and Tartaglini, Alexa R. and Vong, Wai Keen and
               Serre, Thomas and Lake, Brenden M. and Pavlick, Ellie},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2024},
  note      = {arXiv:2406.15955}
}""",
}

REFERENCES: dict[str, str] = {"lepori2024": "Lepori et al. 2024 (arXiv:2406.15955)"}
