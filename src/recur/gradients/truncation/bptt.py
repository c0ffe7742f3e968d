"""Truncated back-propagation through time: the carried state, and how far back the gradient goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import pairwise, repeat
from typing import Any, Literal

import torch
from torch import Tensor

from recur.gradients.truncation.carried import Carried
from recur.gradients.truncation.history import Piece, Snapshot, detached, goes_on, joined_outputs, segments
from recur.gradients.truncation.losses import loss_of
from recur.gradients.truncation.window_lengths import WindowLengths
from recur.gradients.truncation.windows import (
    Chunk,
    Window,
    check_input,
    check_resets,
    check_sequence,
    cut_sequences,
    cut_stream,
)
from recur.kinds import is_number, is_whole
from recur.nn.contract import batch_first_of, check_one_direction, check_output, output_and_state, takes
from recur.nn.nest import leaves
from recur.nn.sequences import Lengths, lengths_of

_OWNER = "TruncatedBPTT"


class TruncatedBPTT:
    """Runs a model window by window, and lets the gradient of each window's loss go back over k2 steps.

    This is BPTT(h; h') of Williams and Peng (1990), with k1 = h' and k2 = h (Sutskever 2013, section 2.8.6): after
    every k1 new steps the losses of these k1 steps are back-propagated over the last k2 steps, and the state before
    those is a constant. So the loss of each step counts exactly once. With constant parameters and k2 as long as the
    sequence, the gradients of all windows add up to those of full back-propagation. With k2 = k1 this is the usual
    truncated BPTT: the state is carried on, and the gradient goes back to the beginning of the window, also where a
    window is shorter than k1.

    With k2 > k1 the last k2 steps are run with the current parameters from the state that was seen before them, and the
    outputs of the newest steps are returned; so a window costs about as much as k2 new steps. What is kept between
    windows is two detached states and the inputs of the last k2 steps; with k2 = k1 it is one detached state. The steps
    are then run in up to three calls of the model, and noise that is drawn once a call, such as the mask of locked
    dropout, is drawn for each.

    Args:
        model: Any callable (x, state) -> (output, state), such as a recurrent layer or a network of them. The state is
            None at the beginning, and else what the call before returned: a nest (tuples, named tuples, lists,
            dictionaries) of tensors. The output is a tensor, or a nest of them, with the steps where x has them.
            `reset`, `lengths` and other sequences are handed on by name, when they are given. It reads forward: a
            layer of two directions has no state after a window that the next could go on from.
        k1: Steps of a window; or a `WindowLengths`, from which their numbers are drawn; or None where windows come cut,
            of any lengths.
        k2: Steps that the gradient goes back over, at least k1; None is k1.
        batch_first: Whether x, the output, and everything else that has steps, is (B, T, ...) instead of (T, B, ...).
            By default as the model says in its `batch_first`; where it does not, as all recurrent layers inside say;
            and else True. A network that turns x around for its layers must say it.
        reduction: What `loss` makes of the losses of single steps: "sum" over the steps, E = Σ_t E_t, or "mean".
        drop_state: Probability, for each row and window, that the carried state is dropped: the row's first step in the
            window is a reset, so it begins from the model's initial state, and no gradient passes. Not at the first
            window, nor while `model.training` is false. The model must take `reset`.
        generator: On the CPU, for `drop_state` and random window lengths; torch's own when it is None.

    Raises:
        TypeError: `model` cannot be called, or does not take the `reset` that `drop_state` needs.
        ValueError: A number is out of range, numbers contradict each other, `batch_first` is not the model's own, or
            a layer has two directions.

    Example:
        A plain loop; the state is carried over all windows of a text:

        >>> layer, output = torch.nn.LSTM(3, 8), torch.nn.Linear(8, 1)
        >>> optimizer = torch.optim.SGD([*layer.parameters(), *output.parameters()], lr=0.1)
        >>> bptt = TruncatedBPTT(layer, k1=10, k2=30)
        >>> x, target = torch.randn(95, 4, 3), torch.randn(95, 4, 1)
        >>> for window in bptt.windows(x, target):
        ...     y = output(bptt(window.x))
        ...     loss = bptt.loss((y - window.others[0]).square().mean(2))
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     _ = optimizer.step()

        In a LightningModule the same object is an attribute, `training_step` calls it, `on_save_checkpoint` and
        `on_load_checkpoint` store its `state_dict()`, and `on_train_start` moves it by `to(self.device)`.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        *,
        k1: int | WindowLengths | None = None,
        k2: int | None = None,
        batch_first: bool | None = None,
        reduction: Literal["sum", "mean"] = "sum",
        drop_state: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        if not callable(model):
            raise TypeError(f"{_OWNER}: model must be callable, but is {type(model).__name__}.")
        law = k1 if isinstance(k1, WindowLengths) else None
        k1 = k1.typical if isinstance(k1, WindowLengths) else k1
        for name, value in (("k1", k1), ("k2", k2)):
            if value is not None and not is_whole(value, 1):
                raise ValueError(f"{_OWNER}: {name} must be a whole number from 1 on, not {value!r}.")
        if k2 is not None and k1 is None:
            raise ValueError(f"{_OWNER}: k2 is {k2}, but k1 is not given. Pass k1, the steps of a window, too.")
        if k2 is not None and k1 is not None and k2 < k1:
            raise ValueError(f"{_OWNER}: k2 is {k2}, but must be at least k1 = {k1}.")
        batch_first = batch_first_of(_OWNER, model, batch_first)
        check_one_direction(_OWNER, model)
        if reduction not in ("sum", "mean"):
            raise ValueError(f"{_OWNER}: reduction must be 'sum' or 'mean', not {reduction!r}.")
        if not (is_number(drop_state) and 0 <= drop_state <= 1):
            raise ValueError(f"{_OWNER}: drop_state must be a number from 0 to 1, not {drop_state!r}.")
        if drop_state and not takes(model, "reset"):
            raise TypeError(
                f"{_OWNER}: drop_state is {drop_state}, but {type(model).__name__} does not take reset, by which the "
                f"state is dropped. Leave drop_state out, or pass a model that takes it, such as a layer of recur.nn."
            )
        self.model = model
        self.k1 = k1
        self.k2 = k1 if k2 is None else k2
        self.window_lengths = law
        self.batch_first = batch_first
        self.reduction = reduction
        self.drop_state = drop_state
        self.generator = generator
        self._time = 1 if batch_first else 0
        self._is_long = k1 is not None and k2 is not None and k2 > k1
        self._longest = self.k2 if self._is_long or law is None else law.longest
        if self._is_long and k2 is not None and law is not None and law.longest > k2:
            raise ValueError(
                f"{_OWNER}: windows may have up to {law.longest} steps, but k2 is {k2}. Pass WindowLengths(..., "
                f"most={k2}), or a larger k2."
            )
        self.forget()

    @property
    def carried(self) -> Any:
        """The newest state that is kept, detached; None at the beginning.

        With k2 = k1 it is the one after the newest window, else the one before the first step that the gradient of the
        next window will reach.
        """
        return self._carried.snapshots[-1].state

    def forget(self, state: Any = None) -> None:
        """Begin anew: the next window is the first of other sequences.

        Args:
            state: What they begin with; None for the model's own initial state. A gradient that reaches back to the
                beginning goes on into it, in each window that does.
        """
        self._carried = Carried.at_the_beginning(state)

    def __call__(
        self, x: Tensor, *, reset: Tensor | None = None, lengths: Lengths | None = None, **sequences: Tensor
    ) -> Any:
        """Return the model's output for the next window, whose gradient goes back over k2 steps.

        Args:
            x: Inputs, (T, B, ...), or (B, T, ...) with `batch_first`; of the same rows as the window before. With
                k2 > k1, T is at most k2, and x, which is not copied, must not be written over; a gradient of x flows to
                the newest steps only.
            reset: bool, (T, B) as x: where a row begins anew, from the model's initial state.
            lengths: True steps of each row in this window, B whole numbers; 0 for one that ended before.
            sequences: What else the model takes step by step, by name, (T, B, ...) as x.

        Returns:
            The outputs of these T steps, as the model returns them.

        Raises:
            TypeError: x, reset, lengths or a sequence is of the wrong kind or dtype; or the model returns something
                else than a pair of output and state.
            ValueError: A shape does not fit, the window is longer than k2, the batch is of another size than before,
                or the model's state carries no gradient although k2 > k1.
        """
        self._check(x, reset, sequences)
        rows = x.shape[1 - self._time]
        if lengths is not None:
            lengths = lengths_of(_OWNER, lengths, x.shape[self._time], rows)
        before = self._carried.pieces
        newest = Piece(
            begin=self._carried.end,
            x=x,
            reset=self._dropped(x, reset),
            sequences=sequences,
            lengths=lengths,
            goes_on=not before or goes_on(before[-1].lengths, before[-1].steps, lengths),
            time=self._time,
        )
        pieces = (*before, newest)
        start, ahead = self._reach(newest.begin, newest.end)
        state = self._state_at(start, pieces)
        outputs, snapshots = [], [Snapshot(start, state)]
        # Old steps are run apart from new ones, so that nothing is kept of their outputs, nor propagated through them.
        for begin, end in pairwise(sorted({start, ahead, newest.begin, newest.end})):
            for segment in segments(pieces, begin, end):
                output, state = self._run(segment, state)
                if segment.begin >= newest.begin:
                    outputs.append(output)
            if end == ahead > start:
                snapshots.append(Snapshot(ahead, detached(state)))
        # Changed at the end: a window that failed can be given again.
        if self._is_long:
            # A next window shorter than k1 reaches back to steps before the newest snapshot.
            kept = [piece.between(start, piece.end) for piece in (*before, newest.detached()) if piece.end > start]
            self._carried = Carried(newest.end, rows, tuple(snapshots), tuple(kept))
        else:
            self._carried = Carried(newest.end, rows, (snapshots[-1],))
        return joined_outputs(outputs, self._time)

    def _reach(self, begin: int, end: int) -> tuple[int, int]:
        """Return where the gradient of a window ends, and where that of the next one will, if it has k1 steps."""
        if not self._is_long:
            return begin, end
        assert self.k1 is not None
        assert self.k2 is not None
        return max(end - self.k2, 0), max(end + self.k1 - self.k2, 0)

    def _state_at(self, start: int, pieces: tuple[Piece, ...]) -> Any:
        """Return the state before step `start`; from the snapshot before it, if there is none right there."""
        at, state = next(snapshot for snapshot in reversed(self._carried.snapshots) if snapshot.at <= start)
        if at < start:
            with torch.no_grad():
                for segment in segments(pieces, at, start):
                    _, state = self._run(segment, state)
            state = detached(state)
        return state

    def _run(self, piece: Piece, state: Any) -> tuple[Any, Any]:
        found = self.model(piece.x, state, **piece.given())
        output, state = output_and_state(_OWNER, self.model, found)
        check_output(_OWNER, self.model, output, axis=self._time, num_steps=piece.steps)
        learns = any(leaf.requires_grad for _, leaf in leaves(output))
        if self._is_long and learns and not any(getattr(leaf, "requires_grad", False) for _, leaf in leaves(state)):
            raise ValueError(
                f"{_OWNER}: k2 is {self.k2}, but the state that the model returns carries no gradient, so none goes "
                f"back further than the window. Do not detach it in the model, or leave k2 out."
            )
        return output, state

    def _dropped(self, x: Tensor, reset: Tensor | None) -> Tensor | None:
        """Return `reset` with the rows whose carried state is dropped."""
        if not (self.drop_state and self._carried.end and getattr(self.model, "training", True)):
            return reset
        is_dropped = torch.rand(x.shape[1 - self._time], generator=self.generator) < self.drop_state
        reset = x.new_zeros(x.shape[:2], dtype=torch.bool) if reset is None else reset.clone()
        reset.select(self._time, 0).logical_or_(is_dropped.to(reset.device))
        return reset

    def _check(self, x: Tensor, reset: Tensor | None, sequences: dict[str, Tensor]) -> None:
        check_input(x, self._time)
        if reset is not None:
            check_resets(reset, x, self._time)
        for name, value in sequences.items():
            check_sequence(name, value, x, self._time)
        steps = x.shape[self._time]
        if self._longest is not None and steps > self._longest:
            name = "k2" if self._is_long else "k1" if self.window_lengths is None else "the longest that k1 draws"
            raise ValueError(
                f"{_OWNER}: the window has {steps} steps, but {name} is {self._longest}. Cut it, as windows() does."
            )
        self._carried.check_goes_on(x, sequences, self._time)

    def loss(self, losses: Tensor, weight: Tensor | None = None, *, lengths: Lengths | None = None) -> Tensor:
        """Return the loss of a window, to be differentiated.

        With reduction "sum" it is the sum over the steps of the mean over the rows: the gradient of a window is divided
        by B alone, so that of a whole sequence does not depend on how it is cut, and a longer window counts for more.
        With "mean" it is the mean over all elements that count: the gradient is divided by their number, so a window of
        n steps moves the parameters as much as one of k1 steps, and each of its steps by k1 / n as much. Where lengths
        vary, the learning rate is therefore to be multiplied by `learning_rate_scale(n)`.

        Args:
            losses: One for each step of each row, (T, B), or (B, T) with `batch_first`.
            weight: As `losses`: what each counts for, 0 for nothing; all 1 by default.
            lengths: True steps of each row, B whole numbers; what lies past them does not count.

        Returns:
            A scalar, (); 0 where nothing counts.

        Raises:
            TypeError: losses, weight or lengths is of the wrong kind.
            ValueError: A shape or a length does not fit.
        """
        return loss_of(losses, weight, lengths, reduction=self.reduction, time=self._time)

    def learning_rate_scale(self, num_steps: int) -> float:
        """Return what the learning rate is to be multiplied by for a window of `num_steps` (Merity et al. 2018, 4.1).

        With reduction "mean" it is num_steps / k1, or steps of short windows would count for more. With "sum" it is 1,
        as the loss already grows with the window.

        Raises:
            ValueError: `num_steps` is no whole number from 1 on, or k1 is not known.
        """
        if not is_whole(num_steps, 1):
            raise ValueError(f"{_OWNER}: num_steps must be a whole number from 1 on, not {num_steps!r}.")
        return 1.0 if self.reduction == "sum" else num_steps / self._known_k1("learning_rate_scale")

    def windows(
        self,
        x: Tensor | Iterable[Chunk],
        *others: Tensor,
        reset: Tensor | None = None,
        lengths: Lengths | None = None,
    ) -> Iterator[Window]:
        """Return the windows of sequences, or of a stream, in order.

        Args:
            x: Sequences, (T, B, ...), or (B, T, ...) with `batch_first`. Or a stream: an iterable, which need not end,
                of chunks of any number of steps. A chunk is a tensor x, a tuple (x, *others), or, where there are
                resets, a `Window`.
            others: What has the same steps and rows, such as targets. In a stream it is in the chunks.
            reset: bool, (T, B) as x. In a stream it is in the chunks.
            lengths: True steps of each row, B whole numbers. The windows say how many of them they have.

        Returns:
            Windows of k1 steps, the last one of what is left; or, where `k1` is a `WindowLengths`, of random lengths:
            sequences are cut by its `partition`, a stream by its `draw`. They are views where they can be.

        Raises:
            TypeError: Something is of the wrong kind.
            ValueError: k1 is not known, a shape does not fit, or there is something beside a stream.
        """
        k1, law = self._known_k1("windows"), self.window_lengths
        if not isinstance(x, Tensor):
            if others or reset is not None or lengths is not None:
                raise ValueError(
                    f"{_OWNER}: x is a stream, so others, reset and lengths cannot stand beside it. Yield chunks "
                    f"(x, *others), or Window(x, others, reset)."
                )
            drawn = repeat(k1) if law is None else (int(law.draw(1, self.generator)) for _ in repeat(None))
            return cut_stream(x, sizes=drawn, time=self._time)

        def sizes(num_steps: int) -> list[int]:
            if law is not None:
                return law.partition(num_steps, self.generator)
            return [min(k1, num_steps - begin) for begin in range(0, num_steps, k1)]

        return cut_sequences(x, others, reset, lengths, sizes=sizes, time=self._time)

    def _known_k1(self, asked: str) -> int:
        if self.k1 is None:
            raise ValueError(f"{_OWNER}: {asked} needs k1, the steps of a window. Pass k1.")
        return self.k1

    def state_dict(self) -> dict[str, Any]:
        """Return what is carried and the state of `generator`: tensors and plain values, copies of their own.

        Named tuples in the state become plain ones.
        """
        generator = None if self.generator is None else self.generator.get_state()
        return self._options() | self._carried.saved() | {"generator": generator}

    def load_state_dict(self, saved: dict[str, Any], *, like: Any = None) -> None:
        """Take what `state_dict` returned, so that the next window goes on as if nothing had been in between.

        Tensors are taken as they are, and stay on their devices; see `to`.

        Args:
            saved: As `state_dict` returned it.
            like: A state of the model, which is needed where it has named tuples: a file of plain values does not tell
                which class they are of.

        Raises:
            ValueError: It is of other windows (k1 or its law, k2, batch_first), is damaged, or needs `like`. Nothing
                is changed then.
        """
        mine = self.state_dict()
        if not isinstance(saved, dict) or saved.keys() != mine.keys():
            raise ValueError(f"{_OWNER}: the saved state is damaged; expected a dictionary of {', '.join(mine)}.")
        for name, value in self._options().items():
            if saved[name] != value:
                raise ValueError(f"{_OWNER}: the saved state is of {name}={saved[name]}, but here it is {value}.")
        if (saved["generator"] is None) != (self.generator is None):
            has, here = ("no", "one") if saved["generator"] is None else ("one", "none")
            raise ValueError(f"{_OWNER}: the saved state has {has} generator, but here is {here}. Pass the same.")
        carried = Carried.restored(saved, like, time=self._time)
        if self.generator is not None:
            try:
                self.generator.set_state(saved["generator"])
            except (TypeError, RuntimeError) as error:
                raise ValueError(f"{_OWNER}: the saved state is damaged: its generator cannot be right.") from error
        self._carried = carried

    def to(self, device: torch.device | str) -> None:
        """Move what is carried to `device`, such as after `load_state_dict`."""
        self._carried = self._carried.to(device)

    def _options(self) -> dict[str, Any]:
        """Return what a saved state has to agree with."""
        law = None if self.window_lengths is None else asdict(self.window_lengths)
        return {"k1": self.k1, "window_lengths": law, "k2": self.k2, "batch_first": self.batch_first}
