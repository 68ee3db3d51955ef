"""The explorer says what Python says, in a browser and without; its address keeps its state; it asks for nothing."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
from importlib import resources
from typing import Any

import numpy as np
import pytest
from browsers import Page, evaluated
from synthetic_observations import observations

import bounds
from bounds.dial import closed_forms as dial
from bounds.entropy import closed_forms as entropy
from bounds.numbers.search import Unreachable
from bounds.theorems import TOPICS
from bounds.thresholds.setting import PenaltySetting, Setting
from empirical.cli import main
from empirical.errors import BadInput
from empirical.files import parse_toml
from empirical.laboratory.config import parse
from empirical.pages import explorer as module
from empirical.pages.explorer import SLIDERS, explorer, page_fields

NORMS = ("gradient_bound", "value_diameter", "query_norm", "key_norm", "key_diameter", "query_share", "temperature")


def places(count: int, seed: int) -> list[dict[str, float | None]]:
    """Random places of every slider, ends among them; a range that is not known in every fourth."""
    rng = np.random.default_rng(seed)
    found = []
    for at in range(count):
        drawn = np.where(rng.random(len(SLIDERS)) < 0.05, rng.integers(0, 2, len(SLIDERS)), rng.random(len(SLIDERS)))
        one: dict[str, float | None] = dict(zip(SLIDERS, drawn.tolist()))
        if at % 4 == 0:
            one["logit_range"] = None
        found.append(one)
    return found


def number(value: Any) -> float | None:
    return None if isinstance(value, Unreachable) else float(value)


def by_python(s: dict[str, Any]) -> dict[str, float | None]:
    """What the calculators of Python say of a state, by the names of the page."""
    n, m, r = (s[name] for name in ("n_keys", "n_block", "n_anchors"))
    x, span, F = s["margin"] / s["temperature"], s["logit_range"], s["fidelity"]
    keys = {"n_keys": n, "n_block": m, "n_anchors": r, "temperature": s["temperature"]}
    ranged = {"margin": s["margin"], **keys, "logit_range": span}
    rows = {"margin": s["margin"], **keys}
    eps, inside = bounds.leakage_ceiling(**ranged), bounds.fidelity_floor(**ranged)
    half = bounds.leakage_ceiling(**rows) / 2
    level = bounds.penalty_threshold_worst_case(*(s[name] for name in NORMS))
    found: dict[str, Any] = {
        "leakage_ceiling": eps,
        "log_leakage_ceiling": bounds.log_leakage_ceiling(**ranged),
        "fidelity_floor": inside,
        "entropy_ceiling": bounds.entropy_ceiling(**rows),
        "entropy_envelope": bounds.entropy_envelope(**rows),
        "repaired_envelope": entropy.repaired_envelope(x, n, m, s["exponent"]) if r == m else None,
        "frontier": bounds.frontier(half, **rows),
        "entropy_split": bounds.entropy_split(half, n, m),
        "margin_for_fidelity": bounds.margin_for_fidelity(F, **keys),
        "anchors_for_fidelity": bounds.anchors_for_fidelity(F, s["margin"], n, m, s["temperature"]),
        "context_for_fidelity": bounds.context_for_fidelity(F, s["margin"], m, r, s["temperature"]),
        "kappa_of_dial": bounds.kappa_of_dial(s["dial"]),
        "dial_bias": bounds.dial_bias(s["dial"], s["temperature"]),
        "dial_leakage": dial.dial_leakage(eps, inside, s["dial"]),
        "kappa_for_fidelity": max(0.0, float(dial.kappa_needed(eps, inside, F, 1 - F))) if eps else 0.0,
        "penalty_threshold_worst_case": level,
        "penalty_threshold_leakage_aware": bounds.penalty_threshold_leakage_aware(
            *(s[name] for name in NORMS), leakage=min(eps, 1.0)
        ),
        "steps_to_zero": bounds.steps_to_zero(s["group_norm"], s["penalty"], level, s["step"]),
    }
    found["dial_for_fidelity"] = -math.expm1(-found["kappa_for_fidelity"])
    needed = bounds.temperature_for_fidelity(F, s["margin"], n, m, r)
    found["temperature_for_fidelity"] = None if needed == math.inf else needed
    wanted = bounds.margin_for_entropy(s["entropy"], **keys)
    found["margin_for_entropy"] = None if wanted == -math.inf else wanted
    return {**{name: None if v is None else number(v) for name, v in found.items()}, **_of_range(s, x)}


def _of_range(s: dict[str, Any], x: float) -> dict[str, float | None]:
    n, m, r, tau, span = (s[name] for name in ("n_keys", "n_block", "n_anchors", "temperature", "logit_range"))
    names = ("fidelity_ceiling", "entropy_floor", "entropy_floor_with_margin", "specht_floor", "worst_case_kappa")
    if span is None:
        return dict.fromkeys((*names, "worst_case_dial"))
    margin = bounds.entropy_floor_with_margin(s["margin"], span, n, m, r, tau) if x >= 0 else None
    values = (
        bounds.fidelity_ceiling(span, n, m, tau),
        bounds.entropy_floor(span, n, tau),
        margin,
        bounds.specht_floor(span, n, tau),
        bounds.worst_case_kappa(s["fidelity"], span, n, m, tau),
        bounds.worst_case_dial(s["fidelity"], span, n, m, tau),
    )
    return {name: None if v is None else float(v) for name, v in zip((*names, "worst_case_dial"), values)}


def apart(ours: dict[str, float | None], theirs: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The names on which two sets of numbers are not the same to 1e-12, relative."""
    wrong = {}
    for name, value in ours.items():
        other = float(theirs[name]) if isinstance(theirs[name], str) else theirs[name]
        same = value is None and other is None
        if value is not None and other is not None:
            same = value == other or abs(value - other) <= 1e-12 * max(abs(value), abs(other))
        if not same:
            wrong[name] = (value, other)
    return wrong


