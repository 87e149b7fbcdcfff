"""When scores are an event: the options of the detector, as a record and as a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from ppsdk.result_files import write_whole

Smoothing = Literal["none", "mean", "ema"]

# What per_class may give a class of its own.
OF_ONE_CLASS = (
    "on_threshold",
    "off_threshold",
    "min_duration_s",
    "merge_gap_s",
    "cooldown_s",
    "max_duration_s",
)
# Labels that mean "nothing": `ppsdk train` names the rest of a recording so, the work cell idles.
NOTHING_LABELS = ("background", "idle")


@dataclass(frozen=True)
class Contradiction:
    """names: of the options in it, first the one that is told of. label: of the class whose own
    options have a part in it; None for what all classes have.
    """

    names: tuple[str, ...]
    told: str
    label: str | None = None

    def __str__(self) -> str:
        return self.told if self.label is None else f"per_class {self.label!r}: {self.told}"


class ContradictoryOptions(ValueError):
    """found: all that contradict each other."""

    def __init__(self, found: Sequence[Contradiction]) -> None:
        super().__init__("; ".join(map(str, found)))
        self.found = tuple(found)


@dataclass(frozen=True)
class EventOptions:
    """What is not given is off: equal neighbouring windows are then one event, by their best label.

    smoothing: of scores over the last smoothing_windows windows before they decide: "mean", or
    "ema", an exponential average with a weight of 2 / (smoothing_windows + 1) for the newest.
    on_threshold: the score, 0 to 1, that starts an event. off_threshold: below it the event ends;
    on_threshold unless given. min_duration_s: a shorter event is not told. merge_gap_s: an event
    goes on after a gap of no more. cooldown_s: how long after an event none of its class starts.
    max_duration_s: a longer event is cut, and another starts there.
    update_interval_s: a running event is told of again after so long.
    background: labels that are no event. unknown_below: a window whose best score is lower is of
    no class. independent: every class on its own, by on_threshold, so that several go on at once;
    otherwise at most one does, the best of those that pass.
    per_window: one event a window whose best label passes on_threshold and is no background; goes
    with on_threshold, unknown_below and background only.
    per_class: label -> {name: value}, values of OF_ONE_CLASS that differ for a class.
    Raises ValueError for values that are none, ContradictoryOptions for those that contradict each
    other.
    """

    smoothing: Smoothing = "none"
    smoothing_windows: int = 3
    on_threshold: float | None = None
    off_threshold: float | None = None
    min_duration_s: float | None = None
    merge_gap_s: float | None = None
    cooldown_s: float | None = None
    max_duration_s: float | None = None
    update_interval_s: float | None = None
    background: Sequence[str] = ()
    unknown_below: float | None = None
    independent: bool = False
    per_window: bool = False
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        is_list = isinstance(self.background, (list, tuple))
        if not is_list or not all(isinstance(label, str) for label in self.background):
            raise ValueError(f"background is {self.background!r}: must be a list of labels")
        object.__setattr__(self, "background", tuple(self.background))
        self._check_choices()
        for name in ("on_threshold", "off_threshold", "unknown_below"):
            _check(name, getattr(self, name), "0 to 1", lambda value: 0 <= value <= 1)
        for name in ("min_duration_s", "merge_gap_s", "cooldown_s", "update_interval_s"):
            _check(name, getattr(self, name), "0 s or more", lambda value: value >= 0)
        _check("max_duration_s", self.max_duration_s, "more than 0 s", lambda value: value > 0)
        self._check_classes()
        found = [*self._contradictions(), *self._contradictions_of_classes()]
        if found:
            raise ContradictoryOptions(found)

    def of_class(self, label: str) -> EventOptions:
        """The options of one class, its own in place of the common ones."""
        if not self.per_class:
            return self
        own: dict[str, Any] = dict(self.per_class.get(label, {}))
        return replace(self, **own, per_class={})

    def to_dict(self) -> dict[str, Any]:
        """All options as JSON-ready values; null is off."""
        own = {label: dict(values) for label, values in self.per_class.items()}
        return {**asdict(replace(self, per_class={})), "background": [*self.background]} | {
            "per_class": own
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EventOptions:
        """Raises ValueError for names that are no options."""
        names = [option.name for option in fields(cls)]
        unknown = sorted(set(values) - set(names))
        if unknown:
            near = get_close_matches(unknown[0], names, 1)
            meant = f" (is {near[0]} meant?)" if near else ""
            raise ValueError(
                f"{', '.join(unknown)}: no such option{meant}, there are {', '.join(names)}"
            )
        return cls(**values)

    def check_labels(self, labels: Sequence[str]) -> None:
        """Raises ValueError where an option names a label that is not there."""
        for name, named in (("background", self.background), ("per_class", self.per_class)):
            unknown = [label for label in named if label not in labels]
            if unknown:
                raise ValueError(
                    f"{name} {', '.join(map(repr, unknown))}: not among the labels "
                    f"{', '.join(labels[:10])}"
                )

    def _check_choices(self) -> None:
        if self.smoothing not in get_args(Smoothing):
            choices = ", ".join(get_args(Smoothing))
            raise ValueError(f"smoothing is {self.smoothing!r}: must be one of {choices}")
        windows = self.smoothing_windows
        if isinstance(windows, bool) or not isinstance(windows, int) or windows < 1:
            raise ValueError(f"smoothing_windows is {windows!r}: must be a whole number, 1 or more")
        for name in ("independent", "per_window"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}: must be true or false")

    def _check_classes(self) -> None:
        own_of = self.per_class
        if not isinstance(own_of, dict) or not all(isinstance(v, dict) for v in own_of.values()):
            raise ValueError(f"per_class is {own_of!r}: must be label -> {{option: value}}")
        for label, own in own_of.items():
            unknown = sorted(set(own) - set(OF_ONE_CLASS))
            if unknown:
                raise ValueError(
                    f"per_class {label!r}: {', '.join(unknown)}: must be of "
                    f"{', '.join(OF_ONE_CLASS)}"
                )

    def _contradictions(self) -> Iterator[Contradiction]:
        on, off = self.on_threshold, self.off_threshold
        if off is not None and (on is None or off > on):
            told = f"off_threshold is {off}: must be no more than on_threshold, {on}"
            yield Contradiction(("off_threshold", "on_threshold"), told)
        if self.independent and on is None:
            told = "independent classes need an on_threshold"
            yield Contradiction(("independent", "on_threshold"), told)
        least_s, most_s = self.min_duration_s or 0, self.max_duration_s or math.inf
        if most_s < least_s:
            told = f"max_duration_s is {most_s}: must be no less than min_duration_s, {least_s}"
            yield Contradiction(("max_duration_s", "min_duration_s"), told)
        others = [*self._not_per_window()]
        if self.per_window and others:
            told = f"per_window does not go with {', '.join(others)}"
            yield Contradiction(("per_window", *others), told)

    def _not_per_window(self) -> Iterator[str]:
        """What is given of what a window of its own has no use for."""
        alone = ("on_threshold", "unknown_below", "background", "per_window", "per_class")
        for option in fields(self):
            if option.name not in (*alone, "smoothing_windows", "update_interval_s"):
                if getattr(self, option.name) != option.default:
                    yield option.name

    def _contradictions_of_classes(self) -> Iterator[Contradiction]:
        for label, own in self.per_class.items():
            try:
                self.of_class(label)
            except ContradictoryOptions as error:
                # Without any option of its own it is that of all.
                yield from (replace(c, label=label) for c in error.found if {*own} & {*c.names})
            except ValueError as error:
                raise ValueError(f"per_class {label!r}: {error}") from None


def stream_options(labels: Sequence[str], *, stride_s: float) -> EventOptions:
    """What `ppsdk run` uses unless told otherwise: an event starts where a label has most of the
    score, bridges one window that disagrees, and is told of every half minute while it lasts.
    """
    return EventOptions(
        on_threshold=0.5,
        off_threshold=0.4,
        merge_gap_s=stride_s,
        update_interval_s=30.0,
        background=[label for label in NOTHING_LABELS if label in labels],
    )


def overridden(options: EventOptions, given: Mapping[str, Any]) -> EventOptions:
    """With what is given in place of the same options. Raises as EventOptions does."""
    given = dict(given)
    if "on_threshold" in given and "off_threshold" not in given:
        # The other one may be above it.
        on, off = given["on_threshold"], options.off_threshold
        given["off_threshold"] = on if off is None else min(off, on)
    if given.get("per_window", options.per_window):
        given.pop("off_threshold", None)
    return replace(options, **given)


def read_options(file: Path) -> EventOptions:
    """Raises ValueError, naming the file, for one that has no such options."""
    try:
        values = json.loads(file.read_text("utf-8-sig"))
        if not isinstance(values, dict):
            raise ValueError("must be a JSON object of options")
        return EventOptions.from_dict(values)
    except (OSError, ValueError, TypeError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{file}: no event options ({what})") from None


def write_options(options: EventOptions, file: Path) -> None:
    write_whole(file, json.dumps(options.to_dict(), indent=1, ensure_ascii=False) + "\n")


def _check(name: str, value: Any, accepted: str, is_right: Any) -> None:
    if value is None:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not is_right(value):
        raise ValueError(f"{name} is {value!r}: must be {accepted}")
