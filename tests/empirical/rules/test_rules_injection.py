"""Rules: refused with file and line, kept by every row, outranked, removed bit for bit, followed while tokens come."""

from __future__ import annotations

import gc
import itertools
import json
import math
import re
from fractions import Fraction

import numpy as np
import pytest
import shape_checks
import torch
from figure_checks import own_figures
from small import TOPICS, configured

from bounds import rule_bias
from bounds.rules import closed_forms
from bounds.theorems import Verdict, by_key
from empirical.check.verdicts import check
from empirical.dial.changes import adaptive_dial, dial, steer
from empirical.dial.guard import Guard
from empirical.errors import BadInput
from empirical.laboratory.generation import generate, next_scores
from empirical.laboratory.model import Layout, forward, initial_parameters
from empirical.laboratory.rule_site import certified_range, site_of, site_within
from empirical.laboratory.text import block_pattern, read_corpus
from empirical.rules.book import RuleBook, priority_rows, rule_rows
from empirical.rules.checks import Rule, Selector, differ, guaranteed_mass, needed_strength
from empirical.rules.files import RuleFile, line_of, load_rules, parse_rules
from empirical.studies.frame import draw_study, run_study
from empirical.studies.rules import running as rule_runs
from empirical.studies.rules.reloads import Author, course, promised, reload_rows

CONFIG = configured(TOPICS)
BLOCK_0, BLOCK_1 = Selector(block=0), Selector(block=1)


def drawn(config=CONFIG, settings=1, scale=1.0):
    """Random parameters; each setting's forms are larger than those of the one before."""
    parameters = initial_parameters(config, 3, settings, torch.device("cpu"), torch.float64)
    parameters["forms"] *= scale * (1 + torch.arange(settings)).view(-1, *[1] * 6)
    return parameters


@pytest.fixture(scope="module")
def words():
    return read_corpus(CONFIG).vocabulary


@pytest.fixture(scope="module")
def parameters():
    return drawn()


