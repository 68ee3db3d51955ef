"""What a threshold needs is said once: it decides what is computed, what is refused, what is missing for what."""

from __future__ import annotations

import itertools
from dataclasses import asdict, fields, replace

from bounds.thresholds.design import PenaltySetting, Setting, design

FULL = Setting(64, 16, 4, 0.8, 3.0, 0.9, 3.0, 12.0, 0.6)
PENALTY = PenaltySetting(1.0, 1.0, 1.0, 1.0, 1.0, 0.25, 0.4, 1.0, 0.1)


def test_every_field_has_a_meaning_and_its_unit():
    for kind in (Setting, PenaltySetting):
        for field in fields(kind):
            assert field.metadata["meaning"], field.name
            assert field.metadata["unit"], field.name


def test_a_field_that_is_called_unused_changes_nothing_and_one_called_used_is_read():
    names = [f.name for f in fields(Setting)] + [f.name for f in fields(PenaltySetting)]
    for absent in itertools.combinations(names, 2):
        present = set(names) - set(absent)
        setting = replace(Setting(), **{k: v for k, v in asdict(FULL).items() if k in present})
        penalty = replace(PenaltySetting(), **{k: v for k, v in asdict(PENALTY).items() if k in present})
        result = design(setting, penalty)
        for name in result.unused:
            owner = Setting if name in asdict(FULL) else PenaltySetting
            plain = {f.name: f.default for f in fields(owner)}[name]
            without = (
                design(replace(setting, **{name: plain}), penalty)
                if owner is Setting
                else design(setting, replace(penalty, **{name: plain}))
            )
            assert (without.lines, without.regions) == (result.lines, result.regions), name


def test_what_is_missing_for_what_is_said():
    table = design(Setting(n_keys=64, n_block=16, fidelity=0.9), PenaltySetting(1.0, 1.0)).table()
    assert "with query_norm, key_norm, key_diameter: penalty level A" in table
    assert "with margin:" in table
    assert "with logit_range:" in table
    assert "\nwith " not in design(FULL, PENALTY).table()


def test_penalty_inputs_stand_in_the_head():
    head = design(FULL, PENALTY).table().split("\n\n")[0]
    for name, value in asdict(PENALTY).items():
        assert value is None or f"{name} {value:g}" in head


def test_what_one_anchor_would_give_stands_beside_only_where_nobody_said_how_many_there_are():
    for setting, beside in ((FULL, False), (replace(FULL, n_anchors=None), True), (Setting(n_keys=64), False)):
        result = design(setting, PENALTY)
        assert any(item.one_anchor is not None for item in (*result.lines, *result.regions)) == beside
