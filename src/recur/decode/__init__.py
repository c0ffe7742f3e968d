"""Turning a model's scores into output: sampling, beam search, and what is asked of either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recur._lazy import lazy_names

if TYPE_CHECKING:
    from recur.decode.constraints import Constraints as Constraints
    from recur.decode.decoding import decode as decode
    from recur.decode.decoding import stream as stream
    from recur.decode.ensemble import Ensemble as Ensemble
    from recur.decode.hypothesis import Hypothesis as Hypothesis
    from recur.decode.options import DecodingOptions as DecodingOptions
    from recur.decode.penalties import coverage_loss as coverage_loss
    from recur.decode.penalties import length_divisor as length_divisor
    from recur.decode.sampling import Sampling as Sampling
    from recur.decode.steps import AttentiveSteps as AttentiveSteps
    from recur.decode.steps import Steps as Steps
    from recur.decode.unknown_words import replace_unknown as replace_unknown

_ORIGINS = {
    "AttentiveSteps": ".steps",
    "Constraints": ".constraints",
    "DecodingOptions": ".options",
    "Ensemble": ".ensemble",
    "Hypothesis": ".hypothesis",
    "Sampling": ".sampling",
    "Steps": ".steps",
    "coverage_loss": ".penalties",
    "decode": ".decoding",
    "length_divisor": ".penalties",
    "replace_unknown": ".unknown_words",
    "stream": ".decoding",
}
__all__ = [
    "AttentiveSteps",
    "Constraints",
    "DecodingOptions",
    "Ensemble",
    "Hypothesis",
    "Sampling",
    "Steps",
    "coverage_loss",
    "decode",
    "length_divisor",
    "replace_unknown",
    "stream",
]

__getattr__ = lazy_names(__name__, _ORIGINS)


def __dir__() -> list[str]:
    return list(__all__)
