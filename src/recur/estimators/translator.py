"""Texts written from texts, in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from recur.data.texts.options import PairOptions
from recur.data.texts.pairs import read_pairs
from recur.data.texts.token_options import PairTokenOptions
from recur.data.texts.vector_options import PairVectorOptions
from recur.errors import DataError
from recur.estimators.base import RunEstimator
from recur.estimators.texts import are_texts, texts_of
from recur.models.texts.translator_options import TranslatorOptions
from recur.tasks.translate.evaluation import judge_translator
from recur.tasks.translate.judgement import EVALUATION
from recur.tasks.translate.trained import TrainedTranslator
from recur.train.options import PairTrainingOptions
from recur.train.translate import train_translator

if TYPE_CHECKING:
    from recur.decode import DecodingOptions


class Translator(RunEstimator):
    """Writes a text from a text, as `recur.train_translator` trains it.

    Its parameters are the fields of `PairOptions`, `PairTokenOptions`, `PairVectorOptions`, `TranslatorOptions` and
    `PairTrainingOptions`, and `out`, `overwrite` and `verbose`, as those of `recur.Forecaster`. `test` is 0 by default,
    for whoever uses an estimator holds out what is to be judged on; a tenth is still held out to choose the weights.

    Attributes:
        trained_: The `recur.TrainedTranslator`.
        run_: Path of the run folder; None where it was a temporary one.
        evaluation_: How good it is on the held-out part, as `recur.tasks.translate.evaluation.judge_translator` returns
            it.

    Example:
        >>> words = ["cab", "bad", "dab", "ace", "bed", "add", "dad", "ebb"] * 8
        >>> translator = Translator(hidden_size=4, embedding_size=4, max_steps=10)
        >>> len(translator.fit(words, [" ".join(word) for word in words]).predict(["bad"]))
        1
    """

    task: ClassVar[str] = "translate"
    options: ClassVar[Mapping[str, type[Any]]] = {
        "texts": PairOptions,
        "tokens": PairTokenOptions,
        "vectors": PairVectorOptions,
        "model": TranslatorOptions,
        "training": PairTrainingOptions,
    }
    defaults: ClassVar[Mapping[str, Any]] = {"test": 0.0}
    evaluation: ClassVar[str] = EVALUATION

    trained_: TrainedTranslator

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on texts and what they become.

        Args:
            X: With y the sources, (N,): a list, an array or a column of a dataframe. Without y whatever
                `recur.train_translator` takes, such as a table of two columns of text, or a list of two files.
            y: The target of each, (N,), likewise.

        Returns:
            The estimator.

        Raises:
            DataError: The data cannot be used.
            OptionError: Parameters make no sense.
            RunError: The run folder cannot be made or written.
            TrainingError: The loss is not finite any more.
        """
        data = X if y is None else _pairs(X, y)
        with self._run(train_translator, data) as run:
            self._keep(run)
            self.run_ = None if self.out is None else run.path
        return self

    def predict(self, X: Any, *, decoding: DecodingOptions | None = None) -> Any:
        """Return what is written from each text.

        Args:
            X: Texts, as of `fit` with y; or a file or dataframe, as without.
            decoding: How to search, as of `TrainedTranslator.translate`.

        Returns:
            Of texts, a list of the best answers. Of files and dataframes a dataframe as of `TrainedTranslator.predict`.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read.
            OptionError: Options do not go together.
        """
        self._check_fitted()
        if not are_texts(X):
            return self.trained_.predict(X, decoding=decoding)
        answers = self.trained_.translate(texts_of(X), decoding=decoding, with_attention=False)
        return [found[0].text for found in answers]

    def stream(self, source: str) -> Iterator[str]:
        """Yield what is written from a text, piece by piece, as `TrainedTranslator.stream` does.

        Raises:
            NotFittedError: The estimator was not fitted.
        """
        self._check_fitted()
        return self.trained_.stream(source)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the share of texts that are written exactly as they should be; of several targets of a source any.

        Args:
            X: As of `predict`; without y with targets.
            y: The targets, as of `fit`.

        Raises:
            NotFittedError: The estimator was not fitted.
            DataError: The data cannot be read, or there are no targets.
        """
        self._check_fitted()
        pairs = self.trained_.setup.read(X) if y is None else read_pairs(_pairs(X, y))
        return float(judge_translator(self.trained_, pairs, "given")["figures"]["exact"])


def _pairs(X: Any, y: Any) -> tuple[list[str], list[str]]:
    """Return sources and targets.

    Raises:
        DataError: They are no texts, or not as many of each.
    """
    sources, targets = texts_of(X), texts_of(y, name="y")
    if len(sources) != len(targets):
        raise DataError(f"y: expected a text for each of {len(sources)}, got {len(targets)}.")
    return sources, targets
