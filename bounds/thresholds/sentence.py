"""What a design comes to, in a sentence or two: put together from its lines and regions, numbers on the safe side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bounds.numbers.decimals import rounded
from bounds.numbers.search import Unreachable
from bounds.thresholds.lines import Line, Number, Region
from bounds.thresholds.setting import Setting

DIGITS = 4
VERBS = {"guaranteed": "guarantees {}", "open": "leaves {} open", "impossible": "makes {} impossible"}
"""What a logit range does to a target, by its region."""


def sentence(setting: Setting, lines: Sequence[Line], regions: Sequence[Region], anchors_assumed: int | None) -> str:
    """What is guaranteed as things are and falls short of which target, what would meet each; else the first line."""
    if not lines:
        return "No threshold follows from what is given."
    head = ""
    if anchors_assumed is not None:
        head = f"where all {anchors_assumed} keys of the block are taken for anchors, "
    found = list(_of_targets(setting, lines, regions))
    if not found:
        guaranteed = _listed([_words(line) for line in lines if line.guarantees], "and")
        found = [f"a margin of {setting.margin:g} guarantees {guaranteed}" if guaranteed else _first(lines[0])]
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in (head + one for one in found))


def _of_targets(setting: Setting, lines: Sequence[Line], regions: Sequence[Region]) -> Iterator[str]:
    """A sentence on each target."""
    placed = {region.target: region for region in regions}
    for target in dict.fromkeys([*placed, *(line.meets for line in lines if line.meets)]):
        ways = _listed([_words(line) for line in lines if line.meets == target and _is_number(line)], "or")
        if target not in placed:
            wanted = f"{target} {getattr(setting, target):g}"
            yield f"{wanted} takes {ways}" if ways else f"no margin guarantees {wanted}"
            continue
        region, guaranteed = placed[target], [line for line in lines if line.guarantees == target and _is_number(line)]
        standing = _standing(setting, region, guaranteed)
        yield f"{standing}; {ways} would" if region.region == "open" and ways else standing


def _standing(setting: Setting, region: Region, guaranteed: Sequence[Line]) -> str:
    """What is guaranteed beside what is wanted; without a margin, what the range makes of it."""
    wanted = f"{region.target} {region.wanted:g}"
    if region.region == "impossible" or not guaranteed:
        return f"a logit range of {setting.logit_range:g} {VERBS[region.region].format(wanted)}"
    (line,) = guaranteed
    down, given = _side(line) == "down", f"a margin of {setting.margin:g} guarantees"
    if region.region != "guaranteed":
        return f"{given} {_words(line)}, {'less' if down else 'more'} than the {region.wanted:g} wanted"
    shown = float(_text(line.value, _side(line)))  # rounding may pass what is met exactly
    if shown < region.wanted if down else shown > region.wanted:
        return f"{given} the {wanted} wanted"
    return f"{given} {_words(line)}, {'at least' if down else 'at most'} the {region.wanted:g} wanted"


def _first(line: Line) -> str:
    value = "unreachable" if isinstance(line.value, Unreachable) else rounded(line.value)
    return f"{line.label}: {value} {line.unit}".rstrip() + (f"; {line.means}" if line.means else "")


def _is_number(line: Line) -> bool:
    return not isinstance(line.value, Unreachable)


def _side(line: Line) -> str:
    return "down" if "{down}" in line.phrase else "up"


def _words(line: Line) -> str:
    """The line's phrase, with what it is for one anchor where that differs."""
    side = _side(line)
    one = "" if line.one_anchor is None else f" ({_text(line.one_anchor, side)} with 1 anchor)"
    return line.phrase.format(**{side: _text(line.value, side)}) + one


def _text(value: Number, side: str) -> str:
    """Digits on the safe side; a count, whole."""
    if isinstance(value, Unreachable):
        return "unreachable"
    return str(value) if isinstance(value, int) else rounded(value, side, DIGITS)


def _listed(words: Sequence[str], last: str) -> str:
    return f" {last} ".join([", ".join(words[:-1]), *words[-1:]] if len(words) > 1 else words)
