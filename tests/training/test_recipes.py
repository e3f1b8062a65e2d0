"""Each recipe gives a whole run for each size."""

from __future__ import annotations

import pytest

from training.network import Network
from training.recipes import RECIPES
from training.run import SIZES, Run
from training.tasks import TASKS

SHAPE = {"num_vocabulary": 11, "num_item_scalars": 4, "num_kinds": 11, "num_scalars": 6}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_gives_a_run_of_its_name_and_size(name, size):
    run = RECIPES[name](size)
    assert (run.name, run.size) == (name, size)
    assert set(run.tasks) <= set(TASKS)
    assert Run.from_json(run.to_json()) == run


def test_sizes_grow():
    sizes = [Network(RECIPES["shopper"](size), SHAPE).num_parameters()[0] for size in SIZES]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(SIZES)


def test_an_unknown_size_is_refused():
    with pytest.raises(ValueError, match="'huge'"):
        RECIPES["shopper"]("huge")
