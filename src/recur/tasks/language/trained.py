"""Using a trained language model: load a run, step, generate, get probabilities, judge a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recur.data.streams import HeldOutStreams
from recur.data.tokenizer import Tokenizer, Unknown, tokenizer_from_json
from recur.decode.sampling import Sampling
from recur.errors import DataError, OptionError, RunError
from recur.kinds import is_whole
from recur.models.language import LanguageModel, State
from recur.models.options import LanguageModelOptions
from recur.run import RunFolder
from recur.tasks.language.held_out import Handover, HeldOutFigures, score
from recur.tasks.language.writer import Writer
from recur.tasks.run_weights import with_its_size

_PROMPT_WINDOW = 1024
"""Tokens of a prompt that are run at once, so that a long one needs no more memory than a short one."""

_STATE_TOLERANCE = 1e-4
"""Difference of a unit's state that changes no figure by 1e-5."""

_BURN_IN = 1024
"""Tokens that each parallel stream of an evaluation reads before its part, for a state as if it had read them all."""

_MOST_LOGITS = 1 << 26
"""Logits computed at once in an evaluation, so that a large vocabulary takes smaller windows and not more memory."""


def load(run: str | Path | RunFolder, *, device: str | torch.device = "cpu") -> TrainedLanguageModel:
    """Return the trained model of a run folder. Nothing in the folder is executed.

    Args:
        run: The folder.
        device: Where the model shall compute.

    Raises:
        RunError: The folder is missing, damaged, of a newer format, or of another task.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    config = folder.config()
    if config.get("task") != "language":
        raise RunError(f"{folder.path}: is a run of task {config.get('task')!r}, expected 'language'.")
    schema = folder.read_json("schema.json")
    try:
        tokenizer = tokenizer_from_json(schema.get("tokenizer"))
    except RunError as error:
        raise RunError(f"{folder.path / 'schema.json'}: {error}") from error
    model = build_model(folder, tokenizer.vocabulary_size)
    counts = schema.get("counts")
    if not _are_counts(counts, tokenizer.vocabulary_size):
        raise RunError(f"{folder.path / 'schema.json'}: damaged: counts do not match the vocabulary.")
    return TrainedLanguageModel(model.to(device), tokenizer, np.asarray(counts, dtype=np.int64))


def build_model(folder: RunFolder, vocabulary_size: int, *, with_weights: bool = True) -> LanguageModel:
    """Return the model that `config.json` describes, with the best weights or freshly drawn ones.

    Raises:
        RunError: Options or weights are damaged or do not fit each other.
    """
    try:
        options = LanguageModelOptions(**folder.config()["model"])
        if not options.is_complete:
            raise OptionError("values are missing")
    except (KeyError, TypeError, OptionError) as error:
        raise RunError(f"{folder.path / 'config.json'}: damaged: model: {str(error).rstrip('.')}.") from error
    if not with_weights:
        return LanguageModel(vocabulary_size, options)
    weights = folder.load_weights()
    # Shapes are compared before any memory is taken, as a damaged size may be huge.
    with torch.device("meta"):
        try:
            shape_only = LanguageModel(vocabulary_size, options)
        except (RuntimeError, OptionError) as error:
            raise RunError(f"{folder.path / 'config.json'}: damaged: model: {str(error).rstrip('.')}.") from error
    wanted = {name: tuple(value.shape) for name, value in shape_only.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if wanted != found:
        name = next(key for key in [*wanted, *found] if wanted.get(key) != found.get(key))
        raise RunError(
            f"{folder.path / 'model.safetensors'}: does not fit config.json: {name} is {found.get(name)}, "
            f"expected {wanted.get(name)}."
        )
    model = LanguageModel(vocabulary_size, options)
    model.load_state_dict(weights)
    return model


def _are_counts(counts: Any, size: int) -> bool:
    if not isinstance(counts, list) or len(counts) != size:
        return False
    if not all(is_whole(n, 0) for n in counts):
        return False
    return sum(counts) < 1 << 62


class TrainedLanguageModel:
    """A language model with its vocabulary, ready for use.

    It keeps no state: every method that goes on from somewhere takes a state and returns one.

    Args:
        model: The network; put in evaluation mode.
        tokenizer: Text to tokens and back.
        counts: How often each token occurs in the training part, (V,).

    Attributes:
        model: The network.
        tokenizer: Text to tokens and back.
        counts: As given.
    """

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, counts: NDArray[np.int64]) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.counts = counts

    def __repr__(self) -> str:
        return with_its_size(self, self.model)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    @property
    def default_prompt(self) -> str:
        """What a text goes on from when nothing is given: a line's end, or the commonest token of a text without."""
        is_known = not self.tokenizer.unknown_in("\n")
        return "\n" if is_known else self.tokenizer.symbol(int(self.counts.argmax()))

    # --- stepping -----------------------------------------------------------------------------------------------

    def step(self, token: str | int | Sequence[int], state: State | None = None) -> tuple[Tensor, State]:
        """Read one token a row and return what may follow.

        Args:
            token: A single symbol of the vocabulary, or its number, or one number a row (B).
            state: State before it; None at the start of a text.

        Returns:
            Natural logarithms of the next token's probabilities, (B, V) float32, and the state after the token.

        Raises:
            DataError: The text is not exactly one token, or a number is none of the vocabulary's.
        """
        if isinstance(token, str):
            ids = self.tokenizer.encode(token)
            if len(ids) != 1:
                raise DataError(f"step reads one token, but {token!r} is {len(ids)}; use read() for a longer text.")
            token = int(ids[0])
        numbers = [int(token)] if isinstance(token, int | np.integer) else [int(number) for number in token]
        if not numbers or not all(0 <= n < self.tokenizer.vocabulary_size for n in numbers):
            raise DataError(f"step: tokens must be numbers from 0 to {self.tokenizer.vocabulary_size - 1}: {numbers}.")
        with torch.inference_mode():
            x = torch.tensor(numbers, device=self.device).unsqueeze(1)
            logits, state = self.model(x, state)
            return torch.log_softmax(logits[:, -1].float(), dim=-1), state

    def read(self, text: str, state: State | None = None, *, unknown: Unknown = "error") -> tuple[Tensor, State]:
        """Read a text and return what may follow: `step` over all of its tokens.

        Args:
            text: At least one token.
            state: State before it.
            unknown: What to do with characters that the model does not know: error, map (to the unknown token), drop.

        Returns:
            Natural logarithms of the next token's probabilities, (1, V) float32, and the state after the text.

        Raises:
            TypeError: `text` is no text.
            DataError: The text is empty, or has unknown characters and `unknown` is "error".
        """
        _check_text("text", text)
        ids = self.tokenizer.encode(text, unknown=unknown)
        if len(ids) == 0:
            raise DataError("the text has no token that the model knows; give at least one.")
        with torch.inference_mode():
            logits, state = self._run(ids, state)
            return torch.log_softmax(logits.float(), dim=-1), state

    def _run(self, ids: NDArray[np.int64], state: State | None) -> tuple[Tensor, State]:
        """Return the logits (1, V) after the last of `ids` and the state there."""
        logits = None
        for start in range(0, len(ids), _PROMPT_WINDOW):
            x = torch.from_numpy(ids[start : start + _PROMPT_WINDOW]).to(self.device).unsqueeze(0)
            logits, state = self.model(x, state)
        assert logits is not None
        assert state is not None
        return logits[:, -1], state

    def log_probs(self, text: str, *, context: str = "", unknown: Unknown = "error") -> NDArray[np.float64]:
        """Return the natural logarithm of each token's probability, given all before it.

        Args:
            text: What to judge, N tokens.
            context: Text before it, read but not judged. Without one the first token has nothing before it and takes
                its frequency in the training text.
            unknown: As for `read`.

        Returns:
            (N,) float64.

        Raises:
            TypeError: `text` or `context` is no text.
            DataError: There are unknown characters and `unknown` is "error".
        """
        _check_text("text", text)
        _check_text("context", context)
        own = self.tokenizer.encode(text, unknown=unknown)
        before = self.tokenizer.encode(context, unknown=unknown) if context else own[:0]
        if len(own) == 0:
            return np.zeros(0)
        ids = np.concatenate([before, own])
        nats = np.concatenate([[self.first_token_nats(int(ids[0]))], self._nats(ids)])
        return -nats[len(before) :]

    def _nats(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        if len(ids) < 2:
            return np.zeros(0)
        losses: dict[int, list[NDArray[np.float32]]] = {}
        score(
            self.model,
            HeldOutStreams(ids, streams=1, window=_PROMPT_WINDOW, burn_in=0),
            first_token_nats=0.0,
            characters=1,
            losses=losses,
        )
        return np.concatenate(losses[0]).astype(np.float64)

    def first_token_nats(self, token: int) -> float:
        """Return -ln of a token's frequency in the training part, with one added to every count."""
        return -math.log((int(self.counts[token]) + 1) / (int(self.counts.sum()) + len(self.counts)))

    # --- judging ------------------------------------------------------------------------------------------------

    def evaluate(
        self,
        ids: NDArray[Any],
        *,
        characters: int,
        document_starts: NDArray[np.int64] | None = None,
        streams: int = 1,
        window: int = 512,
        burn_in: int = _BURN_IN,
        tolerance: float | None = _STATE_TOLERANCE,
        progress: Callable[[int], None] | None = None,
        losses: dict[int, list[NDArray[np.float32]]] | None = None,
    ) -> HeldOutFigures:
        """Return how well the model predicts a text: every token exactly once, the state carried all through.

        Args:
            ids: The text's tokens, (N,).
            characters: Characters that they spell.
            document_starts: Where documents start, for a model trained with a document separator.
            streams: Parts of the text that are read side by side: 1 is exact, more is faster.
            window: Tokens of each stream run at once; fewer where the vocabulary is large.
            burn_in: Tokens before its part that each stream reads first, uncounted.
            tolerance: How far the state that a stream begins its part with may lie from the one that the stream before
                it ended with. Where it lies further, all is judged again with four times the burn-in, if need be from
                the beginning of the text. None does not look.
            progress: Called with the number of tokens judged so far.
            losses: When given, filled with each stream's losses in the order of the text.
        """
        most = _MOST_LOGITS // (max(streams, 1) * self.tokenizer.vocabulary_size)
        window = min(window, max(most, 1))
        while True:
            # In whole windows, so that each part begins between two batches and the state there can be seen.
            warm_windows = max(-(-burn_in // max(window, 1)), 0)
            batches = HeldOutStreams(
                ids,
                streams=streams,
                window=window,
                burn_in=warm_windows * window if warm_windows > 0 else burn_in,
                document_starts=document_starts,
            )
            late = batches.has_begun_late()
            is_watched = tolerance is not None and warm_windows > 0 and bool(late.any())
            handover = Handover(warm_windows, late) if is_watched else None
            figures = score(
                self.model,
                batches,
                first_token_nats=self.first_token_nats(int(ids[0])),
                characters=characters,
                progress=progress,
                losses=losses,
                on_state=None if handover is None else handover.look,
            )
            if handover is None or tolerance is None or not handover.largest_gap() > tolerance:
                return figures
            burn_in = 4 * warm_windows * window
            if losses is not None:
                losses.clear()

    # --- generating ---------------------------------------------------------------------------------------------

    def generate(
        self,
        prompt: str,
        length: int = 500,
        *,
        samples: int = 1,
        sampling: Sampling | None = None,
        stop: str | None = None,
        seed: int | None = None,
        unknown: Unknown = "error",
        **others: Never,
    ) -> list[str]:
        """Return texts that continue `prompt`, without it.

        Args:
            prompt: What to go on from, at least one token.
            length: Tokens of each text, at most.
            samples: How many texts.
            sampling: How tokens are drawn; by default from the model's own distribution.
            stop: A text ends before this string, when it comes up.
            seed: The same seed gives the same texts; None draws one.
            unknown: What to do with characters of the prompt that the model does not know: error, map, drop.
            others: Nothing; any is refused, with the place where it belongs.

        Raises:
            TypeError: The prompt is no text, or there are other arguments, such as those of `Sampling`.
            DataError: The prompt is empty, or has unknown characters and `unknown` is "error".
            OptionError: `length`, `samples` or `seed` is out of range, or `stop` is empty.
        """
        texts = [""] * samples
        for pieces in self.stream(
            prompt, length, samples=samples, sampling=sampling, stop=stop, seed=seed, unknown=unknown, **others
        ):
            texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
        return texts

    def stream(
        self,
        prompt: str,
        length: int = 500,
        *,
        samples: int = 1,
        sampling: Sampling | None = None,
        stop: str | None = None,
        seed: int | None = None,
        unknown: Unknown = "error",
        **others: Never,
    ) -> Iterator[list[str]]:
        """Yield the new piece of each text as it is made; arguments and errors as for `generate`."""
        _refuse(others)
        if length < 0:
            raise OptionError(f"length must be a whole number from 0 on, not {length}.")
        if samples < 1:
            raise OptionError(f"samples must be a whole number from 1 on, not {samples}.")
        if seed is not None and not 0 <= seed < 1 << 63:
            raise OptionError(f"seed must be a whole number from 0 to {(1 << 63) - 1}, not {seed}.")
        if stop == "":
            raise OptionError("stop must be a text of at least one character.")
        _check_text("prompt", prompt)
        ids = self.tokenizer.encode(prompt, unknown=unknown)
        if len(ids) == 0:
            raise DataError(
                "the prompt is empty; give at least one character that the model knows."
                if not prompt
                else f"the prompt {prompt[:20]!r} has no character that the model knows; give at least one."
            )
        return self._stream(ids, length, samples, sampling or Sampling(), stop, seed)

    # As a decorator it holds only while a token is made; a `with` would hold for the caller too, between two of them.
    @torch.inference_mode()
    def _stream(
        self,
        ids: NDArray[np.int64],
        length: int,
        samples: int,
        sampling: Sampling,
        stop: str | None,
        seed: int | None,
    ) -> Iterator[list[str]]:
        generator = torch.Generator(self.device)
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        allowed = None
        if self.tokenizer.unknown_id is not None:
            allowed = torch.zeros(self.tokenizer.vocabulary_size, device=self.device)
            allowed[self.tokenizer.unknown_id] = -torch.inf
        writers = [Writer(self.tokenizer, stop) for _ in range(samples)]
        logits, state = self._run(ids, None)
        if samples > 1:
            logits = logits.expand(samples, -1)
            state = tuple(_repeated(layer, samples) for layer in state)
        for made in range(length):
            tokens = sampling.draw(logits if allowed is None else logits + allowed, generator)
            pieces = [writer.push(token) for writer, token in zip(writers, tokens.tolist(), strict=True)]
            if made + 1 == length or all(writer.is_done for writer in writers):
                yield [piece + writer.flush() for piece, writer in zip(pieces, writers, strict=True)]
                return
            yield pieces
            logits, state = self.model(tokens.unsqueeze(1), state)
            logits = logits[:, -1]


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}; give one text a call.")


def _refuse(others: Mapping[str, object]) -> None:
    if not others:
        return
    name, value = next(iter(others.items()))
    if name in {field.name for field in fields(Sampling)}:
        raise TypeError(
            f"{name} is a part of the sampling: give sampling=Sampling({name}={value!r}), of recur.decode.sampling."
        )
    raise TypeError(f"there is no argument {name!r}; help(TrainedLanguageModel.generate) lists them.")


def _repeated(state: Tensor | tuple[Tensor, Tensor], count: int) -> Any:
    if isinstance(state, Tensor):
        return state.repeat(1, count, 1)
    return state[0].repeat(1, count, 1), state[1].repeat(1, count, 1)
