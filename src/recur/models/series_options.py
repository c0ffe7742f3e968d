"""Options of the networks that tell classes and numbers of series. No torch here: the command line reads these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from recur.errors import OptionError
from recur.kinds import is_number, is_whole, with_tuples
from recur.models.options import Cell

SeriesCell = Literal[Cell, "phased", "cfc", "grud"]
Pooling = Literal["last", "mean", "max", "attention"]

TIMED_CELLS = ("phased", "cfc", "grud")
"""Cells that are told when each step happened."""


@dataclass(frozen=True, kw_only=True)
class SeriesEncoderOptions:
    """Shape and regularisation of a `SeriesEncoder`.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    cell: SeriesCell = "gru"
    """Recurrent cell: gru, lstm, rnn; indrnn, mgu, ligru; or one that is told when each step happened: phased (an LSTM
    with a clock in each unit), cfc, and grud, which lets missing values fade to the mean."""

    hidden_size: int = 64
    """Units of each recurrent layer and direction."""

    num_layers: int = 1
    """Recurrent layers, one on top of the other."""

    bidirectional: bool = False
    """Read each series from its end too; then a state cannot be carried on, as streams need it."""

    residual: bool = False
    """Add each recurrent layer's input to its output, from the second layer on."""

    convolutions: tuple[int, ...] = ()
    """Widths in steps of convolutions between the inputs and the recurrent layers (a hybrid, as CLDNN, Sainath et al.
    2015), () for none. They look back alone, so that a state can be carried on, or to both sides with bidirectional."""

    filters: int = 64
    """Channels of each convolution."""

    pooling: Pooling = "last"
    """What a series' steps become: the last one's encoding, the mean or the largest over all, or a mean weighted by a
    learned attention. Not used where each step is told of."""

    dropout: float = 0.2
    """Locked dropout (one mask over time) on what convolutions give, on what each recurrent layer gives to the next,
    and on what the output layer reads; 0 to below 1."""

    time_input: bool | None = None
    """Take the logarithm of the time since the step before as an input; if not given, of series that are
    irregular, where the cell is not told the times itself."""

    jitter: float = 0.0
    """In training: standard deviation of noise added to each number, in units of the scaled numbers."""

    resizing: float = 0.0
    """In training: each channel of a series is multiplied by exp(s), s normal with this standard deviation."""

    warping: float = 0.0
    """In training: parts of a series are stretched and others squeezed in time, each by up to a factor of one plus
    this; its length stays."""

    cropping: float = 0.0
    """In training: largest share of a series' steps that is cut off at its beginning and, where a class is told of the
    whole series and pooling is not last, at its end; 0 to below 1."""

    def __post_init__(self) -> None:
        cells = (*get_args(Cell), *TIMED_CELLS)
        for name, known in (("cell", cells), ("pooling", get_args(Pooling))):
            if getattr(self, name) not in known:
                raise OptionError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}.")
        for name, highest in (("hidden_size", 1 << 20), ("num_layers", 1000), ("filters", 1 << 20)):
            value = getattr(self, name)
            if not is_whole(value) or not 1 <= value <= highest:
                raise OptionError(f"{name} must be a whole number from 1 to {highest}, not {value!r}.")
        for name in ("dropout", "cropping"):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value < 1):
                raise OptionError(f"{name} must be a number from 0 to below 1, not {value!r}.")
        for name in ("jitter", "resizing", "warping"):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value < float("inf")):
                raise OptionError(f"{name} must be a number from 0 on, not {value!r}.")
        for name in ("bidirectional", "residual", "time_input"):
            value = getattr(self, name)
            if not isinstance(value, bool) and (name != "time_input" or value is not None):
                raise OptionError(f"{name} must be true or false, not {value!r}.")
        widths = self.convolutions
        if not (isinstance(widths, tuple) and all(is_whole(width, 1) for width in widths)):
            raise OptionError(f"convolutions must be widths from 1 step on, such as (7, 5), not {widths!r}.")
        if self.residual and self.num_layers == 1:
            raise OptionError("residual acts from the second layer on, but num_layers is 1; leave it out.")
        if self.time_input and self.cell in TIMED_CELLS:
            raise OptionError(f"time_input is not needed, for the cell {self.cell} is told the times; leave it out.")
        if self.cell == "grud" and widths:
            raise OptionError("the cell grud reads missing values itself and takes no convolutions; give none, ().")


