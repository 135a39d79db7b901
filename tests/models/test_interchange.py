"""Interchange interventions: a toy whose dimensions are known, controls, files, refusals."""

import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import AlignedOptions, DasOptions, generate, make_recipe
from samediff_stimuli.cli import main
from samediff_stimuli.grid import Grid
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.models import checkpoints, interchange_report, interchange_rows, zoo
from samediff_stimuli.models.interchange import (
    Interchange,
    InterchangeConfig,
    Sites,
    answers_after,
    exchanged,
    fit_interchange,
    full_swap,
)
from samediff_stimuli.models.vit_mini import PatchStem, vit_mini
from samediff_stimuli.recipe import InputError

VALUES, WIDTH = 4, 10  # of shape and of colour; of the toy's states: 4 + 4 + a flag + nothing
EASY = AlignedOptions(image_size=96, train=64, validation=16, test=16, ood=0)
PAIRS = DasOptions(image_size=96, train=32, validation=32, test=32)


class Toy:
    """Answers "same" where two flagged tokens hold one shape and one colour, in a turned basis."""

    def __init__(self):
        torch.manual_seed(5)
        self.basis = torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0]

    def states(self, shape, color, flag):
        """(n, tokens, d) of (n, tokens) shapes and colours, and where objects are."""
        codes = [torch.eye(VALUES)[values] * flag[..., None] for values in (shape, color)]
        rest = torch.stack([flag, torch.zeros_like(flag)], dim=-1)
        return torch.cat([*codes, rest], dim=-1) @ self.basis

    def resume(self, layer, states):
        """(n, 2) logits from the squared distance of the two objects."""
        plain = states @ self.basis.T
        flag, codes = plain[..., 2 * VALUES], plain[..., : 2 * VALUES]
        apart = ((codes[:, :, None] - codes[:, None]) ** 2).sum(dim=-1)
        distance = (apart * flag[:, :, None] * flag[:, None]).sum(dim=(1, 2))
        return torch.stack([distance - 1, 1 - distance], dim=1)


def toy_sites(toy, n, seed):
    """Rows of shape: half of them become the same, half become different; object 0 is edited."""
    rng = np.random.default_rng(seed)
    shape = rng.integers(VALUES, size=n)
    color, step = rng.integers(VALUES, size=n), rng.integers(1, VALUES, size=(3, n))
    become_same = np.arange(n) % 2 == 0
    other = np.where(become_same, shape + step[0], shape) % VALUES  # of the object that stays
    given = np.where(become_same, other, shape + step[1]) % VALUES
    given_color = (color + step[2]) % VALUES
    base_shape = torch.tensor(np.stack([shape, other, 0 * shape], axis=1))
    base_color = torch.tensor(np.stack([color, color, 0 * shape], axis=1))
    flag = torch.tensor([1.0, 1.0, 0.0]).expand(n, 3)
    one = torch.ones(n, 1)
    source = toy.states(torch.tensor(given)[:, None], torch.tensor(given_color)[:, None], one)
    return Sites(
        base=toy.states(base_shape, base_color, flag),
        source=source,
        edited=torch.zeros(n, 1, dtype=torch.int64),
        elsewhere=torch.zeros(n, 1, WIDTH),
        wrong=torch.full((n, 1), 2),
        target=torch.tensor(become_same.astype(np.int64)),
    )


@pytest.fixture(scope="module")
def fitted():
    """The toy, test rows, and what is learned of its shape dimensions."""
    toy = Toy()
    train, validation, test = (toy_sites(toy, n, seed) for seed, n in enumerate((512, 128, 128)))
    config = InterchangeConfig(rotation_lr=0.02, mask_lr=0.05)
    return toy, test, fit_interchange(toy, 0, train, validation, config)


def rate(given, sites):
    """The share of answers that are the target."""
    return float((given == sites.target).double().mean())


def test_subspace_of_a_property_is_found(fitted):
    """DAS finds the toy's shape: the answer turns both ways, and what is left out is not needed."""
    toy, test, fit = fitted
    assert rate(answers_after(toy, 0, test, fit.interchange), test) >= 0.95
    assert fit.validation >= 0.95
    assert 1 <= fit.dimensions <= WIDTH - 3  # not colour's differences, which span 3


