"""The obvious composition that ``bench_recommend.py`` measures: BentoML, Feast's SDK, eager torch.

As one writes it from the three libraries' guides: an ``@bentoml.api``, ``get_online_features`` for
the shopper and for the ranked items with the service held, item vectors kept in memory, the network
in inference mode, one commit for each decision. It runs by ``bentoml serve`` in the environment of
a bench; the same trained network and the same ranking as the real service.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import bentoml
import numpy as np

OBVIOUS_YAML = "NUDGE_BENCH_YAML"


@bentoml.service(workers=1, traffic={"timeout": 120})
class Obvious:
    """Ranks all items for one shopper."""

    def __init__(self) -> None:
        import torch
        from feast import FeatureStore

        from feature_repo.ledger import Ledger
        from feature_repo.settings import Settings, SystemClock
        from feature_repo.warehouse import Warehouse
        from serving.predictor import Predictor
        from serving.settings import ServingSettings
        from serving.start import find_bundles
        from serving.stores import Stores
        from training.datasets.batches import Dataset
        from training.models.graphs import UserGraph
        from training.network import restore
        from training.track import find_run

        torch.set_num_threads(1)
        self.torch, self.settings = torch, Settings()
        self.clock = SystemClock(self.settings.home)
        model, _ = find_bundles(self.settings, ServingSettings())
        self.predictor = Predictor(model, self.settings.home / "cache" / "text")
        stores = Stores(self.settings, model.manifest)
        midnight = self.clock.now() // 86_400_000_000 * 86_400_000_000
        self.catalogue = stores.make_catalogue(self.predictor, lambda num: None, midnight)
        self.ledger = Ledger(Warehouse(self.settings.warehouse))
        self.feast = FeatureStore(fs_yaml_file=Path(os.environ[OBVIOUS_YAML]))
        self.shopper = self.feast.get_feature_service("shopper")
        self.item = self.feast.get_feature_service("item")
        folder = find_run(self.settings.home, "shopper")
        _, network = restore(folder, Dataset(folder / "data"))
        self.graph = UserGraph(network.eval())
        self.vectors = torch.as_tensor(self.catalogue.vectors)
        self.biases = torch.as_tensor(self.catalogue.biases)

    @bentoml.api
    def recommend(self, user_id: str, num_items: int = 200) -> dict[str, Any]:
        """The best items with their features, and the decision's id."""
        from feature_repo.ledger import Decision
        from training.datasets.encode import encode_user

        torch, now = self.torch, self.clock.now()
        asked = [{"user_id": user_id, "asked_at": now}]
        found = self.feast.get_online_features(self.shopper, asked).to_dict()
        row = {name: values[0] for name, values in found.items()}
        row |= {name: row[name] or [] for name in row if name.startswith("history_")}
        users = encode_user(row, now, self.predictor.spec, self.catalogue.index)
        with torch.inference_mode():
            vector, copies, *_ = self.graph(
                self.vectors[torch.as_tensor(users.item_BL)],
                *(
                    torch.as_tensor(values)
                    for values in (
                        users.kind_BL,
                        users.gap_BL,
                        users.quantity_BL,
                        users.amount_BL,
                        users.time_to_now_B,
                        users.scalars_BF,
                        self.catalogue.category[users.item_BL],
                    )
                ),
            )
            scores = self.vectors @ vector[0] + self.biases
            scores = scores.scatter_add(0, torch.as_tensor(users.item_BL[0]), copies[0])
            scores[torch.as_tensor(~self.catalogue.exists)] = -torch.inf
            best = torch.topk(scores, min(num_items, len(self.catalogue)))
        ids = [self.catalogue.item_ids[place] for place in best.indices.tolist()]
        asked = [{"item_id": item, "asked_at": now} for item in ids]
        items = self.feast.get_online_features(self.item, asked).to_dict()
        ranked = [
            {"item_id": item, "score": score, "price": price, "text": text}
            for item, score, price, text in zip(
                ids, best.values.tolist(), items["price"], items["text"], strict=True
            )
        ]
        decision = Decision(
            decision_id=uuid.uuid4().hex,
            kind="recommend",
            user_id=user_id,
            decided_at=now,
            model_version=self.predictor.bundle.version,
            feature_version="bench",
            policy="greedy",
            probabilities=dict.fromkeys(ids, 1.0),
            scores={one["item_id"]: one["score"] for one in ranked},
        )
        self.ledger.write(decision)
        return {"decision_id": decision.decision_id, "items": _plain(ranked)}


def _plain(ranked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without numbers that JSON has no word for."""
    return [
        one | {"price": None if one["price"] is None or np.isnan(one["price"]) else one["price"]}
        for one in ranked
    ]
