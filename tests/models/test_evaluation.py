"""Answers are judged as scikit-learn would, by class, with intervals that know matched groups."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from samediff_stimuli import AlignedOptions, InputError, generate, make_recipe
from samediff_stimuli.loaders import StimulusDataset
from samediff_stimuli.manifest import load
from samediff_stimuli.models.evaluation import (
    agreement,
    by_participant,
    evaluate,
    judge,
    measure,
    predict,
    read_trial_table,
    trial_table,
)
from samediff_stimuli.models.metrics import area, wilson
from samediff_stimuli.tasks.dissociation import DissociationOptions

SMALL = {"image_size": 96, "train": 12, "validation": 0, "test": 36, "ood": 0}
TABLE = ["stimulus_id", "digest", "split", "relation", "label", "response", "correct", "score"]
TABLE += ["rt", "participant"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Task name -> a small folder."""
    root = tmp_path_factory.mktemp("sets")
    options = {
        "discrimination": AlignedOptions(**SMALL),
        "rmts": AlignedOptions(**SMALL),
        "dissociation": DissociationOptions(image_size=96, object_size=32, test=32),
    }
    for name, chosen in options.items():
        generate(make_recipe(name, 0, chosen), root / name, workers=1, parquet=False)
    return {name: root / name for name in options}


class Replay:
    """An answerer that says what it was told to, in order."""

    def __init__(self, scores):
        self.scores, self.at = scores, 0

    def __call__(self, images):
        self.at += len(images)
        return self.scores[self.at - len(images) : self.at]


def logits(answers, classes=2):
    """Scores whose largest is the answer."""
    return torch.eye(classes)[torch.as_tensor(np.asarray(answers, dtype=np.int64))]


def test_numbers_are_those_of_scikit_learn():
    """Accuracy, balanced accuracy and ROC AUC, with many ties and unequal labels."""
    random = np.random.default_rng(0)
    for n, ties in ((50, 3), (997, 20), (997, 10**9)):
        label = (random.random(n) < 0.3).astype(np.int64)
        score = np.round((random.normal(size=n) + label) * ties) / ties
        answer = (score > 0.4).astype(np.int64)
        found = measure(
            label, answer, np.arange(n), score=score, judged=True, same=1, draws=50, seed=0
        )
        assert found.accuracy.value == pytest.approx(np.mean(label == answer), abs=1e-12)
        wanted = sklearn_metrics.balanced_accuracy_score(label, answer)
        assert found.balanced_accuracy.value == pytest.approx(wanted, abs=1e-12)
        wanted = sklearn_metrics.roc_auc_score(label, score)
        assert found.auc.value == pytest.approx(wanted, abs=1e-12)
        assert area(score, label == 1) == found.auc.value
        assert found.said_same.value == answer.mean()
        for estimate in (found.accuracy, found.balanced_accuracy, found.auc):
            assert estimate.low < estimate.value < estimate.high


