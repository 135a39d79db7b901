"""Scores of factor sets follow the benchmark's definitions, and nothing is made up."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import r2_score

from samediff_stimuli import InputError
from samediff_stimuli.factors import Factor, FactorSpace
from samediff_stimuli.models.factor_report import markdown, plot
from samediff_stimuli.models.factors import (
    Scores,
    evaluate,
    grid_variance,
    modularity,
    predict,
    sample,
    score,
    seen_levels,
    towards_mean,
)

SIZES = (2, 3, 5)
SPACE = FactorSpace(
    name="toy",
    factors=tuple(
        Factor(name=name, values=tuple(map(float, range(size))), about=name)
        for name, size in zip("abc", SIZES, strict=True)
    ),
)
GRID = SPACE.levels(np.arange(len(SPACE)))


class ToyData:
    """Images of 4 x 4 pixels whose first pixels are the levels."""

    space = SPACE

    def __init__(self, levels):
        self.levels = np.asarray(levels, dtype=np.int64)

    def __len__(self):
        return len(self.levels)

    def batch(self, indices):
        levels = self.levels[indices]
        images = torch.zeros(len(levels), 1, 4, 4, dtype=torch.uint8)
        images[:, 0, 0, :3] = torch.from_numpy(levels).to(torch.uint8)
        return images, torch.from_numpy(SPACE.normalised(levels)).float()


def perfect(images):
    """A model that reads the levels off the pixels."""
    return images[:, 0, 0, :3].double() / (torch.tensor(SIZES) - 1)


def test_grid_variance():
    """The closed form is the variance of the normalised levels of the whole grid."""
    assert grid_variance(SIZES) == pytest.approx([1 / 4, 1 / 6, 1 / 8])
    assert grid_variance(SIZES) == pytest.approx(SPACE.normalised(GRID).var(axis=0))
    with pytest.raises(InputError, match="2 or more levels"):
        grid_variance((3, 1))


def test_perfect_mean_and_shift():
    """On the full grid: truth scores 1, the grid's mean 0, a shift of s loses s² / variance."""
    truth = SPACE.normalised(GRID)
    assert score(truth, truth, SPACE).r2 == (1, 1, 1)
    assert score(np.full_like(truth, 0.5), truth, SPACE).r2 == pytest.approx((0, 0, 0), abs=1e-12)
    shifted = score(truth + np.array([0.5, 0, -0.25]), truth, SPACE)
    assert shifted.r2 == pytest.approx((0, 1, 0.5))
    assert shifted.mse == pytest.approx((0.25, 0, 0.0625))
    assert shifted.r2_mean == pytest.approx(0.5)
    assert shifted.mse_mean == pytest.approx(0.3125 / 3)


def test_variance_is_that_of_the_full_grid():
    """On part of the grid the error is divided by the full grid's variance, not the part's."""
    part = SPACE.normalised(np.array([[0, 0, 3], [0, 0, 4]]))  # variance 0, 0 and 1/64
    found = score(part - [0, 0.5, 0.5], part, SPACE)
    assert found.r2 == pytest.approx((1, 1 - 0.25 * 6, 1 - 0.25 * 8))
    assert found.n == 2


def test_agrees_with_scikit_learn_on_the_full_grid():
    """Where the tested rows are the full grid, R² is scikit-learn's."""
    truth = SPACE.normalised(GRID)
    given = truth**2 + 0.1 * truth[:, ::-1] - 0.3
    expected = r2_score(truth, given, multioutput="raw_values")
    assert score(given, truth, SPACE).r2 == pytest.approx(expected)


def test_benchmark_keys():
    """The dict of scores has the keys of the benchmark's code, and survives JSON."""
    truth = SPACE.normalised(GRID)
    found = score(truth + np.array([0.5, 0, 0]), truth, SPACE).as_dict()
    per_factor = {f"{kind}_{name}" for kind in ("rsquared", "mse") for name in "abc"}
    assert set(found) == {"rsquared", "mse", "names", "n"} | per_factor
    assert found["rsquared"] == pytest.approx(2 / 3)
    assert found["rsquared_a"] == pytest.approx(0)
    assert found["mse_a"] == pytest.approx(0.25)
    assert json.loads(json.dumps(found)) == found


def test_bad_predictions():
    """Shapes that do not fit, nothing, and numbers that are none are refused."""
    truth = SPACE.normalised(GRID)
    for given, wanted in ((truth[:5], truth), (truth[:, :2], truth[:, :2]), (truth[0], truth[0])):
        with pytest.raises(InputError, match="a column for each factor"):
            score(given, wanted, SPACE)
    with pytest.raises(InputError, match="no rows"):
        score(truth[:0], truth[:0], SPACE)
    for bad in (np.nan, np.inf, -np.inf, 1e200):
        given = truth.copy()
        given[4, 1] = bad
        with pytest.raises(InputError, match="factor 'b' in row 4"):
            score(given, truth, SPACE)


