"""Rules injected, conflicting, reloaded and removed (claims C8, C12): mass guaranteed by theorem, compliance measured.

    strength: mass and behaviour of a rule on a block and of one on words, from no bias to beyond what 99.9 % needs
    gap:      the attention of a rule over that of a conflicting lower one, against (r_A/r_B) e^(gap/tau - D)
    reloads:  every sequence of drawn rule files through the checker and the model, against the product of (1 - p_t)
    running:  a rule file that changes while tokens are generated; 1,000 cycles of injecting, reloading and removing
    refused:  what the checker says of files that it does not load

Behaviour is the model's: nothing here predicts it. Thresholds hold for every input; the masses are of held-out text.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.rule_site import site_of
from empirical.laboratory.store import Store
from empirical.rules.book import RuleBook
from empirical.rules.checks import Rule, Selector, guaranteed_mass, needed_strength
from empirical.rules.files import parse_rules
from empirical.rules.site import Site
from empirical.shapes import Arrays
from empirical.studies.findings import Findings, Judged
from empirical.studies.rules.compliance import Subject, along_gap, along_strength, frequent_words, reference
from empirical.studies.rules.reloads import Author, Course, course, promised, reload_rows
from empirical.studies.rules.running import REQUIRED, cycling, rule_files_for, running
from empirical.studies.trained import trained

SEQUENCES = 16  # held out, on which masses and behaviour are measured
STRENGTHS = (*np.linspace(0, 0.6, 21).tolist(), 0.7, 0.8, 0.9, 0.95, 1.0, 1.05)  # of what 99.9 % needs
GAPS = 13
WORDS = 3  # of the rule on words


def measure(config: Config, store: Store) -> Findings:
    """Every part, on the model of the configuration's first seed without a penalty."""
    model = trained(config, store)
    site = site_of(model.parameters, config, model.task.corpus.vocabulary)
    tokens = model.heldout(0, SEQUENCES)[:, :-1]
    subject = Subject(model.parameters, tokens, model.layout, config, site, model.task.corpus)
    rules, plain = _rules(subject), subject.read()
    drawn, judged = {}, []
    for rule in rules:
        kept = store.keep_parts(f"strength {rule.name}", lambda rule=rule: _strengths(subject, rule))
        curve, rows = kept["curve"], kept["rows"]
        drawn[rule.name] = {**_plain(curve), "reference": reference(subject, rule, plain), **_thresholds(rule, site)}
        judged.append(Judged(f"mass {rule.name}", ("row",), rows, ("rule_mass",)))
        tight = {**rows, "logit_range": rows["observed_range"]}
        judged.append(Judged(f"mass {rule.name} by the ranges seen", ("row",), tight, ("rule_mass",)))
    gaps = store.keep_parts("gap", lambda: _gaps(subject))
    judged.append(Judged("priority", ("row",), gaps["rows"], ("rule_priority",)))
    courses = _courses(subject)
    judged.append(
        Judged(
            "reloads", ("author", "reload"), reload_rows(list(courses.values())), ("reload_compliance", "reload_limit")
        )
    )
    cycles = store.keep("cycles", lambda: cycling(subject))
    numbers = {
        "rows": int(sum(len(part.rows["off_rule"]) for part in judged if "off_rule" in part.rows) // 2),
        "sequences": len(tokens),
        "ranges": site.ranges.tolist(),
        "observed_range": float(max(part.rows["observed_range"].max() for part in judged[:4])),
        "words": list(rules[1].target.words),
        "strength": drawn,
        "gap": _plain(gaps["curve"]),
        "reloads": {name: _course(found) for name, found in courses.items()},
        "running": running(model, site),
        "cycles": {name: value.item() for name, value in sorted(cycles.items())},
        "refused": _refused(site),
    }
    return Findings(numbers, tuple(judged))


def _rules(subject: Subject) -> tuple[Rule, Rule]:
    """A rule on a block, for the queries of another, and one on words, for all queries."""
    far = subject.site.blocks // 2
    words = frequent_words(subject.corpus, far, WORDS)
    return (
        Rule("block", Selector(block=0), Selector(block=far), 0.0, 0.5),
        Rule("words", Selector(), Selector(words=words), 0.0, 0.5),
    )


def _thresholds(rule: Rule, site: Site) -> dict[str, Any]:
    """What promises need, and the guaranteed mass between, for a line."""
    needed = {f"needed_{mass}": needed_strength((replace(rule, mass=mass),), 0, site) for mass in (0.5, 0.9, 0.99)}
    line = np.linspace(0, 1.4 * needed["needed_0.9"], 200)
    floors = [guaranteed_mass((replace(rule, strength=float(at)),), 0, site) for at in line]
    return {**needed, "line": line.tolist(), "line_floor": floors}


def _strengths(subject: Subject, rule: Rule) -> dict[str, Arrays]:
    top = needed_strength((replace(rule, mass=0.999),), 0, subject.site)
    curve, rows = along_strength(subject, rule, [top * share for share in STRENGTHS])
    return {"curve": curve, "rows": rows}


def _gaps(subject: Subject) -> dict[str, Arrays]:
    blocks = subject.site.blocks
    upper = Rule("upper", Selector(block=0), Selector(block=blocks // 2), 0.0, 0.5, priority=1)
    lower = Rule("lower", Selector(block=0), Selector(block=blocks - 1), 10.0, 0.5)
    if blocks == 2:
        lower = replace(lower, target=Selector(block=0))
    gaps = np.linspace(0, 1.25 * subject.site.ranges[:, 0].max(), GAPS)
    curve, rows = along_gap(subject, upper, lower, list(gaps))
    return {"curve": curve, "rows": rows}


def _plain(arrays: Arrays) -> dict[str, Any]:
    return {name: values.tolist() for name, values in arrays.items()}


# --- rule files ------------------------------------------------------------------------------------------------------


def _refused(site: Site) -> list[str]:
    """What the checker says of every bad file."""
    said = []
    for name, text in rule_files_for(site)[1].items():
        try:
            parse_rules(text, site, f"{name.replace(' ', '-')}.toml")
        except BadInput as error:
            said.append(str(error))
        else:
            raise AssertionError(f"a file that must be refused was loaded: {name}")
    return said


def _courses(subject: Subject) -> dict[str, Course]:
    """The authors' courses, each by its words in the figure."""
    site = subject.site
    good, bad, idle = rule_files_for(site)
    keep, wrong = list(good.values()), list(bad.values())
    mixed = tuple((*keep[:g], *wrong[: 6 - g]) for g in (1, 2, 3, 2))
    same = ((*keep[:2], *wrong[:4]),) * 4
    authors = (
        Author("drawn afresh, p = 1/6, 1/3, 1/2, 1/3", mixed),
        Author("drawn afresh, p = 1/3", same),
        Author("drawn once, p = 1/3, handed in again", same, once=True),
        Author("drawn afresh, p = 1/3, and one file drops the rule", ((*keep[:2], idle, *wrong[:3]),) * 4),
    )

    def load(text: str) -> RuleBook | None:
        try:
            return parse_rules(text, site)
        except BadInput:
            return None

    def violates(book: Any) -> bool:
        return subject.least_mass(book, Selector(block=0), Selector(block=site.blocks // 2)) < REQUIRED

    for text in (*keep, idle):
        parse_rules(text, site)  # raises where a file that must be accepted is not
    start = RuleBook((), site)
    return {author.name: course(author, start, load, violates) for author in authors}


def _course(found: Course) -> dict[str, Any]:
    return {
        "sequences": found.sequences,
        "violating": [float(p) for p in found.violating],
        "product": [float(p) for p in found.product],
        "removal": [float(p) for p in found.removal],
        "promised": [promised(p) for p in found.marginal],
        "reintroduced": [float(p) for p in found.reintroduced],
        "exactly_the_product": found.violating == found.product,
    }


# --- what it says ----------------------------------------------------------------------------------------------------


def table(numbers: dict[str, Any]) -> str:
    """Mass and behaviour along the strength; reloads; what ran; refusals."""
    lines = []
    for name, curve in numbers["strength"].items():
        target = "a block" if name == "block" else "the words " + ", ".join(numbers["words"])
        lines += [f"Rule on {target}: strength that guarantees 0.5, 0.9, 0.99 of the attention: "]
        lines[-1] += ", ".join(f"{curve[f'needed_{mass}']:.2f}" for mass in (0.5, 0.9, 0.99))
        lines.append("strength  guaranteed  least mass  mean mass  complying top word  probability  moved")
        columns = zip(*(curve[k] for k in ("strength", "floor", "least", "mean", "share", "probability", "moved")))
        lines += ["{:8.2f}  {:10.4f}  {:10.4f}  {:9.4f}  {:18.3f}  {:11.3f}  {:5.3f}".format(*c) for c in columns]
        lines += [f"complying top word where the text itself goes on so: {curve['reference']:.3f}", ""]
    lines.append("Reloads: share of sequences still violating after each | product of (1 - p)")
    for name, found in numbers["reloads"].items():
        seen, said = ("  ".join(f"{p:.4f}" for p in found[k]) for k in ("violating", "product"))
        lines.append(f"  {seen} | {said}  {name} ({found['sequences']:,} sequences)")
    cycles = numbers["cycles"]
    lines += [
        "",
        f"{cycles['cycles']:,} cycles of injecting, reloading, refusing and removing: largest difference to the first "
        f"{cycles['largest_difference']:g}, outputs that differ after removal {cycles['differ_after_removal']}, "
        f"objects grown {cycles['objects_grown']}, refusals {cycles['refusals']:,}",
        "",
        "Refused:",
        *(f"  {said}" for said in numbers["refused"]),
    ]
    return "\n".join(lines)