def test_learned_subspace_holds_shape_and_no_colour(fitted):
    """A source that differs in colour alone changes little; one that differs in shape, much."""
    toy, _, fit = fitted
    one = torch.ones(1, 1)

    def moved(shape, color):
        here, there = (
            toy.states(torch.tensor([[s]]), torch.tensor([[c]]), one)
            for s, c in ((0, 0), (shape, color))
        )
        return float((fit.interchange(here, there) - here).norm())

    for value in (1, 2, 3):
        assert moved(value, 0) > 3 * moved(0, value)


def test_full_swap_moves_the_other_property_too(fitted):
    """Whole states turn same into different, and never different into same."""
    toy, test, _ = fitted
    given = answers_after(toy, 0, test, full_swap)
    assert torch.equal(given, torch.zeros_like(given))
    assert rate(given, test) == 0.5


def test_wrong_tokens_are_at_the_base_rate(fitted):
    """The learned exchange elsewhere leaves every answer as it is without any."""
    toy, test, fit = fitted
    untouched = toy.resume(0, test.base).argmax(dim=1)
    wrong = answers_after(toy, 0, test, fit.interchange, wrong=True)
    assert torch.equal(wrong, untouched)
    assert rate(untouched, test) == 0


def test_same_seed_learns_the_same():
    """What is learned is a function of seed and data; the global generator is neither."""
    toy = Toy()
    train, validation = (toy_sites(toy, 64, seed) for seed in (0, 1))
    found = []
    for noise, seed in ((1, 0), (2, 0), (1, 3)):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        fit = fit_interchange(toy, 0, train, validation, InterchangeConfig(epochs=2, seed=seed))
        assert torch.equal(torch.get_rng_state(), before)
        found.append(fit.interchange.turn.weight)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_exchange_is_the_formula():
    """R^T ((1 - m) R b + m R s) in the edited tokens, whose mask may be soft; others stay."""
    made = Interchange(6, seed=1)
    with torch.no_grad():
        made.logits.copy_(torch.tensor([3.0, -3, 1, -1, 2, -2]))
    turn = made.turn.weight.detach()
    assert torch.allclose(turn @ turn.T, torch.eye(6), atol=1e-5)
    base, source = torch.randn(5, 4, 6), torch.randn(5, 2, 6)
    tokens = torch.tensor([[1, 3]]).expand(5, 2)
    sites = Sites(
        base=base,
        source=source,
        edited=tokens,
        elsewhere=source + 1,
        wrong=tokens - 1,
        target=torch.zeros(5, dtype=torch.int64),
    )
    for temperature, wrong in ((0.5, False), (None, False), (0.5, True)):
        mask = made.mask(temperature)
        at, given = (tokens - 1, source + 1) if wrong else (tokens, source)
        found = exchanged(sites, lambda b, s, t=temperature: made(b, s, t), wrong=wrong)
        for row in range(5):
            for token in range(4):
                expected = base[row, token]
                if token in at[row].tolist():
                    other = given[row, at[row].tolist().index(token)]
                    expected = turn.T @ ((1 - mask) * (turn @ expected) + mask * (turn @ other))
                assert torch.allclose(found[row, token], expected, atol=1e-5)
    assert made.mask().tolist() == [1, 0, 1, 0, 1, 0]
    assert torch.allclose(made.mask(1e-3), made.mask(), atol=1e-6)


def test_schedules():
    """The temperature falls from hot to cold by equal factors; rates rise for a tenth of steps."""
    config = InterchangeConfig()
    found = [config.temperature(step, 101) for step in range(101)]
    assert found[0] == 1
    assert found[-1] == pytest.approx(0.005)
    assert np.allclose(np.diff(np.log(found)), np.log(0.005) / 100)
    assert [config.rate(step, 100) for step in (0, 4, 9, 50)] == [0.1, 0.5, 1, 1]
    with pytest.raises(InputError, match="epochs 0 is out of range; legal: 1 or more"):
        InterchangeConfig(epochs=0)


