"""What a drawn figure shows: its words, and whether anything lies off its sheet."""

from __future__ import annotations


def own_figures(files) -> list[str]:
    """The names of a study's own figures; those of its verdicts come before them."""
    from empirical.figures import VERDICTS

    names = [file.name for file in files]
    mine = [name for name in names if name.rsplit(".", 1)[0] not in VERDICTS]
    assert names[len(names) - len(mine) :] == mine
    return mine


def words_of(figure) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def cut_off(figure) -> bool:
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return min(box.x0, box.y0) < -0.01 or box.x1 > width + 0.01 or box.y1 > height + 0.01
