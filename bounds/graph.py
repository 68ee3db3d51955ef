"""The theorems as a graph in SVG: a box a theorem, coloured by status, and an arrow to what its proof uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from bounds.theorems.theorem import Theorem

COLOURS = {"proved": "#d7ebd0", "argued": "#fbe9b7", "sampled": "#dde6f4", "broken": "#f4c2bd"}
BORDERS = {"proved": "#3f7d34", "argued": "#a67c00", "sampled": "#48699c", "broken": "#a12a1e"}
COLUMNS = 5
TITLE = "Theorems by status; an arrow points to what a proof rests on"
WIDTH, HEIGHT, GAP_X, GAP_Y, TOP = 210, 30, 58, 12, 78


def _columns(theorems: Sequence[Theorem]) -> list[list[Theorem]]:
    """The theorems in their order, in columns of nearly equal length, each column ordered as written."""
    length = -(-len(theorems) // COLUMNS)
    return [list(theorems[at : at + length]) for at in range(0, len(theorems), length)]


def draw(theorems: Sequence[Theorem], statuses: Mapping[str, str]) -> str:
    """The text of the SVG; the same theorems and statuses give the same text."""
    columns = _columns(theorems)
    place = {
        theorem.key: (20 + c * (WIDTH + GAP_X), TOP + i * (HEIGHT + GAP_Y))
        for c, column in enumerate(columns)
        for i, theorem in enumerate(column)
    }
    width = 40 + len(columns) * (WIDTH + GAP_X) - GAP_X
    height = TOP + max(map(len, columns)) * (HEIGHT + GAP_Y) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{TITLE}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#555"/></marker></defs>',
        *_legend(statuses),
    ]
    for theorem in theorems:
        for needed in theorem.needs:
            lines.append(_arrow(place[theorem.key], place[needed]))
    for theorem in theorems:
        x, y = place[theorem.key]
        standing = statuses[theorem.key]
        lines.append(
            f"<g><title>{escape(theorem.title)} ({', '.join(theorem.claims)}): {standing}</title>"
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="{COLOURS[standing]}" '
            f'stroke="{BORDERS[standing]}"/><text x="{x + 8}" y="{y + 19}" fill="#222">{escape(theorem.key)}</text></g>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _legend(statuses: Mapping[str, str]) -> Iterator[str]:
    counts = {name: list(statuses.values()).count(name) for name in COLOURS}
    yield f'<text x="20" y="26" font-size="16" fill="#222">{TITLE}</text>'
    x = 20
    for name, count in counts.items():
        if count:
            look = f'fill="{COLOURS[name]}" stroke="{BORDERS[name]}"'
            yield f'<rect x="{x}" y="40" width="16" height="16" rx="3" {look}/>'
            yield f'<text x="{x + 22}" y="53" fill="#222">{name} ({count})</text>'
            x += 130


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    """From the side that faces the other column; within a column, round the left side."""
    (x0, y0), (x1, y1) = start, end
    y0, y1 = y0 + HEIGHT // 2, y1 + HEIGHT // 2
    if x0 == x1:
        bend = x0 - 14 - abs(y1 - y0) // 16
        path = f"M{x0} {y0} C{bend} {y0} {bend} {y1} {x1} {y1}"
    else:
        left = x1 < x0
        a, b = (x0, x1 + WIDTH) if left else (x0 + WIDTH, x1)
        turn = (a + b) // 2
        path = f"M{a} {y0} C{turn} {y0} {turn} {y1} {b} {y1}"
    return f'<path d="{path}" fill="none" stroke="#555" stroke-width="1.1" marker-end="url(#tip)"/>'
