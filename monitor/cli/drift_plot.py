"""The plot of `drift`: a small panel a feature, shares of the reference beside those of the data, as SVG.

Written as text, for one kind of picture needs no library. Legible on light and on dark ground.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from typing import NamedTuple

_COLUMNS = 4
_WIDTH, _HEIGHT = 264, 158
_MARGIN = 20
_TOP = 74
"""Above the panels: title and legend."""

_BARS_LEFT, _BARS_TOP, _BARS_WIDTH, _BARS_HEIGHT = 34, 42, 214, 82
_GAP = 10
"""Between the values and the missing ones."""

_STYLE = """
  .title { font: 600 15px sans-serif; } .name { font: 600 12px sans-serif; } text { font: 11px sans-serif; }
  text { fill: #333; } .faint { fill: #666; font-size: 10px; }
  .reference { fill: #a3a3a3; } .live { fill: #2a78d6; } .moved { fill: #d9591b; }
  .unjudged { fill: #777; fill-opacity: 0.12; stroke: #777; }
  .axis { stroke: #888; stroke-width: 1; } .grid { stroke: #888; stroke-width: 0.5; stroke-dasharray: 2 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd; } .faint { fill: #aaa; } .reference { fill: #7d7d7d; }
    .live { fill: #5b9df0; } .moved { fill: #f08148; } .unjudged { fill: #bbb; stroke: #bbb; }
  }
"""


class Panel(NamedTuple):
    """One feature: counts by group of bins, missing values last; `marks` name places on the axis, in groups
    from the left: 1.0 lies between the first and the second group, 1.5 in the middle of the second."""

    title: str
    subtitle: str
    reference: tuple[int, ...]
    live: tuple[int, ...]
    marks: tuple[tuple[float, str], ...]
    drifted: bool | None
    """None: not judged."""

    @property
    def kind(self) -> str:
        """Style of the bars of the data."""
        return "unjudged" if self.drifted is None else "moved" if self.drifted else "live"


def plot_svg(title: str, panels: Sequence[Panel]) -> str:
    """The whole picture, panels in the order given."""
    across = max(2, min(_COLUMNS, len(panels)))
    down = -(-len(panels) // across)
    width = 2 * _MARGIN + across * _WIDTH
    height = _TOP + down * _HEIGHT + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="{_MARGIN}" y="30">{escape(title)}</text>',
        *_legend({panel.kind for panel in panels}),
    ]
    for i, panel in enumerate(panels):
        x, y = _MARGIN + i % across * _WIDTH, _TOP + i // across * _HEIGHT
        parts += [f'<g transform="translate({x} {y})">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _legend(kinds: Collection[str]) -> list[str]:
    parts = []
    x = _MARGIN
    labels = {"reference": "reference", "live": "data", "moved": "data, drifted"}
    if "unjudged" in kinds:
        labels["unjudged"] = "data, not judged"
    for kind, label in labels.items():
        parts.append(f'<rect class="{kind}" x="{x}" y="40" width="10" height="10"/>')
        parts.append(f'<text x="{x + 15}" y="49">{label}</text>')
        x += 30 + 6 * len(label)
    note = "bars are shares of the groups of bins that PSI compares"
    parts.append(f'<text class="faint" x="{_MARGIN}" y="65">{note}</text>')
    return parts


def _panel(panel: Panel) -> list[str]:
    shares = [_shares(panel.reference), _shares(panel.live)]
    kinds = ("reference", panel.kind)
    missing = bool(panel.reference[-1] or panel.live[-1])
    groups = len(panel.reference) - (not missing)
    top = max(max(side) for side in shares) or 1.0
    step = (_BARS_WIDTH - _GAP * missing) / groups
    bar = min(step * 0.42, 16.0)
    base = _BARS_TOP + _BARS_HEIGHT
    right = _BARS_LEFT + _BARS_WIDTH
    parts = [
        f'<text class="name" x="4" y="14">{escape(_cut(panel.title, 34))}</text>',
        f'<text class="faint" x="4" y="29">{escape(panel.subtitle)}</text>',
        f'<line class="grid" x1="{_BARS_LEFT}" x2="{right}" y1="{_BARS_TOP}" y2="{_BARS_TOP}"/>',
        f'<text class="faint" x="{_BARS_LEFT - 4}" y="{_BARS_TOP + 4}" text-anchor="end">{top:.0%}</text>',
    ]
    for group in range(groups):
        shift = _GAP if missing and group == groups - 1 else 0
        middle = _BARS_LEFT + (group + 0.5) * step + shift
        for side, kind, x in zip(shares, kinds, (middle - bar, middle), strict=True):
            height = side[group] / top * _BARS_HEIGHT
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{base - height:.1f}" width="{bar:.1f}" '
                f'height="{height:.1f}"/>'
            )
    parts.append(f'<line class="axis" x1="{_BARS_LEFT}" x2="{right}" y1="{base}" y2="{base}"/>')
    for place, label in panel.marks:
        x = _BARS_LEFT + place * step
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 3}"/>')
        parts.append(_label(label, x, base + 13, "middle"))
    if missing:
        parts.append(_label("missing", right + 4, base + 25, "end"))
    return parts


def _label(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text class="faint" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}\u2026"
