"""What the operator of the service may set: addresses and limits, read once at start.

Every field is ``NUDGE_SERVING_<NAME>``; the shop itself is in ``feature_repo.settings``.
Next: ``schemas.py``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServingSettings(BaseSettings):
    """The environment of one service. Every field is ``NUDGE_SERVING_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="NUDGE_SERVING_", frozen=True)

    bundle: Path | None = Field(
        None, description="model bundle folder to serve in place of the promoted one"
    )
    policy: Path | None = Field(
        None, description="policy bundle folder to serve in place of the promoted one"
    )
    campaign: str = Field(
        "default", min_length=1, description="campaign of a /decide that names none"
    )
    refresh_check_s: float = Field(
        30.0, gt=0, description="seconds between two looks whether a new UTC day began"
    )
    model_stale_days: float = Field(
        120.0, gt=0, description="days after its last training data when a model counts as stale"
    )
    retry_s: float = Field(
        1.0, gt=0, description="seconds between two looks whether a store that failed is back"
    )
    num_threads: int = Field(1, ge=1, le=64, description="threads of ONNX Runtime for one request")
    require_keys: bool | None = Field(
        None,
        description="whether requests need an API key; unset: once a key was made, and wherever "
        "the service can be reached from another machine",
    )
    keys_file: Path | None = Field(
        None, description="file of the API keys; default: keys.json in NUDGE_HOME"
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="greatest body of a request, bytes")
    rate_per_s: float = Field(
        500.0, gt=0, description="requests a second that one key may send to one worker"
    )
    rate_burst: int = Field(
        2000, ge=1, description="requests that one key may send at once, before the rate counts"
    )
    holdout_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of shoppers that gets no intervention at all, to show what all bring",
    )
    outbox: Literal["", "webhook", "file", "log"] = Field(
        "", description="where decided actions are sent; empty: whoever asks acts on the answer"
    )
    outbox_url: str | None = Field(
        None, repr=False, description="address that a webhook posts to; nothing else is asked"
    )
    outbox_file: Path | None = Field(
        None, description="file of JSON lines; default: outbox.jsonl in NUDGE_HOME"
    )
    outbox_tries: int = Field(8, ge=1, description="tries after which a message is dead")
    outbox_timeout_s: float = Field(
        10.0, gt=0, le=300, description="seconds that a receiver may take to answer"
    )
    slate: Path | None = Field(
        None, description="bundle folder of a slate that orders /recommend, learnt from clicks"
    )
    slate_temperature: float | None = Field(
        None,
        ge=0,
        le=100,
        description="how much of the order of /recommend is left to chance; unset: nothing, or "
        "what the slate was made with",
    )
    cors_origins: str = Field(
        "", description="origins whose web pages may call the service, separated by commas"
    )

    def keys_path(self, home: Path) -> Path:
        """Where the API keys of the shop in `home` are kept."""
        return self.keys_file or home / "keys.json"

    @property
    def origins(self) -> list[str]:
        """The origins of `cors_origins`."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """What a shop serves, by tags in BentoML's model store; ``NUDGE_HOME/promoted.json``."""

    model: str
    policy: str
    promoted_at: str
    """ISO 8601, UTC."""
    source: str
    """Folder that the model came from."""
    judged: dict[str, Any] | None = None
    """What the log said of the policy before it was promoted; None: it was not asked."""
    forced: str = ""
    """Why the policy was promoted although the log did not speak for it."""

    @classmethod
    def read(cls, home: Path) -> Self | None:
        """What `home` serves, None when nothing was promoted."""
        history = cls.history(home)
        return history[-1] if history else None

    @classmethod
    def history(cls, home: Path) -> list[Self]:
        """Every promotion of `home`, the latest last."""
        path = home / "promoted.json"
        if not path.exists():
            return []
        return [cls(**line) for line in json.loads(path.read_text(encoding="utf-8"))["history"]]

    def keep(self, home: Path) -> None:
        """Make this the promotion of `home`, in one step, after those before it."""
        lines = [asdict(line) for line in (*self.history(home), self)]
        home.mkdir(parents=True, exist_ok=True)
        partial = home / "promoted.json.partial"
        text = json.dumps({"serving": lines[-1], "history": lines}, indent=1)
        partial.write_text(text, encoding="utf-8")
        partial.replace(home / "promoted.json")