@pytest.fixture(scope="module")
def site(parameters, words):
    return site_of(parameters, CONFIG, words)


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(0, 32, (3, 16), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def layout():
    return Layout(block_pattern(CONFIG, 16), CONFIG, torch.float64)


def read(parameters, tokens, layout, *changes, config=CONFIG):
    return forward(parameters, tokens, layout, config, weigh=steer(config.setting.temperature, *changes))


def gathered(book, parameters, tokens, layout, *before, config=CONFIG):
    """rule -> its rows of every layer, with the rules injected."""
    found: dict[int, list] = {}

    def watch(layer, logits):
        for i, rows in rule_rows(book, tokens, layout, layer, logits).items():
            found.setdefault(i, []).append(rows)
        return logits

    read(parameters, tokens, layout, *before, watch, book.change(tokens, layout), config=config)
    return {i: {k: np.concatenate([p[k] for p in parts]) for k in parts[0]} for i, parts in found.items()}


GOOD = """# rules of a test
[[rule]]
name = "calm"
trigger = { block = 0 }
target = { block = 1 }
strength = 60
mass = 0.9
priority = 1
layers = [0, 1]
"""
OTHER = """
[[rule]]
name = "other"
trigger = { always = true }
target = { block = 0 }
strength = 100.0
mass = 0.8
priority = 2
"""


def changed(old, new, text=GOOD):
    assert old in text
    return text.replace(old, new)


# --- refusals ------------------------------------------------------------------------------------------------------

REFUSALS = {
    "syntax": (changed("mass = 0.9", "mass = 0.9 0.8"), 7, "rules must be TOML"),
    "syntax at the end": (changed("layers = [0, 1]", "layers = [0, 1"), 9, "rules must be TOML"),
    "a key twice": (changed("mass = 0.9", "mass = 0.9\nmass = 0.8"), 8, "Cannot overwrite a value"),
    "not UTF-8": (changed("calm", "c\xe9lm").encode("latin-1"), 3, "must be UTF-8 text, got byte 0xe9"),
    "another table": ("\n[rules]\n", 2, "must have only known keys, got 'rules'; did you mean 'rule'?"),
    "no array": ("rule = 3", 1, "must be an array of tables, each [[rule]], got 3"),
    "unknown key": (changed("strength", "strenght"), 6, "'strenght'; did you mean 'strength'?"),
    "unknown kind": (changed("{ block = 1 }", "{ blok = 1 }"), 5, "'blok'; did you mean 'block'?"),
    "no mass": (changed("mass = 0.9\n", ""), 2, "rule 'calm' must have a mass"),
    "no name": (changed('name = "calm"\n', ""), 2, "rule 1 of the file must have a name"),
    "empty name": (changed('"calm"', '" "'), 3, "must be words, not empty, got ' '"),
    "two kinds": (changed("{ block = 0 }", '{ block = 0, words = ["a"] }'), 4, "one of them, got block, words"),
    "no table": (changed("{ block = 0 }", "0"), 4, "must be { block = ... } or { words = ... } or { always = ... }"),
    "always the target": (changed("{ block = 1 }", "{ always = true }"), 5, "got 'always'; known: block, words"),
    "always false": (changed("{ block = 0 }", "{ always = false }"), 4, "must be true, got False"),
    "strength a word": (changed("strength = 60", 'strength = "60"'), 6, "must be a finite number, got '60'"),
    "strength infinite": (changed("strength = 60", "strength = inf"), 6, "must be a finite number, got inf"),
    "strength beyond a float": (
        changed("= 60", f"= {10**400}"),
        6,
        "got rule.0.strength: a whole number of 1,329 bits, beyond 64",
    ),
    "nested too deeply": ("x = " + "[" * 5000 + "]" * 5000, 1, "rules must be TOML"),
    "strength negative": (changed("strength = 60", "strength = -1"), 6, "must be in [0, 500] logits, got -1"),
    "mass one": (changed("mass = 0.9", "mass = 1"), 7, "must be in (0, 1), got 1"),
    "mass a flag": (changed("mass = 0.9", "mass = true"), 7, "must be a finite number, got True"),
    "priority a fraction": (changed("priority = 1", "priority = 1.5"), 8, "must be a whole number, got 1.5"),
    "layer twice": (changed("[0, 1]", "[1, 1]"), 9, "each once, got [1, 1]"),
    "layer missing": (changed("[0, 1]", "[\n0,\n2]"), 9, "must be in [0, 1], got 2"),
    "block missing": (changed("block = 1", "block = 2"), 5, "must be a block in [0, 1], got 2"),
    "word missing": (changed("block = 1", 'words = ["qqq"]').replace("block =", "block ="), 5, "vocabulary, got 'qqq'"),
    "no words": (changed("block = 1", "words = []"), 5, "must be a list of words, not empty, each once, got []"),
    "name twice": (GOOD + changed('"other"', '"calm"', OTHER), 12, "must differ from every other, got 'calm' twice"),
    "contradiction": (
        GOOD + changed("priority = 2", "priority = 1", OTHER),
        17,
        "must differ from that of rule 'calm'",
    ),
    "contradiction by default": (
        changed("priority = 1\n", "") + changed("priority = 2\n", "", OTHER),
        10,
        "promises 0.9 beside 0.8, got 0 for both",
    ),
    "too weak": (changed("strength = 60", "strength = 2"), 6, "must be at least"),
    "too weak against a lower one": (
        GOOD + changed("100.0", "61.0", OTHER),
        15,
        "must exceed that of rule 'calm' (60)",
    ),
}


@pytest.mark.parametrize(("text", "line", "said"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_cannot_be_verified_is_refused_with_its_line(text, line, said, site):
    with pytest.raises(BadInput) as caught:
        parse_rules(text, site, "my.toml")
    assert str(caught.value).startswith(f"my.toml:{line}: "), caught.value
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    windows = text.replace("\n", "\r\n") if isinstance(text, str) else text
    with pytest.raises(BadInput, match=re.escape(f"my.toml:{line}: ")):
        parse_rules(windows, site, "my.toml")


def test_what_can_be_verified_is_not(site):
    both = parse_rules(GOOD + OTHER, site)
    assert [rule.name for rule in both.rules] == ["calm", "other"]
    assert both.rules[0] == Rule("calm", BLOCK_0, BLOCK_1, 60.0, 0.9, 1, (0, 1))
    assert parse_rules((GOOD + OTHER).replace("\n", "\r\n"), site).rules == both.rules
    assert parse_rules("", site).rules == ()


def test_a_refusal_says_what_would_do(site):
    """The strength in the message is accepted, and one a little lower is not."""
    with pytest.raises(BadInput) as caught:
        parse_rules(changed("strength = 60", "strength = 2"), site)
    enough = float(str(caught.value).split("must be at least ")[1].split()[0])
    parse_rules(changed("strength = 60", f"strength = {enough}"), site)
    with pytest.raises(BadInput):
        parse_rules(changed("strength = 60", f"strength = {enough - 0.002}"), site)
    with pytest.raises(BadInput) as caught:
        parse_rules(GOOD + changed("100.0", "61.0", OTHER), site)
    enough = float(str(caught.value).split(": ")[-1].split(" does")[0])
    parse_rules(GOOD + changed("100.0", f"{enough}", OTHER), site)
    with pytest.raises(BadInput, match="must exceed"):  # with two blocks no other key is in the worst row
        parse_rules(GOOD + changed("100.0", f"{enough - 0.002}", OTHER), site)


def test_lines_by_tables_and_values_of_several_lines():
    text = 'a = [\n1,\n]\n# b = 2\n\n[[rule]]\n[rule.trigger]\nblock = 0\n[[rule]]\nname = """\nx\n"""\nmass = 1'
    assert [line_of(text, path) for path in [("a",), ("rule", 0), ("rule", 0, "trigger")]] == [1, 6, 7]
    assert line_of(text, ("rule", 0, "trigger", "block")) == 8
    assert [line_of(text, ("rule", 1, key)) for key in ("name", "mass", "absent")] == [10, 13, 9]


# --- thresholds ----------------------------------------------------------------------------------------------------


def worst(site, block, layer, mine, tau=1.0):
    """The closed form of the calculators, position by position, for one rule without others."""
    pattern = block_pattern(CONFIG, 16).numpy()
    found = []
    for t in np.flatnonzero(pattern == block):
        n, r = t + 1 + 2, (pattern[: t + 1] == mine).sum() + 1  # and one anchor a block
        found.append(rule_bias(0.9, site.ranges[layer, block], n, r, tau))
    return max(found)


def test_the_threshold_of_one_rule_is_that_of_the_calculator(site):
    for layers in ((0,), (1,), None):
        need = max(worst(site, 0, layer, 1) for layer in layers or (0, 1))
        rule = Rule("x", BLOCK_0, BLOCK_1, need * (1 + 1e-12), 0.9, layers=layers)
        RuleBook((rule,), site)
        with pytest.raises(BadInput, match="must be at least"):
            RuleBook((Rule("x", BLOCK_0, BLOCK_1, need * (1 - 1e-12), 0.9, layers=layers),), site)
        assert guaranteed_mass((rule,), 0, site) == pytest.approx(0.9, abs=1e-12)


def test_a_bias_counts_as_so_many_keys(words, parameters):
    """Of a lower rule on other keys: W = n_0 + r_B e^(b_B / tau), at a temperature that is not 1."""
    config = configured(TOPICS, setting={"temperature": 2.0, "n_anchors": 1})
    site = site_of(parameters, config, words)
    low, pattern = 30.0, block_pattern(config, 16).numpy()
    needs = []
    for layer in range(2):
        for t in np.flatnonzero(pattern == 0):
            mine, others = (pattern[: t + 1] == 1).sum() + 1, (pattern[: t + 1] == 0).sum() + 1
            weight = others * math.exp(low / 2)
            needs.append(2 * (site.ranges[layer, 0] / 2 + math.log(weight * 0.9 / 0.1 / mine)))
    lower = Rule("lower", Selector(), BLOCK_0, low, 1e-9, 0)
    for factor, good in ((1 + 1e-12, True), (1 - 1e-12, False)):
        rules = (Rule("upper", BLOCK_0, BLOCK_1, max(needs) * factor, 0.9, 1), lower)
        if good:
            RuleBook(rules, site)
        else:
            with pytest.raises(BadInput, match="must"):
                RuleBook(rules, site)


TINY = configured(
    TOPICS, setting={"temperature": 1.5, "n_anchors": 1}, task={"queries": 5, "segment": 1, "vocabulary": 4}
)
LETTERS = ("a", "b", "c", "d")


def worst_row(rules, i, site):
    """The most that rule i needs, and the least mass that its strength leaves: over every text there is."""
    tau, need, least = 1.5, 0.0, 1.0
    blocks, words = np.array([*block_pattern(TINY, 5), 0, 1]), [*LETTERS, None]
    rule = rules[i]

    def met(selector, block, word):
        return word in selector.words if selector.words else selector.block in (None, block)

    for text in itertools.product(range(4), repeat=5):
        held = [words[at] for at in (*text, 4, 4)]
        for t, layer in itertools.product(range(5), range(2)):
            acting = [r for r in rules if met(r.trigger, blocks[t], held[t]) and layer in (r.layers or (0, 1))]
            if rule not in acting or any(r.priority > rule.priority and differ(r.target, rule.target) for r in acting):
                continue
            seen = [j for j in range(7) if j <= t or j >= 5]
            bias = {j: sum(r.strength for r in acting if met(r.target, blocks[j], held[j])) for j in seen}
            mine = {j for j in seen if met(rule.target, blocks[j], held[j])}
            others = sum(math.exp(bias[j] / tau) for j in seen if j not in mine)
            if mine and others:
                span = site.ranges[layer, blocks[t]]
                need = max(need, span + tau * math.log(others * rule.mass / (1 - rule.mass) / len(mine)))
                weight = len(mine) * math.exp((rule.strength - span) / tau)
                least = min(least, weight / (weight + others))
    return need, least


@pytest.mark.parametrize("seed", range(12))
def test_what_a_promise_needs_against_every_text(seed):
    """Never less than the worst row; exactly it where no rule is triggered by a word, which may be a target itself."""
    rng = np.random.default_rng(seed)
    site = site_within(rng.uniform(0.5, 4, (2, 2)), TINY, LETTERS)
    by_word = seed % 3 == 0
    triggers = [Selector(), BLOCK_0, BLOCK_1, *([Selector(words=("a",)), Selector(words=("a", "c"))] * by_word)]
    targets = [BLOCK_0, BLOCK_1, Selector(words=("a",)), Selector(words=("b", "c")), Selector(words=("a", "b"))]
    rules = tuple(
        Rule(
            str(at),
            triggers[rng.integers(len(triggers))],
            targets[rng.integers(len(targets))],
            float(rng.uniform(0, 4)),
            0.8,
            int(rng.integers(2)),
            (None, (0,), (1,))[rng.integers(3)],
        )
        for at in range(3)
    )
    for i in range(3):
        need, least = worst_row(rules, i, site)
        found, floor = needed_strength(rules, i, site), guaranteed_mass(rules, i, site)
        assert found >= need
        assert floor <= least * (1 + 1e-12)
        if not by_word:
            assert found == pytest.approx(need, abs=1e-12)
            assert floor == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("stream", ["localist", "shared"])
@pytest.mark.parametrize("anchor_logit", [None, 0.5, 40.0])
def test_no_row_spans_more_than_the_certified_range(stream, anchor_logit, tokens):
    config = configured(TOPICS, model={"stream": stream, "anchor_logit": anchor_logit})
    parameters = drawn(config, 2, 3.0)
    certified = certified_range(parameters, config)
    layout = Layout(block_pattern(config, 16), config, torch.float64)

    def observe(layer, logits):
        seen = logits > -math.inf
        span = logits.where(seen, -math.inf).amax(-1) - logits.where(seen, math.inf).amin(-1)
        allowed = certified[:, layer][:, :, None, layout.query_block]
        assert (span.numpy() <= allowed).all()

    forward(parameters, tokens, layout, config, observe=observe)


def test_the_certified_range_is_attained():
    """By the singular vectors of a block as features: no smaller range holds for every input."""
    config = configured(TOPICS, model={"anchor_logit": None})
    parameters = drawn(config, scale=2.0)
    forms = parameters["forms"][0, 1, 0, 1]  # d c d
    spans = []
    for c in range(2):
        left, _, right = torch.linalg.svd(forms[:, c])
        query, key = 2 * left[:, 0], 2 * right[0]  # of norm sqrt(d)
        spans.append(float(query @ forms[:, c] @ key - query @ forms[:, c] @ -key))
    assert max(spans) == pytest.approx(certified_range(parameters, config)[0, 1, 0, 1], rel=1e-10)


def test_which_targets_differ():
    a, ab, bc = (Selector(words=w) for w in (("a",), ("a", "b"), ("b", "c")))
    assert not differ(a, ab)
    assert not differ(ab, a)
    assert differ(ab, bc)
    assert differ(a, BLOCK_0)
    assert differ(BLOCK_0, BLOCK_1)
    assert not differ(BLOCK_0, Selector(block=0))


# --- what rules do -------------------------------------------------------------------------------------------------


def enough(site, *rules):
    """The rules, each with the strength that its promise needs, the lowest priority first."""
    done: list[Rule] = []
    for rule in rules:
        try:
            RuleBook((*done, rule), site)
        except BadInput as error:
            text = str(error)
            need = text.split(": ")[-1] if " does, " in text else text.split("at least ")[1]
            rule = Rule(**{**vars(rule), "strength": float(need.split()[0])})
        done.append(rule)
    return tuple(done)


def wanted(words):
    return (
        Rule("low", Selector(), BLOCK_1, 0.0, 0.6, 0),
        Rule("middle", Selector(words=tuple(words[:12])), BLOCK_0, 0.0, 0.9, 1),
        Rule("high", BLOCK_1, Selector(words=tuple(words[3:9])), 0.0, 0.95, 2, (1,)),
    )


def test_every_row_keeps_what_it_was_promised(words, tokens, layout):
    parameters = drawn(settings=2)
    site = site_of(parameters, CONFIG, words)
    book = RuleBook(enough(site, *wanted(words)), site)
    found = gathered(book, parameters, tokens, layout)
    assert set(found) == {0, 1, 2}
    for rows in found.values():
        kept = rows["promised"] > 0
        assert (rows["mass"] >= rows["promised"] - 1e-12)[kept].all()
        assert kept.any()
        assert (rows["observed_range"] <= rows["logit_range"]).all()
        outcome = check(by_key("rule_mass"), rows, ("row",))
        assert outcome.verdict is Verdict.HOLDS
        assert not outcome.counts[Verdict.VIOLATED]
    assert found[2]["silent"].any()  # no word of the rule before some query
    assert (found[2]["promised"][found[2]["silent"]] == 0).all()
    assert (found[2]["layer"] == 1).all()
    assert (found[0]["promised"] == 0).any()  # outranked there
    assert (found[0]["promised"] > 0).any()
    assert found[0]["mass"][(found[0]["promised"] == 0) & ~found[0]["silent"]].min() < 0.6


def test_the_floor_is_attained(site):
    """A row at the worst of the range: the strength that just does leaves exactly what was promised."""
    need = worst(site, 0, 1, 1)
    span = site.ranges[1, 0]
    pattern = block_pattern(CONFIG, 16).numpy()
    masses = []
    for t in np.flatnonzero(pattern == 0):
        keys = np.concatenate([pattern[: t + 1], [0, 1]])
        logits = np.where(keys == 1, need, span)
        weights = np.exp(logits - logits.max())
        masses.append(weights[keys == 1].sum() / weights.sum())
    assert min(masses) == pytest.approx(0.9, abs=1e-9)


def test_the_mass_ratio_of_two_rules_holds(site, parameters, words, tokens, layout):
    book = RuleBook(enough(site, *wanted(words)[:2]), site)
    parts = []

    def observe(layer, logits):
        parts.append(priority_rows(book, 1, 0, tokens, layout, layer, logits))

    forward(parameters, tokens, layout, CONFIG, observe=observe)
    rows = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    assert len(rows["gap"]) > 0
    assert (rows["mass_ratio"] >= 9).all()
    np.testing.assert_allclose(rows["gap"], book.rules[1].strength - book.rules[0].strength)
    outcome = check(by_key("rule_priority"), rows, ("row",))
    assert outcome.verdict is Verdict.HOLDS
    assert outcome.counts[Verdict.HOLDS] == len(rows["gap"])


def test_the_bias_is_in_logits_whatever_the_temperature(words, tokens):
    """Odds of a rule's keys are multiplied by e^(strength / tau)."""
    config = configured(TOPICS, setting={"temperature": 2.0, "n_anchors": 1})
    parameters, layout = drawn(config), Layout(block_pattern(config, 16), config, torch.float64)
    site = site_of(parameters, config, words)
    rule = Rule("x", BLOCK_0, BLOCK_1, 3.0, 1e-9, layers=(0,))
    book, kept = RuleBook((rule,), site), []

    def observe(layer, logits):
        kept.append(logits)

    forward(parameters, tokens, layout, config, observe=observe)
    here, keys = layout.query_block == 0, layout.key_block == 1
    before, after = (
        torch.softmax(logits / 2.0, -1)[..., here, :] for logits in (kept[0], book.change(tokens, layout)(0, kept[0]))
    )
    odds = [w[..., keys].sum(-1) / w[..., ~keys].sum(-1) for w in (before, after)]
    torch.testing.assert_close(odds[1], odds[0] * math.exp(1.5), rtol=1e-12, atol=0.0)


def test_nothing_of_a_rule_is_left(site, parameters, tokens, layout):
    plain = read(parameters, tokens, layout)
    book, empty = RuleBook(parse_rules(GOOD, site).rules, site), RuleBook((), site)
    assert not torch.equal(read(parameters, tokens, layout, book.change(tokens, layout)), plain)
    assert torch.equal(read(parameters, tokens, layout, empty.change(tokens, layout)), plain)
    logits = torch.randn(1, 2, 3, 16, 18, dtype=torch.float64)
    assert empty.change(tokens, layout)(0, logits) is logits
    late = RuleBook((Rule("late", Selector(), BLOCK_0, 60.0, 0.5, layers=(1,)),), site)
    assert late.change(tokens, layout)(0, logits) is logits
    assert rule_rows(empty, tokens, layout, 0, logits) == {}


def test_masked_keys_stay_masked_and_count_as_not_seen(site, parameters, tokens, layout):
    book = RuleBook(parse_rules(GOOD, site).rules, site)
    mask = dial(CONFIG, layout.in_block, dials=1.0)
    rows = gathered(book, parameters, tokens, layout, mask)[0]
    assert rows["silent"].all()  # queries of block 0 see nothing of block 1
    assert (rows["promised"] == 0).all()
    logits = mask(0, torch.zeros(1, 2, 3, 16, 18, dtype=torch.float64))
    after = book.change(tokens, layout)(0, logits)
    assert torch.equal(after == -math.inf, logits == -math.inf)
    assert torch.isfinite(read(parameters, tokens, layout, mask, book.change(tokens, layout))).all()


def test_with_a_dial_before_and_a_guard_after(words, parameters, tokens, layout):
    """A dial widens the range by tau kappa, which the site is told; a guard sees what rules have left."""
    turned, kappa = dial(CONFIG, layout.in_block, kappas=2.0), 2.0
    site = site_of(parameters, CONFIG, words, kappa=kappa)
    np.testing.assert_allclose(site.ranges, site_of(parameters, CONFIG, words).ranges + kappa)
    book = RuleBook(enough(site, Rule("x", BLOCK_0, BLOCK_1, 0.0, 0.9)), site)
    rows = gathered(book, parameters, tokens, layout, turned)[0]
    assert (rows["mass"] >= 0.9)[rows["promised"] > 0].all()
    assert (rows["observed_range"] <= rows["logit_range"]).all()
    guarded = torch.where(layout.query_block[:, None] == 0, layout.key_block == 1, True)
    with Guard(0.9, guarded, 1.0) as guard:
        read(parameters, tokens, layout, turned, book.change(tokens, layout), guard)
    assert guard.rows == 2 * 2 * 3 * 16
    adaptive = adaptive_dial(0.7, layout.in_block, 1.0)
    assert torch.isfinite(read(parameters, tokens, layout, adaptive, book.change(tokens, layout))).all()


def test_settings_side_by_side_are_what_they_are_alone(words, tokens, layout):
    parameters = drawn(settings=3)
    site = site_of(parameters, CONFIG, words)
    book = RuleBook(enough(site, *wanted(words)), site)
    change = book.change(tokens, layout)
    together = read(parameters, tokens, layout, change)
    for s in range(3):
        alone = read({k: v[s : s + 1] for k, v in parameters.items()}, tokens, layout, change)
        torch.testing.assert_close(together[s : s + 1], alone, rtol=0, atol=1e-12)


# --- reloads -------------------------------------------------------------------------------------------------------


def test_a_file_is_followed_while_tokens_come(tmp_path, words):
    """Valid, then broken (the old rules stay, said once), then other rules, then none."""
    config = configured(TOPICS, model={"anchor_logit": None})
    parameters = drawn(config)
    site, path, said = site_of(parameters, config, words), tmp_path / "rules.toml", []
    path.write_text(GOOD)
    file, books, seen = RuleFile(path, site, said.append), [], []

    def changes(tokens, layout):
        books.append(file.current())
        seen.append(tokens)
        return [books[-1].change(tokens, layout)]

    prompt = torch.tensor([[1, 2, 3, 4, 5]])
    tokens = generate(parameters, prompt, config, 12, changes)
    for at in range(12):
        if at == 3:
            path.write_text(changed("strength = 60", "strength = 2"))
        if at == 6:
            path.write_text(GOOD + OTHER)
        if at == 9:
            path.write_text("")
        next(tokens)
    assert [len(book.rules) for book in books] == [1] * 6 + [2] * 3 + [0] * 3
    assert books[5] is books[0]
    assert len(said) == 1
    assert said[0].startswith(f"{path}:6: strength of rule 'calm' must be at least")
    assert file.refusal is None
    assert [t.shape[1] for t in seen] == list(range(5, 17))
    path.unlink()
    assert file.current() is books[-1]
    assert file.current() is books[-1]
    assert len(said) == 2
    assert "readable" in said[1]
    path.write_text(GOOD)
    assert file.current().rules == books[0].rules


def test_generated_tokens_are_those_of_the_model(words):
    parameters = drawn()
    prompt = torch.tensor([[1, 2, 3], [9, 8, 7]])
    found = torch.stack(list(generate(parameters, prompt, CONFIG, 14)), 1)
    whole = torch.cat([prompt, found], 1)[:, :16]
    scores = next_scores(parameters, whole, CONFIG)[0]
    full = read(parameters, whole, Layout(block_pattern(CONFIG, 16), CONFIG, torch.float64))
    torch.testing.assert_close(scores, (full @ parameters["unembedding"][:, None])[0])
    assert torch.equal(scores[:, 2:].argmax(-1), found)
    drawn_twice = [torch.stack(list(generate(parameters, prompt, CONFIG, 14, temperature=1.0, seed=4))) for _ in (0, 1)]
    assert torch.equal(*drawn_twice)
    assert not torch.equal(drawn_twice[0].T, found)
    for bad in ({"prompt": prompt[:, :0]}, {"steps": 15}, {"temperature": 0.0}, {"parameters": drawn(settings=2)}):
        given = {"parameters": parameters, "prompt": prompt, "config": CONFIG, "steps": 2, **bad}
        with pytest.raises(BadInput):
            generate(**given)


def test_no_drift_over_many_cycles(tmp_path, site, parameters, tokens, layout, monkeypatch):
    """Injected, reloaded, removed, 200 times: the same bits every time, and nothing that piles up."""
    monkeypatch.setattr(shape_checks, "WANTED", False)
    path, said = tmp_path / "rules.toml", []
    path.write_text("")
    file = RuleFile(path, site, said.append)
    texts = (GOOD, GOOD + OTHER, GOOD + changed("priority = 2", "priority = 1", OTHER), "")
    first, alive = None, []
    for cycle in range(200):
        outputs = []
        for text in texts:
            path.write_text(text)
            outputs.append(read(parameters, tokens[:1], layout, file.current().change(tokens[:1], layout)))
        first = first or outputs
        assert all(map(torch.equal, outputs, first)), cycle
        if cycle in (20, 199):
            gc.collect()
            alive.append(len(gc.get_objects()))
    assert torch.equal(first[3], read(parameters, tokens[:1], layout))
    assert torch.equal(first[1], first[2])  # the contradiction was refused, the rules before it stayed
    assert len(said) == 200
    assert alive[1] - alive[0] < 250 + 200  # the refusals kept by this test, and room for the caches of others


FAKE = {"good": "kept", "weak": "missed", "bad": None}


@pytest.mark.parametrize("good", [(1, 2, 3), (0, 1, 6)])
def test_files_drawn_afresh_leave_the_product(good):
    pools = tuple(("good",) * g + ("bad",) * (6 - g) for g in good)
    found = course(Author("x", pools), "missed", FAKE.__getitem__, lambda live: live == "missed")
    assert found.sequences == 6**3
    assert found.marginal == tuple(Fraction(g, 6) for g in good)
    assert found.violating == found.product
    assert found.reintroduced == (0, 0, 0)
    rows = reload_rows([found])
    assert check(by_key("reload_compliance"), rows, ("author", "reload")).verdict is Verdict.HOLDS
    assert rows["promised"][0, 1].tolist() == [promised(Fraction(g, 6)) for g in good[:2]] + [0.0]


def test_what_breaks_the_product_is_vacuous_not_refuted():
    pool = ("good", "bad", "bad")
    again = course(Author("again", (pool,) * 3, once=True), "missed", FAKE.__getitem__, lambda live: live == "missed")
    assert again.violating == (Fraction(2, 3),) * 3
    assert again.removal == (Fraction(1, 3), 0, 0)
    pool = ("good", "weak", "bad")
    drops = course(Author("drops", (pool,) * 3), "missed", FAKE.__getitem__, lambda live: live == "missed")
    assert drops.violating == (Fraction(2, 3), Fraction(5, 9), Fraction(14, 27))  # v -> 2v/3 + (1 - v)/3
    assert drops.reintroduced == (0, Fraction(1, 9), Fraction(4, 27))
    outcome = check(by_key("reload_compliance"), reload_rows([again, drops]), ("author", "reload"))
    assert (outcome.counts[Verdict.HOLDS], outcome.counts[Verdict.VACUOUS]) == (2, 4)
    assert not outcome.counts[Verdict.VIOLATED]
    without = {**reload_rows([again]), "removal_given_persisting": np.ones((1, 3, 3))}  # were the hypothesis claimed
    assert check(by_key("reload_compliance"), without, ("author", "reload")).verdict is Verdict.VIOLATED
    with pytest.raises(ValueError, match="start must violate"):
        course(Author("x", (pool,)), "kept", FAKE.__getitem__, lambda live: live == "missed")


def test_the_study_of_a_small_model(tmp_path, monkeypatch):
    """Every part, every verdict and figure; the same bytes when its parts are read and not made."""
    monkeypatch.setattr(rule_runs, "CYCLES", 20)
    config = configured(TOPICS, sweep={"penalties": [0.0]})
    outcomes = run_study("rules", config, tmp_path / "run")
    assert {o.theorem.key for o in outcomes} == {"rule_mass", "rule_priority", "reload_compliance", "reload_limit"}
    for outcome in outcomes:
        assert outcome.verdict is Verdict.HOLDS, outcome.theorem.key
        assert not outcome.counts[Verdict.VIOLATED]
    saved = (tmp_path / "run" / "study.json").read_bytes()
    numbers = json.loads(saved)["numbers"]
    assert numbers["cycles"]["largest_difference"] == numbers["cycles"]["differ_after_removal"] == 0
    assert numbers["cycles"]["moved_by_rules"] > 0
    assert numbers["running"]["same_without_rules"]
    assert (np.array(numbers["running"]["mass"]) >= numbers["running"]["promise"]).all()
    assert len(numbers["running"]["refusals"]) == 2
    assert [found["exactly_the_product"] for found in numbers["reloads"].values()] == [True, True, False, False]
    for curve in numbers["strength"].values():
        for floor in ("floor", "floor_seen"):
            assert (np.array(curve["least"]) >= np.array(curve[floor]) * (1 - 1e-9)).all()
        assert not any(curve["missed"])
    files = draw_study(tmp_path / "run", tmp_path / "figures")
    assert len(own_figures(files)) == 8
    run_study("rules", config, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "study.json").read_bytes() == saved


def test_a_file_that_is_not_there(tmp_path, site):
    with pytest.raises(BadInput, match=r"RULES must be a readable TOML file, got '.*none.toml'"):
        load_rules(tmp_path / "none.toml", site)


def test_the_floor_is_the_closed_form(site):
    rule = Rule("x", BLOCK_0, BLOCK_1, 20.0, 1e-9, layers=(1,))
    pattern = block_pattern(CONFIG, 16).numpy()
    off = [
        closed_forms.off_rule(20.0, site.ranges[1, 0], 1.0, t + 3, (pattern[: t + 1] == 1).sum() + 1)
        for t in np.flatnonzero(pattern == 0)
    ]
    assert guaranteed_mass((rule,), 0, site) == pytest.approx(1 - max(off), abs=1e-12)
