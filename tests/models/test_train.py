"""The small baseline learns, reports honestly, and fails clearly."""

import json

import pytest
import torch

from samediff_stimuli import AlignedOptions, InputError, generate, make_recipe
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import load
from samediff_stimuli.models.relation import PatchRelationNet
from samediff_stimuli.models.train import TrainConfig, accuracy, build, lr_at, pick_device, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(dataset folder, run folder, result) of one short run."""
    root = tmp_path_factory.mktemp("train")
    options = AlignedOptions(train=1600, validation=200, test=200, ood=100)
    generate(make_recipe("discrimination", 0, options), root / "set", parquet=False)
    lines = []
    config = TrainConfig(epochs=5, warmup=10)
    result = train(root / "set", root / "run", config, lines.append)
    assert len(lines) == 5
    return root / "set", root / "run", result


def test_it_learns(run):
    """Well above chance on unseen stimuli after a minute of training."""
    assert run[2].accuracy["test"] > 0.8


def test_log_and_report(run):
    """The log has a line per epoch; the report has every split, config and dataset digest."""
    folder, out, result = run
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == list(range(5))
    assert max(line["validation"] for line in log) == log[result.best_epoch]["validation"]
    report = json.loads((out / "result.json").read_text())
    assert report["digest"] == load(folder).digest()
    assert set(report["accuracy"]) == {
        *("train", "validation", "test", "ood_shape", "ood_color", "ood_shape_color")
    }


def test_checkpoint_gives_the_reported_accuracy(run):
    """The saved weights, loaded without pickled code, reach the reported accuracy again."""
    folder, out, result = run
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    model = build(load(folder))
    model.load_state_dict(state["weights"])
    found = accuracy(model, StimulusDataset(folder, "test"), torch.device("cpu"))
    assert found == result.accuracy["test"]
    assert state["digest"] == load(folder).digest()


def test_same_seed_same_log(run, tmp_path):
    """Two runs with one seed have the same losses, whatever the global generator's state."""
    folder = run[0]
    config = TrainConfig(epochs=1)
    torch.manual_seed(1)
    train(folder, tmp_path / "a", config, lambda line: None)
    torch.manual_seed(2)
    train(folder, tmp_path / "b", config, lambda line: None)
    first, second = (json.loads((tmp_path / name / "log.jsonl").read_text()) for name in ("a", "b"))
    assert first["loss"] == second["loss"]
    assert first["validation"] == second["validation"]


def test_lr_schedule():
    """Linear warm-up to the peak, cosine to zero."""
    config = TrainConfig(lr=1.0, warmup=10)
    assert lr_at(0, 100, config) == pytest.approx(0.1)
    assert lr_at(9, 100, config) == pytest.approx(1.0)
    assert lr_at(55, 100, config) == pytest.approx(0.5)
    assert lr_at(100, 100, config) == pytest.approx(0.0)


@pytest.mark.parametrize(("box", "patch", "windows"), [(32, 32, 4), (32, 16, 16), (28, 14, 16)])
def test_model_takes_every_geometry(box, patch, windows):
    """The model runs, and its gradient is finite, for each patch size of the papers."""
    model = PatchRelationNet(box=box, patch=patch, image_size=224, n_windows=windows)
    images = torch.full((3, 3, 224, 224), 255, dtype=torch.uint8)
    images[:, :, 40:60, 40:60] = 7
    model(images).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_mistakes(run, tmp_path):
    """No such device, no such split, a batch larger than the data: one clear line each."""
    folder = run[0]
    with pytest.raises(InputError, match="unknown device 'gpu'; known: auto"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device 'cuda' is not available"):
            pick_device("cuda")
    with pytest.raises(InputError, match="batch_size 5000 exceeds the 1600 images"):
        train(folder, tmp_path / "x", TrainConfig(batch_size=5000), print)
    options = AlignedOptions(train=8, validation=0, test=0, ood=0)
    generate(make_recipe("rmts", 0, options), tmp_path / "set", workers=1)
    with pytest.raises(InputError, match="has no validation split; it has train"):
        train(tmp_path / "set", tmp_path / "x", TrainConfig(), print)
    assert not (tmp_path / "x").exists()


def test_a_loss_that_is_not_finite_stops_the_run(run, tmp_path):
    """A diverged run ends with a line that says what to do."""
    with pytest.raises(InputError, match="try a smaller --lr"):
        train(run[0], tmp_path / "y", TrainConfig(lr=1e30, warmup=0), lambda line: None)
