"""The baseline of factor sets has the published layers, learns, and reports what it did."""

import json
import sys
from itertools import chain

import numpy as np
import pytest
import torch

from samediff_stimuli import InputError
from samediff_stimuli.factors import Factor, FactorSpace
from samediff_stimuli.models.factor_cnn import (
    FactorCNN,
    FactorTrainConfig,
    load_model,
    lr_at,
    train_factors,
)
from samediff_stimuli.models.factors import evaluate

SPACE = FactorSpace(
    name="toy",
    factors=tuple(
        Factor(name=name, values=tuple(map(float, range(4))), about=name) for name in "abc"
    ),
)
GRID = SPACE.levels(np.arange(len(SPACE)))


class ToyData:
    """Images of three grey bands; each factor is the grey of one."""

    def __init__(self, levels, side=64, space=SPACE):
        self.levels, self.side, self.space = levels, side, space

    def __len__(self):
        return len(self.levels)

    def batch(self, indices):
        levels = torch.from_numpy(self.levels[indices])
        bands = (levels * 80).to(torch.uint8)
        bands = torch.cat([bands, bands[:, :1]], dim=1).repeat_interleave(self.side // 4, dim=1)
        images = bands[:, None, :, None].expand(-1, 1, -1, self.side)
        return images, (levels / 3).float()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small batches on one thread: on a busy machine, threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(run folder, result, lines told) of training on all 64 images."""
    out = tmp_path_factory.mktemp("cnn") / "run"
    config = FactorTrainConfig(steps=80, batch_size=8, lr=2e-3, warmup=5, device="cpu")
    tests = {"train": ToyData(GRID), "part": ToyData(GRID[::2])}
    told = []
    result = train_factors(ToyData(GRID), tests, out, config, told.append, digest="abc")
    return out, result, told


def test_it_overfits(run):
    """64 images are learnt nearly by heart in seconds."""
    scores = run[1].evaluations["train"].scores
    assert scores.n == 64
    assert min(scores.r2) > 0.9


def test_log_and_report(run):
    """The log ends at the last step; the report has config, digest and every split's scores."""
    out, result, told = run
    names = {"checkpoint.pt", "log.jsonl", "result.json", "result.md", "result.png"}
    assert {path.name for path in out.iterdir()} | {"result.png"} == names
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [80]
    assert log[-1]["loss"] == result.loss
    assert [line.split(":")[0] for line in told[:3]] == ["step 80/80", "train", "part"]
    report = json.loads((out / "result.json").read_text())
    assert report["digest"] == "abc"
    assert report["config"]["steps"] == 80
    assert report["results"]["train"] == result.evaluations["train"].as_dict()
    assert "| part | 32 |" in (out / "result.md").read_text()


def test_checkpoint_gives_the_reported_scores(run):
    """The saved weights, loaded without pickled code, reach the reported scores again."""
    out, result, _ = run
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert state["factors"] == {"a": 4, "b": 4, "c": 4}
    assert state["digest"] == "abc"
    found = evaluate(load_model(out / "checkpoint.pt"), ToyData(GRID))
    assert found.scores == result.evaluations["train"].scores


def test_no_checkpoint(tmp_path):
    """What is no checkpoint is refused by name."""
    (tmp_path / "text.pt").write_text("text")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt", "nothing.pt"):
        with pytest.raises(InputError, match=f"{name} is no checkpoint"):
            load_model(tmp_path / name)


def test_same_seed_same_weights(tmp_path):
    """One seed gives one log whatever the global generator's state, which is left alone."""

    def losses(name, seed):
        config = FactorTrainConfig(steps=3, batch_size=16, seed=seed, device="cpu", test_images=2)
        torch.manual_seed(len(name))
        before = torch.get_rng_state()
        result = train_factors(
            ToyData(GRID), {"t": ToyData(GRID)}, tmp_path / name, config, lambda line: None
        )
        assert torch.equal(before, torch.get_rng_state())
        weights = torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["weights"]
        return result.loss, result.evaluations, torch.cat([w.flatten() for w in weights.values()])

    first, second, third = losses("a", 0), losses("bb", 0), losses("c", 1)
    assert first[:2] == second[:2]
    assert torch.equal(first[2], second[2])
    assert first[0] != third[0]
    assert first[1]["t"].scores.n == 2


def test_every_row_once_an_epoch(tmp_path):
    """Batches go through the train split in an order that changes from epoch to epoch."""
    asked = []

    class Listening(ToyData):
        def batch(self, indices):
            asked.append(indices)
            return super().batch(indices)

    config = FactorTrainConfig(steps=8, batch_size=16, device="cpu")
    data = Listening(GRID)
    train_factors(data, {"t": ToyData(GRID[:2])}, tmp_path / "run", config, lambda line: None)
    batches = [rows for rows in asked if len(rows) == 16]
    first, second = (list(chain.from_iterable(batches[i : i + 4])) for i in (0, 4))
    assert sorted(first) == sorted(second) == list(range(64))
    assert first != second


def test_lr_schedule():
    """Linear warm-up to the peak, cosine to zero."""
    config = FactorTrainConfig(lr=1.0, warmup=10, steps=100)
    assert lr_at(0, config) == pytest.approx(0.1)
    assert lr_at(9, config) == pytest.approx(1.0)
    assert lr_at(55, config) == pytest.approx(0.5)
    assert lr_at(100, config) == pytest.approx(0.0)


def test_layers():
    """Weights have the published shapes, and names in which the released checkpoints load."""
    shapes = {n: tuple(w.shape) for n, w in FactorCNN(3, 7).named_parameters() if "weight" in n}
    assert shapes == {
        "net.0.weight": (32, 3, 4, 4),
        "net.2.weight": (32, 32, 4, 4),
        "net.4.weight": (64, 32, 4, 4),
        "net.6.weight": (64, 64, 4, 4),
        "net.8.weight": (256, 64, 4, 4),
        "net.11.weight": (7, 256),
    }


@pytest.mark.parametrize("channels", [1, 3])
def test_memory_order_changes_no_answer(channels):
    """Channels last in memory is a matter of speed; images may come in either order."""
    images = torch.arange(2 * channels * 64 * 64).remainder(251).to(torch.uint8)
    images = images.view(2, channels, 64, 64)
    last, first = FactorCNN(channels, 5), FactorCNN(channels, 5, channels_last=False)
    first.load_state_dict(last.state_dict())
    with torch.no_grad():
        answers = last(images)
        assert answers.shape == (2, 5)
        assert torch.allclose(answers, first(images), atol=1e-5)
        turned = images.contiguous(memory_format=torch.channels_last)
        assert torch.allclose(answers, last(turned), atol=1e-5)


def test_other_images_are_refused():
    """Other sizes, channels and types are an error, not a wrong answer."""
    model = FactorCNN(3, 5)
    for images in (
        torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
        torch.zeros(1, 1, 64, 64, dtype=torch.uint8),
        torch.zeros(3, 64, 64, dtype=torch.uint8),
        torch.zeros(1, 3, 64, 64),
    ):
        with pytest.raises(InputError, match=r"legal: torch\.uint8 \(n, 3, 64, 64\)"):
            model(images)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("steps", 0), ("batch_size", 0), ("warmup", -1), ("test_images", -1)),
        *(("seed", -1), ("lr", 0.0), ("lr", float("nan"))),
    ],
)
def test_config_out_of_range(name, value):
    """A number that cannot be is refused before anything is done."""
    with pytest.raises(InputError, match=f"{name} .* is out of range"):
        FactorTrainConfig(**{name: value})