def test_seen_levels():
    """A level is seen if a row has it."""
    a, b, c = seen_levels(np.array([[0, 2, 4], [0, 0, 4]]), SIZES)
    assert a.tolist() == [True, False]
    assert b.tolist() == [True, False, True]
    assert c.tolist() == [False, False, False, False, True]
    with pytest.raises(InputError, match="out of range"):
        seen_levels(np.array([[0, 3, 0]]), SIZES)
    with pytest.raises(InputError, match="shape"):
        seen_levels(np.array([[0, 0]]), SIZES)


def test_modularity_by_hand():
    """Rows are told apart by which factors are out; R² is by the full grid's variance."""
    train = GRID[(GRID[:, 1] < 2) & (GRID[:, 2] < 3)]
    levels = np.array([[0, 0, 3], [1, 1, 4], [0, 2, 0], [1, 2, 3], [0, 0, 0]])
    errors = [[0.5, 0, 0.25], [0, 0, 0.5], [0, 0.5, 0.25], [0.5, 0, -0.25], [9, 9, 9]]
    found = modularity(SPACE.normalised(levels) + errors, levels, SPACE, train)
    assert found.n_alone == (0, 1, 2)
    assert found.r2_alone == (None, pytest.approx(-0.5), pytest.approx(-0.25))
    assert found.r2_others == (None, pytest.approx(0.75), pytest.approx(0.75))
    assert found.n_out == (0, 2, 3)
    assert found.r2_out == (None, pytest.approx(0.25), pytest.approx(0, abs=1e-12))
    assert found.n_in == (4, 2, 1)
    assert found.r2_in == pytest.approx((0.5, 1, 0.5))
    assert found.r2_out_mean == pytest.approx(0.125)
    assert found.r2_in_mean == pytest.approx(2 / 3)


def test_towards_mean_by_hand():
    """The ratio is of distances to the training mean; rows whose truth is the mean have none."""
    train = GRID[np.isin(GRID[:, 2], (0, 4))]  # the mean of c is 0.5: that of its level 2
    levels = np.array([[0, 0, c] for c in (1, 3, 3, 3, 2, 0)])
    given = SPACE.normalised(levels)
    given[:, 2] = [0.375, 0.9, 0.5, 0.25, 7, 7]  # ratios 1/2, 8/5, 0, 1, none, and a seen level
    found = towards_mean(given, levels, SPACE, train)
    assert found.train_mean == pytest.approx((0.5, 0.5, 0.5))
    assert found.n == (0, 0, 4)
    assert found.left_out == (0, 0, 1)
    assert found.share == (None, None, 0.75)
    assert found.median == (None, None, pytest.approx(0.75))
    with pytest.raises(InputError, match="train_levels is empty"):
        towards_mean(given, levels, SPACE, train[:0])


def test_the_training_mean_counts_rows():
    """The mean is over the rows trained on, not over the levels that occur."""
    train = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 1]])
    levels = np.array([[0, 1, 4]])
    found = towards_mean(np.array([[0, 0.25, 0.53125]]), levels, SPACE, train)
    assert found.train_mean == (0.25, 0, 0.0625)
    assert found.median == (None, pytest.approx(0.5), pytest.approx(0.5))


def test_no_diagnostics_without_unseen_levels():
    """Splits where training shows every level have scores and no diagnostics."""
    test = ToyData(GRID[::2])
    alone = evaluate(perfect, test)
    random = evaluate(perfect, test, train_levels=GRID[1::2])
    assert alone == random
    assert random.scores == Scores(names=("a", "b", "c"), r2=(1, 1, 1), mse=(0, 0, 0), n=15)
    assert random.modularity is None
    assert random.towards_mean is None
    assert random.as_dict()["modularity"] is None


def test_evaluate_with_unseen_levels():
    """The diagnostics are those of the rows asked for."""
    test = ToyData(GRID)
    train = GRID[GRID[:, 2] < 3]
    found = evaluate(perfect, test, train_levels=train, indices=[3, 4, 0], batch_size=2)
    assert found.scores.n == 3
    assert found.modularity.n_alone == (0, 0, 2)
    assert found.modularity.r2_alone == (None, None, 1)
    assert found.towards_mean.median == (None, None, 1)
    plain = found.as_dict()
    assert plain["modularity"]["factors"]["c"]["n_in"] == 0
    assert plain["towards_mean"]["factors"]["c"]["share"] == 1
    assert json.loads(json.dumps(plain)) == plain


