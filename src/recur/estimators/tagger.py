"""Tags told of the tokens of sentences, in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch

from recur.data.texts.options import TaggedTextOptions
from recur.data.texts.token_options import WordOptions
from recur.data.texts.vector_options import VectorOptions
from recur.errors import DataError
from recur.estimators.base import RunEstimator
from recur.models.texts.tagger_options import TaggerOptions
from recur.run import RunFolder
from recur.tasks.labels.evaluation import EVALUATION
from recur.tasks.tags.evaluation import judge_sentences
from recur.tasks.tags.figures import judge_tags
from recur.tasks.tags.setup import OUTSIDE
from recur.tasks.tags.trained import TrainedTagger
from recur.train.options import TextTrainingOptions
from recur.train.tags import train_tagger
from recur.wording import quantity


class Tagger(RunEstimator):
    """Tells the tag of each token of a sentence, as `recur.train_tagger` trains it.

    Its parameters are the fields of `recur.data.texts.TaggedTextOptions`, `WordOptions`, `VectorOptions`,
    `TaggerOptions` and `TextTrainingOptions`, and `out`, `overwrite` and `verbose`, as those of `recur.Forecaster`.
    `test` is 0 by default, for whoever uses an estimator holds out what is to be judged on; a tenth is still held out
    to choose the best weights by.

    Attributes:
        trained_: The `recur.TrainedTagger`, which also tells entities, and how sure it is.
        run_: Path of the run folder; None where it was a temporary one.
        classes_: Names of the tags.
        evaluation_: How good it is on the held-out part, as `recur.tasks.tags.evaluation.judge_sentences` returns it.

    Example:
        >>> X = [["Ada", "left", "in", str(year)] for year in range(1800, 1820)]
        >>> y = [["B-PER", "O", "O", "B-DATE"]] * 20
        >>> tagger = Tagger(hidden_size=4, max_steps=30, learning_rate=0.05).fit(X, y)
        >>> tagger.predict([["Ada", "left", "in", "1900"]])
        [('B-PER', 'O', 'O', 'B-DATE')]
    """

    task: ClassVar[str] = "tag"
    options: ClassVar[Mapping[str, type[Any]]] = {
        "sentences": TaggedTextOptions,
        "words": WordOptions,
        "vectors": VectorOptions,
        "model": TaggerOptions,
        "training": TextTrainingOptions,
    }
    defaults: ClassVar[Mapping[str, Any]] = {"test": 0.0}
    evaluation: ClassVar[str] = EVALUATION

    trained_: TrainedTagger
    classes_: tuple[str, ...]

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on sentences and their tags.

        Args:
            X: With y the tokens of each sentence, lists of text; without y whatever `recur.train_tagger` takes, such as
                the path of a file in columns.
            y: The tags of each sentence, as many as tokens.

        Returns:
            The estimator.

        Raises:
            DataError: The data cannot be used.
            OptionError: Parameters make no sense.
            RunError: The run folder cannot be made or written.
            TrainingError: The loss is not finite any more.
        """
        data = X
        if y is not None:
            tokens, tags = _rows("X", X, "tokens"), _rows("y", y, "tags")
            _check_alike(tokens, tags)
            data = (tokens, tags)
        with self._run(train_tagger, data) as run:
            self._keep(run)
            self.run_ = None if self.out is None else run.path
        return self

    def predict(self, X: Any) -> Any:
        """Return the tags of sentences.

        Args:
            X: Lists of tokens, or texts, which are cut into words, in a list or a tuple, an array or a column of a
                dataframe; or whatever `TrainedTagger.predict` takes.

        Returns:
            Of these the tags of each sentence, a list of tuples; else a dataframe as of `TrainedTagger.predict`.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read.
        """
        self._check_fitted()
        sentences = self.trained_.setup.themselves(X)
        if sentences is not None:
            return [one.tags for one in self.trained_.tag(sentences)]
        return self.trained_.predict(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return F1 of the entities that tags write, of all kinds together; of other tags the share that is right.

        Args:
            X: As of `predict`; without y data with tags, such as the path of a file in columns.
            y: The tags of each sentence, where X are lists of tokens.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read, or have no tags.
        """
        self._check_fitted()
        if y is None:
            found = judge_sentences(self.trained_, self.trained_.setup.read(X), "given")
            return float(found["figures"]["micro_f1"])
        tokens, tags = _rows("X", X, "tokens"), _rows("y", y, "tags")
        _check_alike(tokens, tags)
        has_entities = self.trained_.setup.scheme is not None
        return judge_tags(self.predict(tokens), tags, has_entities=has_entities, most_frequent=OUTSIDE).micro_f1

    def _keep(self, run: RunFolder, device: str | torch.device = "cpu") -> None:
        super()._keep(run, device)
        self.classes_ = self.trained_.tags


def _rows(name: str, given: Any, what: str) -> list[list[str]]:
    """Return lists of text.

    Raises:
        DataError: They are something else.
    """
    rows = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else None
    is_of_text = (isinstance(row, list | tuple) and all(isinstance(one, str) for one in row) for row in rows or ())
    if rows is None or not all(is_of_text):
        raise DataError(f"{name}: expected a list with the {what} of each sentence, lists of text.")
    return [list(row) for row in rows]


def _check_alike(tokens: list[list[str]], tags: list[list[str]]) -> None:
    if len(tokens) != len(tags):
        raise DataError(f"y: expected the tags of each of the {len(tokens):,} sentences, got those of {len(tags):,}.")
    for number, (own, other) in enumerate(zip(tokens, tags, strict=True), start=1):
        if len(own) != len(other):
            has = f"{quantity(len(own), 'token')}, but {quantity(len(other), 'tag')}"
            raise DataError(f"y: sentence {number} has {has}; give one for each.")