def test_data_that_does_not_fit(tmp_path):
    """Nothing is written when the splits do not fit each other, the network or the batch."""
    config = FactorTrainConfig(steps=1, batch_size=16, device="cpu")
    data = ToyData(GRID)
    other = FactorSpace(name="other", factors=SPACE.factors[::-1])
    for train, tests, message in (
        (data, {}, "nothing to test on"),
        (ToyData(GRID[:8]), {"t": data}, "exceeds the 8 images"),
        (data, {"t": ToyData(GRID, space=other)}, "t is of other"),
        (data, {"t": ToyData(GRID[:0])}, "t has no rows"),
        (data, {"t": ToyData(GRID, side=32)}, "legal: all"),
        (ToyData(GRID, side=32), {"t": ToyData(GRID, side=32)}, "legal: all"),
    ):
        with pytest.raises(InputError, match=message):
            train_factors(train, tests, tmp_path / "run", config, lambda line: None)
    assert not (tmp_path / "run").exists()


def test_a_dataset_is_not_overwritten(tmp_path):
    """A folder that holds a dataset is no run folder."""
    (tmp_path / "manifest.json").write_text("{}")
    config = FactorTrainConfig(steps=1, batch_size=16, device="cpu")
    with pytest.raises(InputError, match="is a dataset"):
        train_factors(ToyData(GRID), {"t": ToyData(GRID)}, tmp_path, config, lambda line: None)


def test_infinite_loss(tmp_path):
    """A learning rate that makes the loss infinite is told as such."""
    config = FactorTrainConfig(steps=4, batch_size=16, lr=1e30, warmup=0, device="cpu")
    with pytest.raises(InputError, match="try a smaller --lr"):
        train_factors(ToyData(GRID), {"t": ToyData(GRID)}, tmp_path, config, lambda line: None)


def test_no_picture_without_matplotlib(tmp_path, monkeypatch):
    """Without matplotlib a run ends well, and says why there is no picture."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    config = FactorTrainConfig(steps=1, batch_size=16, device="cpu")
    told = []
    train_factors(ToyData(GRID), {"t": ToyData(GRID)}, tmp_path, config, told.append)
    assert "pip install 'samediff-stimuli[train]'" in told[-1]
    assert (tmp_path / "result.json").exists()
    assert not (tmp_path / "result.png").exists()
