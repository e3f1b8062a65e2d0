"""Arrays that grow on disk read as if they had been saved whole."""

from __future__ import annotations

import numpy as np
import pytest

from training.datasets.growing import Growing


@pytest.mark.parametrize("kind", [np.float32, np.int8, np.bool_, np.dtype("<U5")])
@pytest.mark.parametrize("width", [(), (3,), (0,)])
@pytest.mark.parametrize("parts", [[0], [4], [2, 0, 5, 1], [1] * 1200])
def test_a_file_that_grew_is_the_file_that_was_saved_whole(tmp_path, kind, width, parts):
    whole = np.random.default_rng(0).integers(0, 9, (sum(parts), *width)).astype(kind)
    file = Growing(tmp_path / "grown.npy")
    for part in np.split(whole, np.cumsum(parts)[:-1]):
        file.append(part)
    file.close()
    np.save(tmp_path / "saved.npy", whole)
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


def test_a_part_of_another_width_or_type_is_refused(tmp_path):
    file = Growing(tmp_path / "grown.npy")
    file.append(np.zeros((2, 3)))
    for other in (np.zeros((2, 4)), np.zeros((2, 3), np.float32)):
        with pytest.raises(AssertionError):
            file.append(other)
    file.close()
