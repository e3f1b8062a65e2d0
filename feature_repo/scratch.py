"""A shop like another one, with all places its own, for as long as a block runs.

Next: ``replay.py``, which lives a shop's events again in one.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feature_repo.retrieval import open_store, packed_store
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse


@contextmanager
def scratch(settings: Settings) -> Iterator[Settings]:
    """An empty, applied shop with the settings but none of the places of `settings`.

    Warehouse, files and registry lie in a temporary folder. Online rows lie there too, or in the
    Redis of `settings` under a project of their own. All of it is gone afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="nudge_scratch_") as folder:
        own = {"home": Path(folder), "warehouse_url": None, "registry_url": None}
        if settings.online.startswith("sqlite"):
            own["online_url"] = None
        shop = settings.model_copy(update=own)
        Warehouse(shop.warehouse).migrate()
        store = open_store(shop)
        store.config.project = Path(folder).name
        _apply(shop)
        try:
            yield shop
        finally:
            packed_store(store).teardown(store.config, [], [])


def _apply(shop: Settings) -> None:
    """Register the catalogue with its files in the home of `shop`.

    ``feast apply`` would read them in the home of the environment.
    """
    from feast import FeatureView, FileSource

    from feature_repo import definitions

    objects = [copy.copy(getattr(definitions, name)) for name in definitions.__all__]
    for view in objects:
        if type(view) is FeatureView:
            source = copy.deepcopy(view.batch_source)
            assert isinstance(source, FileSource), "stored views are read from files"
            source.file_options.uri = str(shop.offline_path / f"{view.name}.parquet")
            view.batch_source = source
    with warnings.catch_warnings():
        # Feast calls views computed on demand experimental each time that they are registered.
        warnings.filterwarnings("ignore", "On demand feature view", RuntimeWarning)
        open_store(shop).apply(objects)
