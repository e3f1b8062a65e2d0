"""A learnt policy as a bundle: its siblings, its lineage, what the log said of it, and its card.

Next: ``learn.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from feature_repo.settings import iso
from training.bundle import Bundle
from training.judging import Judged
from training.learnt import Learnt


def keep(
    folder: Path, learnt: Learnt, judged: Judged, lineage: Mapping[str, object], *, now: int
) -> Bundle:
    """Save it in `folder`; `lineage` says what it came from, `now` is in microseconds (UTC)."""
    policy = learnt.policy
    return Bundle.save(
        folder,
        kind="policy",
        name=policy.name,
        created_at=now,
        content={
            "policy": policy.name,
            "settings": policy.to_dict(),
            "siblings": [sibling.to_dict() for sibling in learnt.siblings],
            "lineage": lineage,
            "metrics": judged.to_dict(),
        },
        weights={},
        card=_card(learnt, lineage, judged),
    )


def _card(learnt: Learnt, lineage: Mapping[str, object], judged: Judged) -> str:
    own, lead, policy = judged.own, judged.lead, learnt.policy
    lines = [
        f"# Policy {policy.name}",
        "",
        f"Decides between {', '.join(policy.actions)} by {', '.join(policy.needs)}.",
        "",
        f"- Learnt from decisions up to {iso(int(str(lineage['as_of'])))}: "
        f"{json.dumps(lineage['decisions'])}.",
        f"- {len(learnt.siblings)} siblings, each learnt without a part of the shoppers and judged "
        f"by these ({judged.num_rows:,} decisions, worth {judged.effective:,.0f}), earn "
        f"{own.value:.3f} a decision ({own.low:.3f} to {own.high:.3f}), {lead.value:+.3f} "
        f"({lead.low:+.3f} to {lead.high:+.3f}) beside what was done.",
        *(f"- The log cannot tell: {reason}." for reason in judged.refusals),
        "",
        "A decision's reward is what the shopper spends in the window after it, less its cost. "
        "It was learnt in one shop and fits no other.",
        "",
    ]
    return "\n".join(lines)
