"""Rules and guards on a checkpoint: refused with file and line, kept by every row, gone after the context."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_checkpoints import LAYERS, inputs, network

from empirical.checkpoints.contexts import Labels, dial, guarded, observing
from empirical.checkpoints.loading import Request
from empirical.checkpoints.promises import requested_relation
from empirical.checkpoints.rules import Text, load_checkpoint_rules, ruled
from empirical.errors import BadInput, Missed
from empirical.rules.files import parse_rules
from empirical.rules.site import Site

pytest.importorskip("transformers")
NAMES = ("cat", "dog")
GIVEN = inputs("gpt2", batch=1)
BLOCKS = torch.arange(16)[None] // 3 % 2
WORDS = tuple(f"w{token}" for token in GIVEN["input_ids"][0].tolist())
TEXT = Text(WORDS, BLOCKS[0].numpy())
RULE = {"name": '"a"', "trigger": '{ block = "cat" }', "target": '{ block = "dog" }', "strength": 30.0, "mass": 0.9}


def written(tmp_path, *rules):
    path = tmp_path / "rules.toml"
    path.write_text("\n".join("[[rule]]\n" + "\n".join(f"{k} = {v}" for k, v in rule.items()) for rule in rules))
    return path


def loaded(tmp_path, *rules, ranges=(4.0, 6.0), causal=True):
    return load_checkpoint_rules(written(tmp_path, *rules), NAMES, [TEXT], np.array(ranges), causal)


@torch.no_grad()
def run(model):
    return model(**GIVEN, output_attentions=True)


@pytest.mark.parametrize(
    ("changes", "line", "words"),
    [
        ({"target": '{ block = "bird" }'}, 4, "target.block of rule 'a' must be one of cat, dog, got 'bird'"),
        ({"target": "{ block = 7 }"}, 4, r"target.block of rule 'a' must be a block in \[0, 1\], got 7"),
        ({"target": '{ words = ["w-1"] }'}, 4, "target.words of rule 'a' must be tokens of the text, got 'w-1'"),
        ({"mass": 1.0}, 6, r"mass of rule 'a' must be in \(0, 1\), got 1.0"),
        ({"strength": -1.0}, 5, "strength of rule 'a' must be >= 0"),
        ({"strength": 5.0}, 5, r"strength of rule 'a' must be at least .* \(layer 1, where logits may span 6\), got 5"),
        ({"layers": "[2]"}, 7, r"layers of rule 'a' must be in \[0, 1\], got 2"),
        ({"strenght": 5.0}, 7, "did you mean 'strength'"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_file_and_line(tmp_path, changes, line, words):
    with pytest.raises(BadInput, match=words) as caught:
        loaded(tmp_path, {**RULE, **changes})
    assert f"rules.toml:{line}: " in str(caught.value)


def test_rules_that_contradict_each_other_need_priorities(tmp_path):
    other = {**RULE, "name": '"b"', "target": '{ block = "cat" }'}
    with pytest.raises(BadInput, match=r"rules.toml:7: priority of rule 'b' must differ from that of rule 'a'"):
        loaded(tmp_path, RULE, other)
    with pytest.raises(BadInput, match=r"name must differ from every other"):
        loaded(tmp_path, RULE, RULE)
    higher = {**other, "strength": 60.0, "priority": 1}
    assert len(loaded(tmp_path, RULE, higher).rules) == 2
    with pytest.raises(BadInput, match=r"rules.toml:11: strength of rule 'b' must be at least"):
        loaded(tmp_path, RULE, {**higher, "strength": 31.0})


def test_the_strength_asked_for_is_enough_and_the_least_that_is(tmp_path):
    """In a row at the worst of its range the target gets just its promise."""
    with pytest.raises(BadInput) as caught:
        loaded(tmp_path, {**RULE, "strength": 0.0})
    least = float(str(caught.value).split("at least ")[1].split(" ")[0])
    assert loaded(tmp_path, {**RULE, "strength": least}).rules
    with pytest.raises(BadInput, match="must be at least"):
        loaded(tmp_path, {**RULE, "strength": least - 2e-3})
    worst = []
    for row in range(16):
        seen = np.arange(16) <= row
        target, others = seen & (TEXT.blocks == 1), seen & (TEXT.blocks == 0)
        if TEXT.blocks[row] == 0 and target.any():
            on, off = target.sum() * np.exp(least - 6.0), others.sum()
            worst.append(on / (on + off))
    assert min(worst) == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_every_row_keeps_the_promise_and_nothing_is_left_after(tmp_path, implementation):
    model, labels = network("gpt2", implementation), Labels(BLOCKS)
    with observing(model, labels) as rows:
        plain = run(model).logits
    ranges = [float(np.nanmax(fields["logit_range"])) for fields in rows.rows.values()]
    book = loaded(tmp_path, {**RULE, "strength": 40.0}, ranges=[4 * span for span in ranges])
    to_dog = Labels(BLOCKS, named=1)
    with ruled(model, book, TEXT, labels), observing(model, to_dog) as turned:
        changed = run(model)
    triggered = (TEXT.blocks == 0) & (np.arange(16) >= 3)  # and sees a dog
    for fields in turned.rows.values():
        assert (fields["fidelity"][:, :, triggered] >= 0.9).all()
    if implementation == "eager":
        weights = torch.stack(changed.attentions)[:, 0]
        assert (weights[..., TEXT.blocks == 1].sum(-1)[:, :, triggered] >= 0.9).all()
    assert not torch.equal(changed.logits, plain)
    assert torch.equal(run(model).logits, plain)


def test_a_rule_on_words_of_one_layer_touches_no_other_row(tmp_path):
    model, labels = network("gpt2", "eager"), Labels(BLOCKS)
    rule = {**RULE, "trigger": f'{{ words = ["{WORDS[9]}"] }}', "target": f'{{ words = ["{WORDS[2]}"] }}'}
    book = loaded(tmp_path, {**rule, "layers": "[0]", "strength": 40.0})
    plain = run(model).attentions[0]
    with ruled(model, book, TEXT, labels):
        turned = run(model).attentions[0]
    there = np.array([word == WORDS[9] for word in WORDS])
    assert torch.equal(turned[:, :, ~there], plain[:, :, ~there])
    assert (turned[:, :, 9][..., [at for at, word in enumerate(WORDS) if word == WORDS[2]]].sum(-1) > 0.9).all()


def test_a_guard_ends_the_pass_or_records_what_missed():
    model, labels = network("gpt2"), Labels(BLOCKS)
    with pytest.raises(Missed, match=r"at least 0.9, got .* in layer 0"), guarded(model, 0.9, labels):
        run(model)
    with guarded(model, 0.9, labels, record=True) as misses:
        run(model)
    assert {miss.layer for miss in misses} == set(range(LAYERS))
    with dial(model, kappas=60.0, blocks=labels), guarded(model, 0.999, labels) as misses:
        run(model)
    assert misses == []
    with pytest.raises(BadInput, match=r"promised must be a fidelity in \(0, 1\], got 0"), guarded(model, 0, labels):
        pass


RELEVANCE = """
[relevance]
sees = { dog = ["cat"] }
keep = ["none"]
"""


def test_a_rule_file_says_what_is_relevant_by_the_names_of_blocks(tmp_path):
    path = written(tmp_path, RULE)
    path.write_text(path.read_text() + RELEVANCE)
    request = Request("model", path, rules=path)
    relation = requested_relation(request, NAMES)
    assert (relation.sees, relation.kept) == ({(1, 0)}, {-1})
    assert relation.named(NAMES) == {"sees": {"dog": ["cat"]}, "keep": ["none"]}
    assert relation == requested_relation(Request("model", path, relation=("dog=cat",), keep=("none",)), NAMES)
    assert len(load_checkpoint_rules(path, NAMES, [TEXT], np.array([4.0, 6.0]), True).rules) == 1
    with pytest.raises(BadInput, match="--relation and --keep must not go with rules that tell of relevance"):
        requested_relation(Request("model", path, rules=path, keep=("none",)), NAMES)


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (('"cat"]', '"bird"]'), 3, r"sees must be a block of the text \(cat, dog\), got 'bird'"),
        (("dog =", "bird ="), 3, r"sees must be a block of the text \(cat, dog\), got 'bird'"),
        (('"none"', '"tags"'), 4, r"keep must be a block of the text \(cat, dog, none\), got 'tags'"),
        (('["cat"]', '"cat"'), 3, r"sees.dog must be a list of blocks, got 'cat'"),
        (('["none"]', "3"), 4, "keep must be a list of blocks, got 3"),
        (("keep", "kept"), 4, "relevance must have only known keys, got 'kept'; did you mean 'keep'"),
        (('{ dog = ["cat"] }', "[]"), 3, "sees must be a table of lists of blocks"),
    ],
)
def test_relevance_that_is_none_is_refused_with_file_and_line(tmp_path, change, line, words):
    path = tmp_path / "rules.toml"
    path.write_text(RELEVANCE.replace(*change))
    with pytest.raises(BadInput, match=words) as caught:
        requested_relation(Request("model", path, rules=path), NAMES)
    assert f"rules.toml:{line}: " in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"relation": ("dog",)}, "--relation must be BLOCK=BLOCK,..., got 'dog'"),
        ({"relation": ("dog=bird",)}, r"--relation must be a block of the text \(cat, dog\), got 'bird'"),
        ({"keep": ("bird",)}, r"--keep must be a block of the text \(cat, dog, none\), got 'bird'"),
    ],
)
def test_flags_of_relevance_name_blocks_of_the_text(tmp_path, given, words):
    with pytest.raises(BadInput, match=words):
        requested_relation(Request("model", tmp_path, **given), NAMES)


def test_a_laboratory_s_rules_have_no_blocks_by_name_to_speak_of_relevance():
    site = Site(("a",), 1.0, np.ones((1, 2)), np.zeros(3, dtype=int), np.ones((3, 2)))
    with pytest.raises(BadInput, match=r"rules:2: relevance must be of blocks that have names"):
        parse_rules(RELEVANCE, site)
