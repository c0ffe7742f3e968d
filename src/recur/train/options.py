"""Options of training: what every task has, and what language models and series add.

No torch here: the command line reads these for its help.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from recur.errors import OptionError
from recur.kinds import is_number, is_whole
from recur.wording import option, quantity

BOUNDS = ("max_minutes", "max_epochs", "max_steps")
"""The options that say how long a training lasts."""

ENDINGS = (*BOUNDS, "patience")
"""The options that end a training, and the only ones that may change when it is resumed."""

CLIPPING = ("clip_norm", "clip_value", "clip_layer_norm", "clip_ratio")
"""The options that bound the gradient, of which one is given."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How long, how fast and where to train, whatever is trained.

    A value of None is chosen by the task for the size of the data and the time there is. Training ends with the first
    of max_minutes, max_epochs, max_steps and patience. A field whose metadata has "after" stands after the field of
    that name in the help, though a derived class declares it last.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    max_minutes: float | None = None
    """Minutes of training; the learning rate's decay fits itself to them."""

    max_epochs: int | None = None
    """Passes over the training part."""

    max_steps: int | None = None
    """Optimiser steps."""

    batch_size: int | None = None
    """Rows that one optimiser step learns from."""

    learning_rate: float | None = None
    """Peak learning rate of AdamW."""

    warmup_steps: int = 100
    """Steps over which the learning rate rises to its peak."""

    final_learning_rate: float = 0.1
    """Share of the peak that the cosine decay ends at, 0 to 1."""

    weight_decay: float = 0.1
    """AdamW's weight decay, on matrices only."""

    clip_norm: float | None = None
    """Bound on the global norm of the gradient; 1 when no other bound is given."""

    clip_value: float | None = None
    """Bound on each element of the gradient, instead of the norm."""

    clip_layer_norm: float | None = None
    """Bound on the norm of each layer's gradient, instead of the global one."""

    clip_ratio: float | None = None
    """Bound on the gradient of each unit as a share of its weights, such as 0.02, instead; not on the output layer."""

    skip_nonfinite: int = 3
    """Steps in a row that are left out when loss or gradient are not finite; one more ends training, 0 does at once."""

    patience: int | None = None
    """Stop after this many validations without a better one; 0 never stops early."""

    validate_every: int | None = None
    """Steps between validations."""

    averaged_checkpoints: int = 1
    """The weights of so many of the best validations are averaged at the end, and kept where their mean is better;
    checkpoints hold all of them."""

    checkpoint_every: int | None = None
    """Steps between checkpoints to resume from; one a minute and at validations some seconds apart when not given."""

    seed: int = 0
    """Seed of the weights and the dropout masks."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""

    devices: int = 1
    """Processes, each with its own rows of a batch, that train one model together."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers that products are computed in: bfloat16, by autocast, is faster where the processor or device has it."""

    tensorboard: bool = False
    """Write TensorBoard event files into the run folder too."""

    no_report: bool = False
    """Leave out report.html and its pictures, which take some seconds."""

    def __post_init__(self) -> None:
        steps = ("max_epochs", "max_steps", "batch_size", "validate_every", "checkpoint_every")
        self._check_whole(1, *steps, or_none=True)
        self._check_whole(0, "warmup_steps", "seed", "skip_nonfinite")
        self._check_whole(0, "patience", or_none=True)
        if self.seed >= 1 << 63:
            raise OptionError(f"seed must be at most {(1 << 63) - 1}, not {self.seed}.")
        for name in ("max_minutes", "learning_rate", *CLIPPING):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and 0 < value < math.inf):
                raise OptionError(f"{name} must be a number above 0, not {value!r}.")
        self._check_not_negative("weight_decay")
        self._check_share("final_learning_rate")
        self._check_whole(1, "devices", "averaged_checkpoints")
        given = [name for name in CLIPPING if getattr(self, name) is not None]
        if len(given) > 1:
            raise OptionError(f"give {given[0]} or {given[1]}, not both.")
        if self.device not in ("auto", "cpu", "cuda", "mps"):
            raise OptionError(f"device must be auto, cpu, cuda or mps, not {self.device!r}.")
        if self.precision not in ("float32", "bfloat16"):
            raise OptionError(f"precision must be float32 or bfloat16, not {self.precision!r}.")

    def _check_whole(self, least: int, *names: str, or_none: bool = False) -> None:
        for name in names:
            value = getattr(self, name)
            if not (is_whole(value, least) or (or_none and value is None)):
                raise OptionError(f"{name} must be a whole number from {least} on, not {value!r}.")

    def _check_not_negative(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value < math.inf):
                raise OptionError(f"{name} must be a number from 0 on, not {value!r}.")

    def _check_share(self, name: str) -> None:
        value = getattr(self, name)
        if not (is_number(value) and 0 <= value <= 1):
            raise OptionError(f"{name} must be a number from 0 to 1, not {value!r}.")

    @property
    def bounds(self) -> list[str]:
        """The bounds that are given, in words, such as "10 minutes"."""
        given = {name: getattr(self, name) for name in BOUNDS}
        return [quantity(most, name[len("max_") : -1]) for name, most in given.items() if most is not None]


