"""What to cite: the papers that the datasets come from, by citation key, and this package."""

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
    "tartaglini2023": """@article{tartaglini2023deep,
  title   = {Deep Neural Networks Can Learn Generalizable Same-Different Visual Relations},
  author  = {Tartaglini, Alexa R. and Feucht, Sheridan and Lepori, Michael A. and
             Vong, Wai Keen and Lovering, Charles and Lake, Brenden M. and Pavlick, Ellie},
  journal = {arXiv preprint arXiv:2310.09612},
  year    = {2023}
}""",
    "puebla2022": """@article{puebla2022can,
  title   = {Can deep convolutional neural networks support relational reasoning in the
             same-different task?},
  author  = {Puebla, Guillermo and Bowers, Jeffrey S.},
  journal = {Journal of Vision},
  volume  = {22},
  number  = {10},
  pages   = {11},
  year    = {2022}
}""",
    "schott2021": """@inproceedings{schott2022visual,
  title     = {Visual Representation Learning Does Not Generalize Strongly Within the Same
               Domain},
  author    = {Schott, Lukas and von K{\\"u}gelgen, Julius and Tr{\\"a}uble, Frederik and
               Gehler, Peter and Russell, Chris and Bethge, Matthias and
               Sch{\\"o}lkopf, Bernhard and Locatello, Francesco and Brendel, Wieland},
  booktitle = {International Conference on Learning Representations},
  year      = {2022},
  note      = {arXiv:2107.08221}
}""",
}

REFERENCES: dict[str, str] = {
    "lepori2024": "Lepori et al. 2024 (arXiv:2406.15955)",
    "tartaglini2023": "Tartaglini et al. 2023 (arXiv:2310.09612)",
    "schott2021": "Schott et al. 2021 (arXiv:2107.08221)",
    "puebla2022": "Puebla & Bowers 2022 (Journal of Vision 22(10):11)",
}


def package_citation(version: str | None) -> str:
    """BibTeX of this package, in the release that made a dataset; None if that is not known."""
    release = f"\n  version = {{{version}}}," if version else ""
    return f"""@software{{samediff_stimuli,
  title   = {{samediff-stimuli: visual same-different datasets, made to the byte from a seed}},
  author  = {{{{The samediff-stimuli authors}}}},{release}
  license = {{MIT}}
}}"""
