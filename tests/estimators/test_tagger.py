"""The tagger in scikit-learn's manner."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import (
    check_estimator_repr,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)
from tests.tasks.tags.conftest import drawn, written

import recur
from recur.errors import DataError, RunError
from recur.estimators.tagger import Tagger
from recur.tasks.tags.figures import judge_tags

TINY: dict[str, Any] = {
    "hidden_size": 8,
    "embedding_size": 8,
    "character_size": 8,
    "character_features": 8,
    "embedding_dropout": 0.0,
    "max_steps": 40,
    "batch_size": 16,
    "learning_rate": 0.03,
}


def tagger(**parameters: Any) -> Tagger:
    return Tagger(**(TINY | parameters))


@pytest.fixture(scope="module")
def fitted() -> Tagger:
    return tagger().fit(*drawn(120))


def test_tags_come_back_for_each_token(fitted: Tagger) -> None:
    X, y = drawn(30, seed=3)
    found = fitted.predict(X)
    assert [len(own) for own in found] == [len(own) for own in X]
    assert fitted.score(X, y) == judge_tags(found, y, has_entities=True, most_frequent="O").micro_f1
    assert fitted.score(X, y) > 0.5
    assert fitted.classes_ == fitted.trained_.tags == ("B-DATE", "B-LOC", "B-PER", "I-LOC", "I-PER", "O")
    # Two sentences in a tuple are no pair of tokens and tags.
    assert fitted.predict(tuple(X[:2])) == fitted.predict((tuple(X[0]), X[1])) == found[:2]
    assert fitted.predict((X, y))["tag"].to_list() == [tag for own in found for tag in own]
    assert fitted.predict(("Ada Lanmann left.",)) == fitted.predict(["Ada Lanmann left."])
    assert fitted.predict(["Ada Lanmann left."]) == [fitted.predict([["Ada", "Lanmann", "left", "."]])[0]]


def test_files_are_read(fitted: Tagger, tmp_path: Path) -> None:
    path = written(tmp_path / "names.conll", 60)
    other = tagger(max_steps=2, out=str(tmp_path / "run")).fit(path)
    assert other.run_ == tmp_path / "run"
    assert (tmp_path / "run" / "report.html").exists()
    assert other.evaluation_["part"] == "valid"
    test = written(tmp_path / "test.conll", 30, seed=3)
    assert fitted.score(test) == fitted.score(*drawn(30, seed=3))
    assert fitted.predict(test)["tag"].to_list()[0] == fitted.predict(drawn(30, seed=3)[0])[0][0]


def test_saved_loaded_and_pickled_it_tells_the_same(fitted: Tagger, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    X, _ = drawn(10, seed=5)
    again = Tagger.load(tmp_path / "run")
    assert again.predict(X) == fitted.predict(X) == pickle.loads(pickle.dumps(fitted)).predict(X)
    assert {name: again.get_params()[name] for name in TINY} == TINY
    assert recur.load(tmp_path / "run").tag(X)[0].tags == fitted.predict(X)[0]
    with pytest.raises(RunError, match="is a run of task 'tag', but Detector is of 'detect'"):
        recur.Detector.load(tmp_path / "run")


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([["a"]], [["O"], ["O"]], "y: expected the tags of each of the 1 sentences, got those of 2"),
        ([["a"], ["b"]], [["O"], ["O", "O"]], "y: sentence 2 has 1 token, but 2 tags; give one for each"),
        (["Ada left"], [["O"]], "X: expected a list with the tokens of each sentence, lists of text"),
        ([["a"]], "O", "y: expected a list with the tags of each sentence, lists of text"),
    ],
)
def test_what_does_not_belong_together(X: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tagger().fit(X, y)


def test_before_fitting_nothing_is_told() -> None:
    with pytest.raises(NotFittedError, match=r"^this Tagger is not fitted yet; call fit first, or load a run"):
        tagger().predict([["a"]])


@pytest.mark.parametrize(
    "check",
    [
        check_estimator_repr,
        check_get_params_invariance,
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_set_params,
        check_valid_tag_types,
    ],
)
def test_it_is_an_estimator_as_scikit_learn_checks_it(check: Any) -> None:
    check("Tagger", clone(tagger(max_steps=1)))


def test_searches_take_it() -> None:
    X, y = drawn(60)
    assert cross_val_score(tagger(max_steps=2), X, y, cv=2).shape == (2,)
    search = GridSearchCV(tagger(max_steps=2), {"output": ["crf", "softmax"]}, cv=2)
    assert len(search.fit(X, y).predict(X)) == 60
