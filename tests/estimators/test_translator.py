"""Texts written from texts in scikit-learn's manner."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import (
    check_estimator_repr,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
)

import recur
from recur.decode import DecodingOptions
from recur.errors import DataError
from recur.estimators.translator import Translator

TINY: dict[str, Any] = {
    "hidden_size": 32,
    "embedding_size": 16,
    "dropout": 0.0,
    "embedding_dropout": 0.0,
    "max_steps": 250,
    "batch_size": 32,
    "learning_rate": 0.01,
}


def spelled(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Return words, each once, and their letters in capitals with blanks between them."""
    random = np.random.default_rng(seed)
    words = list(dict.fromkeys("".join(random.choice(list("abcde"), random.integers(2, 6))) for _ in range(count)))
    return words, [" ".join(word.upper()) for word in words]


def translator(**parameters: Any) -> Translator:
    return Translator(**(TINY | parameters))


@pytest.fixture(scope="module")
def fitted() -> Translator:
    return translator().fit(*spelled(600))


def test_what_it_writes_is_judged(fitted: Translator) -> None:
    words, right = spelled(60, seed=1)
    found = fitted.predict(words)
    assert isinstance(found, list)
    share = np.mean([one == other for one, other in zip(found, right, strict=True)])
    assert fitted.score(words, right) == pytest.approx(share)
    assert share > 0.9
    assert fitted.run_ is None
    assert fitted.evaluation_["part"] == "valid"
    assert "".join(fitted.stream(words[0])) == fitted.predict(words[:1], decoding=DecodingOptions())[0]


def test_columns_arrays_and_tables_are_taken(fitted: Translator, tmp_path: Path) -> None:
    words, right = spelled(5, seed=2)
    words, right = [*words, ""], [*right, ""]
    expected = fitted.predict(words)
    assert len(expected) == len(words)
    for X in (tuple(words), np.array(words), pd.Series(words), pl.Series(words)):
        assert fitted.predict(X) == expected
    table = pl.DataFrame({"word": words[:-1], "sound": right[:-1]})
    assert fitted.predict(table.rename({"word": "source"}).select("source"))["target"].to_list() == expected[:-1]
    table.write_csv(tmp_path / "words.csv")
    other = translator(max_steps=2).fit(str(tmp_path / "words.csv"), None)
    assert other.predict(table).columns == ["word", "sound", "score", "ended"]
    assert 0 <= other.score(table) <= 1


def test_texts_are_judged_however_those_of_training_were_called(tmp_path: Path) -> None:
    words, right = spelled(40, seed=2)
    for name, texts in (("train.en", words), ("train.ja", right)):
        (tmp_path / name).write_text("\n".join(texts) + "\n")
    files = [str(tmp_path / "train.ja"), str(tmp_path / "train.en")]
    table = pl.DataFrame({"target": words, "source": right, "other": words})
    for estimator, data in (
        (translator(max_steps=2, source="en", target="ja"), files),
        (translator(max_steps=2, source="target", target="source"), table),
    ):
        fitted = estimator.fit(data)
        network: Any = fitted.trained_.network
        with torch.no_grad():
            # So short a training writes nothing, which is no target.
            network.output.bias[0] = -1e4
        found = fitted.predict(words)
        # What it writes itself is right of all, whatever the columns are called.
        assert fitted.score(words, found) == 1.0
        assert fitted.score(pd.Series(words, name="other"), pl.Series("source", found)) == 1.0


def test_it_is_kept_as_it_is(fitted: Translator, tmp_path: Path) -> None:
    words, _ = spelled(10, seed=3)
    expected = fitted.predict(words)
    fitted.save(tmp_path / "run")
    for again in (
        Translator.load(tmp_path / "run"),
        pickle.loads(pickle.dumps(fitted)),
        recur.load(tmp_path / "run"),
    ):
        found = again.predict(words)
        assert (found if isinstance(found, list) else found["target"].to_list()) == expected
    loaded = Translator.load(tmp_path / "run")
    assert loaded.get_params()["hidden_size"] == 32
    assert loaded.evaluation_ == fitted.evaluation_
    # As after a training that was ended before it came to judging.
    (tmp_path / "run" / "translate_evaluation.json").unlink()
    assert Translator.load(tmp_path / "run").evaluation_ == {}
    assert not hasattr(clone(fitted), "trained_")


def test_what_makes_no_sense(fitted: Translator) -> None:
    with pytest.raises(NotFittedError, match="this Translator is not fitted yet"):
        translator().predict(["a"])
    with pytest.raises(DataError, match="y: expected a text for each of 2, got 1"):
        translator().fit(["a", "b"], ["A"])
    with pytest.raises(DataError, match="y: expected texts, but entry 1 is 3, of type int"):
        translator().fit(["a", "b"], ["A", 3])
    with pytest.raises(TypeError, match="there is no parameter 'hiden_size'; did you mean hidden_size"):
        Translator(hiden_size=3)


@pytest.mark.parametrize(
    "check",
    [
        check_estimator_repr,
        check_get_params_invariance,
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_set_params,
    ],
)
def test_it_keeps_the_rules_of_scikit_learn(check: Any) -> None:
    check("Translator", translator())
