"""The theorems as a graph in SVG: a box a theorem, coloured by status, and an arrow to what its proof uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from bounds.theory.theorem import Theorem

COLOURS = {"formal": "#b9dfd6", "proved": "#d7ebd0", "argued": "#fbe9b7", "sampled": "#dde6f4", "broken": "#f4c2bd"}
BORDERS = {"formal": "#17685a", "proved": "#3f7d34", "argued": "#a67c00", "sampled": "#48699c", "broken": "#a12a1e"}
TITLE = "Theorems by status; an arrow points to what a proof rests on"
ALONE = "Proved from lemmas alone, and used by no other"
COLUMNS = 5  # of the theorems without an arrow
WIDTH, HEIGHT, GAP_X, GAP_Y, TOP = 198, 28, 66, 10, 78


def _places(theorems: Sequence[Theorem]) -> tuple[dict[str, tuple[int, int]], int, int]:
    """Where each box stands, the height at which those without an arrow begin, and the height of all.

    A tree from left to right: a theorem stands in the column after the first that it rests on, in the rows beside it.
    """
    used = {key for theorem in theorems for key in theorem.needs}
    place: dict[str, tuple[int, int]] = {}

    def grow(theorem: Theorem, column: int, row: int) -> int:
        """Places a theorem and what rests on it first of all; returns the next free row."""
        place[theorem.key] = (20 + column * (WIDTH + GAP_X), TOP + row * (HEIGHT + GAP_Y))
        below = row
        for other in theorems:
            if other.needs and other.needs[0] == theorem.key:
                below = grow(other, column + 1, below)
        return max(below, row + 1)

    row = 0
    for theorem in theorems:
        if not theorem.needs and theorem.key in used:
            row = grow(theorem, 0, row)
    below = TOP + row * (HEIGHT + GAP_Y) + 40
    for i, theorem in enumerate(t for t in theorems if t.key not in place):
        place[theorem.key] = (20 + i % COLUMNS * (WIDTH + 20), below + i // COLUMNS * (HEIGHT + GAP_Y))
    return place, below, max(y for _, y in place.values()) + HEIGHT + 16


def draw(theorems: Sequence[Theorem], statuses: Mapping[str, str]) -> str:
    """The text of the SVG; the same theorems and statuses give the same text."""
    place, below, height = _places(theorems)
    width = max(x for x, _ in place.values()) + WIDTH + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{TITLE}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#555"/></marker></defs>',
        *_legend(statuses),
        f'<text x="20" y="{below - 14}" font-size="13" fill="#222">{ALONE}</text>',
    ]
    lines += [_arrow(place[theorem.key], place[needed]) for theorem in theorems for needed in theorem.needs]
    for theorem in theorems:
        x, y = place[theorem.key]
        standing = statuses[theorem.key]
        lines.append(
            f"<g><title>{escape(theorem.title)} ({', '.join(theorem.claims)}): {standing}</title>"
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="{COLOURS[standing]}" '
            f'stroke="{BORDERS[standing]}"/><text x="{x + 8}" y="{y + 18}" fill="#222">{escape(theorem.key)}</text></g>'
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
    """From the left side of a box to the right side of one in a layer before it."""
    (x0, y0), (x1, y1) = start, (end[0] + WIDTH, end[1])
    y0, y1 = y0 + HEIGHT // 2, y1 + HEIGHT // 2
    turn = x0 - GAP_X // 2
    path = f"M{x0} {y0} C{turn} {y0} {turn} {y1} {x0 - GAP_X} {y1} L{x1} {y1}"
    return f'<path d="{path}" fill="none" stroke="#555" stroke-width="1.1" marker-end="url(#tip)"/>'
