"""Pictures of a report, as SVG. Colours are Okabe and Ito's, which the colour-blind tell apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

FP32, BF16, INT8 = "#0072b2", "#009e73", "#d55e00"
INK, FAINT, GRID = "#1a1a1a", "#6b6b6b", "#d9d9d9"
STAGES = ("#bdbdbd", "#8c8c8c")  # decode, preprocess
WIDTH, LEFT, RIGHT, ROW = 720, 150, 70, 26


def difference_chart(point: float, interval: Sequence[float], max_drop: float) -> str:
    """The top-1 difference with its interval, zero, and what the user accepts; all shares."""
    values = [100 * v for v in (point, *interval, 0.0, -max_drop)]
    reach = max(1.0, 1.25 * max(abs(value) for value in values))
    x = _axis(-reach, reach)
    y = 34
    parts = [_text(LEFT, 14, "INT8 less FP32, points of top-1", anchor="start")]
    for tick in _ticks(-reach, reach):
        parts.append(_line(x(tick), 22, x(tick), 48, GRID))
        parts.append(_text(x(tick), 62, f"{tick:+g}" if tick else "0"))
    limit = x(-100 * max_drop)
    parts.append(_line(limit, 20, limit, 50, FAINT, dash="4 3"))
    parts.append(_text(limit, 78, f"accepted: {-100 * max_drop:g}", colour=FAINT))
    parts.append(_line(x(0), 20, x(0), 50, INK))
    low, high = (x(100 * bound) for bound in interval)
    parts.append(_line(low, y, high, y, INT8, width=3))
    parts += [_line(end, y - 6, end, y + 6, INT8, width=2) for end in (low, high)]
    parts.append(f'<circle cx="{x(100 * point):.1f}" cy="{y}" r="5" fill="{INT8}"/>')
    return _svg(86, parts, "Top-1 difference with its 95 % interval")


def latency_chart(rows: Sequence[tuple[str, float, float, float, float]]) -> str:
    """rows: (name, decode, preprocess, network, network's p95), in ms."""
    x = _axis(0, 1.08 * max(d + p + max(n, p95) for _, d, p, n, p95 in rows))
    parts = []
    for i, (name, decode, preprocess, network, p95) in enumerate(rows):
        top = 24 + ROW * i
        colour = {"fp32": FP32, "bf16": BF16, "int8": INT8}[name]
        starts = (0.0, decode, decode + preprocess)
        widths = (decode, preprocess, network)
        for start, width, fill in zip(starts, widths, (*STAGES, colour), strict=True):
            parts.append(_bar(x(start), top, x(start + width) - x(start), 16, fill))
        end = x(decode + preprocess + p95)
        parts.append(_line(x(sum(widths)), top + 8, end, top + 8, colour, width=2))
        parts.append(_line(end, top + 3, end, top + 13, colour, width=2))
        parts.append(_text(LEFT - 8, top + 13, name.upper(), anchor="end"))
        parts.append(_text(end + 6, top + 13, f"{network:.1f} ms", anchor="start"))
    key = (("decode", STAGES[0]), ("preprocess", STAGES[1]), ("network (line: to p95)", INK))
    for i, (name, colour) in enumerate(key):
        parts.append(_bar(LEFT + 120 * i, 4, 10, 10, colour))
        parts.append(_text(LEFT + 120 * i + 14, 13, name, anchor="start", colour=FAINT))
    return _svg(34 + ROW * len(rows), parts, "Milliseconds a window")


def recall_chart(rows: Sequence[tuple[str, float, float, int]]) -> str:
    """rows: (label, recall of FP32, recall of INT8, clips), shares."""
    x = _axis(0, 100)
    parts = [_line(x(t), 20, x(t), 24 + ROW * len(rows), GRID) for t in (0, 25, 50, 75, 100)]
    parts += [_text(x(t), 14, f"{t} %", colour=FAINT) for t in (0, 25, 50, 75, 100)]
    for i, (label, fp32, int8, clips) in enumerate(rows):
        y = 36 + ROW * i
        one, other = x(100 * fp32), x(100 * int8)
        parts.append(_text(LEFT - 8, y + 4, _short(label), anchor="end"))
        parts.append(_line(one, y, other, y, FAINT, width=2))
        parts.append(
            f'<circle cx="{one:.1f}" cy="{y}" r="7" fill="none" stroke="{FP32}" '
            'stroke-width="2.5"/>'
        )
        parts.append(f'<circle cx="{other:.1f}" cy="{y}" r="3.5" fill="{INT8}"/>')
        parts.append(
            _text(WIDTH - 4, y + 4, f"{clips} clip{'s' * (clips > 1)}", anchor="end", colour=FAINT)
        )
    return _svg(30 + ROW * len(rows), parts, "Recall of each class: ring FP32, dot INT8")


def confusion_chart(labels: Sequence[str], confusion: Sequence[Sequence[int]], colour: str) -> str:
    """Rows are the truth, columns the answers; shade is the share of the row."""
    cell = max(14, min(34, 560 // max(1, len(labels))))
    top = 24 + 4.5 * max(len(_short(label)) for label in labels)  # slanted names stand there
    parts = []
    for j, label in enumerate(labels):
        at = LEFT + cell * (j + 0.5)
        parts.append(
            f'<text x="{at:.1f}" y="{top - 6}" transform="rotate(-45 {at:.1f} {top - 6})" '
            f'font-size="11" fill="{INK}">{escape(_short(label))}</text>'
        )
    for i, row in enumerate(confusion):
        y = top + cell * i
        parts.append(_text(LEFT - 8, y + cell / 2 + 4, _short(labels[i]), anchor="end"))
        for j, count in enumerate(row):
            share = count / max(1, sum(row))
            said = f"{labels[i]} taken for {labels[j]}: {count}"
            parts.append(
                f'<rect x="{LEFT + cell * j}" y="{y}" width="{cell - 1}" height="{cell - 1}" '
                f'fill="{colour}" fill-opacity="{0.06 + 0.94 * share:.3f}">'
                f"<title>{escape(said)}</title></rect>"
            )
            if count and cell >= 18:
                ink = "#ffffff" if share > 0.55 else INK
                at = LEFT + cell * (j + 0.5) - 0.5
                parts.append(_text(at, y + cell / 2 + 4, str(count), colour=ink))
    width = LEFT + cell * len(labels) + 70
    return _svg(top + cell * len(labels) + 6, parts, "Confusion matrix", width=width)


def sensitivity_chart(rows: Sequence[tuple[str, float, float]], all_int8: float) -> str:
    """rows: (layer, how far scores move with it alone in INT8, and with all but it)."""
    x = _axis(0, 1.1 * max(all_int8, *(value for _, *values in rows for value in values), 1e-6))
    bottom = 34 + 20 * len(rows)
    parts = [_text(LEFT, 14, "mean movement of the best label's score", anchor="start")]
    parts.append(_line(x(all_int8), 22, x(all_int8), bottom, INK, dash="4 3"))
    parts.append(_text(x(all_int8), bottom + 14, f"all in INT8: {all_int8:.4f}"))
    for i, (layer, alone, released) in enumerate(rows):
        top = 28 + 20 * i
        parts.append(_text(LEFT - 8, top + 10, layer, anchor="end"))
        parts.append(_bar(x(0), top, x(alone) - x(0), 12, INT8))
        parts.append(f'<circle cx="{x(released):.1f}" cy="{top + 6}" r="4" fill="{FP32}"/>')
    said = "Bar: this layer alone in INT8. Dot: all in INT8 but this layer"
    parts.append(_text(LEFT, bottom + 32, said, anchor="start", colour=FAINT))
    return _svg(bottom + 40, parts, said)


def _axis(low: float, high: float) -> Callable[[float], float]:
    """Values to pixels, left to right."""
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    return lambda value: LEFT + (value - low) * scale


def _ticks(low: float, high: float) -> list[float]:
    """Round values between, zero among them, six at most on a side."""
    step = next(s for s in (0.25, 0.5, 1, 2, 5, 10, 20, 50) if high / s <= 6)
    count = int(high / step)
    return [step * i for i in range(-count, count + 1)]


def _svg(height: float, parts: Sequence[str], title: str, *, width: float = WIDTH) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" font-family="system-ui, sans-serif">'
        f"<title>{escape(title)}</title>\n{body}\n</svg>"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "middle", colour: str = INK) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def _line(
    x0: float, y0: float, x1: float, y1: float, colour: str, *, width: float = 1, dash: str = ""
) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}" '
        f'fill="{colour}"/>'
    )


def _short(label: str) -> str:
    return label if len(label) <= 20 else label[:19] + "…"
