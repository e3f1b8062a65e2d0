"""What is looked at beside one shopper: who there is, what is left, how experiments stand.

It reads alone: looking decides, reserves and stops nothing. Next: ``routes/outlook.py``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from feature_repo.campaigns import Campaign, LimitState
from feature_repo.experiments import HOLDOUT
from feature_repo.exposures import Experiments
from feature_repo.rules import Rules
from feature_repo.settings import SECOND, Settings
from feature_repo.shoppers import Shoppers
from feature_repo.warehouse import Warehouse
from serving.shown import ArmCount, Spending, Standing

LOOK_EVERY_S = 60.0
MICROS = 1_000_000


class Sights:
    """The views of one shop.

    Parameters
    ----------
    settings
        Where the pages of experiments lie, the shop's zone and currency.
    look_every_s
        An analysis reads all that the exposed shoppers did: one look serves everybody for so long.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        settings: Settings,
        *,
        holdout_share: float = 0.0,
        look_every_s: float = LOOK_EVERY_S,
        passing: Callable[[], float] = time.monotonic,
    ) -> None:
        self._warehouse, self._zone = warehouse, settings.zone
        self._pages = settings.home.resolve() / "experiments"
        self.currency = settings.base_currency
        self._holdout_share = holdout_share
        self._look_every_s, self._passing = look_every_s, passing
        self._lock = threading.Lock()
        self._seen: tuple[float, int, list[Standing]] | None = None

    def shoppers(self, prefix: str, limit: int) -> list[str]:
        """Ids that begin with `prefix`; without one, the last decided about, then others."""
        shoppers = Shoppers(self._warehouse)
        decided = [] if prefix else shoppers.decided(limit)
        others = shoppers.find(prefix, limit) if len(decided) < limit else []
        return list(dict.fromkeys((*decided, *others)))[:limit]

    def left(self, campaign: Campaign, user_id: str, now: int) -> LimitState:
        """What a decision about a shopper at `now` would find left."""
        return Rules(self._warehouse).left(campaign, user_id, now, self._zone)

    def spending(self, now: int) -> list[Spending]:
        """Every campaign's money, by id."""
        rules = Rules(self._warehouse)
        return [_spending(rules, campaign, now) for campaign in rules.campaigns()]

    def experiments(self, now: int) -> tuple[int, list[Standing]]:
        """The running experiments, and the moment that they were looked at."""
        with self._lock:
            if self._seen is None or self._passing() - self._seen[0] >= self._look_every_s:
                names = [kept.experiment.name for kept in Experiments(self._warehouse).running()]
                if self._holdout_share and not self._exposed(HOLDOUT).is_empty():
                    names.append(HOLDOUT)
                self._seen = (self._passing(), now, [self._look(name, now) for name in names])
            return self._seen[1:]

    def page(self, name: str) -> Path | None:
        """The latest page that a command wrote of an experiment, None when there is none."""
        try:
            folder = (self._pages / name).resolve()
            pages = list(folder.glob("*.html")) if folder.parent == self._pages else []
            return max(pages, key=lambda path: path.stat().st_mtime, default=None)
        except (OSError, ValueError):
            return None  # longer than a folder's name may be, or none that a disk can hold

    def _exposed(self, name: str) -> pl.DataFrame:
        return Experiments(self._warehouse).exposures(name)

    def _look(self, name: str, now: int) -> Standing:
        # Here: most services run no experiment, and the analysis is much to import.
        from serving.experiments import words
        from serving.experiments.shop import look

        seen = look(name, self._warehouse, now, holdout_share=self._holdout_share)
        experiment, setup = seen.kept.experiment, seen.analysis.setup
        counted = dict(seen.exposed.group_by("arm").len().iter_rows())
        return Standing(
            name=name,
            layer=experiment.layer,
            started_at=datetime.fromtimestamp(seen.kept.started_at // SECOND, UTC),
            metric=setup.metrics[0].words,
            arms=[
                ArmCount(arm=arm.name, share=arm.share, num_shoppers=counted.get(arm.name, 0))
                for arm in experiment.arms
            ],
            verdict=words.verdict(seen.analysis),
            has_page=self.page(name) is not None,
        )


def _spending(rules: Rules, campaign: Campaign, now: int) -> Spending:
    today, total = rules.spent(campaign.campaign_id, now)
    in_all = campaign.total_budget_micros
    left = [campaign.daily_budget_micros - today, *([] if in_all is None else [in_all - total])]
    return Spending(
        campaign_id=campaign.campaign_id,
        daily_budget=campaign.daily_budget_micros / MICROS,
        spent_today=today / MICROS,
        left_today=max(0, min(left)) / MICROS,
        num_today=rules.use(campaign.campaign_id, now)["today"][0],
        total_budget=None if in_all is None else in_all / MICROS,
        spent_total=total / MICROS,
    )
