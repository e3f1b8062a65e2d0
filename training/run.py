"""A run, whole: what is learnt, from which time, by which network and how its parameters move.

A ``Run`` is a value. It is written to ``run.json`` beside what came of it, and reading that file
gives an equal run. Recipes (``recipes.py``) are functions that return one. Next: ``fit.py``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, Self, get_type_hints

from training.methods import METHODS, Full, Method
from training.methods.gradients import OptimConfig
from training.models.config import ModelConfig, check_positive

__all__ = ["SIZES", "Calendar", "ModelConfig", "OptimConfig", "Run"]

DAY = 86_400_000_000
SIZES = ("tiny", "small", "base")
Split = Literal["train", "valid", "test"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """Which time belongs to training, validation and test (microseconds since 1970, UTC).

    Training lies before `train_end`, validation in ``[train_end, valid_end)``, test in
    ``[valid_end, test_end)``. No example's time or label window passes the end of its split.
    """

    train_end: int
    valid_end: int
    test_end: int
    horizon_days: int = 90
    """Length of the retention label's window."""
    snapshot_every_days: int = 7
    """Distance between the moments at which every customer is asked about."""

    def __post_init__(self) -> None:
        if not self.train_end <= self.valid_end < self.test_end:
            raise ValueError(
                f"calendar: train_end {self.train_end} <= valid_end {self.valid_end} < test_end "
                f"{self.test_end} does not hold; order the three"
            )
        check_positive(self, "horizon_days", "snapshot_every_days")

    @classmethod
    def from_span(cls, first: int, last: int, horizon_days: int = 90) -> Self:
        """The calendar of a shop whose events lie between `first` and `last` (microseconds).

        The test is the last whole horizon, the validation the one before, and the label windows
        of training close before that.

        Raises
        ------
        ValueError
            When the span holds no training snapshot: it must be longer than three horizons.
        """
        test_start = last // DAY * DAY - horizon_days * DAY
        train_end = test_start - horizon_days * DAY
        if first >= train_end - horizon_days * DAY:
            raise ValueError(
                f"events span {(last - first) / DAY:.0f} days, and training, validation and test "
                f"need more than {3 * horizon_days}; bring older events or lower horizon_days"
            )
        return cls(
            train_end=train_end,
            valid_end=test_start,
            test_end=last + 1,
            horizon_days=horizon_days,
        )

    def window(self, split: Split) -> tuple[int | None, int]:
        """First moment (None: from the beginning) and end (exclusive) of `split`."""
        return {
            "train": (None, self.train_end),
            "valid": (self.train_end, self.valid_end),
            "test": (self.valid_end, self.test_end),
        }[split]

    def snapshots(self, split: Split, first: int, window: int | None = None) -> tuple[int, ...]:
        """Moments of `split` at which every customer is asked about, ascending.

        Each one's label window of a horizon closes inside its split; training's go back to `first`,
        and on to where a shorter `window` (microseconds) closes.
        """
        start, end = self.window(split)
        horizon, step = self.horizon_days * DAY, self.snapshot_every_days * DAY
        latest = end - horizon
        if start is not None:
            return (start,) if start <= latest else ()
        if window is not None:
            latest += (horizon - window) // step * step
        return tuple(range(latest, first, -step))[::-1]

    def refit(self) -> Calendar:
        """The calendar that trains on everything closed before the test; no validation is left."""
        return replace(self, train_end=self.valid_end)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Everything that decides what a training gives, but for the events themselves."""

    name: str
    tasks: tuple[str, ...] = ("next_item", "retention")
    task_weights: tuple[float, ...] = (1.0, 1.0)
    """Weight of each task in the common loss."""
    task_shares: tuple[float, ...] = (1.0, 1.0)
    """Share of each task's training examples that an epoch draws; each epoch draws anew."""
    methods: tuple[Method, ...] = field(default_factory=lambda: (Full(),))
    service: str = "shopper"
    item_service: str = "item"
    calendar: Calendar | None = None
    """None: made from the span of the warehouse's events, with `horizon_days`."""
    horizon_days: int = 90
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    seed: int = 0
    size: str = "small"
    text_encoder: str = "all-MiniLM-L6-v2"
    warm_start: str | None = None
    """Run folder, or recipe name for its newest run, whose weights this run starts from."""
    refit: bool = False
    """Train on everything closed before the test, for as many epochs as validation chose."""

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("run: tasks is empty; name at least one")
        for name in ("task_weights", "task_shares"):
            if len(getattr(self, name)) != len(self.tasks) or min(getattr(self, name)) <= 0:
                raise ValueError(
                    f"run: {name} is {getattr(self, name)}; it must hold one number above 0 for "
                    f"each of the tasks {self.tasks}"
                )
        if self.model.every_position and self.tasks != ("next_item",):
            raise ValueError(
                f"run: model.every_position is a way to learn next_item alone, and tasks are "
                f"{self.tasks}; drop the others or set it to false"
            )
        if self.size not in SIZES:
            raise ValueError(f"run: size is {self.size!r}; choose one of {', '.join(SIZES)}")

    def to_json(self) -> str:
        """This run as text; ``from_json`` gives an equal run back."""
        plain = asdict(self)
        plain["methods"] = [{"name": m.name, **asdict(m)} for m in self.methods]  # type: ignore[call-overload]
        return json.dumps(plain, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The run that ``to_json`` wrote."""
        plain = json.loads(text)
        methods = [dict(m) for m in plain["methods"]]
        plain["methods"] = tuple(METHODS[m.pop("name")](**m) for m in methods)
        plain["tasks"] = tuple(plain["tasks"])
        for name in ("task_weights", "task_shares"):
            plain[name] = tuple(plain[name])
        plain["calendar"] = plain["calendar"] and Calendar(**plain["calendar"])
        plain["model"] = ModelConfig(**plain["model"])
        plain["optim"] = OptimConfig(**plain["optim"])
        return cls(**plain)

    def with_settings(self, settings: dict[str, str]) -> Run:
        """This run with fields replaced, e.g. ``{"optim.num_epochs": "3", "seed": "1"}``.

        Raises
        ------
        ValueError
            For an unknown field or a value of the wrong type.
        """
        return _replaced(self, {tuple(path.split(".")): text for path, text in settings.items()})


def _replaced(config: Any, settings: dict[tuple[str, ...], str], above: str = "") -> Any:
    """`config` with each field (a path of names) set, all at once, to what its text stands for."""
    hints = get_type_hints(type(config))
    names = [f.name for f in fields(config)]
    changes: dict[str, Any] = {}
    for head, *rest in settings:
        if head not in names or (rest and not is_dataclass(getattr(config, head))):
            unknown = above + ".".join([head, *rest])
            raise ValueError(f"there is no setting {unknown!r}; fields here: {', '.join(names)}")
        inner = {path[1:]: text for path, text in settings.items() if path[0] == head and rest}
        if inner:
            changes[head] = _replaced(getattr(config, head), inner, f"{above}{head}.")
        else:
            changes[head] = _parsed(settings[(head,)], hints[head], above + head)
    return replace(config, **changes)


def _parsed(text: str, hint: Any, whole: str) -> Any:
    """The value of type `hint` that `text` stands for."""
    if hint in (str, str | None):
        return text
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    value = tuple(value) if isinstance(value, list) else value
    if hint is float and type(value) is int:
        value = float(value)
    accepted = {int: int, float: float, bool: bool, int | None: int}.get(hint, tuple)
    if type(value) is not accepted:
        raise ValueError(f"setting {whole!r} cannot be {text!r}; it takes {hint}")
    return value
