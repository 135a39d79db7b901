"""The trainer learns, reports honestly, goes on exactly where it stopped, and fails clearly."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

from samediff_stimuli import AlignedOptions, InputError, generate, make_recipe
from samediff_stimuli.cli import main
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import load
from samediff_stimuli.models import checkpoints, fitting
from samediff_stimuli.models.backbones import from_timm
from samediff_stimuli.models.objective import make_objective
from samediff_stimuli.models.relation import PatchRelationNet
from samediff_stimuli.models.schedules import drops, factor_at
from samediff_stimuli.models.train import TrainConfig, train
from samediff_stimuli.models.train_config import make_fabric, pick_device
from samediff_stimuli.models.vits import trained_vit
from samediff_stimuli.models.zoo import ModelSpec, architecture, assemble

TINY = ModelSpec(name="timm:vit_tiny_patch16_224")  # 12 blocks of 3 heads
ONE = TrainConfig(model=TINY, epochs=1, batch_size=8, warmup=2, lr=1e-4)


def quietly(folder, out, config, **more):
    return train(folder, out, config, lambda line: None, **more)


def losses(out):
    """The losses and validation accuracies of a run, by epoch."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [(line["loss"], line["validation"]) for line in lines]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(dataset folder, run folder, result) of one short run."""
    root = tmp_path_factory.mktemp("train")
    options = AlignedOptions(train=1600, validation=200, test=200, ood=100)
    generate(make_recipe("discrimination", 0, options), root / "set", parquet=False)
    lines, images = [], []
    config = TrainConfig(epochs=5, warmup=10)
    result = train(root / "set", root / "run", config, lines.append, images.append)
    assert len(lines) == 5
    assert sum(images) == 5 * 1600
    return root / "set", root / "run", result


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Folders of small sets of both tasks, images of 64 pixels and patches of 16."""
    root = tmp_path_factory.mktemp("small")
    options = AlignedOptions(image_size=96, patch_size=16, train=32, validation=16, test=8, ood=0)
    for task in ("discrimination", "rmts"):
        generate(make_recipe(task, 0, options), root / task, workers=1, parquet=False)
    return {task: root / task for task in ("discrimination", "rmts")}


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
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not (out / "state.pt").exists()


def test_checkpoint_gives_the_reported_accuracy(run):
    """The saved weights, loaded without pickled code, reach the reported accuracy again."""
    folder, out, result = run
    found = checkpoints.load(out / "checkpoint.pt")
    test = StimulusDataset(folder, "test")
    fabric = make_fabric(TrainConfig(device="cpu"))
    assert fitting.accuracy(found.model, test, fabric) == result.accuracy["test"]
    assert found.digest == load(folder).digest()
    assert found.config == json.loads((out / "result.json").read_text())["config"]


def test_same_seed_same_log(small, tmp_path):
    """Two runs with one seed have the same losses, whatever the global generator's state."""
    config = TrainConfig(epochs=1, batch_size=16)
    torch.manual_seed(1)
    quietly(small["rmts"], tmp_path / "a", config)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    quietly(small["rmts"], tmp_path / "b", config)
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_an_interrupted_run_goes_on_exactly(small, tmp_path, schedule):
    """Stopped in the third epoch and called again, it ends with the losses of one that was not."""
    config = TrainConfig(epochs=4, batch_size=8, warmup=2, schedule=schedule, patience=1)
    folder = small["discrimination"]
    quietly(folder, tmp_path / "whole", config)

    class Stop(Exception):
        pass

    seen = []

    def stop(images):
        seen.append(images)
        if len(seen) == 2 * 4 + 2:  # in the middle of the third epoch
            raise Stop

    with pytest.raises(Stop):
        train(folder, tmp_path / "cut", config, lambda line: None, stop)
    assert not (tmp_path / "cut" / "result.json").exists()
    lines = []
    train(folder, tmp_path / "cut", config, lines.append)
    assert len(lines) == 2  # the first two were not run again
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    one, other = (checkpoints.load(tmp_path / name / "checkpoint.pt") for name in ("cut", "whole"))
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name]), name


