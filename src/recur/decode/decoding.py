"""From a model's log-probabilities to sequences: greedily, by beam search, by sampling; at once or as they settle."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recur.decode.banks import Banks
from recur.decode.bans import Bans
from recur.decode.beams import Selection
from recur.decode.constraints import Constraints
from recur.decode.draws import Draws
from recur.decode.greedy import GreedySearch
from recur.decode.hypothesis import Hypothesis
from recur.decode.nested_beams import NestedBeams
from recur.decode.options import DecodingOptions
from recur.decode.phrases import Phrases
from recur.decode.search import Search
from recur.decode.steps import State, Steps
from recur.errors import OptionError
from recur.kinds import is_whole
from recur.wording import option


def decode(
    steps: Steps[State],
    state: State,
    start: Tensor,
    *,
    end: int | None,
    options: DecodingOptions | None = None,
    constraints: Constraints | None = None,
    source_lengths: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> list[list[Hypothesis]]:
    """Return what a model says, row by row, best first.

    A row's answer does not depend on which other rows are in the batch, except that they share random numbers. A search
    with more beams never finds worse by the score, unless it prunes, has groups or required phrases
    (`recur.decode.nested_beams` says why); with one beam it is greedy, unless it has more patience than 1 or required
    phrases.

    Args:
        steps: The model.
        state: Its state of B rows, before `start`.
        start: The token that each row begins with, (B,) int64; of a prompt the last, with the others in the state.
        end: The token that ends a sequence; without one all get their maximum length.
        options: How to search; by default greedily.
        constraints: What outputs must and must not hold, and lengths by row.
        source_lengths: Where the model has attention, how long each row's source is, (B,) int64; by default all S
            positions of its weights.
        generator: Where sampling takes its random numbers from; None is torch's own.

    Returns:
        For each row up to `num_best` hypotheses: fewer where there are no more. At least one, which may be stuck.

    Raises:
        OptionError: Options or constraints do not fit the model, the batch, or each other.
        ValueError: The model returned no log-probabilities.

    Example:
        >>> class Bigrams:
        ...     def __init__(self, table):
        ...         self.table = table
        ...     def step(self, tokens, state):
        ...         return self.table[tokens], state
        ...     def select(self, state, rows):
        ...         return state
        >>> table = torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.1, 0.4], [0.3, 0.6, 0.1]]).log()
        >>> ((best, second),) = decode(
        ...     Bigrams(table), None, torch.tensor([2]), end=0, options=DecodingOptions(beams=3, num_best=2)
        ... )
        >>> best.tokens, round(best.log_prob, 3), second.tokens, round(second.log_prob, 3)
        ((1,), -1.204, (), -1.204)
    """
    batch = _Batch.of(steps, state, start, end, options, constraints, source_lengths, generator)
    for search in batch.searches:
        while search.is_open:
            search.advance()
    return batch.hypotheses()


def stream(
    steps: Steps[State],
    state: State,
    start: Tensor,
    *,
    end: int | None,
    options: DecodingOptions | None = None,
    constraints: Constraints | None = None,
    source_lengths: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Generator[list[list[int]], None, list[list[Hypothesis]]]:
    """Return a generator of the tokens of each row's best hypothesis, as soon as no other can come to be best.

    With several beams these are what all that are open have in common with the best that has ended. Together they are
    the tokens that `decode` returns.

    Args:
        steps: As of `decode`, as all others.
        state: Likewise.
        start: Likewise.
        end: Likewise.
        options: Likewise; `num_best` is 1.
        constraints: Likewise.
        source_lengths: Likewise.
        generator: Likewise.

    Returns:
        After each step for each row the tokens that are new, which may be none; in the end, as the generator's return
        value, what `decode` returns.

    Raises:
        OptionError: As `decode`; or `num_best` is not 1.
        ValueError: As `decode`.

    Example:
        >>> class Countdown:
        ...     def step(self, tokens, state):
        ...         return torch.eye(9)[tokens - 1].log(), state
        ...     def select(self, state, rows):
        ...         return state
        >>> list(stream(Countdown(), None, torch.tensor([4, 2]), end=0))
        [[[3], [1]], [[2], []], [[1], []], [[], []]]
    """
    if options is not None and options.num_best != 1:
        raise OptionError(
            f"One hypothesis is streamed, and num_best is {options.num_best}. Give {option('num_best', 1)}."
        )
    batch = _Batch.of(steps, state, start, end, options, constraints, source_lengths, generator)
    return batch.stream()


@dataclass(frozen=True)
class _Batch:
    """A batch as one search of the rows that require nothing, and one of the others."""

    searches: list[Search[Any] | GreedySearch[Any]]
    rows: list[list[int]]
    """Of each search, in the batch."""

    @classmethod
    def of(
        cls,
        steps: Steps[State],
        state: State,
        start: Tensor,
        end: int | None,
        options: DecodingOptions | None,
        constraints: Constraints | None,
        source_lengths: Tensor | None,
        generator: torch.Generator | None,
    ) -> _Batch:
        options = options or DecodingOptions()
        constraints = constraints or Constraints()
        _check(start, end, options, constraints, source_lengths)
        num = len(start)
        limits = torch.full_like(start, options.longest)
        if constraints.max_lengths is not None:
            said = constraints.max_lengths.to(start.device)
            limits = said if options.max_length is None else torch.minimum(limits, said)
        required = [constraints.required_phrases(row) for row in range(num)]
        forbidden = constraints.forbidden_phrases
        named = [token for phrases in (forbidden, *required) for phrase in phrases for token in phrase]
        free = [row for row in range(num) if not required[row]]
        bound = [row for row in range(num) if required[row]]
        searches: list[Search[Any] | GreedySearch[Any]] = []
        for rows in (free, bound):
            if not rows:
                continue
            chosen = torch.tensor(rows, device=start.device)
            bans = Bans(forbidden, options.block_ngrams, options.min_length, end, start.device)
            of_rows = None if source_lengths is None else source_lengths.to(start.device)[chosen]
            largest = max([*named, end or 0])
            with torch.no_grad():
                begun = state if len(rows) == num else steps.select(state, chosen)
            if options.sampling is None and rows is free and options.beams == 1 and options.patience == 1:
                searches.append(
                    GreedySearch(
                        steps,
                        begun,
                        start[chosen],
                        end=end,
                        options=options,
                        bans=bans,
                        limits=limits[chosen],
                        source_lengths=of_rows,
                        largest_token=largest,
                    )
                )
                continue
            phrases = Phrases([required[row] for row in rows], start.device)
            selection: Selection
            if options.sampling is not None:
                selection = Draws(options.sampling, options.num_best, end, generator)
            elif rows is bound:
                selection = Banks(options.beams, phrases, limits[chosen], options.prune, end)
            else:
                selection = NestedBeams(options.beams, options.groups, options.repulsion, options.prune, end)
            searches.append(
                Search(
                    steps,
                    begun,
                    start[chosen],
                    end=end,
                    options=options,
                    selection=selection,
                    bans=bans,
                    required=[required[row] for row in rows],
                    phrases=phrases,
                    limits=limits[chosen],
                    source_lengths=of_rows,
                    largest_token=largest,
                )
            )
        return cls(searches, [rows for rows in (free, bound) if rows])

    def hypotheses(self) -> list[list[Hypothesis]]:
        found = {
            row: told
            for search, rows in zip(self.searches, self.rows, strict=True)
            for row, told in zip(rows, search.hypotheses(), strict=True)
        }
        return [found[row] for row in range(len(found))]

    def stream(self) -> Generator[list[list[int]], None, list[list[Hypothesis]]]:
        told = [0] * sum(map(len, self.rows))
        while any(search.is_open for search in self.searches):
            new: list[list[int]] = [[] for _ in told]
            for search, rows in zip(self.searches, self.rows, strict=True):
                if search.is_open:
                    search.advance()
                for at, row in enumerate(rows):
                    new[row] = search.settled(at)[told[row] :]
                    told[row] += len(new[row])
            yield new
        return self.hypotheses()


def _check(
    start: Tensor,
    end: int | None,
    options: DecodingOptions,
    constraints: Constraints,
    source_lengths: Tensor | None,
) -> None:
    for name, given in (
        ("start", start),
        ("max_lengths", constraints.max_lengths),
        ("source_lengths", source_lengths),
    ):
        if given is None:
            continue
        if not isinstance(given, Tensor) or given.dtype != torch.int64 or given.ndim != 1 or len(given) != len(start):
            came = f"{tuple(given.shape)} {given.dtype}" if isinstance(given, Tensor) else repr(given)
            raise OptionError(f"{name} must be a tensor of one int64 for each row of the batch, not {came}.")
    if end is not None and not is_whole(end, 0):
        raise OptionError(f"end must be a token, a whole number from 0 on, or None, not {end!r}.")
    least = max(options.min_length, 1)
    if constraints.max_lengths is not None and (constraints.max_lengths < least).any():
        row = int((constraints.max_lengths < least).int().argmax())
        raise OptionError(f"max_lengths must be {least} or more, not {constraints.max_lengths[row]} as in row {row}.")
    if end is None and options.min_length:
        raise OptionError(f"min_length keeps the end away, and there is none. Leave {option('min_length')} out.")
    if (end,) in constraints.forbidden_phrases:
        raise OptionError(f"The end, token {end}, is forbidden, so that nothing could end. Give end=None for that.")
    if constraints.required is None:
        return
    if len(constraints.required) != len(start):
        raise OptionError(
            f"required has phrases for {len(constraints.required)} rows, and the batch has {len(start)}. Give an empty "
            "list for a row that requires nothing."
        )
    for row in range(len(start)):
        phrases = constraints.required_phrases(row)
        if any(end in phrase for phrase in phrases):
            raise OptionError(
                f"required, row {row}: the end, token {end}, is in a phrase, and it is no part of an output."
            )
        if phrases and (options.sampling is not None or options.groups > 1):
            name = "sampling" if options.sampling is not None else "groups"
            raise OptionError(f"required phrases need a plain beam search. Leave {option(name)} out.")
