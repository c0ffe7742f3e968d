from __future__ import annotations

import numpy as np
import pytest

from recur.data.encoding import id_type


@pytest.mark.parametrize(
    ("vocabulary_size", "expected"), [(2, "u1"), (256, "u1"), (257, "u2"), (65536, "u2"), (65537, "u4")]
)
def test_ids_take_the_smallest_type_that_holds_them(vocabulary_size, expected):
    assert id_type(vocabulary_size) == np.dtype(f"<{expected}")
