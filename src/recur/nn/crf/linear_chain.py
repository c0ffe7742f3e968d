"""The conditional random field on a chain of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recur.nn.crf.best_paths import best_paths
from recur.nn.crf.constraints import LabelConstraints
from recur.nn.crf.probability import filtered, log_probability, marginals, partition_steps
from recur.nn.crf.recursion import Chain
from recur.nn.crf.spans import LabelledSpan, span_log_probability
from recur.nn.options import check_flag, check_size
from recur.nn.sequences import Lengths, lengths_of
from recur.ops._checks import check_like, has_values, shape_of
from recur.wording import quantity


class Labelling(NamedTuple):
    """A label for each step of a row.

    Attributes:
        labels: One number for each step.
        log_probability: Of all of them together, in nats.
    """

    labels: list[int]
    log_probability: float


class LinearChainCRF(nn.Module):
    """A conditional random field on a chain: scores whole labellings, where each label depends on the one before.

    ```text
    score(y) = start[y_1] + Σ_t emissions[t, y_t] + Σ_{t>1} transitions[y_{t-1}, y_t] + end[y_T]
    log p(y) = score(y) - log Σ_{y'} exp score(y')
    ```

    It stands on an encoder's outputs, projected to K numbers a step. Train on minus `log_likelihood`; `decode` gives
    the likeliest labelling. Nothing is lost in float32 over ten thousand steps: what grows is kept as differences.

    Constraints rule labellings out: in `decode`, `n_best` and `marginals` always, in `log_likelihood` with
    `constrain_training`, which makes labels that break them an error.

    Source: Lafferty, McCallum and Pereira (2001); on a recurrent network Huang, Xu and Yu (2015), Lample et al. (2016).

    Args:
        num_labels: K.
        constraints: Which labels may follow each other, begin and end, such as `bio_constraints(labels)`; None for all.
        constrain_training: Whether labellings that the constraints rule out have no probability in training either.
        batch_first: Whether emissions are (B, T, K) and labels (B, T).
        device: Where the parameters lie.
        dtype: Their dtype.

    Attributes:
        transitions: (K, K), from the first label to the second; drawn from U(-0.1, 0.1), as all three.
        start_transitions: (K,).
        end_transitions: (K,).
        constraints: As given, or None; moved with the module, not part of its `state_dict`.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: There is no label, constraints have another shape, or they allow nothing.

    Example:
        >>> from recur.nn import bio_constraints
        >>> crf = LinearChainCRF(3, constraints=bio_constraints(["O", "B", "I"]), batch_first=True)
        >>> emissions = torch.tensor([[[0.0, 1.0, 5.0], [0.0, 1.0, 5.0], [5.0, 0.0, 0.0]]])
        >>> crf.decode(emissions)
        [[1, 2, 0]]
        >>> loss = -crf.log_likelihood(emissions, torch.tensor([[1, 2, 0]])).mean()
        >>> crf.marginals(emissions).argmax(2)
        tensor([[1, 2, 0]])
    """

    def __init__(
        self,
        num_labels: int,
        *,
        constraints: LabelConstraints | None = None,
        constrain_training: bool = False,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_size("LinearChainCRF", "num_labels", num_labels, 1)
        check_flag("LinearChainCRF", "batch_first", batch_first)
        check_flag("LinearChainCRF", "constrain_training", constrain_training)
        if constrain_training and constraints is None:
            raise ValueError("LinearChainCRF: constrain_training needs constraints. Give them, or leave it out.")
        self.num_labels = num_labels
        self.constrain_training = constrain_training
        self.batch_first = batch_first
        self.start_transitions = nn.Parameter(torch.empty(num_labels, device=device, dtype=dtype))
        self.end_transitions = nn.Parameter(torch.empty(num_labels, device=device, dtype=dtype))
        self.transitions = nn.Parameter(torch.empty(num_labels, num_labels, device=device, dtype=dtype))
        allowed = (None, None, None) if constraints is None else self._checked(constraints)
        for name, part in zip(LabelConstraints._fields, allowed, strict=True):
            # A copy, so that they move alone; their names are not those of parameters.
            self.register_buffer(
                f"_allowed_{name}", None if part is None else part.clone().to(device), persistent=False
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew from U(-0.1, 0.1)."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    @property
    def constraints(self) -> LabelConstraints | None:
        """Which labellings are allowed, or None."""
        found: tuple[Any, ...] = (self._allowed_transitions, self._allowed_starts, self._allowed_ends)
        return None if found[0] is None else LabelConstraints(*found)

    def forward(self, emissions: Tensor, labels: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return what `log_likelihood` returns; wrappers that gather sharded parameters do so for this call alone."""
        return self.log_likelihood(emissions, labels, lengths)

    def log_likelihood(self, emissions: Tensor, labels: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return the log-probability of the labels of each row, in nats.

        Args:
            emissions: (T, B, K), or (B, T, K) with `batch_first`, floating: how well each label fits each step. Past
                the `lengths` they may hold anything.
            labels: (T, B), or (B, T), int64 from 0 to K - 1; past the `lengths` anything.
            lengths: True steps of each row, a tensor or a list of B whole numbers from 0 to T; None is all.

        Returns:
            (B,), of the emissions' dtype, at least float32; zero for rows without steps.

        Raises:
            TypeError: Something is no tensor or has the wrong dtype.
            ValueError: A shape, a device, a length or a label does not fit; or in constrained training the constraints
                rule out the labels of a row, which the message names.
        """
        chain = self._chain(emissions, lengths, self.constrain_training)
        labels_TB = self._labels(labels, chain)
        scores_T1B = self._scores(labels_TB, chain)
        if self.constrain_training and has_values(scores_T1B):
            self._check_allowed(labels_TB, scores_T1B)
        return log_probability(chain, scores_T1B)

    def log_partition(self, emissions: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return the log of the sum of exp(score) over all labellings, which `log_likelihood` subtracts from a score.

        Args:
            emissions: As of `log_likelihood`.
            lengths: As of `log_likelihood`.

        Returns:
            (B,); zero for rows without steps.

        Raises:
            TypeError: As `log_likelihood`.
            ValueError: As `log_likelihood`.
        """
        chain = self._chain(emissions, lengths, self.constrain_training)
        return -log_probability(chain, chain.emissions.new_zeros(len(chain.emissions) + 1, chain.emissions.shape[1]))

    def marginals(self, emissions: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Return the probability of each label at each step, over all labellings that are allowed.

        Args:
            emissions: As of `log_likelihood`.
            lengths: As of `log_likelihood`.

        Returns:
            Of the shape of the emissions; zero past a row's end. Differentiable.

        Raises:
            TypeError: As `log_likelihood`.
            ValueError: As `log_likelihood`, or the constraints leave no labelling of a row.
        """
        chain = self._chain(emissions, lengths, True)
        found_TBK = marginals(chain)
        if self.constraints is not None and has_values(found_TBK):
            self._check_possible(chain, ~found_TBK.isnan().any(2).any(0))
        return found_TBK.transpose(0, 1) if self.batch_first else found_TBK

    def span_log_probability(
        self,
        emissions: Tensor,
        spans: Sequence[LabelledSpan],
        lengths: Lengths | None = None,
        *,
        marginals: Tensor | None = None,
    ) -> Tensor:
        """Return how likely some steps have given labels, whatever stands elsewhere, among all that is allowed.

        So it is told how sure an entity is: its labels at its steps, less those of a longer one that begins with it.

        Args:
            emissions: As of `log_likelihood`.
            spans: Which labels at which steps of which rows; each within its row.
            lengths: As of `log_likelihood`.
            marginals: What `marginals` returns for the same, where that is at hand already.

        Returns:
            (S,) in nats, -inf for what is ruled out; without a gradient.

        Raises:
            TypeError: As `log_likelihood`.
            ValueError: As `marginals`, or a span has no label, one that there is not, or steps beyond its row.

        Example:
            >>> crf = LinearChainCRF(2).requires_grad_(False)
            >>> for parameter in crf.parameters():
            ...     _ = parameter.zero_()
            >>> spans = [LabelledSpan(0, 0, [1, 0]), LabelledSpan(0, 1, [0])]
            >>> crf.span_log_probability(torch.tensor([[[0.0, 1.0]], [[2.0, 0.0]]]), spans)
            tensor([-0.4402, -0.1269])
        """
        chain = self._chain(emissions, lengths, True)
        num_steps, batch = chain.emissions.shape[:2]
        ends = [num_steps] * batch if chain.is_step is None else chain.is_step.sum(0).tolist()
        for row, begin, labels in spans:
            is_row = 0 <= row < batch and begin >= 0 and begin + len(labels) <= ends[row]
            if not (is_row and labels and min(labels) >= 0 and max(labels) < self.num_labels):
                where = f"the span of {quantity(len(labels), 'label')} from step {begin} of row {row}"
                raise ValueError(
                    f"LinearChainCRF: {where} must have at least one label, from 0 to {self.num_labels - 1}, within "
                    "the steps of a row."
                )
        with torch.no_grad():
            if not spans:
                return chain.emissions.new_zeros(0)
            known = self.marginals(emissions, lengths) if marginals is None else marginals
            marginals_TBK = known.transpose(0, 1) if self.batch_first else known
            return span_log_probability(chain, filtered(chain), marginals_TBK, spans)

    def decode(self, emissions: Tensor, lengths: Lengths | None = None) -> list[list[int]]:
        """Return the likeliest labelling of each row among those that are allowed.

        Of equally likely ones it is the one with the lower label at the first step where they differ.

        Args:
            emissions: As of `log_likelihood`.
            lengths: As of `log_likelihood`.

        Returns:
            For each row the labels of its steps; of a row without steps [].

        Raises:
            TypeError: As `log_likelihood`.
            ValueError: As `log_likelihood`; the constraints leave no labelling of a row; or an emission is not finite.
        """
        chain = self._chain(emissions, lengths, True)
        return [paths[0] for paths in self._rows(chain, self._best(chain, 1)[0])]

    def n_best(self, emissions: Tensor, n: int, lengths: Lengths | None = None) -> list[list[Labelling]]:
        """Return the n likeliest labellings of each row among those that are allowed, with their probabilities.

        Args:
            emissions: As of `log_likelihood`.
            n: How many, at least 1.
            lengths: As of `log_likelihood`.

        Returns:
            For each row up to n labellings, the likeliest first, in the order that `decode` tells; fewer where there
            are not so many. Probabilities are shares among all that is allowed.

        Raises:
            TypeError: As `log_likelihood`, or n is no int.
            ValueError: As `decode`, or n is below 1.

        Example:
            >>> crf = LinearChainCRF(2).requires_grad_(False)
            >>> for parameter in crf.parameters():
            ...     _ = parameter.zero_()
            >>> best = crf.n_best(torch.tensor([[[0.0, 1.0]], [[2.0, 0.0]]]), 3)[0]
            >>> [(one.labels, round(one.log_probability, 2)) for one in best]
            [([1, 0], -0.44), ([0, 0], -1.44), ([1, 1], -2.44)]
        """
        check_size("LinearChainCRF", "n", n, 1)
        chain = self._chain(emissions, lengths, True)
        labels_TBN, is_there_BN = self._best(chain, n)
        with torch.no_grad():
            steps_T1B = partition_steps(chain)
            likely = [(self._scores(labels_TB, chain) - steps_T1B).sum(0) for labels_TB in labels_TBN.unbind(2)]
        rows = zip(
            self._rows(chain, labels_TBN), torch.stack(likely, 1).tolist(), is_there_BN.sum(1).tolist(), strict=True
        )
        return [[Labelling(*pair) for pair in zip(paths[:many], shares, strict=False)] for paths, shares, many in rows]

    def extra_repr(self) -> str:
        """Return the arguments as written."""
        constrained = "" if self.constraints is None else ", constrained"
        constrained += " also in training" if self.constrain_training else ""
        return f"{self.num_labels}{constrained}" + (", batch_first=True" if self.batch_first else "")

    def _checked(self, constraints: LabelConstraints) -> LabelConstraints:
        """Return the constraints, or raise where they are none for so many labels."""
        if not isinstance(constraints, LabelConstraints):
            raise TypeError(
                "LinearChainCRF: constraints must be LabelConstraints, such as those of bio_constraints(labels), "
                f"but is {type(constraints).__name__}."
            )
        count = self.num_labels
        for name, shape in (("transitions", (count, count)), ("starts", (count,)), ("ends", (count,))):
            part = getattr(constraints, name)
            if not isinstance(part, Tensor) or part.dtype != torch.bool:
                found = part.dtype if isinstance(part, Tensor) else type(part).__name__
                raise TypeError(
                    f"LinearChainCRF: {name} of the constraints must be a torch.bool tensor, but is {found}."
                )
            if tuple(part.shape) != shape:
                raise ValueError(
                    f"LinearChainCRF: {name} of the constraints must have shape {shape} for {count} labels, "
                    f"but has {shape_of(part)}."
                )
            if name != "transitions" and has_values(part) and not bool(part.any()):
                raise ValueError(f"LinearChainCRF: {name} of the constraints allow no label. Allow one at least.")
        return constraints

    def _chain(self, emissions: Tensor, lengths: Lengths | None, is_constrained: bool) -> Chain:
        """Return the scores of all labellings, after checks."""
        if not isinstance(emissions, Tensor):
            raise TypeError(f"LinearChainCRF: emissions must be a torch.Tensor, but is {type(emissions).__name__}.")
        letters = "B, T" if self.batch_first else "T, B"
        if emissions.dim() != 3 or emissions.shape[2] != self.num_labels:
            wanted = f"({letters}, {self.num_labels})"
            raise ValueError(f"LinearChainCRF: emissions must have shape {wanted}, but has {shape_of(emissions)}.")
        if 0 in emissions.shape:
            raise ValueError(
                f"LinearChainCRF: emissions are empty, {shape_of(emissions)}; give at least one row and one step."
            )
        check_like("LinearChainCRF", "emissions", emissions, self.transitions, "transitions")
        # Sums of exponentials need the digits of float32.
        dtype = torch.promote_types(self.transitions.dtype, torch.float32)
        emissions_TBK = (emissions.transpose(0, 1) if self.batch_first else emissions).to(dtype)
        num_steps, batch = emissions_TBK.shape[:2]
        is_step_TB = None
        if lengths is not None:
            lengths_B = lengths_of("LinearChainCRF", lengths, num_steps, batch, "emissions").to(emissions.device)
            is_step_TB = torch.arange(num_steps, device=emissions.device)[:, None] < lengths_B
            emissions_TBK = torch.where(is_step_TB.unsqueeze(2), emissions_TBK, 0)
        scores = (self.transitions.to(dtype), self.start_transitions.to(dtype), self.end_transitions.to(dtype))
        if is_constrained and self.constraints is not None:
            pairs = zip(scores, self.constraints, strict=True)
            transitions_KK, start_K, end_K = (part.masked_fill(~allowed, -torch.inf) for part, allowed in pairs)
            return Chain(emissions_TBK, transitions_KK, start_K, end_K, is_step_TB)
        return Chain(emissions_TBK, *scores, is_step_TB)

    def _labels(self, labels: Tensor, chain: Chain) -> Tensor:
        """Return the labels (T, B), int64, zero past a row's end, after checks."""
        if not isinstance(labels, Tensor):
            raise TypeError(f"LinearChainCRF: labels must be a torch.Tensor, but is {type(labels).__name__}.")
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            raise TypeError(f"LinearChainCRF: labels must be whole numbers, but is {labels.dtype}.")
        shape = tuple(chain.emissions.shape[:2])
        shape = shape[::-1] if self.batch_first else shape
        if tuple(labels.shape) != shape:
            raise ValueError(
                f"LinearChainCRF: labels must have shape {shape} beside these emissions, but has {shape_of(labels)}."
            )
        if labels.device != chain.emissions.device:
            raise ValueError(
                f"LinearChainCRF: labels is on {labels.device}, but emissions is on {chain.emissions.device}. Move it."
            )
        labels_TB = (labels.t() if self.batch_first else labels).to(torch.int64)
        if chain.is_step is not None:
            labels_TB = torch.where(chain.is_step, labels_TB, 0)
        if has_values(labels_TB):
            low, high = (int(value) for value in labels_TB.aminmax())
            if low < 0 or high >= self.num_labels:
                raise ValueError(
                    f"LinearChainCRF: labels has {low if low < 0 else high}, but there are {self.num_labels} labels, "
                    "from 0 on. Where a row has ended anything may stand: give lengths."
                )
        return labels_TB

    def _scores(self, labels_TB: Tensor, chain: Chain) -> Tensor:
        """Return what each step adds to the score of a labelling, and its end, (T + 1, B)."""
        here_TB = chain.emissions.gather(2, labels_TB.unsqueeze(2)).squeeze(2)
        before_TB = torch.cat([chain.start[labels_TB[:1]], chain.transitions[labels_TB[:-1], labels_TB[1:]]])
        if chain.is_step is None:
            return torch.cat([here_TB + before_TB, chain.end[labels_TB[-1:]]])
        last_1B = (chain.is_step.sum(0, keepdim=True) - 1).clamp_min(0)
        scores_T1B = torch.cat([here_TB + before_TB, chain.end[labels_TB.gather(0, last_1B)]])
        return torch.where(torch.cat([chain.is_step, chain.is_step[:1]]), scores_T1B, 0)

    def _check_allowed(self, labels_TB: Tensor, scores_T1B: Tensor) -> None:
        """Raise where the constraints rule labels out."""
        places = scores_T1B.isneginf().nonzero()
        if not len(places):
            return
        step, row = (int(place) for place in places[0])
        label = int(labels_TB[step, row]) if step < len(labels_TB) else None
        if label is None:
            what = "end as they do"
        elif step == 0:
            what = f"begin with {label}"
        else:
            what = f"go on with {label} after {int(labels_TB[step - 1, row])} at step {step}"
        raise ValueError(
            f"LinearChainCRF: the labels of row {row} {what}, which the constraints rule out. Mend the labels, or "
            "leave constrain_training out."
        )

    def _check_possible(self, chain: Chain, is_possible_B: Tensor) -> None:
        """Raise where a row with steps has no labelling."""
        is_row_B = torch.ones_like(is_possible_B) if chain.is_step is None else chain.is_step[0]
        rows = (is_row_B & ~is_possible_B).nonzero()[:, 0].tolist()
        if not rows:
            return
        row = rows[0]
        if not bool(chain.emissions[:, row].isfinite().all()):
            raise ValueError(f"LinearChainCRF: the emissions of row {row} are not all finite.")
        steps = len(chain.emissions) if chain.is_step is None else int(chain.is_step[:, row].sum())
        raise ValueError(
            f"LinearChainCRF: the constraints leave no labelling of {quantity(steps, 'step')}, which row {row} has."
        )

    def _best(self, chain: Chain, count: int) -> tuple[Tensor, Tensor]:
        """Return the best labellings (T, B, N), and which of them there are (B, N), one at least."""
        with torch.no_grad():
            labels_TBN, is_there_BN = best_paths(chain, count)
        self._check_possible(chain, is_there_BN[:, 0])
        if chain.is_step is not None:
            is_first_N = torch.arange(count, device=is_there_BN.device) == 0
            is_there_BN = torch.where(chain.is_step[0].unsqueeze(1), is_there_BN, is_first_N)
        return labels_TBN, is_there_BN

    def _rows(self, chain: Chain, labels_TBN: Tensor) -> list[list[list[int]]]:
        """Return the labellings of each row, cut where it ends."""
        num_steps, batch = chain.emissions.shape[:2]
        lengths = [num_steps] * batch if chain.is_step is None else chain.is_step.sum(0).tolist()
        rows = zip(labels_TBN.permute(1, 2, 0).tolist(), lengths, strict=True)
        return [[path[:length] for path in paths] for paths, length in rows]