@dataclass(frozen=True, kw_only=True)
class SeriesLabelOptions(SeriesEncoderOptions):
    """What classifiers and regressors have in common.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    per_step: bool = False
    """Tell of each step of a series that is read from its beginning, and not of the series."""

    members: int | None = None
    """Networks that are trained side by side and whose answers are averaged; if not given, several where there
    is so little to learn from that this takes no long time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.per_step, bool):
            raise OptionError(f"per_step must be true or false, not {self.per_step!r}.")
        if self.members is not None and not (is_whole(self.members, 1) and self.members <= 1000):
            raise OptionError(f"members must be a whole number from 1 to 1000, not {self.members!r}.")

    @classmethod
    def from_json(cls, **options: Any) -> Self:
        """Return the options that `config.json` holds, where tuples are lists.

        Raises:
            OptionError: As of the class.
            TypeError: An option is unknown.
        """
        return cls(**with_tuples(options))


@dataclass(frozen=True, kw_only=True)
class SeriesClassifierOptions(SeriesLabelOptions):
    """Options of a `SeriesClassifierNetwork`.

    What tells classes apart may be anywhere in a series, and there are often few of them to learn from. So it has
    convolutions, reads both ways, learns where to look, and varies what it learns from, unless told otherwise.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    bidirectional: bool = True
    """Read each series from its end too; then a state cannot be carried on, as streams need it."""

    convolutions: tuple[int, ...] = (8, 5, 3)
    """Widths in steps of convolutions between the inputs and the recurrent layers (a hybrid, as CLDNN, Sainath et al.
    2015; these widths are those of LSTM-FCN, Karim et al. 2018), () for none. They look back alone, so that a state can
    be carried on, or to both sides with bidirectional."""

    pooling: Pooling = "attention"
    """What a series' steps become: the last one's encoding, the mean or the largest over all, or a mean weighted by a
    learned attention. Not used where each step is told of."""

    jitter: float = 0.1
    """In training: standard deviation of noise added to each number, in units of the scaled numbers."""

    resizing: float = 0.1
    """In training: each channel of a series is multiplied by exp(s), s normal with this standard deviation."""

    warping: float = 0.1
    """In training: parts of a series are stretched and others squeezed in time, each by up to a factor of one plus
    this; its length stays."""

    class_weights: Literal["none", "balanced"] = "none"
    """What an error counts: none, each the same; balanced, in inverse proportion to how frequent its class is."""

    label_smoothing: float = 0.0
    """Share of the target probability that is spread over all classes (Szegedy et al. 2016), 0 to below 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.class_weights not in ("none", "balanced"):
            raise OptionError(f"class_weights must be none or balanced, not {self.class_weights!r}.")
        if not (is_number(self.label_smoothing) and 0 <= self.label_smoothing < 1):
            raise OptionError(f"label_smoothing must be a number from 0 to below 1, not {self.label_smoothing!r}.")


@dataclass(frozen=True, kw_only=True)
class SeriesRegressorOptions(SeriesLabelOptions):
    """Options of a `SeriesRegressorNetwork`.

    A number often is in the level of the series and in how it has changed up to its last step. So there are neither
    convolutions, after which the level is normalised away, nor changes of the numbers in training, unless asked for.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    loss: Literal["squared", "absolute"] = "squared"
    """What training minimises: squared aims at the mean, absolute at the median."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in ("squared", "absolute"):
            raise OptionError(f"loss must be squared or absolute, not {self.loss!r}.")
