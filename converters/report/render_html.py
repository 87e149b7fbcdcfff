"""report.json as one HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from converters.report.charts import (
    FP32,
    INT8,
    confusion_chart,
    difference_chart,
    latency_chart,
    recall_chart,
)
from converters.report.render_markdown import accuracy_rows, data_line, flip_rows, speed_rows

MOST_CLASSES_SHOWN = 40  # of a matrix; more cannot be read

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
       max-width: 860px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.verdict { padding: .8rem 1rem; border-left: 6px solid; font-weight: 600; }
.ship { border-color: #009e73; background: #e8f5f0; }
.stay { border-color: #d55e00; background: #fdeee4; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #e3e3e3;
         font-variant-numeric: tabular-nums; vertical-align: top; }
th { font-weight: 600; } svg { max-width: 100%; height: auto; display: block; margin: .5rem 0; }
.faint { color: #6b6b6b; } .scroll { overflow-x: auto; }
"""


def as_html(report: dict[str, Any]) -> str:
    verdict = report["verdict"]
    kind = "ship" if verdict["ship"] else "stay"
    names = ("FP32", "BF16", "INT8") if report["bf16"] else ("FP32", "INT8")
    sections = [
        "<h1>INT8 report</h1>",
        f'<p class="verdict {kind}">{escape(verdict["text"])}</p>',
        f"<p>{escape(data_line(report))}</p>",
        "<h2>Accuracy</h2>",
        _difference(report),
        _table(("", "FP32", "INT8"), accuracy_rows(report)),
        "<h2>Speed</h2>",
        _latencies(report, names),
        _table(("", *names), speed_rows(report)),
        _machine(report),
        *_classes(report),
        *_flips(report),
        *_left_out(report),
    ]
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>INT8 report</title><style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _difference(report: dict[str, Any]) -> str:
    difference = report["top1_difference"]
    return difference_chart(
        difference["point"], difference["interval"], report["limits"]["max_drop"]
    )


def _latencies(report: dict[str, Any], names: Sequence[str]) -> str:
    stages = report["stages"]
    decode, preprocess = stages["decode_ms"]["median"], stages["preprocess_ms"]["median"]
    rows = []
    for name in (name.lower() for name in names):
        latency = report[name]["latency_ms"]
        rows.append((name, decode, preprocess, latency["median"], latency["p95"]))
    return latency_chart(rows)


def _machine(report: dict[str, Any]) -> str:
    machine, stages = report["machine"], report["stages"]
    notes = "".join(f"<br><strong>{escape(note)}</strong>" for note in machine["notes"])
    return (
        f'<p class="faint">{stages["repeats"]} turns each, in turns, on {escape(stages["clip"])}. '
        f"{escape(machine['line'])}{notes}</p>"
    )


def _classes(report: dict[str, Any]) -> list[str]:
    if len(report["classes"]) > MOST_CLASSES_SHOWN:
        changed = sorted(report["classes"], key=lambda row: row["int8_recall"] - row["fp32_recall"])
        rows = changed[:MOST_CLASSES_SHOWN]
        title = f"Recall of the {MOST_CLASSES_SHOWN} classes that lost most"
    else:
        rows, title = report["classes"], "Recall of each class"
    shown = [(r["label"], r["fp32_recall"], r["int8_recall"], r["clips"]) for r in rows]
    sections = [f"<h2>{title}</h2>", '<p class="faint">Ring: FP32. Dot: INT8.</p>']
    sections.append(recall_chart(shown))
    if len(report["labels"]) <= MOST_CLASSES_SHOWN:
        sections.append('<h2>Confusion</h2><p class="faint">Rows: truth. Columns: answers.</p>')
        for name, colour in (("fp32", FP32), ("int8", INT8)):
            chart = confusion_chart(report["labels"], report[name]["confusion"], colour)
            sections.append(f'<h3>{name.upper()}</h3><div class="scroll">{chart}</div>')
    return sections


def _flips(report: dict[str, Any]) -> list[str]:
    if not report["flips"]:
        return []
    header = ("clip", "truth", "FP32", "INT8", "its score fell by")
    return ["<h2>Clips with another answer in INT8</h2>", _table(header, flip_rows(report))]


def _left_out(report: dict[str, Any]) -> list[str]:
    texts = report["data"]["unreadable"]
    if not texts:
        return []
    return ["<h2>Left out</h2>", "<ul>", *(f"<li>{escape(text)}</li>" for text in texts), "</ul>"]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
