"""The table of tasks that can be trained. No torch here: the command line reads it for its help and for its guess."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recur._lazy import function_of
from recur.data.options import CorpusOptions
from recur.data.series.label_options import LabelOptions, NumberOptions
from recur.data.series.options import DetectionOptions, SeriesOptions
from recur.data.text import check_found
from recur.data.texts.named_files import NamesFiles
from recur.data.texts.options import LabelledTextOptions, PairOptions, TaggedTextOptions, WrittenTextOptions
from recur.data.texts.token_options import PairTokenOptions, TokenOptions, WordOptions, WriterTokenOptions
from recur.data.texts.vector_options import PairVectorOptions, VectorOptions
from recur.errors import OptionError
from recur.models.detector_options import DetectorOptions
from recur.models.forecaster_options import ForecasterOptions
from recur.models.options import LanguageModelOptions
from recur.models.series_options import SeriesClassifierOptions, SeriesRegressorOptions
from recur.models.texts.options import TextClassifierOptions
from recur.models.texts.tagger_options import TaggerOptions
from recur.models.texts.translator_options import TranslatorOptions
from recur.models.texts.writer_options import WriterOptions
from recur.train.options import (
    LabelTrainingOptions,
    LanguageTrainingOptions,
    PairTrainingOptions,
    SeriesTrainingOptions,
    TextTrainingOptions,
)

if TYPE_CHECKING:
    from recur.run import RunFolder
    from recur.train.display import Display
    from recur.train.ensemble import Ensemble
    from recur.train.job import Job

_TABLES = (".csv", ".tsv", ".parquet", ".pq", ".arrow", ".feather", ".ipc", ".ts", ".npy", ".npz")
"""Suffixes of files that hold series rather than text; those of text may be followed by .gz."""

_JSON_LINES = (".jsonl", ".ndjson")
"""Suffixes of files that never hold prose."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A kind of problem: what it is, what a user may choose, and where its code is.

    Code that needs torch is named as "module:function", so that the table loads without it.

    Attributes:
        about: What it does, in one line.
        data: What DATA is, for the help.
        options: Dataclasses of options by the name of the training function's argument, which is also the title of
            their group in the help; "training" is one of them.
        recognises: Returns why DATA looks like this task's, such as "book.txt is text"; nothing where it does not. It
            takes DATA, and what stands on the command line for each option, by name.
        check: Raises a `DataError` where DATA, or files that the options name, are missing, before torch is loaded;
            takes DATA and the options by argument.
        train: The function that trains: (data, *, out, overwrite, console, and the options) -> RunFolder.
        job: The function that opens the job of a run folder: (run, display) -> Job, or an `Ensemble` of several.
        takes_data_again: Whether it also takes `data`, for runs that were not trained on a file.
        uses: Other names that `--task` has for it: what it is used for, with what that is done.
        handling: The function that returns the `RunHandling`, what the commands do with its runs: ().
    """

    about: str
    data: str
    options: Mapping[str, type[Any]]
    recognises: Callable[[Sequence[str], Mapping[str, str]], str]
    check: Callable[[Sequence[str], Mapping[str, Any]], None]
    train: str
    job: str
    handling: str
    takes_data_again: bool = False
    uses: Mapping[str, str] = field(default_factory=dict)

    def open_job(self, run: RunFolder, display: Display, data: Any = None) -> Job | Ensemble:
        """Return the job of a run folder.

        Args:
            run: The folder.
            display: Where progress is shown.
            data: What it was trained on; None where it can read that itself.

        Raises:
            OptionError: Data are given, but the run reads them itself.
            RunError: The folder is damaged, or its data have changed or were not in a file and are not given.
        """
        if data is not None and not self.takes_data_again:
            raise OptionError("data: the run knows its own, so that none is taken when it goes on; leave it out.")
        again = {} if data is None else {"data": data}
        job: Job | Ensemble = function_of(self.job)(run, display, **again)
        return job


def task_of(name: str) -> tuple[str, str]:
    """Return the task that a name, or one of its uses, is of, and for a use what that is done with.

    Raises:
        OptionError: There is no such task.

    Example:
        >>> task_of("ner")
        ('tag', 'entities are tags of tokens')
    """
    if name in TASKS:
        return name, ""
    for task, each in TASKS.items():
        if name in each.uses:
            return task, each.uses[name]
    names = [*TASKS, *(use for each in TASKS.values() for use in each.uses)]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? This" if near else "this"
    raise OptionError(f"there is no task {name!r}; {hint} version knows: {', '.join(names)}.")


def holds_tables(source: str) -> bool:
    """Return whether a file is of a kind that holds series, or a folder has no other files but such.

    Args:
        source: Name of a file or folder, or "-".
    """
    path = Path(source)
    try:
        if not path.is_dir():
            return _suffix(path) in _TABLES
        files = [entry for entry in path.iterdir() if not entry.name.startswith(".") and entry.is_file()]
    except OSError:
        # Whoever reads it says so.
        return False
    return bool(files) and all(_suffix(file) in _TABLES for file in files)


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _why_text(sources: Sequence[str], given: Mapping[str, str]) -> str:
    """Return why DATA is text: nothing in it is a table, nor are its texts of classes, pairs or tagged."""
    if any(holds_tables(source) or _suffix(Path(source)) in _JSON_LINES for source in sources):
        return ""
    if _kind_of_texts(sources, given)[0] not in ("", "alone"):
        return ""
    first = "standard input" if sources[0] == "-" else sources[0]
    return f"{first} is no table"


def _check_texts(sources: Sequence[str], options: Mapping[str, Any]) -> None:
    corpus: CorpusOptions = options["corpus"]
    check_found([source for source in (*sources, corpus.valid, corpus.test) if source is not None])


def _why_series(sources: Sequence[str], given: Mapping[str, str]) -> str:
    """Return why DATA is series: all of it is tables."""
    if not all(holds_tables(source) for source in sources):
        return ""
    return f"{sources[0]} is a table" if len(sources) == 1 else f"{sources[0]} and {sources[1]} are tables"


def _check_tables(sources: Sequence[str], options: Mapping[str, Any]) -> None:
    check_found(list(sources))


def _why_classes(sources: Sequence[str], given: Mapping[str, str]) -> str:
    """Return why DATA are series with classes."""
    return _why_labels("classes", sources, given)


def _why_numbers(sources: Sequence[str], given: Mapping[str, str]) -> str:
    """Return why DATA are series with numbers to be told, or with an end."""
    if "remaining_life" in given:
        return "remaining_life is to be told"
    return _why_labels("numbers", sources, given)


def _why_labels(kind: Literal["classes", "numbers"], sources: Sequence[str], given: Mapping[str, str]) -> str:
    if len(sources) != 1 or not (holds_tables(sources[0]) or given.get("label")):
        return ""
    from recur.data.series.label_glance import glance_at_labels

    seen = glance_at_labels(sources[0], given.get("label"), form=given.get("form", "long"))
    if seen is None:
        return "a label is named" if given.get("label") and kind == "classes" else ""
    return f"{sources[0]} has {seen.reason}" if seen.kind == kind else ""


def _check_labels(sources: Sequence[str], options: Mapping[str, Any]) -> None:
    series: LabelOptions = options["series"]
    others = (series.test_data, getattr(series, "life_left", None))
    check_found([source for source in (*sources, *others) if source is not None])


def _kind_of_texts(sources: Sequence[str], given: Mapping[str, str]) -> tuple[str, str]:
    """Return what DATA look like where they are texts, and why; nothing where they are not."""
    from recur.data.texts.glance import glance_at_texts

    seen = glance_at_texts(sources, given)
    return ("", "") if seen is None else (seen.kind, seen.reason)


def _why_text_classes(sources: Sequence[str], given: Mapping[str, str]) -> str:
    """Return why DATA are texts with classes; who reads tables of nothing but texts says what is wrong with them."""
    kind, reason = _kind_of_texts(sources, given)
    is_lines = all(_suffix(Path(source)) in _JSON_LINES for source in sources)
    if not kind and is_lines:
        return f"{sources[0]} holds JSON lines"
    return reason if kind in ("labelled", "alone") else ""


def _why_tags(sources: Sequence[str], given: Mapping[str, str]) -> str:
    """Return why DATA are sentences whose tokens have tags."""
    kind, reason = _kind_of_texts(sources, given)
    return reason if kind == "tagged" else ""


def _why_pairs(sources: Sequence[str], given: Mapping[str, str]) -> str:
    """Return why DATA are texts and what they become."""
    kind, reason = _kind_of_texts(sources, given)
    return reason if kind == "pairs" else ""


def _check_texts_and_vectors(sources: Sequence[str], options: Mapping[str, Any]) -> None:
    check_found(sources)
    for one in options.values():
        if isinstance(one, NamesFiles):
            one.check_found()


TASKS: dict[str, Task] = {
    "language": Task(
        about="a language model of text, by characters, bytes or pieces of words",
        data="text files, also .gz; folders; or - for standard input",
        options={
            "corpus": CorpusOptions,
            "model": LanguageModelOptions,
            "training": LanguageTrainingOptions,
        },
        recognises=_why_text,
        check=_check_texts,
        train="recur.train.language:train_language_model",
        job="recur.train.language:open_job",
        handling="recur.cli.handling.language:handling",
    ),
    "classify-text": Task(
        about="a classifier of texts: of one class each, or of several",
        data="a table with a column of texts and one of classes: CSV, TSV, JSONL, Parquet, Arrow; or a folder by class",
        options={
            "texts": LabelledTextOptions,
            "tokens": TokenOptions,
            "vectors": VectorOptions,
            "model": TextClassifierOptions,
            "training": TextTrainingOptions,
        },
        recognises=_why_text_classes,
        check=_check_texts_and_vectors,
        train="recur.train.texts:train_text_classifier",
        job="recur.train.texts:open_job",
        takes_data_again=True,
        handling="recur.cli.handling.texts:handling",
        uses={"sentiment": "sentiments are classes of texts", "intent": "intents are classes of texts"},
    ),
    "tag": Task(
        about="a tagger of the tokens of sentences, such as of entities or of parts of speech",
        data="a file in columns with a token and its tag on each line, as of the CoNLL tasks; or a table with lists of "
        "tokens and of tags: JSONL, Parquet, Arrow",
        options={
            "sentences": TaggedTextOptions,
            "words": WordOptions,
            "vectors": VectorOptions,
            "model": TaggerOptions,
            "training": TextTrainingOptions,
        },
        recognises=_why_tags,
        check=_check_texts_and_vectors,
        train="recur.train.tags:train_tagger",
        job="recur.train.tags:open_job",
        takes_data_again=True,
        handling="recur.cli.handling.tags:handling",
        uses={"ner": "entities are tags of tokens", "pos": "parts of speech are tags of tokens"},
    ),
    "translate": Task(
        about="a network that writes a text from a text: translation, pronunciation, commands to actions, answers",
        data="two files whose lines belong together, a table of two columns of text, or conversations",
        options={
            "texts": PairOptions,
            "tokens": PairTokenOptions,
            "vectors": PairVectorOptions,
            "model": TranslatorOptions,
            "training": PairTrainingOptions,
        },
        recognises=_why_pairs,
        check=_check_texts_and_vectors,
        train="recur.train.translate:train_translator",
        job="recur.train.translate:open_job",
        takes_data_again=True,
        handling="recur.cli.handling.translate:handling",
        uses={
            "summarize": "summaries are written from texts",
            "pronounce": "pronunciations are written from words",
            "chat": "answers are written from what was said",
            "seq2seq": "it writes sequences from sequences",
        },
    ),
    "write": Task(
        about="a language model that writes texts from a label or from numbers, such as names of a language",
        data="a table with a column of texts and one of labels, or others of numbers: CSV, TSV, JSONL, Parquet, Arrow; "
        "or a folder by class",
        options={
            "texts": WrittenTextOptions,
            "tokens": WriterTokenOptions,
            "model": WriterOptions,
            "training": TextTrainingOptions,
        },
        # Texts with classes say nothing of what is wanted of them, so they are taken for what is to be told apart.
        recognises=lambda sources, given: "",
        check=_check_texts_and_vectors,
        train="recur.train.write:train_writer",
        job="recur.train.write:open_job",
        takes_data_again=True,
        handling="recur.cli.handling.write:handling",
        uses={"generate-text": "texts are written from labels or numbers"},
    ),
    "classify": Task(
        about="a classifier of series, or of their steps",
        data="a table with a column of classes, a .ts file, or a folder of NAME_TRAIN.ts and NAME_TEST.ts",
        options={
            "series": LabelOptions,
            "model": SeriesClassifierOptions,
            "training": LabelTrainingOptions,
        },
        recognises=_why_classes,
        check=_check_labels,
        train="recur.train.labels:train_classifier",
        job="recur.train.labels:open_job",
        takes_data_again=True,
        handling="recur.cli.handling.labels:classifiers",
    ),
    "regress": Task(
        about="a regressor that tells a number of series or of their steps, such as how long they will go on",
        data="a table with a column of numbers to tell, or of series that end; a .ts file; or a folder",
        options={
            "series": NumberOptions,
            "model": SeriesRegressorOptions,
            "training": LabelTrainingOptions,
        },
        recognises=_why_numbers,
        check=_check_labels,
        train="recur.train.labels:train_regressor",
        job="recur.train.labels:open_job",
        takes_data_again=True,
        handling="recur.cli.handling.labels:regressors",
    ),
    "forecast": Task(
        about="a forecaster of what comes next in the series of a table",
        data="a table: CSV, TSV, Parquet, Arrow, .npy or .npz; or a folder of them, each a series",
        options={
            "series": SeriesOptions,
            "model": ForecasterOptions,
            "training": SeriesTrainingOptions,
        },
        recognises=_why_series,
        check=_check_tables,
        train="recur.train.forecast:train_forecaster",
        job="recur.train.forecast:open_job",
        takes_data_again=True,
        handling="recur.cli.handling.forecast:handling",
    ),
    "detect": Task(
        about="a detector of anomalies in the series of a table",
        data="a table: CSV, TSV, Parquet, Arrow, .npy or .npz; or a folder of them, each a series",
        options={
            "series": DetectionOptions,
            "model": DetectorOptions,
            "training": SeriesTrainingOptions,
        },
        # A table says nothing of what is wanted of it, so it is taken for a forecast.
        recognises=lambda sources, given: "",
        check=_check_tables,
        train="recur.train.detect:train_detector",
        job="recur.train.detect:open_job",
        takes_data_again=True,
        handling="recur.cli.handling.detect:handling",
    ),
}
"""Each task by the name that `--task` and `config.json` have for it; the first is the one whose help is shown.

How a run of a task is loaded stands in `recur.tasks.loading.LOADERS`, which may not know what trains it.
"""
