"""Classes of texts in scikit-learn's manner."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import (
    check_estimator_repr,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)
from tests.tasks.texts.conftest import drawn

import recur
from recur.errors import DataError, OptionError
from recur.estimators.texts import TextClassifier, texts_of

TINY: dict[str, Any] = {
    "members": 1,
    "hidden_size": 16,
    "embedding_size": 16,
    "dropout": 0.0,
    "embedding_dropout": 0.0,
    "max_steps": 80,
    "batch_size": 32,
    "learning_rate": 0.02,
}
KINDS = ("food", "music", "sport")


def classifier(**parameters: Any) -> TextClassifier:
    return TextClassifier(**(TINY | parameters))


def numbered(seed: int = 0, count: int = 120) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Return texts and their classes as numbers, whose order as texts is another."""
    texts, labels = drawn(count, seed=seed)
    return texts, np.array([(9, 10, 100)[KINDS.index(label)] for label in labels])


@pytest.fixture(scope="module")
def fitted() -> TextClassifier:
    return classifier().fit(*numbered())


@pytest.fixture(scope="module")
def fitted_several() -> TextClassifier:
    texts, labels = drawn(240, is_multi=True)
    return classifier(max_steps=150).fit(texts, [label.split(", ") for label in labels])


def test_classes_come_back_as_they_were_given(fitted: TextClassifier) -> None:
    texts, true = numbered(seed=1)
    found = fitted.predict(texts)
    assert found.dtype == true.dtype
    assert fitted.classes_.tolist() == [9, 10, 100]
    assert fitted.score(texts, true) == accuracy_score(true, found) > 0.9
    probability = fitted.predict_proba(texts)
    assert (probability.shape, probability.dtype) == ((120, 3), np.float32)
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(fitted.classes_[probability.argmax(1)], found)
    assert "accuracy" in fitted.evaluation_["figures"]
    assert fitted.run_ is None
    assert fitted.evaluation_["series"] == 12


def test_columns_and_arrays_are_texts_too_and_each_has_an_answer(fitted: TextClassifier) -> None:
    texts = [*numbered(seed=1)[0][:5], "", "  "]
    expected = fitted.predict(texts)
    assert len(expected) == 7
    for X in (tuple(texts), np.array(texts), np.array(texts, object), pd.Series(texts), pl.Series(texts)):
        np.testing.assert_array_equal(fitted.predict(X), expected)
    table = pl.DataFrame({"text": texts})
    told = fitted.predict(table)
    assert told["text"].to_list() == texts
    assert told["label"].to_list() == [str(one) for one in expected.tolist()]
    # Of nothing nothing is told, in a file and alone too.
    np.testing.assert_allclose(fitted.predict_proba([""]), fitted.predict_proba(texts)[-1:], atol=1e-6)


def test_several_classes(fitted_several: TextClassifier) -> None:
    texts, labels = drawn(60, seed=4, is_multi=True)
    own = [label.split(", ") for label in labels]
    found = fitted_several.predict(texts)
    assert fitted_several.classes_.tolist() == list(KINDS)
    assert (found.shape, found.dtype) == ((60, 3), np.int64)
    true = np.array([[name in one for name in KINDS] for one in own])
    assert fitted_several.score(texts, own) == accuracy_score(true, found) > 0.8
    # What was never seen cannot have been told.
    assert fitted_several.score(texts[:2], [[*own[0], "weather"], own[1]]) <= 0.5
    assert fitted_several.predict_proba(texts).shape == (60, 3)


def test_which_classes_as_a_matrix() -> None:
    texts, labels = drawn(60, is_multi=True)
    # No text has the third class, which happens in parts of a cross-validation.
    true = np.array([[name in label.split(", ") for name in ("food", "music", "weather")] for label in labels], int)
    found = classifier(max_steps=3).fit(texts, true)
    assert found.classes_.tolist() == [0, 1, 2]
    assert found.predict(texts).shape == (60, 3)
    assert (found.predict_proba(texts)[:, 2] == 0).all()
    assert 0 <= found.score(texts, true) <= 1


def test_names_with_commas_are_one_class() -> None:
    texts, labels = drawn(60)
    named = ["Albany, NY" if label == "food" else "NY, Albany" for label in labels]
    found = classifier(max_steps=2).fit(texts, named)
    assert found.classes_.tolist() == ["Albany, NY", "NY, Albany"]
    assert not found.is_multi


def test_a_table_needs_no_y(tmp_path: Path) -> None:
    texts, labels = drawn(60)
    table = pl.DataFrame({"review": texts, "kind": labels})
    table.write_csv(tmp_path / "reviews.csv")
    found = classifier(max_steps=5).fit(str(tmp_path / "reviews.csv"))
    told = found.predict(table)
    assert told.columns == ["text", "kind", "probability", "p(food)", "p(music)", "p(sport)"]
    assert found.score(table) == np.mean(told["kind"].to_numpy() == np.array(labels))
    assert set(found.predict(texts)) <= set(KINDS)


