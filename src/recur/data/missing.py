"""Values that are missing, however the library that they come from writes that."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

import narwhals as nw
import numpy as np

_MAY_DIFFER_FROM_ITSELF = (float, datetime, Decimal, np.floating, np.datetime64, np.timedelta64)
"""The kinds with a value that is none: NaN, or NaT, which pandas counts to the moments of time."""


def without_missing(values: Iterable[Any]) -> list[Any]:
    """Return values with None for each that is missing: NaN, NaT, or pandas' NA.

    Example:
        >>> without_missing(["wet", float("nan"), None])
        ['wet', None, None]
    """
    pandas = nw.dependencies.get_pandas()
    missing = None if pandas is None else pandas.NA
    return [
        None if value is missing or (isinstance(value, _MAY_DIFFER_FROM_ITSELF) and value != value) else value
        for value in values
    ]