def agree(said: list[dict[str, Any]]) -> None:
    wrong = [(apart(by_python(one["state"]), one["values"]), one["state"]) for one in said]
    assert [(what, state) for what, state in wrong if what][:3] == []


def asset(name: str) -> str:
    return (resources.files("empirical.pages") / "assets" / name).read_text(encoding="utf-8")


def scripts(*names: str) -> str:
    closed = (resources.files("bounds.printing") / "closed_forms.js").read_text(encoding="utf-8")
    return "\n".join([closed, *map(asset, names)])


SAY = """({fields, places}) => places.map((at) => {
  const state = stateAt(fields, at);
  return {state, values: calculators.evaluate(state)};
})"""


def test_without_a_browser_the_printed_forms_and_calculators_agree_with_python():
    given = json.dumps({"fields": page_fields(), "places": places(80, seed=5)})
    agree(evaluated(f"{scripts('calculators.js', 'controls.js')}\nanswer = ({SAY})({given});"))


def test_a_constant_that_is_off_is_noticed():
    given = json.dumps({"fields": page_fields(), "places": places(40, seed=5)})
    source = scripts("calculators.js", "controls.js").replace("D*t0/(k + t0)", "1.0001*D*t0/(k + t0)")
    assert "1.0001" in source
    with pytest.raises(AssertionError, match="entropy_floor"):
        agree(evaluated(f"{source}\nanswer = ({SAY})({given});"))


def test_rows_attain_the_bounds_that_they_are_rows_of():
    names = ("leakage_ceiling", "entropy_ceiling", "entropy_floor_margin", "fidelity_ceiling")
    ask = """
      const state = { n_keys: 64, n_block: 16, n_anchors: 4, margin: 3, temperature: 0.5, logit_range: 6 };
      answer = names.map((name) => calculators.attention(calculators.rows[name](6, 64, 16, 4, 12)));"""
    found = evaluated(f"{scripts('calculators.js')}\nconst names = {json.dumps(names)};{ask}")
    at = {"n_keys": 64, "n_block": 16, "n_anchors": 4, "temperature": 0.5}
    wanted = (
        ("leakage", bounds.leakage_ceiling(3, **at, logit_range=6)),
        ("entropy", bounds.entropy_ceiling(3, **at)),
        ("entropy", bounds.entropy_floor_with_margin(3, 6, **at)),
        ("leakage", 1 - bounds.fidelity_ceiling(6, 64, 16, 0.5)),
    )
    for row, (quantity, value) in zip(found, wanted):
        assert row[quantity] == pytest.approx(value, rel=1e-11)
        assert sum(part["keys"] for part in row["parts"]) == 64


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_bytes(explorer(observations("blocks", seeds=1), "runs/blocks"))
    return path


