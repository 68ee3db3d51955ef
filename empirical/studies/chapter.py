"""The chapter of a study in a report: prediction beside observation, verdicts, figures, how to make it again."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from empirical.figures import VERDICTS, drawn, style
from empirical.files import one_line
from empirical.laboratory.store import read_run
from empirical.pages.chapters import Chapter, command, flat, judged_tables, picture, pictured, sentences, toml
from empirical.pages.observed import versions_of
from empirical.studies import STUDIES, frame


def study_chapter(folder: Path) -> Chapter:
    """Of a finished study. Raises BadInput for what is foreign or damaged."""
    saved, run = frame.read_study(folder), read_run(folder)
    name, numbers = saved["study"], saved["numbers"]
    outcomes = frame.verdicts(folder, cloud=True)
    pictures, absent = pictured(drawn(VERDICTS, outcomes))
    with style.drawing():
        own = frame.draws(name).draw(numbers)
    reading = f"Study {name}: {STUDIES[name]}"
    return Chapter(
        name=one_line(folder),
        kind=f"study {name}",
        sentences=sentences(outcomes),
        facts=(("study", name), ("about", STUDIES[name])),
        tables=tuple(judged_tables(outcomes)),
        pictures=tuple(chain(pictures, (picture(title, figure, reading) for title, figure in own.items()))),
        absent=absent,
        texts=(("What was measured", frame.measures(name).table(numbers)), ("CONFIG.toml", toml(run["config"]))),
        commands=(command("run", "CONFIG.toml", "--study", name, "--out", folder), command("check", folder)),
        provenance=(
            ("config digest", run["config_digest"]),
            ("code", run["code"]),
            ("commit", one_line(saved.get("commit", ""))),
            *versions_of(saved.get("versions", {})),
        ),
        outcomes=outcomes,
        settings=flat(run["config"]),
    )