@pytest.mark.parametrize(("side", "span", "reserved"), [(3, 1, False), (7, 2, True)])
def test_free_places_touch_no_object(side, span, reserved):
    """A place is free exactly if its box shares no patch with an object's."""
    grid = Grid(side=side, patch=16, span=span, reserved=reserved)
    patch = grid.positions()[np.random.default_rng(0).integers(len(grid.positions()), size=(20, 4))]
    free = interchange_rows.free_places(grid, patch)
    for row, objects in zip(free, grid.tokens(patch), strict=True):
        taken = set(objects.reshape(-1).tolist())
        boxes = [set(box.tolist()) for box in grid.tokens(grid.positions())]
        assert row.tolist() == [not box & taken for box in boxes]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Small sets, and untrained checkpoints of a small ViT and of a network without tokens."""
    root = tmp_path_factory.mktemp("interchange")
    generate(make_recipe("discrimination", 0, EASY), root / "pairs", workers=1, parquet=False)
    for name, options in (
        ("das", PAIRS),
        ("large", DasOptions(train=8, validation=8, test=8)),
        ("untaught", DasOptions(image_size=96, train=0, validation=8, test=8)),
    ):
        generate(make_recipe("das", 0, options), root / name, workers=1, parquet=False)
    manifest = StimulusDataset(root / "pairs", "train").manifest
    for name, kind, arguments in (
        ("vit", "vit_mini", {"image_size": 96, "patch_size": 32}),
        ("cnn", "cnn", {"channels": 3}),
    ):
        (root / name).mkdir()
        what = zoo.Architecture(kind=kind, arguments=arguments)
        weights = zoo.assemble(what).state_dict()
        checkpoints.save(root / name / checkpoints.NAME, weights, what, {"epochs": 0}, manifest)
    return root


def test_sites_are_the_models_states(folders):
    """States of both images and of the background, resumed untouched, give the model's answers."""
    vit = vit_mini(image_size=96, patch_size=32).eval()
    data = interchange_rows.open_split(folders / "das", "test")
    rows = np.arange(5, 25)
    batch = data.batch(rows.tolist())
    with torch.no_grad():
        for layer in (0, 3):
            sites = interchange_rows.sites_at(vit, data, rows, layer)
            other = vit.forward_parts(batch["counterfactual"], hidden=[layer]).hidden[layer]
            for row in range(20):
                token = 1 + int(batch["source_tokens"][row, 0])
                assert torch.equal(sites.source[row, 0], other[row, token])
                assert torch.equal(sites.elsewhere[row, 0], other[row, sites.wrong[row, 0]])
            assert torch.equal(sites.edited, 1 + batch["edited_tokens"])
            assert torch.allclose(vit.resume(layer, sites.base), vit(batch["image"]), atol=1e-5)
    taken = np.concatenate([data.table[n][rows] for n in ("patch", "counterfactual_patch")], axis=1)
    wrong = sites.wrong.numpy() - 1
    assert not (wrong == taken).any()
    assert ((wrong >= 0) & (wrong < 9)).all()
    assert len(np.unique(wrong)) > 3
    again = interchange_rows.sites_at(vit, data, rows[7:], 3)
    assert torch.equal(again.wrong, sites.wrong[7:])  # a row's own


def test_a_token_knows_its_own_patch_alone():
    """The stem of the small ViT lets nothing across a patch's border."""
    stem = PatchStem(14, 8)
    images = torch.randn(2, 3, 42, 42)
    before = stem(images)
    images[:, :, 14:28, :14] += 1
    changed = (stem(images) != before).any(dim=1)
    assert changed.nonzero()[:, 1:].tolist() == [[1, 0], [1, 0]]
    assert before.shape == (2, 8, 3, 3)