def test_states_in_the_page_agree_with_python(browser, page_file):
    compared(browser, page_file, 60, seed=7)


@pytest.mark.slow
def test_a_thousand_random_states_in_the_page_agree_with_python(browser, page_file):
    compared(browser, page_file, 1000, seed=18)


def compared(browser, file, count: int, seed: int) -> None:
    """So many random states of a page against Python."""
    with Page(browser, file) as one:
        said = one.page.evaluate(SAY, {"fields": page_fields(), "places": places(count, seed)})
        assert len(said) == count
        agree(said)
        assert one.alone(), (one.said, one.asked)


def test_turning_everything_says_no_error_and_asks_for_nothing(browser, page_file):
    with Page(browser, page_file) as one:
        for at in places(40, seed=3):
            one.page.evaluate("(at) => { state = stateAt(fields, at); refresh(); }", at)
        for name in one.page.evaluate("Object.keys(ROWS)"):
            one.page.select_option("#row", name)
        for slider in one.page.query_selector_all("fieldset .slider"):
            if slider.is_enabled():
                slider.press("ArrowRight")
        one.page.locator("#fidelity .grip").press("ArrowDown")
        known = "RESULTS.every((result) => DATA.theorems[result.theorem] && result.name in calculators.evaluate(state))"
        assert one.page.evaluate(known)
        one.page.wait_for_timeout(50)
        assert one.alone(), (one.said, one.asked)


def test_a_permalink_restores_its_state_and_a_hostile_one_is_refused(browser, page_file):
    with Page(browser, page_file) as one:
        one.page.evaluate("(at) => { state = stateAt(fields, at); refresh(); }", places(1, seed=9)[0])
        address, state = one.page.evaluate("[location.hash, state]")
    assert address.startswith("#n_keys=")
    with Page(browser, page_file, address) as two:
        assert two.page.evaluate("state") == state
        assert two.page.input_value("#number-n_keys") == str(state["n_keys"])
        two.page.evaluate("location.hash = '#n_keys=<img src=x onerror=alert(1)>&margin=1e999&n_block=-5&dial=2'")
        two.page.wait_for_timeout(50)
        after = two.page.evaluate("state")
        assert after["n_block"] == 1
        assert after["dial"] == 1
        assert math.isfinite(after["margin"])
        assert two.alone(), (two.said, two.asked)


def test_a_dragged_target_reads_the_margin_that_it_needs(browser, page_file):
    with Page(browser, page_file) as one:
        grip = one.page.locator("#fidelity .grip")
        grip.scroll_into_view_if_needed()
        box = grip.bounding_box()
        one.page.mouse.move(box["x"] + 30, box["y"] + 14)
        one.page.mouse.down()
        one.page.mouse.move(box["x"] + 30, box["y"] + 70, steps=4)
        one.page.mouse.up()
        one.page.wait_for_timeout(50)
        state, words = one.page.evaluate("[state, document.getElementById('fidelity-caption').textContent]")
        assert state["fidelity"] < 0.85
        keys = {name: state[name] for name in ("n_keys", "n_block", "n_anchors", "temperature")}
        needed = bounds.margin_for_fidelity(state["fidelity"], **keys)
        said = float(words.split("a margin of ")[1].split(" ")[0])
        assert needed <= said <= needed + 1e-3 * abs(needed)
        assert one.alone()


