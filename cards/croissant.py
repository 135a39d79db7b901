"""A dataset's description in Croissant 1.1 (docs.mlcommons.org/croissant): croissant.json.

The Hub makes a Croissant file of its own of every published set, of its Parquet files alone: names
and types of columns. Ours lies in the folder, holds what the Hub cannot know - SHA-256 of every
file, the HDF5 shards, what columns and splits mean, class names, and the fields on responsible use
(RAI 1.0) - and reads back from the folder with `mlcroissant`, without a network. It says no date
and no address: a folder has none, and the same dataset has the same bytes.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from samediff_stimuli import tasks
from samediff_stimuli.cards import rights, scope
from samediff_stimuli.cards.card import title
from samediff_stimuli.cards.citations import CITATIONS, package_citation
from samediff_stimuli.cards.commands import command
from samediff_stimuli.cards.origin import Origin
from samediff_stimuli.manifest import FileRecord, Manifest
from samediff_stimuli.recipe import FORMAT_VERSION
from samediff_stimuli.table import Column

NAME = "croissant.json"

Node = dict[str, Any]

# The @context that mlcroissant asks for; its terms are those of the specification.
_LOCAL = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
    *("fileProperty", "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
    *("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
_CONTEXT: Node = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{name: f"cr:{name}" for name in _LOCAL},
}
_VERSIONS = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
_KINDS = {".parquet": "application/x-parquet", ".h5": "application/x-hdf5"}
_LICENSES = {"cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/"}  # of what we draw


def croissant(manifest: Manifest, origin: Origin | None = None) -> str:
    """The text of croissant.json.

    Args:
        manifest: of the dataset.
        origin: of images that this package did not make.
    """
    origin, task = origin or Origin(), tasks.get(manifest.recipe.task)
    license = rights.license_of(manifest, origin)
    cite = [CITATIONS[task.source]] if task.source else []
    release = manifest.versions.get("samediff-stimuli")
    mirrored = manifest.shards[0].mirror is not None
    described: Node = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _VERSIONS,
        "name": manifest.name,
        "alternateName": title(manifest).replace("`", ""),
        "description": task.summary,
        "license": _LICENSES.get(license, license),
        "creator": _creator(manifest),
        "version": f"{FORMAT_VERSION}.0.0",  # of the data: another one, other bytes
        "citeAs": "\n\n".join([*cite, package_citation(release)]),
        "identifier": f"sha256:{manifest.digest()}",
        "keywords": [*task.tags] if task.source else ["samediff-stimuli"],
        "isLiveDataset": False,
        **_responsible(manifest, origin),
        "distribution": [*_file_sets(manifest, mirrored), *_file_objects(manifest)],
        # mlcroissant reads no HDF5: without Parquet there are files, and no records
        "recordSet": _record_sets(manifest) if mirrored else [],
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def _creator(manifest: Manifest) -> Node:
    task = tasks.get(manifest.recipe.task)
    by_us = task.made_here(manifest.recipe) and task.source
    name = "The samediff-stimuli authors" if by_us else "The makers of the images"
    return {"@type": "sc:Organization", "name": name}


def _responsible(manifest: Manifest, origin: Origin) -> Node:
    """The fields of Croissant RAI: how data came about, what to use them for, what to beware of."""
    task = tasks.get(manifest.recipe.task)
    made_here = task.made_here(manifest.recipe) and bool(task.source)
    notes = list(origin.notes) or [f"{command(manifest.recipe)} makes the folder again."]
    if made_here:
        release = manifest.versions.get("samediff-stimuli", "")
        notes = [
            f"Made by samediff-stimuli {release} from a seed: {command(manifest.recipe)}. "
            "Columns are what the images were drawn from."
        ]
    checks = "'samediff-stimuli verify DIR' compares a copy with its digests and its recipe."
    return {
        "rai:dataCollection": " ".join(notes),
        "rai:dataCollectionType": ["Synthetic" if made_here else "Others"],
        "rai:dataUseCases": [
            *scope.uses(manifest),
            *(f"Not: {m}" for m in scope.misuses(manifest)),
        ],
        "rai:dataLimitations": scope.limits(manifest),
        "rai:dataBiases": [*task.limits] or scope.limits(manifest),
        "rai:personalSensitiveInformation": [scope.people(manifest)],
        "rai:dataReleaseMaintenancePlan": checks,
    }


def _file_sets(manifest: Manifest, mirrored: bool) -> list[Node]:
    """The shards, and their mirror, by pattern."""
    name = manifest.name
    parquet = _file_set(f"parquet-{name}", f"data/{name}/*.parquet", "the rows, with PNG images")
    hdf5 = _file_set(f"hdf5-{name}", f"hdf5/{name}/*.h5", "the rows, with images as arrays")
    return [*([parquet] * mirrored), hdf5]


def _file_set(identity: str, pattern: str, about: str) -> Node:
    suffix = pattern[pattern.rindex(".") :]
    return {
        "@type": "cr:FileSet",
        "@id": identity,
        "name": identity,
        "description": about,
        "encodingFormat": _KINDS[suffix],
        "includes": pattern,
    }


def _file_objects(manifest: Manifest) -> list[Node]:
    """Every data file with its hash."""
    indices = [index.file for index in manifest.indices]
    return [_file_object(file) for file in (*manifest.data_files(), *indices)]


def _file_object(file: FileRecord) -> Node:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.n_bytes} B",
        "encodingFormat": _KINDS[file.path[file.path.rindex(".") :]],
        "sha256": file.sha256,
    }


def _record_sets(manifest: Manifest) -> list[Node]:
    """The splits, the classes of every class column, and the rows."""
    task = tasks.get(manifest.recipe.task)
    columns = task.columns(manifest.recipe)
    return [_splits(manifest), *(_classes(c) for c in columns if c.names), _rows(manifest)]


def _splits(manifest: Manifest) -> Node:
    found = tasks.get(manifest.recipe.task).splits(manifest.recipe)
    stored = {shard.split for shard in manifest.shards}
    data = [
        {
            "splits/name": split.name,
            "splits/rows": split.rows,
            "splits/about": split.about,
            "splits/held_out": split.held_out,
            "splits/stored": split.name in stored,
        }
        for split in found
    ]
    kinds = {"name": "Text", "rows": "Integer", "about": "Text"}
    kinds |= {"held_out": "Boolean", "stored": "Boolean"}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "Splits; one that is not stored lists rows of the stored one, in splits/.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [_field(f"splits/{name}", f"sc:{kind}") for name, kind in kinds.items()],
        "data": data,
    }


def _classes(column: Column) -> Node:
    """The classes of a column: number and name."""
    own = f"classes/{column.name}"
    return {
        "@type": "cr:RecordSet",
        "@id": own,
        "name": own,
        "description": f"Classes of {column.name}: {column.about}",
        "dataType": "sc:Enumeration",
        "key": {"@id": f"{own}/number"},
        "field": [_field(f"{own}/number", "sc:Integer"), _field(f"{own}/name", "sc:Text")],
        "data": [{f"{own}/number": n, f"{own}/name": name} for n, name in enumerate(column.names)],
    }


def _field(identity: str, kind: str) -> Node:
    return {"@type": "cr:Field", "@id": identity, "name": identity, "dataType": kind}


def _rows(manifest: Manifest) -> Node:
    """The rows: split, image, and every column, read from Parquet."""
    task, name = tasks.get(manifest.recipe.task), manifest.name
    files = {"fileSet": {"@id": f"parquet-{name}"}}
    stored = "|".join(split.name for split in task.stored_splits(manifest.recipe))
    split = _field(f"{name}/split", "sc:Text") | {
        "description": "the split that the row belongs to",
        "source": {
            **files,
            "extract": {"fileProperty": "fullpath"},
            "transform": {"regex": rf"(?:.*/)?({stored})-\d+-of-\d+\.parquet$"},
        },
    }
    kind = f"uint8 {task.image_shape(manifest.recipe)}, as PNG"
    images = [
        _field(f"{name}/{view.name}", "sc:ImageObject")
        | {
            "description": "; ".join(filter(None, [view.about, kind])),
            "source": {
                **files,
                "extract": {"column": view.name},
                "transform": {"jsonPath": "bytes"},
            },
        }
        for view in task.views
    ]
    what = "stimulus of several images" if task.more_views else "image"
    columns = [_column(name, column, files) for column in task.columns(manifest.recipe)]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"{task.title}: a row for each {what}, as in the Parquet files.",
        "field": [split, *images, *columns],
    }


def _column(name: str, column: Column, files: Node) -> Node:
    """A column of the rows."""
    integer = np.dtype(column.dtype).kind in "iub"
    classes = f"; class numbers, named in classes/{column.name}" if column.names else ""
    field = _field(f"{name}/{column.name}", "sc:Integer" if integer else "sc:Float") | {
        "description": f"{column.about}{classes}",
        "source": {**files, "extract": {"column": column.name}},
    }
    if column.shape:
        field |= {"isArray": True, "arrayShape": ",".join(map(str, column.shape))}
    return field