def test_saved_and_loaded(fitted: TextClassifier, tmp_path: Path) -> None:
    texts = numbered(seed=2)[0]
    fitted.save(tmp_path / "run")
    loaded = TextClassifier.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.predict_proba(texts), fitted.predict_proba(texts))
    assert loaded.classes_.tolist() == [9, 10, 100]
    assert loaded.get_params()["max_steps"] == 80
    assert isinstance(recur.load(tmp_path / "run"), recur.TrainedTextClassifier)
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.predict_proba(texts), fitted.predict_proba(texts))


def test_words_that_spoke(fitted: TextClassifier) -> None:
    found = fitted.explain(["the day was so tasty"], label=9)
    assert found["class"].unique().to_list() == ["9"]
    assert found["token"][int(found["contribution"].arg_max() or 0)] == "tasty"
    with pytest.raises(OptionError, match="label: there is no class '7'"):
        fitted.explain(["so"], label=7)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("so good", ["a"], r"^X: expected a list, an array or a column of texts, got str\.$"),
        ([1, 2], ["a", "b"], r"^X: expected texts, but entry 0 is 1, of type int\.$"),
        (["so", None], ["a", "b"], r"^X: expected texts, but entry 1 is None, of type NoneType\.$"),
        (["so", "bad"], ["a"], r"^y: expected a label for each of the 2 texts, got shape \(1,\)\.$"),
        (["so", "bad"], [["a"]], r"^y: expected a list of labels for each of the 2 texts\.$"),
        (["so", "bad"], [["a"], "b"], r"^y: expected a list of labels for each of the 2 texts\.$"),
        (["so", "bad"], [0.5, 1], r"^y: holds fractions or gaps, which are no classes\.$"),
        (["so", "bad"], np.array(["a", 1], object), r"^y: classes must be of one kind, got int, str\.$"),
        (["so", "bad"], ["a", "a"], r"all 2 texts have the same class, 'a', so that there is nothing to tell apart"),
        (["", " "], ["a", "b"], r"is empty, and so are all others; give texts with something in them\.$"),
        (
            ["so", "bad"],
            ["a", "a "],
            r"^y: entry 1, 'a ', would be read as 'a'; give classes as they are to be called, none of them empty or "
            r"with white space around it, several of a text as a list\.$",
        ),
        (["so", "bad"], ["a", ""], r"^y: entry 1, '', would be read as none; give classes as they are"),
        (["so", "bad"], ["a", "[1, 2]"], r"^y: entry 1, '\[1, 2\]', would be read as '1' and '2'; give classes"),
        (["so", "bad"], [["a"], ["b", " b"]], r"^y: entry 1, \['b', ' b'\], would be read as 'b'; give classes"),
        (["so", "bad"], [["a"], ["b", ""]], r"^y: entry 1, \['b', ''\], would be read as 'b'; give classes"),
    ],
)
def test_what_cannot_be_learned_from_is_said(texts: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        classifier().fit(texts, labels)


def test_classes_are_called_as_y_calls_them(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("blame\npraise\n")
    texts = ["so good", "so bad"] * 8
    with pytest.raises(DataError, match=r"^y: entry 0, '1', would be read as 'praise'; give classes as they are"):
        classifier(label_names=str(tmp_path / "names.txt")).fit(texts, [1, 0] * 8)
    with pytest.raises(DataError, match=r"^y: entry 0, 'a,b', would be read as 'a' and 'b'; give classes as they are"):
        classifier(label_separator=",").fit(texts, ["a,b", "b"] * 8)
    named = classifier(label_names=str(tmp_path / "names.txt"), max_steps=2).fit(texts, ["praise", "blame"] * 8)
    assert named.classes_.tolist() == ["blame", "praise"]
    np.testing.assert_allclose(named.predict_proba(texts).sum(1), 1, rtol=1e-5)


def test_before_fitting_nothing_is_told() -> None:
    with pytest.raises(NotFittedError, match=r"^this TextClassifier is not fitted yet; call fit first, or load a run"):
        classifier().predict(["so"])
    with pytest.raises(NotFittedError):
        classifier().score(["so"], ["a"])
    assert texts_of(np.array(["a", "b"])) == ["a", "b"]


@pytest.mark.parametrize(
    "check",
    [
        check_estimator_repr,
        check_get_params_invariance,
        check_mixin_order,
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_set_params,
        check_valid_tag_types,
    ],
)
def test_it_is_an_estimator_as_scikit_learn_checks_it(check: Any) -> None:
    check("TextClassifier", clone(classifier(max_steps=1)))


def test_searches_and_pipelines_take_it() -> None:
    texts, true = numbered(count=60)
    assert is_classifier(classifier())
    assert cross_val_score(classifier(max_steps=2), texts, true, cv=2).shape == (2,)
    search = GridSearchCV(classifier(max_steps=2), {"hidden_size": [2, 4]}, cv=2, scoring="neg_log_loss")
    assert search.fit(texts, true).predict(texts).shape == (60,)
    shouted = FunctionTransformer(lambda many: [one.upper() for one in many])
    assert make_pipeline(shouted, classifier()).fit(texts, true).score(texts, true) > 0.8
