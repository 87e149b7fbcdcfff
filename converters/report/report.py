"""`ppsdk report`: measure, judge, and write report.json, report.md and report.html."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converters.report.accuracy import Accuracy, ModelAccuracy, ask_both, compare
from converters.report.machine import Machine, this_machine
from converters.report.render_html import as_html
from converters.report.render_markdown import as_markdown
from converters.report.speed import Speed, measure_speed
from converters.report.verdict import Limits, Verdict, judge
from ppsdk.errors import ModelError
from ppsdk.facts import ModelFacts
from ppsdk.manifest import LabelledClip, read_manifest
from ppsdk.model import Network, file_sha256
from ppsdk.result_files import write_whole
from ppsdk.sampling import Sampling
from ppsdk.version import __version__

ShowProgress = Callable[[Iterable[Any], str], Iterable[Any]]

FORMAT = 1
SCHEMA = Path(__file__).parent / "report.schema.json"
REPEATS = 30


@dataclass(frozen=True)
class ReportOptions:
    """split: of the manifest, all of it unless given. repeats: of each timing."""

    split: str | None = None
    sampling: Sampling = "full"
    limits: Limits = Limits()
    repeats: int = REPEATS


@dataclass(frozen=True)
class Report:
    """All that the three files show."""

    data: str
    split: str | None
    sampling: str
    facts: dict[str, ModelFacts]
    unreadable: tuple[str, ...]
    calibrated: int
    accuracy: Accuracy
    speed: Speed
    machine: Machine
    limits: Limits
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; what it holds is in report.schema.json."""
        accuracy = self.accuracy
        seen = accuracy.agreement
        return {
            "format": FORMAT,
            "ppsdk_version": __version__,
            "data": {
                "name": self.data,
                "split": self.split,
                "sampling": self.sampling,
                "clips": accuracy.clips,
                "groups": accuracy.groups,
                "unreadable": list(self.unreadable),
                "calibrated": self.calibrated,
            },
            "labels": list(self.facts["fp32"].labels),
            "fp32": self._model("fp32", accuracy.fp32),
            "bf16": self._contender("bf16") if "bf16" in self.speed.contenders else None,
            "int8": self._model("int8", accuracy.int8),
            "agreement": seen.top1,
            "speedup": self.speed.speedup,
            "top1_difference": {
                "point": accuracy.difference,
                "interval": list(accuracy.difference_interval),
            },
            "mcnemar": {
                "fp32_only": accuracy.fp32_only,
                "int8_only": accuracy.int8_only,
                "p": accuracy.p,
            },
            "score_difference": {
                "mean": seen.score_mean,
                "p95": seen.score_p95,
                "max": seen.score_max,
            },
            "logit_difference": {
                "mean": seen.logit_mean,
                "p95": seen.logit_p95,
                "max": seen.logit_max,
            },
            "classes": [asdict(row) for row in accuracy.classes],
            "flips": [asdict(flip) for flip in accuracy.flips],
            "stages": {
                "clip": self.speed.clip,
                "repeats": self.speed.repeats,
                "decode_ms": asdict(self.speed.decode_ms),
                "preprocess_ms": asdict(self.speed.preprocess_ms),
            },
            "machine": {**_plain(asdict(self.machine)), "line": self.machine.line},
            "limits": asdict(self.limits),
            "verdict": _plain(asdict(self.verdict)),
        }

    def _model(self, name: str, accuracy: ModelAccuracy) -> dict[str, Any]:
        loading, facts = self.speed.loading[name], self.facts[name]
        return {
            "top1": accuracy.top1,
            "top1_interval": list(accuracy.top1_interval),
            "top5": accuracy.top5,
            "mean_class_recall": accuracy.mean_class_recall,
            "confusion": [list(row) for row in accuracy.confusion],
            **self._contender(name),
            **asdict(loading),
            "precision": facts.precision,
            "recipe": facts.recipe,
            "calibration_clips": facts.calibration_clips,
            "source_sha256": facts.source_sha256,
        }

    def _contender(self, name: str) -> dict[str, Any]:
        contender = self.speed.contenders[name]
        return {
            "precision_executed": contender.precision_executed,
            "latency_ms": asdict(contender.latency_ms),
            "latency_ms_1_thread": asdict(contender.latency_ms_1_thread),
            "total_ms": self.speed.total_ms(name),
            "clips_per_s": contender.clips_per_s,
            "requests": contender.requests,
        }


def make_report(
    fp32_dir: Path,
    int8_dir: Path,
    data: Path,
    out: Path,
    options: ReportOptions = ReportOptions(),
    *,
    progress: ShowProgress = lambda items, label: items,
) -> Report:
    """Write report.json, report.md and report.html to `out`, with what the models answered, so that
    a run that was killed goes on there.

    data: a manifest.csv, or a folder with one. Raises ModelError where the two are not FP32 and
    INT8 of one network, VideoError where no clip can be read.
    """
    folders = {"fp32": fp32_dir, "int8": int8_dir}
    models = {name: Network(folder) for name, folder in folders.items()}
    facts = {name: network.facts for name, network in models.items()}
    _check_pair(folders, facts)
    clips = read_manifest(data, split=options.split, labels=facts["fp32"].labels)
    answers = ask_both(
        models,
        clips,
        out,
        sampling=options.sampling,
        key=" ".join(file_sha256(folder / "model.bin") for folder in folders.values())
        + f" {facts['fp32'].length_s:g} s",
        progress=lambda items: progress(items, "clips"),
    )
    accuracy = compare(answers)
    speed = measure_speed(
        folders,
        _middle(answers.clips),
        repeats=options.repeats,
        progress=lambda items: progress(items, "timing"),
    )
    report = Report(
        data=data.name,
        split=options.split,
        sampling=options.sampling,
        facts=facts,
        unreadable=answers.unreadable,
        calibrated=answers.calibrated,
        accuracy=accuracy,
        speed=speed,
        machine=this_machine(),
        limits=options.limits,
        verdict=judge(accuracy, speed.speedup, options.limits, calibrated=answers.calibrated),
    )
    told = report.to_dict()
    write_whole(out / "report.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    write_whole(out / "report.md", as_markdown(told))
    write_whole(out / "report.html", as_html(told))
    return report


def _check_pair(folders: dict[str, Path], facts: dict[str, ModelFacts]) -> None:
    for name, precision in (("fp32", "FP32"), ("int8", "INT8")):
        if facts[name].precision != precision:
            raise ModelError(f"{folders[name]}: is {facts[name].precision}: must be {precision}")
    for fact in ("labels", "source_sha256", "num_segments", "image_size", "length_s"):
        one, other = (getattr(facts[name], fact) for name in ("fp32", "int8"))
        if one != other:
            raise ModelError(
                f"{folders['int8']}: has other {fact} than {folders['fp32']}: must be made from it"
            )


def _middle(clips: tuple[LabelledClip, ...]) -> LabelledClip:
    """A clip of middling size, to time with."""
    return sorted(clips, key=lambda clip: (clip.path.stat().st_size, clip.name))[len(clips) // 2]


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