def test_command_writes_page_tables_and_picture(folders, tmp_path, monkeypatch):
    """One command: every layer, property and kind in page, JSON and CSV; the same bytes again."""
    monkeypatch.chdir(folders)
    out = tmp_path / "out"
    words = ["interchange", "vit", "das", "--out", str(out), "--layers", "4,1", "--epochs", "1"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    names = {f"interchange.{kind}" for kind in ("md", "json", "csv", "png")}
    assert {path.name for path in out.iterdir()} == names
    with Image.open(out / "interchange.png") as picture:
        picture.load()
        assert min(picture.size) > 200
    page = (out / "interchange.md").read_text()
    assert "| layer | shape, DAS | shape, full swap | shape, wrong tokens | shape, none |" in page
    assert "The model is `vit_mini`, trained on `discrimination-p32-i96`" in page
    told = json.loads((out / "interchange.json").read_text())
    lines = list(csv.DictReader((out / "interchange.csv").read_text().splitlines()))
    assert len(lines) == len(told["shares"]) == 2 * 2 * 2 * 4  # splits, properties, layers, kinds
    assert {each["layer"] for each in told["shares"]} == {1, 4}
    for line, share in zip(lines, told["shares"], strict=True):
        assert float(line["kept"]) == pytest.approx(share["kept"]["value"], abs=1e-6)
        if share["kind"] == "none":
            assert share["kept"]["value"] == 0  # right answers are not the target
            assert share["every"]["value"] == 0.5  # nothing is learned: one answer to everything
    assert told["rows"]["test"]["shape"] == {"kept": 16, "all": 32}
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert CliRunner().invoke(main, words).exit_code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["cnn", "das"],
            "cnn is of cnn: looks inside it need a ViT that shows its tokens, not SmallCNN",
        ),
        (["das", "das"], "das is a dataset; give what is to be evaluated first"),
        (["vit", "pairs"], "is no set of counterfactual pairs; make one"),
        (["vit", "large"], "make the set with --image-size 96 --patch-size 32"),
        (["vit", "untaught"], "has no split train, and interchanges need it"),
        (["vit", "absent"], "absent is not a dataset"),
        (["vit", "das", "--layers", "1,6"], "layer 6 is out of range; legal: 0 .. 5"),
        (["vit", "das", "--layers", "1,b"], "--layers '1,b' is no list; legal: e.g. 0,2,4"),
        (["vit", "das", "--device", "tpu"], "unknown device 'tpu'"),
        (["vit", "das", "--out", "pairs"], "--out pairs is a dataset; give another folder"),
    ],
)
def test_command_refuses_in_a_line(folders, words, message, monkeypatch):
    """What cannot be asked for ends in one line and exit code 2, and nothing is written."""
    monkeypatch.chdir(folders)
    before = sorted(path for path in folders.rglob("*"))
    done = CliRunner().invoke(main, ["interchange", *words])
    assert done.exit_code == 2, done.output
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(path for path in folders.rglob("*")) == before


def test_a_model_that_knows_nothing_is_refused(folders):
    """Where no row is answered correctly there is nothing to exchange."""
    vit = vit_mini(image_size=96, patch_size=32).eval()

    class Wrong(type(vit)):
        """Answers by a number that no label has."""

        def forward(self, images):
            return torch.tensor([0.0, 0.0, 1.0]).expand(len(images), 3)

    vit.__class__ = Wrong
    with pytest.raises(InputError, match="answers no row of train for shape correctly"):
        interchange_report.interchange_report(vit, folders / "das", model="none")


def test_small_vit_is_trained_by_name(folders, tmp_path):
    """`train --model vit_mini` makes a checkpoint that gives the same logits again."""
    words = ["train", str(folders / "pairs"), "--model", "vit_mini", "--epochs", "1"]
    done = CliRunner().invoke(main, [*words, "--disentangle", "2", "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    found = checkpoints.load(tmp_path / "run" / checkpoints.NAME)
    assert found.architecture.kind == "vit_mini"
    assert (found.model.n_layers, found.model.n_heads, found.model.n_prefix_tokens) == (6, 4, 1)
    images, _ = StimulusDataset(folders / "pairs", "test").batch(range(4))
    again = checkpoints.load(tmp_path / "run" / checkpoints.NAME).model
    assert torch.equal(found.model(images), again(images))


def test_small_vit_needs_a_patch_grid():
    """Sets whose objects stand anywhere have no patch size to go by."""
    manifest = type("Manifest", (), {"recipe": make_recipe("shapes", 0), "name": "shapes-seed0"})
    with pytest.raises(InputError, match="shapes-seed0 has no objects on a patch grid"):
        zoo.architecture(zoo.ModelSpec(name="vit_mini"), manifest)
    with pytest.raises(InputError, match="pretrained clip is not for 'vit_mini'"):
        zoo.ModelSpec(name="vit_mini", pretrained="clip")