def test_more_than_two_labels():
    """Balanced accuracy is the mean recall of five labels; there is no area."""
    random = np.random.default_rng(1)
    label = random.choice(5, 400, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    answer = np.where(random.random(400) < 0.6, label, random.choice(5, 400))
    found = measure(label, answer, np.arange(400), score=None, judged=True, same=None, draws=50)
    wanted = sklearn_metrics.balanced_accuracy_score(label, answer)
    assert found.balanced_accuracy.value == pytest.approx(wanted, abs=1e-12)
    assert found.auc is None
    assert found.said_same is None


def test_wilson():
    """Wilson's interval has the values of tables, and stays inside [0, 1]."""
    found = wilson(8, 10)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert (wilson(0, 10).low, wilson(10, 10).high) == (0.0, 1.0)
    assert wilson(0, 10).high == pytest.approx(0.2775, abs=1e-4)


def test_intervals_know_matched_groups():
    """Rows in twos that always agree count as one; without groups they would count as two."""
    random = np.random.default_rng(2)
    label = np.repeat([0, 1], 200)
    score = random.normal(size=400) + label
    rows = {"score": np.repeat(score, 2), "judged": True, "same": 1, "draws": 500}
    label, answer = np.repeat(label, 2), np.repeat((score > 0.5).astype(np.int64), 2)
    together = measure(label, answer, np.arange(800) // 2, **rows)
    alone = measure(label, answer, np.arange(800), **rows)
    for name in ("balanced_accuracy", "auc"):
        one, other = getattr(together, name), getattr(alone, name)
        assert one.value == other.value
        assert 1.25 < (one.high - one.low) / (other.high - other.low) < 1.6
    share = together.balanced_accuracy
    wanted = 2 * 1.96 * np.sqrt(share.value * (1 - share.value) / 400)
    assert share.high - share.low == pytest.approx(wanted, rel=0.15)
    assert together == measure(label, answer, np.arange(800) // 2, **rows)
    assert together != measure(label, answer, np.arange(800) // 2, **rows, seed=1)


def test_one_group_has_no_interval():
    """A single matched group says nothing of how groups vary."""
    label = np.array([0, 1])
    found = measure(label, label, np.array([7, 7]), score=None, judged=True, same=1, draws=9)
    assert found.groups == 1
    assert found.balanced_accuracy.value == 1
    assert found.balanced_accuracy.low is None
    assert found.balanced_accuracy.high is None


@pytest.mark.parametrize(
    ("name", "conditions"),
    [
        ("discrimination", ["relation"]),
        ("rmts", ["case"]),
        ("dissociation", ["same_color", "same_texture", "same_shape"]),
    ],
)
def test_conditions_are_declared_columns(folders, name, conditions):
    """Conditions are the class columns of the whole stimulus; nothing is listed by hand."""
    dataset = StimulusDataset(folders[name], "test")
    n, classes = len(dataset), len(set(dataset.labels.tolist()))
    found = predict(Replay(torch.zeros(n, classes)), dataset, batch_size=7)
    assert list(found.conditions) == conditions
    for condition in conditions:
        assert (found.conditions[condition] == dataset.table[condition]).all()
    assert (found.group == dataset.table["pair_id"]).all()
    assert (found.answer == 0).all()


def test_scores_and_class_numbers_say_the_same(folders):
    """Logits, columns of a dataset, and class numbers give one answer; scores are kept."""
    dataset = StimulusDataset(folders["discrimination"], "test")
    with_columns = StimulusDataset(folders["discrimination"], "test", columns=["relation"])
    said = dataset.labels.flip(0)
    by_score = predict(Replay(3 * logits(said) - 1), with_columns, batch_size=5)
    by_number = predict(Replay(said), dataset)
    assert (by_score.answer == said.numpy()).all()
    assert (by_number.answer == said.numpy()).all()
    assert set(by_score.scores.reshape(-1)) == {-1, 2}
    assert set(by_score.score) == {-3, 3}
    assert set(by_number.score) == {-1, 1}


def test_a_module_is_set_to_evaluation_and_back(folders):
    """Dropout is off while a module answers, no gradient is kept, and its mode comes back."""

    class Model(torch.nn.Module):
        def forward(self, images):
            assert not self.training
            assert not torch.is_grad_enabled()
            assert images.dtype == torch.uint8
            return torch.zeros(len(images), 2)

    model = Model()
    predict(model, StimulusDataset(folders["discrimination"], "test"))
    assert model.training


def test_report(folders):
    """A model blind to colour fails where colour alone differs, and the report says so."""
    tables = [StimulusDataset(folders["discrimination"], s).table for s in ("train", "test")]
    relation = np.concatenate([table["relation"] for table in tables])
    said = np.isin(relation, (0, 3)).astype(np.int64)  # same, or differs in colour
    lines = []
    found = evaluate(
        Replay(logits(said)), [folders["discrimination"]], model="m|x", draws=50, tell=lines.append
    )
    assert [split.split for split in found.splits] == ["train", "test"]
    assert lines[1] == "discrimination-p32-i96/test, 36 images: accuracy 0.8333"
    test = found.splits[1]
    assert test.overall.accuracy.value == pytest.approx(5 / 6)
    assert test.overall.said_same.value == pytest.approx(4 / 6)
    shares = {name: part.accuracy.value for name, part in test.by["relation"].items()}
    differ = {"differs_in_both": 1, "differs_in_shape": 1, "differs_in_color": 0}
    assert shares == {"same": 1, **differ}
    assert test.by["label"]["different"].accuracy.value == pytest.approx(2 / 3)
    assert test.by["label"]["same"].balanced_accuracy is None
    plain = found.as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["splits"][1]["digest"] == load(folders["discrimination"]).digest()
    page = found.markdown()
    assert "| discrimination-p32-i96 | test | 36 | 83.3 (" in page
    relations = " | ".join(plain["splits"][1]["by"]["relation"])
    assert f"Accuracy by relation:\n\n| dataset | split | {relations} |" in page
    assert re.search(
        r"\| discrimination-p32-i96 \| test \|( 100\.0 \S+ to 100\.0\) \|)+ 0\.0 \(", page
    )


def test_splits_and_folders_are_chosen(folders):
    """Of each folder the named splits that it has; answers go by folder in order."""
    used = [folders["rmts"], folders["dissociation"]]
    found = evaluate(lambda images: torch.zeros(len(images), 2), used, ["test"], draws=9)
    assert [s.dataset for s in found.splits] == [load(folder).name for folder in used]
    with pytest.raises(InputError, match="dissociation has no split train; it has test"):
        evaluate(lambda images: images, used, ["train"])


def test_labels_other_than_the_answers(folders):
    """A same-different model on eight labels: shares of "same" by label, and no accuracy."""
    dataset = StimulusDataset(folders["dissociation"], "test")
    color = dataset.table["same_color"].astype(np.int64)
    found = judge(predict(Replay(logits(color)), dataset), draws=9)
    assert found.answers == ("different", "same")
    assert found.overall.accuracy is None
    assert found.overall.auc is None
    shares = {name: part.said_same.value for name, part in found.by["label"].items()}
    assert shares == {f"{label:03b}": float(label >= 4) for label in range(8)}
    report = evaluate(Replay(logits(color)), [folders["dissociation"]], draws=9)
    assert "no answer is right or wrong there" in report.markdown()


def test_eight_labels_answered(folders):
    """Eight scores for eight labels: accuracy, and the recall of each label."""
    dataset = StimulusDataset(folders["dissociation"], "test")
    said = np.minimum(dataset.labels.numpy(), 5)
    found = judge(predict(Replay(logits(said, 8)), dataset), draws=9)
    assert found.overall.accuracy.value == 0.75
    assert found.overall.balanced_accuracy.value == 0.75
    recalls = [part.accuracy.value for part in found.by["label"].values()]
    assert recalls == [1, 1, 1, 1, 1, 1, 0, 0]


BAD = [
    (lambda x: torch.zeros(len(x), 3), "gives 3 scores an image; legal: 2, for different .. same"),
    (lambda x: torch.zeros(len(x), 1), "gives 1 scores an image"),
    (lambda x: torch.zeros(1, 2), r"answers with float32 of shape \(1, 2\); legal: \(36, classes"),
    (lambda x: torch.zeros(len(x)), r"answers with float32 of shape \(36,\)"),
    (lambda x: torch.zeros(len(x), 2, 2), "shape"),
    (lambda x: torch.tensor(1), "shape"),
    (lambda x: torch.full((len(x), 2), torch.nan), r"scores hold \[nan, nan\], which are not fin"),
    (lambda x: torch.full((len(x),), 2), r"class numbers 2 \.\. 2; legal: 0 \.\. 1"),
    (lambda x: [0] * len(x), "answers with list; legal"),
]


@pytest.mark.parametrize(("answerer", "says"), BAD, ids=[says[:20] for _, says in BAD])
def test_what_is_no_answer(folders, answerer, says):
    """An answerer that returns anything else is told in one line what was wanted."""
    dataset = StimulusDataset(folders["discrimination"], "test")
    with pytest.raises(InputError, match=says) as caught:
        predict(answerer, dataset)
    assert "\n" not in str(caught.value)
    assert "discrimination-p32-i96/test" in str(caught.value)


def test_what_cannot_be_evaluated(folders):
    """No folder, one twice, another digest than expected, an empty split: one line each."""

    class Empty(StimulusDataset):
        def __len__(self):
            return 0

    def zeros(images):
        return torch.zeros(len(images), 2)

    folder = folders["rmts"]
    with pytest.raises(InputError, match="no folder given"):
        evaluate(zeros, [])
    with pytest.raises(InputError, match="are one dataset; give it once"):
        evaluate(zeros, [folder, folder])
    with pytest.raises(InputError, match=f"has digest {load(folder).digest()[:12]}, not 0123"):
        evaluate(zeros, [folder], digests={load(folder).name: "0123"})
    with pytest.raises(InputError, match="draws 0 is out of range"):
        evaluate(zeros, [folder], draws=0)
    with pytest.raises(InputError, match="rmts-p32-i96/test is empty"):
        predict(zeros, Empty(folder, "test"))
    assert evaluate(zeros, [folder], ["train"], digests={load(folder).name: load(folder).digest()})


@pytest.fixture
def tables(folders, tmp_path):
    """(predictions, path) of a model that is right three times in four."""
    dataset = StimulusDataset(folders["discrimination"], "test")
    said = np.where(np.arange(36) % 4 > 0, dataset.labels, 1 - dataset.labels)
    found = predict(Replay(logits(said) * 0.1), dataset, model="blind, or not")
    trial_table(found, tmp_path / "deep" / "model.csv")
    return found, tmp_path / "deep" / "model.csv"


def test_trial_table(tables):
    """A line a stimulus, with ids, names of conditions and answers, and an empty rt."""
    found, path = tables
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == TABLE
    assert len(rows) == 37
    row = dict(zip(rows[0], rows[18], strict=True))
    assert row["stimulus_id"] == "discrimination-p32-i96/test/17"
    assert row["digest"] == found.digest[:12]
    assert row["participant"] == "blind, or not"
    assert row["rt"] == ""
    assert [p.name for p in path.parent.iterdir()] == ["model.csv"]
    trials = read_trial_table(path)
    assert [trial.correct for trial in trials] == [i % 4 > 0 for i in range(36)]
    assert [trial.score for trial in trials] == found.score.tolist()
    assert {trial.rt for trial in trials} == {None}
    names = [found.classes["relation"][k] for k in found.conditions["relation"]]
    assert [trial.conditions["relation"] for trial in trials] == names


def test_tables_of_several_splits(folders, tmp_path):
    """Conditions of all sets are columns; a set without one has empty cells."""
    used = [folders["rmts"], folders["dissociation"]]
    found = evaluate(lambda images: torch.zeros(len(images), 2), used, draws=9)
    trial_table(found.predictions, tmp_path / "all.csv")
    trials = read_trial_table(tmp_path / "all.csv")
    assert len(trials) == 12 + 36 + 32
    assert list(trials[0].conditions) == ["case", "same_color", "same_texture", "same_shape"]
    assert trials[0].conditions["same_color"] == trials[-1].conditions["case"] == ""
    assert trials[-1].correct is None
    assert trials[-1].response == "different"
    with pytest.raises(InputError, match="predictions are empty"):
        trial_table([], tmp_path / "none.csv")


def people(path, out, said, rt=""):
    """Write a table of two people over a model's stimuli, as a spreadsheet would."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    heads = ["participant", *[head for head in TABLE if head != "participant"]]
    with out.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, heads)
        writer.writeheader()
        for person, answers in said.items():
            for row, answer in zip(rows, answers, strict=True):
                own = {"participant": person, "response": answer, "rt": rt, "score": ""}
                own["correct"] = int(answer == row["label"])
                writer.writerow(row | own)
    return out


def test_agreement_with_people(tables, tmp_path):
    """Raw agreement, Cohen's kappa as scikit-learn has it, and error consistency by hand."""
    _, path = tables
    model = read_trial_table(path)
    random = np.random.default_rng(0)
    said = {p: random.choice(["different", "same"], 36, p=[0.3, 0.7]).tolist() for p in "ab"}
    trials = read_trial_table(people(path, tmp_path / "people.csv", said, rt="512.5"))
    assert {trial.rt for trial in trials} == {512.5}
    own = by_participant(trials)
    assert list(own) == ["a", "b"]
    person = own["a"][5:]
    found = agreement(model, person)
    answers = [t.response for t in model][5:], [t.response for t in person]
    assert found.n == found.judged == 31
    assert found.raw == np.mean([x == y for x, y in zip(*answers, strict=True)])
    wanted = sklearn_metrics.cohen_kappa_score(*answers)
    assert found.kappa == pytest.approx(wanted)
    right = [np.array([t.correct for t in side]) for side in (model[5:], person)]
    p, q = (side.mean() for side in right)
    chance = p * q + (1 - p) * (1 - q)
    assert found.by_chance == pytest.approx(chance)
    observed = (right[0] == right[1]).mean()
    assert found.both_right_or_wrong == pytest.approx(observed)
    assert found.error_consistency == pytest.approx((observed - chance) / (1 - chance))
    itself = agreement(model, model)
    assert (itself.raw, itself.kappa, itself.error_consistency) == (1, 1, 1)


def test_agreement_that_chance_explains_wholly(tables, tmp_path):
    """Two who always give one answer agree, with no kappa; who is never wrong has none either."""
    _, path = tables
    said = {"a": ["same"] * 36, "b": ["same"] * 36}
    own = by_participant(read_trial_table(people(path, tmp_path / "p.csv", said)))
    found = agreement(own["a"], own["b"])
    assert (found.raw, found.kappa) == (1, None)
    assert found.error_consistency == 1
    good = {p: [trial.label for trial in read_trial_table(path)] for p in "ab"}
    own = by_participant(read_trial_table(people(path, tmp_path / "q.csv", good)))
    assert agreement(own["a"], own["b"]).error_consistency is None


def test_tables_that_do_not_go_together(tables, tmp_path):
    """Several people, a stimulus twice, nothing in common, or another dataset: one line each."""
    _, path = tables
    model = read_trial_table(path)
    both = read_trial_table(
        people(path, tmp_path / "people.csv", {"a": ["same"] * 36, "b": ["same"] * 36})
    )
    with pytest.raises(InputError, match="2 participants in one table"):
        agreement(model, both)
    with pytest.raises(InputError, match=r"answered discrimination-p32-i96/test/0 twice"):
        agreement(model, both[:36] + both[:1])
    with pytest.raises(InputError, match="no stimulus in common"):
        agreement(model[:3], both[3:36])
    other = tmp_path / "other.csv"
    other.write_text(path.read_text().replace(model[0].digest, "0" * 12))
    with pytest.raises(InputError, match=r"of dataset .* in one table and .* of 000000000000"):
        agreement(model, read_trial_table(other))


SPOILT = [
    (lambda text: text.replace("participant", "who"), "has no column participant"),
    (lambda text: text.splitlines()[0] + "\n", "has no trials"),
    (lambda text: text.replace(",different,1,", ",different,yes,", 1), "correct 'yes' is not leg"),
    (lambda text: text.replace(",,blind", ",fast,blind", 1), "rt 'fast' is not a number"),
    (lambda text: text.replace(",,blind", ",nan,blind", 1), "rt 'nan' is not a number"),
    (
        lambda text: text.replace("discrimination-p32-i96/test/3,", ",", 1),
        "trial 4: stimulus_id is",
    ),
    (lambda text: text.replace(",test,", "0,test,", 1), "has digests .* these are two datasets"),
]


@pytest.mark.parametrize(("spoil", "says"), SPOILT, ids=[says[:20] for _, says in SPOILT])
def test_tables_that_cannot_be_read(tables, tmp_path, spoil, says):
    """A table that is not one is refused in a line that names file, trial and cell."""
    path = tmp_path / "spoilt.csv"
    path.write_text(spoil(tables[1].read_text().replace('"blind, or not"', "blind")))
    with pytest.raises(InputError, match=says) as caught:
        read_trial_table(path)
    assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="is not a trial table that can be read"):
        read_trial_table(tmp_path / "absent.csv")
