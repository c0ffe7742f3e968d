"""The search itself: a step of all open hypotheses at a time, until no row has one that is worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, Literal

import torch
from torch import Tensor

from recur.decode.bans import Bans
from recur.decode.beams import Beams, Choice, Selection
from recur.decode.constraints import Phrase
from recur.decode.finished import Finished
from recur.decode.hypothesis import Hypothesis
from recur.decode.looks import Looks
from recur.decode.options import DecodingOptions
from recur.decode.penalties import Scoring
from recur.decode.phrases import Phrases
from recur.decode.steps import State, Steps, check_highest, check_shape


class Search(Generic[State]):
    """The hypotheses of some rows, open and finished.

    A row, or each group of its beams, is done when no open hypothesis can come to be among the best any more, which is
    proven from its log-probability (`Scoring.of_length`); or when it has as many finished ones as `patience` says. With
    nested beams this number has to be reached by the first slots alone too, for each number of slots: so a wider
    search is never done before a narrower one.

    Rows that are done, and slots without a hypothesis, are no part of what the model computes.

    Args:
        steps: What decodes.
        state: Of all rows, before `start`.
        start: The token that each row begins with, (B,) int64.
        end: The token that ends, if one does.
        options: How to search.
        selection: How candidates are chosen.
        bans: What may not come next.
        required: The phrases that each row requires.
        phrases: Their automaton.
        limits: Tokens before the end, at most, of each row; (B,) int64.
        source_lengths: (B,) int64, if given.
        largest_token: Of those that were asked for.
    """

    def __init__(
        self,
        steps: Steps[State],
        state: State,
        start: Tensor,
        *,
        end: int | None,
        options: DecodingOptions,
        selection: Selection,
        bans: Bans,
        required: Sequence[tuple[Phrase, ...]],
        phrases: Phrases,
        limits: Tensor,
        source_lengths: Tensor | None,
        largest_token: int,
    ) -> None:
        self._steps, self._end, self._options, self._selection, self._bans = steps, end, options, selection, bans
        self._phrases, self._limits, self._source_lengths = phrases, limits, source_lengths
        self._largest_token = largest_token
        self._scoring = Scoring(options)
        self._looks = Looks(steps, are_needed=bool(options.coverage_penalty))
        self._limits_there = set(limits.tolist())
        self._groups = options.groups
        num_slots = options.num_best if options.sampling is not None else options.beams
        self._width = num_slots // self._groups
        num_best = options.num_best // self._groups
        self._finished = Finished(required, self._groups, self._width, num_best, start.device)
        # The most tokens that count in a score of each group, and how many have to have ended at its first slots.
        self._longest = limits.repeat_interleave(self._groups) + (end is not None)
        self._wanted = options.patience * torch.arange(1, self._width + 1, device=start.device)
        self._places = torch.arange(0, device=start.device)
        first = torch.tensor(selection.first_slots, device=start.device)
        row = torch.arange(len(start), device=start.device).repeat_interleave(len(first))
        node, met = phrases.start(row)
        self._open = Beams(
            row=row,
            slot=first.repeat(len(start)),
            newest=start[row],
            tokens=start.new_zeros(len(row), 0),
            log_prob=torch.zeros(len(row), dtype=torch.float64, device=start.device),
            trail=start.new_zeros(len(row), 0),
            coverage=None,
            node=node,
            met=met,
        )
        with torch.no_grad():
            self._state = state if len(first) == 1 else steps.select(state, row)

    @property
    def is_open(self) -> bool:
        """Whether a hypothesis is still open."""
        return len(self._open) > 0

    @torch.no_grad()
    def advance(self) -> None:
        """Take all open hypotheses a token further."""
        beams = self._open
        log_probs, state = self._steps.step(beams.newest, self._state)
        check_shape(log_probs, len(beams), self._largest_token)
        check_highest(float(log_probs.amax()))
        looked = self._looks.add(state)
        if looked is not None and self._options.coverage_penalty and beams.coverage is None:
            self._open = beams = replace(beams, coverage=torch.zeros_like(looked, dtype=torch.float64))
        num_said = beams.tokens.shape[1]
        full = self._limits[beams.row] == num_said if num_said in self._limits_there else None
        allowed = self._bans.apply(log_probs, beams.tokens, full)
        choice = self._selection.choose(allowed, beams)
        self._end_with(choice, log_probs, full)
        new = self._go_on(choice, log_probs, looked)
        self._end_stuck(new)
        kept = self._keep(new)
        parent, self._open = choice.parent, new
        if len(new) and not kept.all():
            parent, self._open = parent[kept], new.take(kept)
        # A copy that would change nothing is not made: drawing makes none until one ends.
        is_same = not len(parent) or self._are_all(parent, beams)
        self._state = state if is_same else self._steps.select(state, parent)

    def settled(self, row: int) -> list[int]:
        """Return the tokens that a row's best hypothesis will begin with, whatever comes."""
        said: list[list[int]] = self._open.tokens[self._open.row == row].tolist()
        leader = self._finished.leader(row)
        said += [] if leader is None else [list(leader)]
        first, last = min(said), max(said)
        num = next((n for n, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
        return first[:num]

    def hypotheses(self) -> list[list[Hypothesis]]:
        """Return for each row what was found, best first."""
        num = len(self._limits)
        told = [self._finished.told(row) for row in range(num)]
        lengths = [None] * num if self._source_lengths is None else self._source_lengths.tolist()
        looks = iter(self._looks.along([one.trail for of_row in told for one in of_row]))
        return [
            [
                Hypothesis(
                    tokens=one.tokens,
                    log_prob=one.log_prob,
                    score=one.score,
                    ended=one.why,
                    attention=None if looked is None else looked[:, :length],
                    missing=one.missing,
                )
                for one, looked in zip(of_row, looks, strict=False)
            ]
            for of_row, length in zip(told, lengths, strict=True)
        ]

    def _end_with(self, choice: Choice, log_probs: Tensor, full: Tensor | None) -> None:
        if not len(choice.ended):
            return
        assert self._end is not None
        ended = self._open.take(choice.ended)
        ended = replace(
            ended, slot=choice.ended_slot, log_prob=ended.log_prob + log_probs[choice.ended, self._end].double()
        )
        is_forced = torch.zeros_like(ended.row, dtype=torch.bool) if full is None else full[choice.ended]
        self._finish("end", ended.take(~is_forced))
        self._finish("length", ended.take(is_forced))

    def _go_on(self, choice: Choice, log_probs: Tensor, looked: Tensor | None) -> Beams:
        """Return the chosen hypotheses with their new tokens."""
        # Those that are drawn stay where they are until one ends.
        new = self._open
        if not self._are_all(choice.parent, new):
            new = new.take(choice.parent)
        node, met = self._phrases.after(new.row, new.node, new.met, choice.token)
        coverage = new.coverage
        if coverage is not None and looked is not None:
            coverage = coverage + looked[choice.parent]
        return Beams(
            row=new.row,
            slot=choice.slot,
            newest=choice.token,
            tokens=torch.cat([new.tokens, choice.token[:, None]], dim=1),
            log_prob=new.log_prob + log_probs[choice.parent, choice.token].double(),
            trail=torch.cat([new.trail, choice.parent[:, None]], dim=1),
            coverage=coverage,
            node=node,
            met=met,
        )

    def _are_all(self, places: Tensor, beams: Beams) -> bool:
        """Return whether these are the places of all hypotheses, in order."""
        if len(places) != len(beams):
            return False
        if len(self._places) < len(places):
            self._places = torch.arange(len(places), device=places.device)
        return torch.equal(places, self._places[: len(places)])

    def _end_stuck(self, new: Beams) -> None:
        """Keep what nothing may follow where a group would have nothing else to tell."""
        # Each goes on, or the only row does: what follows is no work for a step that leads nowhere else.
        if len(self._limits) * self._groups == 1 and len(new):
            return
        if self._width * self._groups == 1 and len(new) == len(self._open):
            return
        unit = self._unit(self._open)
        has_any = self._finished.counts.sum(dim=1) > 0
        has_any[self._unit(new)] = True
        is_stuck = ~has_any[unit]
        if is_stuck.any():
            self._finish("stuck", self._open.take(is_stuck))

    def _keep(self, new: Beams) -> Tensor:
        """Return which are still open, (N,) bool, after ending those that are full where no token ends."""
        num_said = new.tokens.shape[1]
        kept = torch.ones_like(new.row, dtype=torch.bool)
        if self._end is None and num_said in self._limits_there:
            kept = self._limits[new.row] > num_said
            self._finish("length", new.take(~kept))
        finished = self._finished
        if finished.is_empty and self._options.prune is None:
            return kept
        unit = self._unit(new)
        highest = torch.full_like(finished.best[:, 0], -torch.inf)
        highest.scatter_reduce_(0, unit, new.log_prob, "amax")
        is_done = self._scoring.of_length(highest, self._longest) <= finished.best[:, -1]
        counts = finished.counts.cumsum(dim=1)
        if not self._selection.is_nested:
            counts = counts[:, -1:]
        is_done |= (counts >= self._wanted[-counts.shape[1] :]).all(dim=1)
        kept &= ~is_done[unit]
        if self._options.prune is not None:
            now = self._scoring.of_length(new.log_prob, self._counted(new))
            kept &= now >= finished.best[unit, 0] - self._options.prune
        return kept

    def _finish(self, why: Literal["end", "length", "stuck"], ended: Beams) -> None:
        if not len(ended):
            return
        if why == "stuck":
            score = torch.full_like(ended.log_prob, -torch.inf)
        else:
            lengths = None if self._source_lengths is None else self._source_lengths[ended.row]
            score = self._scoring(ended.log_prob, self._counted(ended), ended.coverage, lengths)
        self._finished.add(
            why,
            row=ended.row,
            group=ended.slot // self._width,
            slot=ended.slot % self._width,
            tokens=ended.tokens,
            trail=ended.trail,
            log_prob=ended.log_prob,
            score=score,
        )

    def _counted(self, beams: Beams) -> Tensor:
        """Return how many tokens count in the score of what ends now, (N,) int64: the end is one."""
        return torch.full_like(beams.row, beams.tokens.shape[1] + (self._end is not None))

    def _unit(self, beams: Beams) -> Tensor:
        """Return the group of each hypothesis, counted over all rows, (N,) int64."""
        return beams.row if self._groups == 1 else beams.row * self._groups + beams.slot // self._width