def test_what_is_copied_is_a_configuration_a_call_and_a_command_of_the_same_thresholds(browser, page_file, capsys):
    read = "(at) => { state = stateAt(fields, at); return {state, ...copies()}; }"
    with Page(browser, page_file) as one:
        copied = [one.page.evaluate(read, at) for at in places(40, seed=12)]
    for copy in copied:
        config = parse(parse_toml(copy["toml"]))
        wanted = {name: value for name, value in copy["state"].items() if name != "exponent"}
        penalty = {k: v for k, v in wanted.items() if k in PenaltySetting.__dataclass_fields__}
        setting = {k: v for k, v in wanted.items() if k not in penalty}
        assert config.setting == Setting(**setting)
        assert config.penalty.setting == PenaltySetting(**penalty)
    for copy in copied[:3]:
        assert main(copy["command"].split()[1:]) == 0
        by_command = capsys.readouterr().out
        exec(copy["python"], {})
        assert capsys.readouterr().out == by_command


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_the_page_fits_a_phone_and_a_desk_in_light_and_dark(browser, page_file, scheme, width, height):
    with Page(browser, page_file, viewport={"width": width, "height": height}, color_scheme=scheme) as one:
        assert one.page.evaluate("document.documentElement.scrollWidth") <= width
        paper = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        drawn = one.page.evaluate("document.querySelectorAll('canvas').length")
        assert drawn == len(module.PICTURES)
        assert all(
            one.page.evaluate("[...document.querySelectorAll('figcaption')].map((f) => f.textContent.length > 20)")
        )


def test_the_plotting_library_is_as_npm_publishes_it():
    """uplot 1.6.32, whose licence travels with it."""
    published = {
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    }
    found = {name: hashlib.sha256(asset(f"uplot/{name}").encode()).hexdigest() for name in published}
    assert found == published
    assert asset("uplot/LICENSE").startswith("The MIT License (MIT)")


def test_the_page_is_one_file_without_addresses_that_it_would_load():
    page = explorer().decode()
    assert len(page) < 6e6
    assert 'src="http' not in page
    assert "@import" not in page
    assert "MIT" in page
    assert all(f'id="{name}"' in page for name, _ in module.PICTURES)


HOSTILE = '<script>alert(1)</script></script><img src=x onerror=alert(2)>\u202e\x07\U0001f600"&' + "x" * 10_000


@pytest.fixture(scope="module")
def hostile():
    return explorer(observations("blocks", seeds=1), HOSTILE).decode()


def test_a_hostile_name_of_a_run_is_no_markup(hostile):
    assert "<script>alert" not in hostile
    assert "<img src=x" not in hostile
    assert "\u202e" not in hostile


def test_a_hostile_name_of_a_run_is_text_in_a_browser(browser, hostile, tmp_path):
    (tmp_path / "page.html").write_text(hostile, encoding="utf-8")
    with Page(browser, tmp_path / "page.html") as one:
        assert "<script>alert(1)</script>" in one.page.inner_text("header")
        assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert one.alone(), one.said


def test_observations_without_rows_are_refused_by_name():
    lacking = observations("blocks", seeds=1).drop_vars("margin")
    with pytest.raises(BadInput, match="--run must hold observed rows with margin"):
        explorer(lacking, "mine")
    blind = observations("blocks", seeds=1)
    with pytest.raises(BadInput, match="a valid row with a finite margin"):
        explorer(blind.assign(valid=blind["valid"] & False), "mine")


def test_the_printed_javascript_is_fresh_and_a_stale_one_is_noticed(tmp_path, monkeypatch):
    from bounds.printing import javascript

    assert javascript.main(["--check"]) == 0
    monkeypatch.setattr(javascript, "FILE", tmp_path / "closed_forms.js")
    assert javascript.main(["--check"]) == 1
    assert javascript.main([]) == 0
    assert javascript.main(["--check"]) == 0


def test_every_printed_form_agrees_with_its_numpy_twin():
    """All topics, random positive arguments; what is no number in one is none in the other."""
    rng, asked, wanted = np.random.default_rng(1), [], []
    for topic in TOPICS:
        forms, twins = (importlib.import_module(f"bounds.{topic}.{name}") for name in ("theorems", "closed_forms"))
        for name, (arguments, _) in forms.FORMS.items():
            drawn = rng.random((5, len(arguments)))
            for values in np.where(rng.random(drawn.shape) < 0.5, drawn, 1 + 9 * drawn):
                asked.append([topic, name, values.tolist()])
                with np.errstate(all="ignore"):
                    wanted.append(float(getattr(twins, name)(*values)))
    call = "([topic, name, values]) => bounds[topic][name](...values)"
    for question, got, want in zip(asked, evaluated(f"{scripts()}\nanswer = {json.dumps(asked)}.map({call});"), wanted):
        np.testing.assert_allclose(float(got), want, rtol=1e-12, atol=1e-300, err_msg=str(question))
