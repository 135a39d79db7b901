"""The folder list is the data flow: who may import whom, checked by walking every module's AST."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STANDARD = set(__import__("sys").stdlib_module_names)
EVERYTHING = {"stimuli", "blender_scenes", "loaders", "models", "cards"}

# folder -> (folders of ours, third-party packages) that its modules may import
ALLOWED = {
    "stimuli": (set(), {"numpy", "scipy", "PIL"}),
    "blender_scenes": ({"stimuli"}, {"numpy"}),
    "cards": (
        {"stimuli"},
        {"numpy", "PIL", "huggingface_hub", "datasets", "pyarrow", "h5py"},
    ),
    "loaders": ({"stimuli"}, {"numpy", "torch"}),
    "models": ({"stimuli", "loaders"}, {"numpy", "torch", "timm", "torchvision"}),
}
# module -> what it may import besides; each is the one place for that library
MORE = {
    "cards/audit.py": (set(), {"scipy"}),
    "cards/exports/experiments/psychopy_experiment.py": (set(), {"psychopy"}),  # people run it
    "cards/front_matter.py": (set(), {"yaml"}),
    "stimuli/shards.py": (set(), {"h5py", "xxhash"}),
    "stimuli/kept.py": (set(), {"xxhash"}),
    "stimuli/tasks/photoreal.py": ({"blender_scenes"}, set()),
    "blender_scenes/render.py": (set(), {"bpy"}),
    "blender_scenes/stage.py": (set(), {"bpy"}),
    "blender_scenes/cutout_files.py": (set(), {"PIL"}),
    "stimuli/tasks/naturalistic.py": ({"blender_scenes"}, set()),
    "stimuli/codec.py": (set(), {"imagecodecs"}),
    "stimuli/indices.py": (set(), {"h5py"}),
    "stimuli/factors/containers.py": (set(), {"h5py"}),
    # it puts what it found into the dataset's folder and card, and audits the images
    "models/validation.py": ({"cards"}, set()),
    "models/validation_plot.py": (set(), {"matplotlib"}),
    "models/factor_report.py": (set(), {"matplotlib"}),
    "models/curves.py": (set(), {"matplotlib"}),
    "models/attention_plot.py": (set(), {"matplotlib"}),
    "models/interchange_plot.py": (set(), {"matplotlib"}),
    "models/figures.py": (set(), {"matplotlib"}),
    "models/train_config.py": (set(), {"lightning_fabric"}),
    "models/fitting.py": (set(), {"lightning_fabric"}),
    "models/train.py": (set(), {"lightning_fabric"}),
    "models/matrix.py": (set(), {"lightning_fabric"}),
    "stimuli/hub.py": (set(), {"huggingface_hub"}),
    "loaders/hub.py": (set(), {"huggingface_hub"}),
    "stimuli/remote.py": (set(), {"fsspec"}),
    "stimuli/engines.py": (set(), {"joblib"}),
    "stimuli/clusters.py": (set(), {"distributed", "ray"}),
    "stimuli/cli.py": (EVERYTHING, {"click", "PIL"}),
    "stimuli/cli_folders.py": ({"cards"}, {"click"}),
    "stimuli/cli_hub.py": ({"cards"}, {"click"}),
    "stimuli/cli_remote.py": ({"cards"}, {"click"}),
    "stimuli/cli_gallery.py": ({"cards"}, {"click"}),
    "stimuli/cli_evaluation.py": ({"cards", "models"}, {"click"}),
    "stimuli/cli_crew.py": (set(), {"click"}),
    "stimuli/cli_group.py": (set(), {"click"}),
    "stimuli/cli_models.py": ({"models"}, {"click"}),
    "stimuli/cli_analysis.py": ({"loaders", "models"}, {"click"}),
    "stimuli/cli_validation.py": ({"models"}, {"click"}),
    "stimuli/cli_report.py": (set(), {"click", "rich"}),
    "stimuli/__init__.py": (EVERYTHING, set()),  # the facade, which loads names on first use
}
# Heavy libraries are imported inside functions, so that start-up does not pay for them.
LAZY = {
    "stimuli/cli.py": {"PIL"},
    "stimuli/engines.py": {"joblib"},
    "stimuli/clusters.py": {"distributed", "ray"},
    "stimuli/cli_report.py": {"rich"},
    "blender_scenes/render.py": {"bpy"},
    "blender_scenes/stage.py": {"bpy"},
    "cards/checking.py": {"datasets", "huggingface_hub", "pyarrow"},
    "cards/parquet.py": {"pyarrow"},
    "cards/exports/hub.py": {"huggingface_hub"},
    "cards/exports/experiments/psychopy_experiment.py": {"psychopy"},
    "cards/mini.py": {"pyarrow"},
    "cards/publishing.py": {"huggingface_hub"},
    "cards/repository.py": {"huggingface_hub"},
    "stimuli/hub.py": {"huggingface_hub"},
    "stimuli/remote.py": {"fsspec"},
    "loaders/hub.py": {"huggingface_hub"},
    "models/factor_report.py": {"matplotlib"},
    "models/curves.py": {"matplotlib"},
    "models/attention_plot.py": {"matplotlib"},
    "models/interchange_plot.py": {"matplotlib"},
    "models/figures.py": {"matplotlib"},
    "models/validation_plot.py": {"matplotlib"},
}

MODULES = sorted(p for folder in ALLOWED for p in (ROOT / folder).rglob("*.py"))


def _imports(path):
    """(imported dotted name, whether at module level) of each import in a file."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name, id(node) in top) for name in names)


def _folder(name):
    """The folder of ours that a samediff_stimuli.* name lives in."""
    part = name.split(".")[1] if "." in name else ""
    return part if part in EVERYTHING - {"stimuli"} else "stimuli"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_keep_to_the_table(path):
    """Each module imports only what its folder, or it alone, is allowed to import."""
    name = path.relative_to(ROOT).as_posix()
    folder = name.split("/")[0]
    ours, third = ALLOWED[folder]
    more_ours, more_third = MORE.get(name, (set(), set()))
    for imported, at_top in _imports(path):
        package = imported.split(".")[0]
        if package == "samediff_stimuli":
            assert _folder(imported) in ours | more_ours | {folder}, f"{name} imports {imported}"
        elif package not in STANDARD:
            assert package in third | more_third, f"{name} imports {package}"
            assert not (at_top and package in LAZY.get(name, ())), f"{name}: {package} at the top"


def test_modules_and_functions_stay_small():
    """No module over 400 lines, no function over 75 (docstring included)."""
    for path in MODULES:
        text = path.read_text()
        assert len(text.splitlines()) <= 400, f"{path} is too long"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= 75, f"{path}:{node.name} has {length} lines"
