"""Reports say first what was found, hold every part, take no text for markup, and refuse what is foreign or damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browsers import Page
from markupsafe import escape
from synthetic_observations import observations

from bounds.theorems import by_key
from empirical.check.reasons import reasons
from empirical.check.verdicts import check
from empirical.cli import main
from empirical.cli.exits import BAD_INPUT, OK
from empirical.figures.losses import masking
from empirical.figures.transition import transition
from empirical.observe.files import save_dataset
from empirical.pages import observed
from empirical.pages.chapters import Chapter, Table, toml
from empirical.pages.gates import gates_chapter, prices_chapter
from empirical.pages.observed import observed_chapter
from empirical.pages.report import overall, report

HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)>\u202e\x07\U0001f600"&' + "x" * 10_000


def saved(folder: Path, name: str = "one", **attributes: str) -> Path:
    """A folder with the observations of a run, as it saves them."""
    path = folder / name
    path.mkdir()
    save_dataset(observations("blocks", seeds=1, queries=16).assign_attrs(attributes), path / "observations.nc")
    return path


@pytest.fixture(scope="module", autouse=True)
def _few_figures():
    """Those of all observations are drawn in tests of figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observed, "kinds_of", lambda seen: {"transition": transition, "masking": masking})
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def chapter(folder):
    return observed_chapter(folder)


