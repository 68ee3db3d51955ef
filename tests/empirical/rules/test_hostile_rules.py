"""A rule file may hold anything, and a generator may wait for it: it is refused in a moment, and rules stay."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hostile import DEEP, HEX, LONG, RULE, SITE

from empirical.errors import BadInput
from empirical.rules.checks import MOST_RULES
from empirical.rules.files import RuleFile, load_rules, parse_rules
from empirical.rules.site import Site

SECONDS = 5


@pytest.fixture(autouse=True)
def _in_a_moment():
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("entries", [2, 4_000])
def test_the_line_of_a_refusal_is_found_without_reading_again_and_again(entries):
    """A file of 4 KB took minutes."""
    layers = "[" + "\n# [[rule]] ]'\n0,\t'x'," * entries + "\n]"
    text = RULE.format(1) + f"layers = {layers}\n\n[[rule]] # '''\nname = 'b'\n"
    with pytest.raises(BadInput, match=r"^rules:7: layers of rule 'a' must be a list"):
        parse_rules(text, SITE)


def test_the_line_of_a_refusal_is_that_of_its_statement_whatever_strings_and_comments_hold():
    head = "# [ { ''' \"\n[[rule]] # ] }\nname = '''\n[[rule]]\n''\\'''''\n"
    body = 'trigger = { block = 0 }\ntarget = { words = [\n"""\n[ \\" {""""",\n"\\"[",\n] }\n'
    with pytest.raises(BadInput, match=r"^rules:12: strength of rule .* must be a finite number, got 'x'"):
        parse_rules(f"{head}{body}strength = 'x'\nmass = 0.9\n", SITE)


@pytest.mark.parametrize("value", [LONG, HEX, "[" * DEEP + "]" * DEEP, "{a=" * DEEP + "1" + "}" * DEEP])
def test_numbers_and_nesting_without_end_are_refused_by_line(tmp_path, value):
    path = tmp_path / "rules.toml"
    path.write_text(RULE.format(value))
    with pytest.raises(BadInput, match=r"rules.toml:\d+: rules must be TOML, got (rule|nested|Exceeds)") as refused:
        load_rules(path, SITE)
    assert len(str(refused.value)) < 600


def test_keys_of_thousands_of_parts_are_refused_before_they_are_read():
    with pytest.raises(BadInput, match=r"^rules:1: rules must be TOML, got nested deeper than 64"):
        parse_rules(".".join("a" * 30_000) + " = 1", SITE)
    dots = RULE.format(1).replace('"a"', f'"{"." * 99}"') + f"# {'.' * 99}\n"  # dots of a string or a comment are none
    assert parse_rules(dots, SITE).rules[0].name == "." * 99


def test_rules_that_are_too_many_to_verify_in_time_are_refused():
    many = "\n".join(RULE.format(1).replace('"a"', f'"a{at}"') for at in range(MOST_RULES + 1))
    with pytest.raises(BadInput, match=rf"^rules:{7 * MOST_RULES + 2}: rules must be at most 64, got 65"):
        parse_rules(many, SITE)
    words = tuple(f"w{at}" for at in range(2016))
    site = Site(words, 1.0, np.full((12, 8), 2.0), np.arange(64) % 8, np.ones((64, 8)))
    rule = '[[rule]]\nname = "r{}"\ntrigger = {{ words = {} }}\ntarget = {{ block = 0 }}\nstrength = 9.0\nmass = 0.9\n'
    pairs = {(i, j): word for (i, j), word in zip(((i, j) for i in range(64) for j in range(i)), words)}
    chosen = [[word for pair, word in pairs.items() if at in pair] for at in range(64)]
    with pytest.raises(BadInput, match="rules must be triggered in at most 16,384 ways together"):
        parse_rules("\n".join(rule.format(at, those) for at, those in enumerate(chosen)), site)


def test_a_rule_file_has_a_largest_size(tmp_path):
    endless = tmp_path / "endless.toml"
    endless.symlink_to("/dev/zero")
    with pytest.raises(BadInput, match=r"RULES must be a readable TOML file of at most 131,072 bytes, got more in"):
        load_rules(endless, SITE)


def test_a_reload_that_fails_keeps_the_last_good_rules_and_says_so(tmp_path):
    path, said = tmp_path / "rules.toml", []
    path.write_text(RULE.format(1))
    rules = RuleFile(path, SITE, said.append)
    bad = [f"[[rule]]\nname = {LONG}", "x = " + "[" * 3000, f'[[rule]]\nname = "{"é" * 70_000}"', "\x00", "a = 1\n" * 9]
    for text in bad:
        path.write_text(text)
        for _ in range(2):
            assert [rule.name for rule in rules.current().rules] == ["a"]
        assert rules.refusal == said[-1]
        assert "the rules before stay" in said[-1]
    path.unlink()
    for _ in range(2):
        assert len(rules.current().rules) == 1
    assert len(said) == len(bad) + 1
    path.write_text("")
    assert rules.current().rules == ()


def test_a_refusal_on_the_terminal_steers_nothing(tmp_path, capsys):
    path = tmp_path / "rules.toml"
    path.write_text(RULE.format(1))
    rules = RuleFile(path, SITE)
    path.write_text('[[rule]]\nname = "\\u001b[31m"\n')
    rules.current()
    assert "rule '\\x1b[31m' must have a trigger" in capsys.readouterr().err
