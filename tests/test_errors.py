"""Every error is caught as one kind, and the command line knows its exit code."""

from __future__ import annotations

import pytest

from recur import errors


@pytest.mark.parametrize(
    ("kind", "code", "also"),
    [
        (errors.DataError, 1, ValueError),
        (errors.RunError, 1, Exception),
        (errors.OptionError, 2, ValueError),
        (errors.TrainingError, 1, Exception),
        (errors.BackendError, 1, RuntimeError),
        (errors.Interrupted, 130, Exception),
    ],
)
def test_exit_codes_and_families(kind: type[errors.RecurError], code: int, also: type[Exception]) -> None:
    assert kind.exit_code == code
    assert issubclass(kind, errors.RecurError)
    assert issubclass(kind, also)


def test_no_kind_is_forgotten() -> None:
    kinds = {k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.RecurError)}
    assert len(kinds) == 7