@pytest.fixture(scope="module")
def page(chapter, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(report([chapter]))
    return path


def test_the_sentence_and_the_plot_that_the_project_is_for_come_first(page, chapter):
    text = page.read_text(encoding="utf-8")
    assert chapter.sentences[0].startswith("Nothing is violated; ")
    assert text.index(chapter.sentences[0]) < text.index("What was run")
    assert chapter.pictures[0].name == "against_bound"
    assert text.index("Against bound") < text.index("What was run")


def test_every_part_is_there(page, chapter):
    text = page.read_text(encoding="utf-8")
    for part in ("What was run", "Verdicts", "Worst rows", "Hypotheses", "Figures", "How to reproduce it", "says more"):
        assert part in text
    judged = [outcome for outcome in chapter.outcomes if outcome.rows]
    assert {outcome.theorem.key for outcome in judged} >= {"leakage_ceiling", "entropy_ceiling", "kkt_zero"}
    for outcome in judged:
        assert str(escape(outcome.theorem.title)) in text
        for hypothesis in outcome.theorem.hypotheses:
            assert str(escape(hypothesis.statement)) in text
    for picture in chapter.pictures:
        assert picture.claim
        assert picture.reading
        assert "$" not in picture.claim + picture.note


def test_hypotheses_held_on_the_share_of_rows_on_which_they_do():
    theorem = by_key("leakage_ceiling")
    rows = {
        "leakage": np.full(4, 0.1),
        "margin": np.full(4, 1.0),
        "temperature": np.ones(4),
        "logit_range": np.ones(4),
        "n_keys": np.full(4, 4),
        "n_block": np.full(4, 2),
        "n_anchors": np.full(4, 1),
        "valid": np.array([True, True, True, False]),
    }
    from empirical.pages.chapters import judged_tables

    held = {table.title: table for table in judged_tables([check(theorem, rows, ("query",))])}["Hypotheses"]
    assert [row[2] for row in held.rows] == ["75.0 %"]


def _rows(leakage: float, valid: bool = True) -> dict[str, np.ndarray]:
    numbers = {"margin": 1.0, "temperature": 1.0, "logit_range": 1.0, "n_keys": 4, "n_block": 2, "n_anchors": 1}
    return {name: np.array([v]) for name, v in {**numbers, "leakage": leakage, "valid": valid}.items()}


@pytest.mark.parametrize(
    ("leakage", "valid", "said"),
    [
        (0.1, True, ["Nearest to its bound: 0.324 attention (Leakage ceiling)."]),
        (0.9, True, []),
        (0.1, False, ["Vacuous on every row: Leakage ceiling, since this does not hold: the row is an attention row"]),
        (float("nan"), True, ["Undecided: 1 of 1 verdicts, 100 %, are UNKNOWN."]),
    ],
)
def test_behind_the_conclusion_stand_slacks_what_is_vacuous_and_why_and_what_is_undecided(leakage, valid, said):
    found = reasons([check(by_key("leakage_ceiling"), _rows(leakage, valid), ("query",))])
    assert len(found) == len(said)
    for sentence, start in zip(found, said):
        assert sentence.startswith(start)


def test_a_violation_in_one_of_several_results_is_the_first_sentence():
    good, bad = (
        Chapter(name, "run", (), outcomes=(check(by_key("leakage_ceiling"), _rows(eps), ("query",)),))
        for name, eps in (("good", 0.1), ("bad", 0.9))
    )
    said = overall([good, bad])
    assert said.startswith("VIOLATED: leakage_ceiling")
    assert said.endswith("VIOLATED in bad.")
    assert overall([good, good]).startswith("Nothing is violated; 1 theorem holds")
    assert overall([Chapter("a", "gates", ("First.",)), Chapter("b", "prices", ("Second.",))]) == "First. Second."


def test_several_results_stand_side_by_side(chapter):
    other = replace(chapter, name="other", settings={**chapter.settings, "task.cue": "0.1"})
    text = report([chapter, other]).decode()
    assert "Where they differ" in text
    assert text.count("<article") == 2
    assert text.index("Side by side") < text.index("<article")


def test_hostile_names_are_text(tmp_path, browser):
    path = saved(tmp_path, "<img src=x onerror=alert(3)>", model=HOSTILE, blocks=json.dumps([HOSTILE]))
    table = Table("t", (HOSTILE,), ((HOSTILE,), (HOSTILE, HOSTILE)))
    chapter = observed_chapter(path)
    mine = Chapter(HOSTILE, HOSTILE, (HOSTILE,), ((HOSTILE, HOSTILE),), (table,), texts=((HOSTILE, HOSTILE),))
    page = tmp_path / "report.html"
    page.write_bytes(report([chapter, mine]))
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<img src=x" not in text
    with Page(browser, page, viewport={"width": 390, "height": 844}) as one:
        assert one.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert "<script>alert(1)</script>" in one.page.inner_text("article >> nth=1")
        assert one.alone(), (one.said, one.asked)


def test_without_a_browser_no_text_is_markup():
    pair = ((HOSTILE, HOSTILE),)
    mine = Chapter(HOSTILE, HOSTILE, (HOSTILE,), pair, commands=(HOSTILE,), absent=pair, texts=pair, provenance=pair)
    text = report([mine, mine]).decode()
    assert "<script" not in text
    assert "<img" not in text
    assert "\u202e" not in text
    assert r"\u202e" in text
    assert "\U0001f600" in text
    assert "\ud800" not in report([Chapter("\ud800", "run", ("half",))]).decode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_a_report_fits_has_words_for_pictures_and_asks_for_nothing(browser, page, scheme, width):
    with Page(browser, page, viewport={"width": width, "height": 900}, color_scheme=scheme) as one:
        assert one.page.evaluate("document.documentElement.scrollWidth") <= width
        pictures = one.page.evaluate("[...document.images].map((i) => [i.naturalWidth, i.alt.length])")
        assert pictures
        assert all(size > 200 and words > 20 for size, words in pictures)
        one.page.keyboard.press("Tab")
        assert one.page.evaluate("document.activeElement.className") == "skip"
        assert one.alone(), (one.said, one.asked)


def test_the_command_writes_the_page_and_says_the_sentence(folder, tmp_path, capsys):
    out = tmp_path / "mine.html"
    assert main(["report", str(folder), "--out", str(out)]) == OK
    said = capsys.readouterr().out
    assert said.startswith("Nothing is violated; ")
    assert said.endswith(f"{out}\n")
    assert out.read_bytes().startswith(b"<!doctype html>")


def _damaged(folder: Path) -> Path:
    content = bytearray((folder / "observations.nc").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "observations.nc").write_bytes(content)
    return folder


def _with(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda at: at / "nowhere", "which is not there"),
        (lambda at: _with(at / "empty", "notes.txt", b""), "with none of them"),
        (lambda at: _damaged(saved(at)), "its content is not what its digest is of"),
        (lambda at: _with(at / "run", "run.json", b"{}"), "DIR must be a finished run"),
        (lambda at: _with(at / "study", "study.json", b'{"study": "dial"}'), "DIR must"),
        (lambda at: _with(at / "gates", "gates.json", b"{}"), "DIR must hold what localist localise wrote"),
        (lambda at: _with(at / "prices", "prices.nc", b"nothing"), "DIR must hold a netCDF file of localist"),
    ],
)
def test_what_is_foreign_damaged_or_unfinished_is_refused_by_name(made, said, tmp_path, capsys):
    path = made(tmp_path)
    assert main(["report", str(path), "--out", str(tmp_path / "report.html")]) == BAD_INPUT
    out, error = capsys.readouterr()
    assert said in error
    assert str(path) in error
    assert error.count("\n") == 1
    assert out == ""
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("command", [["report", "somewhere"], ["explore"]])
def test_a_page_that_cannot_be_written_is_refused_before_any_work(command, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path)]) == BAD_INPUT
    assert "--out must be a file that ends in .html, got the folder" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "observations.nc")]) == BAD_INPUT
    assert "--out must be a file that ends in .html" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "no" / "page.html")]) == BAD_INPUT
    assert "--out must be a file in a writable folder" in capsys.readouterr().err