def test_predict_keeps_the_order():
    """Answers come in the order asked for, whatever the batches, from tensors and arrays."""
    data = ToyData(GRID)
    rows = np.array([7, 2, 29, 2, 0])
    expected = SPACE.normalised(GRID[rows])
    for model in (perfect, lambda images: perfect(images).numpy()):
        for batch_size in (1, 2, 5, 64):
            found = predict(model, data, rows, batch_size)
            assert found.dtype == np.float64
            assert (found == expected).all()
    assert (predict(perfect, data) == SPACE.normalised(GRID)).all()
    assert predict(perfect, data, []).shape == (0, 3)


def test_predict_puts_a_module_in_evaluation_mode_for_the_while():
    """Dropout plays no part, and the modes of all modules are as before."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.9), torch.nn.ReLU())
    model[2].eval()
    seen = []

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, images):
            seen.append((self.training, torch.is_grad_enabled()))
            return self.inner(images.float())[:, :3]

    wrapped = Wrapped()
    found = predict(wrapped, ToyData(GRID))
    assert (found == GRID).all()
    assert seen == [(False, False)]
    assert [wrapped.training, model[1].training, model[2].training] == [True, True, False]


def test_predict_refuses():
    """Rows that are not there, a batch of nothing, answers of another shape."""
    data = ToyData(GRID)
    for rows in ([30], [-1]):
        with pytest.raises(InputError, match=r"legal: 0 \.\. 29"):
            predict(perfect, data, rows)
    with pytest.raises(InputError, match="integers"):
        predict(perfect, data, [0.5])
    with pytest.raises(InputError, match="batch_size 0"):
        predict(perfect, data, None, 0)
    with pytest.raises(InputError, match=r"model gave \(30, 2\)"):
        predict(lambda images: perfect(images)[:, :2], data)


def test_sample():
    """A sample is sorted, without repeats, the same for ever, and all rows if there are no more."""
    assert sample(100, 5, 0).tolist() == [25, 37, 39, 53, 65]
    rows = sample(1001, 500, 3)
    assert len(np.unique(rows)) == 500
    assert (np.diff(rows) > 0).all()
    assert set(rows.tolist()) <= set(range(1001))
    assert rows.tolist() != sample(1001, 500, 4).tolist()
    assert sample(7, 7, 0).tolist() == sample(7, 100, 0).tolist() == list(range(7))
    with pytest.raises(InputError, match="n 0"):
        sample(7, 0, 0)


@pytest.fixture
def evaluations():
    """Four splits: two without unseen levels, one far below the axis."""
    test, seen = ToyData(GRID), GRID[GRID[:, 2] < 3]
    return {
        "random": evaluate(perfect, test),
        "composition": evaluate(lambda images: perfect(images) + 0.1, test),
        "interpolation": evaluate(
            lambda images: 0.5 + 0.3 * perfect(images), test, train_levels=seen
        ),
        "extrapolation": evaluate(lambda images: 3 * perfect(images), test, train_levels=seen),
    }


def test_tables(evaluations):
    """A row for each split, and tables of unseen levels where there are any."""
    text = markdown(evaluations)
    lines = text.splitlines()
    assert lines[2] == "| split | images | mean | a | b | c |"
    assert lines[4] == "| random | 30 | 1.000 | 1.000 | 1.000 | 1.000 |"
    assert "interpolation: R² of a factor" in text
    assert "random: R² of a factor" not in text
    assert "| c | 12 | 0 |" in text


def test_tables_refuse_other_factors(evaluations):
    """Evaluations of different factors, or none, make no table."""
    space = FactorSpace(name="other", factors=SPACE.factors[:2])
    other = type(evaluations["random"])(
        scores=score(SPACE.normalised(GRID)[:, :2], SPACE.normalised(GRID)[:, :2], space),
        modularity=None,
        towards_mean=None,
    )
    with pytest.raises(InputError, match="a, b; a, b, c"):
        markdown({**evaluations, "other": other})
    with pytest.raises(InputError, match="not nothing"):
        markdown({})


def test_plot(evaluations, tmp_path):
    """A picture is written whole, the same bytes each time, and no file besides."""
    pytest.importorskip("matplotlib")
    plot(evaluations, tmp_path / "a.png", "toy")
    plot(evaluations, tmp_path / "b.png", "toy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 4


def test_plot_refuses(evaluations, tmp_path, monkeypatch):
    """Another ending, too many splits, and a machine without matplotlib are told plainly."""
    with pytest.raises(InputError, match=r"legal: \.png"):
        plot(evaluations, tmp_path / "a.jpg")
    many = {str(i): evaluations["random"] for i in range(7)}
    with pytest.raises(InputError, match="7 splits"):
        plot(many, tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"pip install 'samediff-stimuli\[train\]'"):
        plot(evaluations, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