@dataclass(frozen=True, kw_only=True)
class LanguageTrainingOptions(TrainingOptions):
    """How to train a language model.

    A value of None is chosen for the size of the text and the time there is (see `recur.train.language_choice`).

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    max_minutes: float | None = None
    """Minutes of training; the learning rate's decay fits itself to them. 10 when no other bound is given."""

    batch_size: int | None = None
    """Parallel streams that the training part is cut into."""

    window: int | None = field(default=None, metadata={"after": "batch_size"})
    """Steps of a window: what one optimiser step learns from, and, without reach, how far back the gradient goes."""

    reach: int | None = field(default=None, metadata={"after": "window"})
    """Steps that the gradient goes back over, more than a window; each optimiser step then takes that much longer."""

    vary_window: bool = field(default=False, metadata={"after": "reach"})
    """Draw the lengths of windows at random around window, anew in each epoch; the learning rate follows them."""

    drop_state: float = field(default=0.0, metadata={"after": "vary_window"})
    """Probability, for each stream and window, that the carried state is dropped, so that beginnings are learned."""

    activation_penalty: float = field(default=0.0, metadata={"after": "skip_nonfinite"})
    """Factor of the mean square of the last layer's outputs after dropout, added to the loss (AR), such as 2."""

    temporal_penalty: float = field(default=0.0, metadata={"after": "activation_penalty"})
    """Factor of the mean square of these outputs' changes from step to step, before dropout (TAR), such as 1."""

    patience: int = 10
    """Stop after this many validations without a better one; 0 never stops early."""

    probe_every: int | None = field(default=None, metadata={"after": "checkpoint_every"})
    """Steps between two looks at the gradient through time, whose findings are written down and said once; 0 never
    looks. 100 when not given, more where steps are so short that a look would count."""

    devices: int = 1
    """Processes, each with its own streams, that train one model together."""

    sample_prompt: str | None = None
    """Prompt of the samples that are drawn at each validation; a line's end by default, so they begin with a line."""

    sample_length: int = 200
    """Tokens of such a sample; 0 draws none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_whole(1, "window", "reach", or_none=True)
        self._check_whole(0, "probe_every", or_none=True)
        self._check_whole(0, "patience", "sample_length")
        self._check_not_negative("activation_penalty", "temporal_penalty")
        self._check_share("drop_state")
        if self.reach is not None and self.window is not None and self.reach < self.window:
            raise OptionError(
                f"reach must be at least the window of {quantity(self.window, 'step')}, not {self.reach}."
            )
        if self.sample_prompt is not None and not (isinstance(self.sample_prompt, str) and self.sample_prompt):
            raise OptionError(f"sample_prompt must be a text of at least one character, not {self.sample_prompt!r}.")


@dataclass(frozen=True, kw_only=True)
class SeriesTrainingOptions(TrainingOptions):
    """How to train a network on windows of series, or on whole series.

    A value of None is chosen for the number of windows or series (see `recur.train.series_choice`).

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    max_minutes: float | None = None
    """Minutes of training at most; the learning rate's decay fits itself to them. 5 when no other bound is given."""

    max_epochs: int | None = None
    """Passes over the training part; as many as make some thousand steps when no other bound is given."""

    batch_size: int | None = None
    """Windows, or whole series, that one optimiser step learns from."""

    weight_decay: float = 0.01
    """AdamW's weight decay, on matrices only."""

    second_moment: float = field(default=0.999, metadata={"after": "weight_decay"})
    """AdamW's beta_2: how slowly the mean square of each gradient is forgotten, 0 to below 1."""

    averaging: float | None = field(default=None, metadata={"after": "second_moment"})
    """The weights that are judged and saved are a moving mean of those of all steps, which keeps this share of itself
    at each; 0 for those of the newest step alone. 0.98 for forecasters of few windows when not given, else 0."""

    patience: int | None = None
    """Stop after this many validations without a better one; 0 never stops early. A third of those that max_epochs or
    max_steps leave time for when not given, but at least 10."""

    validate_every: int | None = None
    """Steps between validations; about an epoch when not given."""

    devices: int = 1
    """Processes, each with its own share of every batch, that train one model together."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("second_moment", "averaging"):
            value = getattr(self, name)
            if value is None and name == "averaging":
                continue
            if not (is_number(value) and 0 <= value < 1):
                raise OptionError(f"{name} must be a number from 0 to below 1, not {value!r}.")


@dataclass(frozen=True, kw_only=True)
class LabelTrainingOptions(SeriesTrainingOptions):
    """How to train a network that tells labels of series.

    A value of None is chosen for the number of series or windows (see `recur.train.label_choice`).

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    max_minutes: float | None = None
    """Minutes of training at most; the learning rate's decay fits itself to them. 8 when no other bound is given."""

    max_steps: int | None = None
    """Optimiser steps; 500, or as many as make 40 passes over the training part, when no other bound is given."""

    warmup_steps: int = 20
    """Steps over which the learning rate rises to its peak."""

    final_learning_rate: float = 0.0
    """Share of the peak that the cosine decay ends at, 0 to 1."""

    second_moment: float = 0.99
    """AdamW's beta_2: how slowly the mean square of each gradient is forgotten, 0 to below 1."""

    averaging: float = 0.99
    """The weights that are judged and saved are a moving mean of those of all steps, which keeps this share of itself
    at each; 0 for those of the newest step alone."""

    keep: Literal["best", "newest"] | None = field(default=None, metadata={"after": "averaging"})
    """Which of the (averaged) weights are saved: the best on the validation part, or the newest, where few series are
    in the validation part; if not given, best where there are 100 series or more."""

    patience: int | None = 0
    """Stop after this many validations without a better one; 0 never stops early, for few labels say little."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.keep == "newest" and self.averaged_checkpoints > 1:
            raise OptionError(
                "averaged_checkpoints is of the best weights, and keep is newest. Leave "
                f"{option('averaged_checkpoints')} out, or give {option('keep', 'best')}."
            )


@dataclass(frozen=True, kw_only=True)
class TextTrainingOptions(SeriesTrainingOptions):
    """How to train a network on texts.

    A value of None is chosen for the number of texts (see `recur.train.text_choice`).

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    max_minutes: float | None = None
    """Minutes of training at most; the learning rate's decay fits itself to them. 12 when no other bound is given."""

    max_epochs: int | None = None
    """Passes over the training part; as many as show 200,000 texts, of characters 300,000, from 4 to 30, but at least
    300 steps, when no other bound is given."""

    batch_size: int | None = None
    """Texts that one optimiser step learns from at most; 64 when not given, fewer of few texts."""

    max_tokens: int = field(default=16_384, metadata={"after": "batch_size"})
    """Tokens of a batch at most, padding included: of long texts a step learns from fewer."""

    final_learning_rate: float = 0.0
    """Share of the peak that the cosine decay ends at, 0 to 1."""

    averaging: float = 0.0
    """The weights that are judged and saved are a moving mean of those of all steps, which keeps this share of itself
    at each; 0 for those of the newest step alone."""

    patience: int | None = None
    """Stop after this many validations without a better one; 0, which holds when not given, never stops early."""

    validate_every: int | None = None
    """Steps between validations; half an epoch, but at least 10, when not given."""

    seed: int = 0
    """Seed of the weights, of the dropout masks, and of the parts that are drawn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_whole(1, "max_tokens")


@dataclass(frozen=True, kw_only=True)
class PairTrainingOptions(SeriesTrainingOptions):
    """How to train a network that writes a text from a text.

    A value of None is chosen for the number of pairs (see `recur.train.pair_choice`).

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    max_minutes: float | None = None
    """Minutes of training at most; the learning rate's decay fits itself to them. 15 when no other bound is given."""

    max_epochs: int | None = None
    """Passes over the training part; as many as show 300,000 pairs, of sentences 600,000, from 3 to 30, of up to 4,000
    pairs of sentences to 16, but at least 500 steps, when no other bound is given."""

    batch_size: int | None = None
    """Pairs that one optimiser step learns from at most; 32 when not given, more of many pairs, fewer of few."""

    max_tokens: int = field(default=16_384, metadata={"after": "batch_size"})
    """Tokens that the sources of a batch, or its targets, have at most, padding included: of long texts a step learns
    from fewer."""

    max_attention: int = field(default=1 << 26, metadata={"after": "max_tokens"})
    """Source tokens times target tokens of a pair, at most: a longer one is left out, with a note, for attention needs
    memory for so many numbers, several times over. Several pairs of a batch stay below it too."""

    final_learning_rate: float = 0.0
    """Share of the peak that the cosine decay ends at, 0 to 1."""

    averaging: float = 0.0
    """The weights that are judged and saved are a moving mean of those of all steps, which keeps this share of itself
    at each; 0 for those of the newest step alone."""

    patience: int | None = None
    """Stop after this many validations without a better one; 0, which holds when not given, never stops early."""

    validate_every: int | None = None
    """Steps between validations; an epoch, but at most a twentieth of the usual passes, and at least 10, when not
    given."""

    seed: int = 0
    """Seed of the weights, of the dropout masks, and of the parts that are drawn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_whole(1, "max_tokens", "max_attention")
