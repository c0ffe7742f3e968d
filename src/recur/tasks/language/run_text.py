"""The text of a run: found again from its run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recur.data.corpus import Corpus, Progress
from recur.data.options import CorpusOptions
from recur.errors import OptionError, RunError
from recur.run import RunFolder
from recur.wording import option

CACHE_NAME = ".corpus"
"""The folder beside a run in which the token ids of its text lie."""


def corpus_options(run: RunFolder) -> CorpusOptions:
    """Return the corpus options of `run`.

    Raises:
        RunError: They are damaged.
    """
    try:
        options = CorpusOptions(**run.config()["data"])
        if not all(part is None or isinstance(part, str) for part in (options.valid, options.test)):
            raise TypeError("valid and test must be names of files")
    except (KeyError, TypeError, OptionError) as error:
        raise RunError(f"{run.path / 'config.json'}: damaged: data: {str(error).rstrip('.')}.") from error
    return options


def text_options(run: RunFolder, encoding: str | None = None) -> CorpusOptions:
    """Return the options with which the model of `run` reads other text than its own.

    Args:
        run: The run.
        encoding: Encoding of that text; that of the run's own text when None.

    Raises:
        RunError: The run's options are damaged.
        OptionError: `encoding` is none of text files, or would be ignored.
    """
    options = corpus_options(run)
    if encoding is None:
        return options
    if options.tokens == "byte":
        raise OptionError(f"encoding: {encoding!r} would be ignored, for the model reads bytes; leave encoding out.")
    return replace(options, encoding=encoding)


def corpus_of(run: RunFolder, progress: Progress | None = None) -> Corpus:
    """Return the run's corpus: from its sources when they are still there, else from the cache beside the run.

    Raises:
        RunError: The sources have changed, or neither they nor the cache are there.
    """
    known = run.read_json("schema.json").get("corpus")
    sources = run.config().get("sources")
    if not isinstance(known, dict) or not isinstance(sources, list) or not all(isinstance(s, str) for s in sources):
        raise RunError(f"{run.path}: damaged: it does not say which text it was trained on.")
    key, cache = str(known.get("key")), run.path / str(known.get("cache"))
    # A run from a stranger must not choose where something is written.
    if cache.name != CACHE_NAME:
        raise RunError(f"{run.path / 'schema.json'}: damaged: {cache.name!r} is no cache of texts.")
    if "-" in sources or not all(Path(name).exists() for name in sources):
        return Corpus.open(cache, key)
    text = Corpus.build(sources, corpus_options(run), cache, progress)
    if text.key != key:
        raise RunError(
            f"{run.path}: the text has changed since the run was started ({', '.join(sources)}); "
            f"bring the old text back, or train anew with another {option('out')}."
        )
    return text
