"""The chapter of a study: its table and figures beside its verdicts, from what it saved."""

from __future__ import annotations

import pytest

from empirical.cli import main
from empirical.cli.exits import OK
from empirical.errors import BadInput
from empirical.studies import frame
from empirical.studies.chapter import study_chapter


@pytest.mark.slow
def test_a_finished_study_has_a_chapter_and_a_damaged_one_has_none(tmp_path, capsys):
    out = tmp_path / "floors"
    frame.run_study("floors", frame.preset("floors", quick=True), out)
    chapter = study_chapter(out)
    assert chapter.kind == "study floors"
    assert chapter.sentences[0].startswith("Nothing is violated; ")
    assert {"against_bound", "floors"} <= {picture.name for picture in chapter.pictures}
    assert dict(chapter.texts)["What was measured"]
    assert dict(chapter.provenance)["config digest"]
    capsys.readouterr()
    assert main(["report", str(out), "--out", str(tmp_path / "report.html")]) == OK
    assert capsys.readouterr().out.startswith("Nothing is violated; ")
    cell = next((out / "cells").iterdir())
    cell.write_bytes(cell.read_bytes()[:-1])
    saved = (out / "study.json").read_text(encoding="utf-8")
    (out / "study.json").write_text(saved.replace('"floors"', '"dial"'), encoding="utf-8")
    with pytest.raises(BadInput, match="DIR must hold a finished study"):
        study_chapter(out)
