"""Options of training. No torch here: the command line reads these for its help."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from recur.errors import OptionError
from recur.kinds import is_number, is_whole
from recur.wording import quantity

BOUNDS = ("max_minutes", "max_epochs", "max_steps")
"""The options that end a training, and the only ones that may change when it is resumed."""

CLIPPING = ("clip_norm", "clip_value", "clip_layer_norm", "clip_ratio")
"""The options that bound the gradient, of which one is given."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How long, how fast and where to train.

    A value of None is chosen for the size of the text and the time there is (see `recur.train.choice`). Training ends
    with the first of max_minutes, max_epochs, max_steps and patience.

    Raises:
        OptionError: A value is out of range, or two values do not go together.
    """

    max_minutes: float | None = None
    """Minutes of training; the learning rate's decay fits itself to them. 10 when no other bound is given."""

    max_epochs: int | None = None
    """Passes over the training part."""

    max_steps: int | None = None
    """Optimiser steps."""

    batch_size: int | None = None
    """Parallel streams that the training part is cut into."""

    window: int | None = None
    """Steps of a window: what one optimiser step learns from, and, without reach, how far back the gradient goes."""

    reach: int | None = None
    """Steps that the gradient goes back over, more than a window; each optimiser step then takes that much longer."""

    vary_window: bool = False
    """Draw the lengths of windows at random around window, anew in each epoch; the learning rate follows them."""

    drop_state: float = 0.0
    """Probability, for each stream and window, that the carried state is dropped, so that beginnings are learned."""

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

    activation_penalty: float = 0.0
    """Factor of the mean square of the last layer's outputs after dropout, added to the loss (AR), such as 2."""

    temporal_penalty: float = 0.0
    """Factor of the mean square of these outputs' changes from step to step, before dropout (TAR), such as 1."""

    patience: int = 10
    """Stop after this many validations without a better one; 0 never stops early."""

    validate_every: int | None = None
    """Steps between validations."""

    checkpoint_every: int | None = None
    """Steps between checkpoints to resume from; one a minute and one a validation when not given."""

    probe_every: int | None = None
    """Steps between two looks at the gradient through time, whose findings are written down and said once; 0 never
    looks. 100 when not given, more where steps are so short that a look would count."""

    seed: int = 0
    """Seed of the weights and the dropout masks."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""

    devices: int = 1
    """Processes, each with its own streams, that train one model together."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers that products are computed in: bfloat16, by autocast, is faster where the processor or device has it."""

    tensorboard: bool = False
    """Write TensorBoard event files into the run folder too."""

    sample_prompt: str | None = None
    """Prompt of the samples that are drawn at each validation; a line's end by default, so they begin with a line."""

    sample_length: int = 200
    """Tokens of such a sample; 0 draws none."""

    def __post_init__(self) -> None:
        for name in ("max_epochs", "max_steps", "batch_size", "window", "reach", "validate_every", "checkpoint_every"):
            value = getattr(self, name)
            if value is not None and not is_whole(value, 1):
                raise OptionError(f"{name} must be a whole number from 1 on, not {value!r}.")
        for name in ("warmup_steps", "patience", "seed", "sample_length", "probe_every", "skip_nonfinite"):
            value = getattr(self, name)
            if not (is_whole(value, 0) or (value is None and name == "probe_every")):
                raise OptionError(f"{name} must be a whole number from 0 on, not {value!r}.")
        if self.seed >= 1 << 63:
            raise OptionError(f"seed must be at most {(1 << 63) - 1}, not {self.seed}.")
        for name in ("max_minutes", "learning_rate", *CLIPPING):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and 0 < value < math.inf):
                raise OptionError(f"{name} must be a number above 0, not {value!r}.")
        for name in ("weight_decay", "activation_penalty", "temporal_penalty"):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value < math.inf):
                raise OptionError(f"{name} must be a number from 0 on, not {value!r}.")
        for name in ("final_learning_rate", "drop_state"):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value <= 1):
                raise OptionError(f"{name} must be a number from 0 to 1, not {value!r}.")
        if self.reach is not None and self.window is not None and self.reach < self.window:
            raise OptionError(
                f"reach must be at least the window of {quantity(self.window, 'step')}, not {self.reach}."
            )
        if not is_whole(self.devices, 1):
            raise OptionError(f"devices must be a whole number from 1 on, not {self.devices!r}.")
        if self.sample_prompt is not None and not (isinstance(self.sample_prompt, str) and self.sample_prompt):
            raise OptionError(f"sample_prompt must be a text of at least one character, not {self.sample_prompt!r}.")
        given = [name for name in CLIPPING if getattr(self, name) is not None]
        if len(given) > 1:
            raise OptionError(f"give {given[0]} or {given[1]}, not both.")
        if self.device not in ("auto", "cpu", "cuda", "mps"):
            raise OptionError(f"device must be auto, cpu, cuda or mps, not {self.device!r}.")
        if self.precision not in ("float32", "bfloat16"):
            raise OptionError(f"precision must be float32 or bfloat16, not {self.precision!r}.")