def test_another_run_is_not_gone_on_with(small, tmp_path):
    """A state of another config or dataset, or a damaged one, is refused in one line."""
    config = TrainConfig(epochs=3, batch_size=16)

    def stop(line):
        if line.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small["rmts"], tmp_path / "run", config, stop)
    with pytest.raises(InputError, match=r"unfinished run of lr 0.001, not 0.01; give another"):
        quietly(small["rmts"], tmp_path / "run", dataclasses.replace(config, lr=0.01))
    with pytest.raises(InputError, match="unfinished run of digest"):
        quietly(small["discrimination"], tmp_path / "run", config)
    (tmp_path / "run" / "state.pt").write_bytes(b"no state")
    with pytest.raises(InputError, match=r"state.pt cannot be read"):
        quietly(small["rmts"], tmp_path / "run", config)


def test_parts_of_a_batch_give_the_batch_s_gradient(small, tmp_path):
    """Accumulated over four parts, losses are those of whole batches, to rounding."""
    config = dataclasses.replace(ONE, epochs=2, batch_size=16)
    quietly(small["discrimination"], tmp_path / "whole", config)
    quietly(small["discrimination"], tmp_path / "parts", dataclasses.replace(config, accumulate=4))
    for (one, _), (other, _) in zip(
        losses(tmp_path / "whole"), losses(tmp_path / "parts"), strict=True
    ):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.slow