def test_prices_and_gates_have_chapters(tmp_path):
    import xarray as xr
    from safetensors.numpy import save_file

    share = xr.Dataset({"share": (("layer", "head"), np.array([[0.1, 0.2], [0.3, -0.1]]))})
    said = {"statement": "above 0.3 every gate stays shut", "change": 0.5, "loss_as_trained": 3.0, "loss_mask": 3.5}
    prices = _with(tmp_path / "prices", "notes", b"")
    save_dataset(share.assign_attrs(**said, model="gpt2"), prices / "prices.nc")
    chapter = prices_chapter(prices)
    assert "by +0.5000 nats a token" in chapter.sentences[0]
    assert chapter.tables[0].rows == (("0", "0.1", "0.2"), ("1", "0.3", "-0.1"))
    losses = {"loss_as_trained": 3.0, "loss": 3.1, "loss_mask": 3.5, "change": 0.1, "leakage_kept": 0.25}
    part = {**losses, "change_interval": [0.05, 0.15]}
    gates = {"axes": ["layer", "head"], "penalty": 0.03, "chosen_on": part, "held_out": part}
    folder = _with(tmp_path / "gates", "gates.json", json.dumps(gates).encode())
    save_file({"gates": np.array([[0.0, 1.0], [0.0, 0.5]])}, folder / "gates.safetensors")
    chapter = gates_chapter(folder)
    assert chapter.sentences[0].startswith("2 of 4 gates are exactly shut at penalty 0.03; on documents held out")
    assert "0.250 of the attention outside the blocks is kept" in chapter.sentences[0]
    assert "Gates" in report([chapter]).decode()


def test_folded_tables_are_printed_too(browser, page):
    with Page(browser, page) as one:
        line = one.page.locator("details table tr").first
        assert not line.is_visible()
        one.page.emulate_media(media="print", color_scheme="dark")
        assert line.bounding_box()["height"] > 5
        assert one.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_configuration_is_printed_as_the_toml_that_makes_it():
    from empirical.files import parse_toml
    from empirical.laboratory.config import Config, parse

    config = Config()
    assert parse(parse_toml(toml(config.as_dict()))) == config
