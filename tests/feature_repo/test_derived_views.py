"""A new feature of an on-demand view reaches a registry that is there already."""

from __future__ import annotations

import pandas as pd
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import RepoConfig
from feast.types import Float64, Int64, String

from feature_repo.derive import ITEM_FEATURES, USER_FEATURES
from feature_repo.views.derived import item_features, user_features
from feature_repo.views.sources import edition

asked_at = RequestSource(name="asked_at", schema=[Field(name="asked_at", dtype=Int64)])


def view_of(names: tuple[str, ...], stored: FeatureView):
    schema = [Field(name=name, dtype=Float64) for name in names]

    @on_demand_feature_view(sources=[stored, asked_at], schema=schema, description=edition(names))
    def derived(inputs: pd.DataFrame) -> pd.DataFrame:
        numbers = inputs["num"].astype("float64")
        return pd.DataFrame({"twice": 2 * numbers, "thrice": 3 * numbers})

    return derived


@pytest.mark.filterwarnings("ignore:On demand feature view is an experimental feature")
def test_a_feature_added_to_an_applied_view_is_in_the_registry_after_the_next_apply(tmp_path):
    config = RepoConfig(
        project="shop",
        provider="local",
        registry=str(tmp_path / "registry.db"),
        online_store={"type": "sqlite", "path": str(tmp_path / "online.db")},
        entity_key_serialization_version=3,
    )
    config.repo_path = tmp_path
    store = FeatureStore(config=config)
    shopper = Entity(name="shopper", join_keys=["who"], value_type=ValueType.STRING)
    pd.DataFrame({"who": ["a"], "num": [1.0], "at": [pd.Timestamp(0, tz="UTC")]}).to_parquet(
        tmp_path / "rows.parquet"
    )
    stored = FeatureView(
        name="stored",
        entities=[shopper],
        schema=[Field(name="who", dtype=String), Field(name="num", dtype=Float64)],
        source=FileSource(path=str(tmp_path / "rows.parquet"), timestamp_field="at"),
    )
    for names in (("twice",), ("twice", "thrice"), ("thrice",)):
        store.apply([shopper, stored, view_of(names, stored)])
        kept = store.get_on_demand_feature_view("derived").features
        assert {field.name for field in kept} == set(names)


def test_the_views_tell_the_edition_of_their_features():
    assert edition(USER_FEATURES) in user_features.description
    assert edition(ITEM_FEATURES) in item_features.description
    assert edition(("a", "b")) != edition(("a",)) != edition(("b",))
