"""The Parquet files behind the views, and how a view over one is declared.

Next: ``user.py``, ``item.py``, ``history.py``, then ``derived.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from feast import Entity, FeatureView, Field, FileSource
from feast.types import Array, FeastType, String

from feature_repo.glossary import meaning
from feature_repo.settings import Settings


def state_view(
    name: str, entity: Entity, schema: Mapping[str, FeastType], *, description: str
) -> FeatureView:
    """A view whose newest row says everything; state never expires, age is a feature."""
    return _view(name, entity, schema, description, tags={})


def collected_view(
    name: str,
    entity: Entity,
    schema: Mapping[str, FeastType],
    *,
    last: int,
    order: str,
    description: str,
) -> FeatureView:
    """A view over one scalar row per happening, read as arrays of the `last` ones known.

    `order` names the source columns that order rows of one stamp.
    """
    arrays = {column: Array(kind) for column, kind in schema.items()}
    tags = {"collect": str(last), "order": order}
    return _view(name, entity, arrays, description, tags)


def described(schema: Mapping[str, FeastType]) -> list[Field]:
    """Fields with what they mean."""
    return [
        Field(name=name, dtype=kind, description=meaning(name)) for name, kind in schema.items()
    ]


def edition(names: Sequence[str]) -> str:
    """A few words that change whenever one of the features `names` comes or goes."""
    mark = hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]
    return f"{len(names)} features, edition {mark}."


def _view(
    name: str,
    entity: Entity,
    schema: Mapping[str, FeastType],
    description: str,
    tags: dict[str, str],
) -> FeatureView:
    source = FileSource(
        name=f"{name}_source",
        path=str(Settings().offline_path / f"{name}.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
        tags=tags,
    )
    fields = described(schema)
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=None,
        schema=[Field(name=entity.join_key, dtype=String), *fields],
        source=source,
        description=description,
        tags=tags,
    )
