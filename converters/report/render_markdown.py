"""report.json as Markdown, for a pull request or a terminal."""

from __future__ import annotations

from typing import Any


def as_markdown(report: dict[str, Any]) -> str:
    lines = ["# INT8 report", "", f"**{report['verdict']['text']}**", "", data_line(report), ""]
    lines += [*_table(("", "FP32", "INT8"), accuracy_rows(report)), ""]
    lines += [*_table(("", *_names(report)), speed_rows(report)), ""]
    lines += [f"Decoding {_latency(report['stages']['decode_ms'])} ms and preprocessing "]
    lines[-1] += f"{_latency(report['stages']['preprocess_ms'])} ms of {report['stages']['clip']}; "
    lines[-1] += f"medians / 95th percentiles of {report['stages']['repeats']} turns."
    lines += ["", report["machine"]["line"]]
    lines += [f"Note: {note}." for note in report["machine"]["notes"]]
    if report["flips"]:
        header = ("clip", "truth", "FP32", "INT8", "its score fell by")
        lines += [
            "",
            "## Clips with another answer in INT8",
            "",
            *_table(header, flip_rows(report)),
        ]
    if report["data"]["unreadable"]:
        lines += ["", "## Left out", ""] + [f"- {text}" for text in report["data"]["unreadable"]]
    return "\n".join(lines) + "\n"


def accuracy_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """(what, FP32, INT8), the last ones of both together."""
    fp32, int8 = report["fp32"], report["int8"]
    rows: list[tuple[str, ...]] = [
        ("top-1", _with_interval(fp32), _with_interval(int8)),
        ("top-5", _percent(fp32["top5"]), _percent(int8["top5"])),
        (
            "mean class recall",
            _percent(fp32["mean_class_recall"]),
            _percent(int8["mean_class_recall"]),
        ),
    ]
    difference, test = report["top1_difference"], report["mcnemar"]
    low, high = difference["interval"]
    rows += [
        (
            "difference of top-1, paired 95 % interval",
            "",
            f"{100 * difference['point']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})",
        ),
        (
            "right in one alone (McNemar)",
            str(test["fp32_only"]),
            f"{test['int8_only']} (p {test['p']:.2f})",
        ),
        ("same answer", "", _percent(report["agreement"])),
        ("score of FP32's answer moves by, mean / p95 / max", "", _three(report, "score", 3)),
        ("logits move by, mean / p95 / max", "", _three(report, "logit", 2)),
    ]
    return rows


def speed_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """(what, one value a contender)."""
    names = _names(report)
    models = [report[name.lower()] for name in names]

    def row(what: str, texts: list[str]) -> tuple[str, ...]:
        return (what, *texts)

    base = report["fp32"]["latency_ms"]["median"]
    times = [base / m["latency_ms"]["median"] for m in models]
    return [
        row("network, ms, median / p95", [_latency(m["latency_ms"]) for m in models]),
        row("the same on 1 thread", [_latency(m["latency_ms_1_thread"]) for m in models]),
        row("times as fast as FP32", [f"{t:.2f}" for t in times]),
        row("decode + preprocess + network, ms", [f"{m['total_ms']:.1f}" for m in models]),
        row("clips a second, compiled for throughput (requests)", [_busy(m) for m in models]),
        row("float precision executed", [m["precision_executed"] for m in models]),
        row("size, MB", [_size(m) for m in models]),
        row("load, ms, cold / cached", [_load(m) for m in models]),
        row("peak memory, MB", [_peak(m) for m in models]),
    ]


def flip_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            flip["path"],
            flip["label"],
            f"{flip['fp32']} ({flip['fp32_score']:.2f})",
            flip["int8"],
            f"{flip['moved']:.2f}",
        )
        for flip in report["flips"]
    ]


def data_line(report: dict[str, Any]) -> str:
    data = report["data"]
    split = f", split {data['split']}" if data["split"] else ""
    groups = f" of {data['groups']} groups" if data["groups"] else ""
    left_out = f", {len(data['unreadable'])} left out" if data["unreadable"] else ""
    known = f", {data['calibrated']} of them among these" if data["calibrated"] else ""
    return (
        f"{data['clips']} clips{groups}, {len(report['labels'])} classes: {data['name']}{split}, "
        f"sampling {data['sampling']}{left_out}. INT8 by recipe {report['int8']['recipe'] or '?'}, "
        f"calibrated with {report['int8']['calibration_clips']} clips{known}."
    )


def _names(report: dict[str, Any]) -> list[str]:
    return ["FP32", "BF16", "INT8"] if report["bf16"] else ["FP32", "INT8"]


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Cells may hold what is a column's end in Markdown."""
    lines = [header, tuple("---" for _ in header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _with_interval(model: dict[str, Any]) -> str:
    low, high = model["top1_interval"]
    return f"{100 * model['top1']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _three(report: dict[str, Any], what: str, digits: int) -> str:
    values = report[f"{what}_difference"]
    return " / ".join(f"{values[name]:.{digits}f}" for name in ("mean", "p95", "max"))


def _latency(latency: dict[str, float]) -> str:
    return f"{latency['median']:.1f} / {latency['p95']:.1f}"


def _busy(model: dict[str, Any]) -> str:
    return f"{model['clips_per_s']:.1f} ({model['requests']})"


def _size(model: dict[str, Any]) -> str:
    return f"{model['size_bytes'] / 1e6:.1f}" if "size_bytes" in model else ""


def _load(model: dict[str, Any]) -> str:
    if "load_ms_cold" not in model:
        return ""
    return f"{model['load_ms_cold']:.0f} / {model['load_ms_cached']:.0f}"


def _peak(model: dict[str, Any]) -> str:
    peak = model.get("peak_rss_bytes")
    return "" if peak is None else f"{peak / 1e6:.0f}"