def test_bf16(small, tmp_path):
    """In bfloat16 losses are near those of float32, and not the same."""
    quietly(small["discrimination"], tmp_path / "full", ONE)
    quietly(small["discrimination"], tmp_path / "half", dataclasses.replace(ONE, precision="bf16"))
    (full, _), (half, _) = *losses(tmp_path / "full"), *losses(tmp_path / "half")
    assert full != half
    assert full == pytest.approx(half, rel=0.02)
    weights = checkpoints.load(tmp_path / "half" / "checkpoint.pt").model.state_dict()
    assert all(value.dtype != torch.bfloat16 for value in weights.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, of itself
def test_compiled(small, tmp_path):
    """Compiled, with both auxiliary losses, losses are those of the plain run, to rounding."""
    config = dataclasses.replace(ONE, disentangle=3, pipeline_heads=2)
    quietly(small["rmts"], tmp_path / "plain", config)
    quietly(small["rmts"], tmp_path / "compiled", dataclasses.replace(config, compile=True))
    (plain, _), (compiled, _) = *losses(tmp_path / "plain"), *losses(tmp_path / "compiled")
    assert plain == pytest.approx(compiled, rel=1e-3)


@pytest.mark.slow
def test_two_processes_are_one(small, tmp_path):
    """Under torchrun, two processes have the losses of one with the same batch, to rounding."""
    words = ["train", str(small["rmts"]), "--model", "timm:vit_tiny_patch16_224", "--epochs", "2"]
    words += ["--batch-size", "8", "--lr", "1e-4", "--warmup", "2", "--disentangle", "3"]
    words += ["--device", "cpu", "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    module = ["-m", "samediff_stimuli.cli"]
    for command, out in ((launch, "two"), ([sys.executable], "one")):
        done = subprocess.run(
            [*command, *module, *words, str(tmp_path / out)],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("validation") == 1  # one process speaks
    for (one, right), (two, as_right) in zip(
        losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True
    ):
        assert one == pytest.approx(two, rel=1e-4)
        assert right == pytest.approx(as_right, abs=1.01 / 16)
    report = json.loads((tmp_path / "two" / "result.json").read_text())
    assert report["processes"] == 2


def test_shared_batch_norm_keeps_activations():
    """Batch norm that counts over processes is followed by what follows it in timm's networks."""
    network = from_timm("timm:efficientnet_b0", pretrained=False, image_size=64).eval()
    images = torch.arange(2 * 3 * 64 * 64).reshape(2, 3, 64, 64).to(torch.uint8)
    with torch.no_grad():
        before = network(images)
        fitting.share_statistics(network)
        after = network.eval()(images)
    assert any(isinstance(part, torch.nn.SyncBatchNorm) for part in network.modules())
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("task", ["discrimination", "rmts"])
def test_auxiliary_losses_are_of_the_drawn_tokens(small, task):
    """The losses see the tokens that instance maps say are each object's."""
    from samediff_stimuli.loaders.tokens import object_token_mask, patch_coverage
    from samediff_stimuli.models.attention import Roles
    from samediff_stimuli.models.losses import pipeline_loss, random_heads

    manifest = load(small[task])
    data = StimulusDataset(small[task], "train", columns=["label", "patch", "shape", "color"])
    scene = data.batch([0, 3, 7])
    images = scene.pop("image")
    model = assemble(architecture(TINY, manifest))
    objective = make_objective(model, manifest, disentangle=3, heads=2, seed=4)
    found = objective(images, scene)
    k = scene["patch"].shape[1]
    drawn = object_token_mask(patch_coverage(data.instances([0, 3, 7]), 16, k), 1, 0.02)
    mask = objective._tokens(scene["patch"], 1)
    assert (mask.sum(dim=-1) == 4).all()  # boxes of two patches by two
    assert (drawn & ~mask).sum() == 0
    stages = (4, 5, 6, 7, 8) if k == 2 else (4, 5, 6, 7, 8, 9, 10)
    parts = model.forward_parts(images, hidden=[3], attention=stages)
    pairs = ((0, 1), (2, 3))[: k // 2]
    free = torch.nn.functional.pad(~mask.any(dim=1)[:, 1:], (1, 0), value=False)
    roles = Roles(objects=mask, background=free, pairs=pairs)
    wanted = pipeline_loss(parts.attention, roles, heads=random_heads(3, 2, 4))
    assert found["pipeline"].item() == pytest.approx(wanted.item(), rel=1e-5)
    asked = objective.probes(parts.hidden[3], mask, scene["shape"], scene["color"])
    assert found["disentangle"].item() == pytest.approx(asked.item(), rel=1e-5)
    total = found["task"] + found["disentangle"] + found["pipeline"]
    assert found["loss"].item() == pytest.approx(total.item(), rel=1e-6)


@pytest.mark.parametrize(
    "more",
    [
        {"disentangle": 3},
        {"disentangle": 3, "disentangle_control": True},
        {"pipeline_heads": 2},
        {"pipeline_heads": 2, "pipeline_form": "code"},
        {"disentangle": 2, "pipeline_heads": 3},
    ],
    ids=str,
)
def test_auxiliary_losses_fall(small, tmp_path, more):
    """Each auxiliary loss is logged and falls; its probes are trained with the model."""
    config = dataclasses.replace(ONE, epochs=3, lr=1e-3, **more)
    quietly(small["discrimination"], tmp_path / "run", config)
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    wanted = {name for name in ("disentangle", "pipeline") if any(n.startswith(name) for n in more)}
    for name in wanted:
        assert lines[-1][f"loss_{name}"] < lines[0][f"loss_{name}"]
    parts = sum(lines[0][f"loss_{name}"] for name in ("task", *wanted))
    assert lines[0]["loss"] == pytest.approx(parts, rel=1e-5)


def test_schedules():
    """Warm-up is linear; cosine falls to zero, exponential by 5 % an epoch, plateau by 10."""

    def at(schedule, step, history=(), patience=2):
        return factor_at(schedule, step, 100, 10, 20, history, patience)

    assert [at(name, 0) for name in ("cosine", "plateau")] == [0.1, 0.1]
    assert at("constant", 9) == at("constant", 99) == 1.0
    assert at("cosine", 55) == pytest.approx(0.5)
    assert at("cosine", 100) == pytest.approx(0.0)
    assert at("exponential", 19) == 1.0
    assert at("exponential", 60) == pytest.approx(0.95**3)
    assert at("plateau", 40, [0.5, 0.6]) == 1.0
    assert at("plateau", 90, [0.6, 0.5, 0.5, 0.5]) == pytest.approx(0.1)


def test_plateau_is_torch_s():
    """The plateau schedule cuts when torch's ReduceLROnPlateau(mode="max") cuts."""
    history = [0.5, 0.6, 0.6, 0.59, 0.60001, 0.6, 0.58, 0.7, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6]
    for patience in (0, 1, 2, 5):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.1, patience)
        for epoch, accuracy in enumerate(history, start=1):
            plateau.step(accuracy)
            lr = optimizer.param_groups[0]["lr"]
            if lr > 5e-8:  # torch's least step
                assert 0.1 ** drops(history[:epoch], patience) == pytest.approx(lr)


@pytest.mark.parametrize(("box", "patch", "windows"), [(32, 32, 4), (32, 16, 16), (28, 14, 16)])
def test_model_takes_every_geometry(box, patch, windows):
    """The model runs, and its gradient is finite, for each patch size of the papers."""
    model = PatchRelationNet(box=box, patch=patch, image_size=224, n_windows=windows)
    images = torch.full((3, 3, 224, 224), 255, dtype=torch.uint8)
    images[:, :, 40:60, 40:60] = 7
    model(images).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_every_model_is_itself_again(small, tmp_path):
    """Saved and loaded, each kind of model gives the same logits; pretrained ones look for none."""
    manifest = load(small["discrimination"])
    images = StimulusDataset(small["discrimination"], "test").batch([0, 1, 2])[0]
    for spec in (ModelSpec(), ModelSpec(name="cnn"), TINY, dataclasses.replace(TINY, probe=True)):
        what = architecture(spec, manifest)
        model = assemble(what, 3).eval()
        checkpoints.save(tmp_path / "c.pt", model.state_dict(), what, {}, manifest)
        assert torch.equal(checkpoints.load(tmp_path / "c.pt").model(images), model(images))


def test_mistakes(run, small, tmp_path):
    """No such device, split, model, loss or weights; a batch too large: one clear line each."""
    folder = run[0]
    with pytest.raises(InputError, match="unknown device 'gpu'; known: auto"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device 'cuda' is not available"):
            pick_device("cuda")
    for config, says in (
        ({"batch_size": 5000}, "batch_size 5000 exceeds the 1600 images"),
        ({"batch_size": 30, "accumulate": 4}, "batch_size 30 cannot be shared out; .* 4"),
        ({"schedule": "step"}, "unknown schedule 'step'; known: cosine"),
        ({"precision": "8"}, "unknown precision '8'; known: 32, bf16"),
        ({"epochs": 0}, "epochs 0 is out of range"),
        ({"patience": 0}, "patience 0 is out of range"),
        ({"disentangle_control": True}, "no use without disentangle"),
        ({"pipeline_form": "code"}, "no use without pipeline_heads"),
        ({"disentangle": 3}, "need a ViT that shows its tokens, not PatchRelationNet"),
        ({"disentangle": 13, "model": TINY}, "disentangle layer 13 is out of range"),
        ({"pipeline_heads": 4, "model": TINY}, "heads 4 is out of range; legal: 1 .. 3"),
        ({"pipeline_heads": 1, "pipeline_form": "x", "model": TINY}, "unknown pipeline_form 'x'"),
        (
            {"model": dataclasses.replace(TINY, weights="/nowhere.pt")},
            "weights file '/nowhere.pt' does not exist",
        ),
    ):
        with pytest.raises(InputError, match=says):
            quietly(folder, tmp_path / "x", TrainConfig(**config))
    for spec, says in (
        ({"name": "vit"}, "unknown model 'vit'; known: small, cnn, vit_mini, vit_b16"),
        ({"name": "cnn", "probe": True}, "probe True is not for 'cnn'"),
        ({"pretrained": "clip"}, "pretrained clip is not for 'small'"),
    ):
        with pytest.raises(InputError, match=says):
            ModelSpec(**spec)
    options = AlignedOptions(train=8, validation=0, test=0, ood=0)
    generate(make_recipe("rmts", 0, options), tmp_path / "set", workers=1)
    with pytest.raises(InputError, match="has no validation split; it has train"):
        quietly(tmp_path / "set", tmp_path / "x", TrainConfig())
    assert not (tmp_path / "x").exists()


def test_wrong_checkpoints(small, tmp_path):
    """A checkpoint that is missing, no checkpoint, or of other weights is refused in one line."""
    with pytest.raises(InputError, match=r"does not exist; give the checkpoint.pt of a run folder"):
        checkpoints.load(tmp_path / "none.pt")
    for junk in (b"", b"junk", b"PK\x03\x04", b"\x80\x02."):
        (tmp_path / "junk.pt").write_bytes(junk)
        with pytest.raises(InputError, match="cannot be read"):
            checkpoints.load(tmp_path / "junk.pt")
    torch.save({"weights": {}}, tmp_path / "odd.pt")
    with pytest.raises(InputError, match=r"is not one that train wrote \(KeyError"):
        checkpoints.load(tmp_path / "odd.pt")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpoints.load(tmp_path / "list.pt")
    manifest = load(small["rmts"])
    what = architecture(ModelSpec(name="cnn"), manifest)
    other = assemble(architecture(ModelSpec(), manifest)).state_dict()
    checkpoints.save(tmp_path / "mixed.pt", other, what, {}, manifest)
    with pytest.raises(InputError, match=r"is not one that train wrote \(RuntimeError"):
        checkpoints.load(tmp_path / "mixed.pt")


def test_a_network_without_tokens_is_no_vit(small, tmp_path):
    """A checkpoint of timm's whose network shows no tokens is refused as one to look into."""
    manifest = load(small["rmts"])
    what = architecture(ModelSpec(name="timm:test_convnext"), manifest)
    checkpoints.save(tmp_path / "c.pt", assemble(what).state_dict(), what, {}, manifest)
    with pytest.raises(InputError, match="need a ViT that shows its tokens, not ConvNeXt; use vit"):
        trained_vit(tmp_path / "c.pt")


def test_a_loss_that_is_not_finite_stops_the_run(run, tmp_path):
    """A diverged run ends with a line that says what to do."""
    with pytest.raises(InputError, match=r"loss is \w+ at step \d+; try a smaller --lr"):
        quietly(run[0], tmp_path / "y", TrainConfig(lr=1e30, warmup=0))


def test_zero_is_a_value(small, tmp_path, monkeypatch):
    """`--warmup 0` and `--disentangle 0` are not taken for options left out."""
    configs = []

    def stop(folder, out, config, *rest, **more):
        configs.append(config)
        raise InputError("enough")

    monkeypatch.setattr("samediff_stimuli.models.train.train", stop)
    words = ["train", str(small["rmts"]), "--out", str(tmp_path / "run")]
    words += ["--warmup", "0", "--disentangle", "0"]
    assert CliRunner().invoke(main, words).exit_code == 2
    (config,) = configs
    assert (config.warmup, config.disentangle) == (0, 0)


def test_a_finished_run_is_replaced_when_asked(small, tmp_path):
    """In Python as by the command, it stays to the byte without overwrite; then all of it goes."""
    config, out = TrainConfig(epochs=1, batch_size=16), tmp_path / "run"
    quietly(small["rmts"], out, config, tensorboard=True)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    other = dataclasses.replace(config, seed=1)
    with pytest.raises(InputError, match="holds a finished run; give another folder, or --over"):
        quietly(small["rmts"], out, other)
    done = CliRunner().invoke(
        main, ["train", *map(str, (small["rmts"], "--batch-size", 16, "--out", out))]
    )
    assert (done.exit_code, "holds a finished run" in done.stderr) == (2, True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (events,) = (out / "tensorboard").iterdir()
    quietly(small["rmts"], out, other, tensorboard=True, overwrite=True)
    (again,) = (out / "tensorboard").iterdir()
    assert again.name != events.name
    quietly(small["rmts"], out, other, overwrite=True)
    assert not (out / "tensorboard").exists()


def test_results_do_not_go_into_a_dataset(small, tmp_path):
    """A run folder is no dataset, and no file."""
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a dataset; give another folder"):
        quietly(small["rmts"], small["rmts"], TrainConfig())
    with pytest.raises(InputError, match="is a file; give a folder"):
        quietly(small["rmts"], tmp_path / "file", TrainConfig())


def test_tensorboard(small, tmp_path, monkeypatch):
    """Events of every curve are written if they are asked for, and the writer is closed."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    closed, close = [], SummaryWriter.close
    monkeypatch.setattr(SummaryWriter, "close", lambda self: (closed.append(self), close(self)))
    config = TrainConfig(epochs=2, batch_size=16)
    quietly(small["rmts"], tmp_path / "run", config, tensorboard=True)
    assert len(closed) == 1
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"loss", "validation", "lr"} <= set(events.Tags()["scalars"])
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(
        [loss for loss, _ in losses(tmp_path / "run")]
    )
