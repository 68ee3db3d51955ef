"""Study `gates`: penalties on gates of attention, foretold, solved and proved (claims C3, C6, C13).

    sharp      from the mask, one gate opened a little: J rises at 1.001 lambda_crit, falls at 0.999, by the stock model
    foretold   Omega <= (L_mask - 0)/lambda, written before the path is solved; what it leaves, held out
    levels     lambda_crit <= witness <= lambda_glob <= proved level, by enclosures; 20 starts on either side

The reference model and a GPT-2 of its size on the same text; twins of the reference model that enclosures reach,
weights frozen, or trained under caps. Which depths are cheap is read off the critical penalties by layer. What is not
proved is UNKNOWN: no level of models with MLPs, whose enclosures are too wide.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from empirical.errors import BadInput
from empirical.laboratory.config import Config
from empirical.laboratory.store import Store
from empirical.shapes import Arrays
from empirical.studies.findings import Findings, Judged, Numbers
from empirical.studies.gates import foretold as prediction
from empirical.studies.gates import levels
from empirical.studies.gates.sharp import ABOVE, BELOW, sharpness
from empirical.studies.gates.subjects import Subject, gpt2, of_text, reference

DOCUMENTS = 8  # to choose on, and as many to judge
ENOUGH = 0.95  # of the penalties at which J(found) <= J(mask)
MOST = 1e3  # times the critical penalty: a level above that is not told as one
TWINS = ("capped", "deep")
PAIRS = ("exchange_leakage", "exchange_rate")


def measure(config: Config, store: Store) -> Findings:
    if config.model.anchor_logit is not None or config.model.stream != "localist":
        raise BadInput("model.anchor_logit must not be given, and model.stream be 'localist', for the study of gates")
    parts: list[tuple[str, Arrays]] = []
    seeds = [_of_seed(config, store, seed, parts) for seed in config.sweep.seeds]
    return Findings({"documents": DOCUMENTS, "starts": levels.STARTS, "seeds": seeds}, _judged(parts))


def _of_seed(config: Config, store: Store, seed: int, parts: list[tuple[str, Arrays]]) -> Numbers:
    """What is told of one seed; the rows to be judged go to `parts`."""
    told: Numbers = {"seed": seed, "subjects": {}, "twins": {}}
    capped, certified = _levels(config, store, seed, told, parts)
    for make in (reference, gpt2):
        subject = make(config, store, seed, DOCUMENTS)
        if subject is not None:
            told["subjects"][subject.name] = _subject(subject, store, seed, parts)
    told["subjects"]["capped"] = _subject(capped, store, seed, parts, certified)
    return told


def _subject(
    subject: Subject, store: Store, seed: int, parts: list[tuple[str, Arrays]], certified: float | None = None
) -> Numbers:
    """Sharpness, what was foretold, what was found; `certified` bounds lambda_glob on the judged documents."""
    name = f"{subject.name} {seed}"
    said = store.keep(f"foretold {name}", lambda: prediction.foretold(subject))
    digest = prediction.digest_of(store, f"foretold {name}", said)
    found = store.keep(f"solved {name}", lambda: prediction.solved(subject, said, digest))
    if not np.array_equal(found["foretold"], digest):
        raise BadInput(f"DIR must hold what was foretold of {name} before it was solved, got another prediction")
    parts += [
        ("ceiling", prediction.ceiling_rows(said, found)),
        *((f"exchange{judged}", prediction.exchange_rows(said, found, bool(judged))) for judged in ("", " judged")),
        ("masking", prediction.masking_rows(found, certified)),
    ]
    told = {**_plain(said), **_plain(found), "foretold": bytes(digest).hex(), "certified": certified}
    told["share_beating"] = float(found["beats_mask"].any(0).mean())  # by the better of both starts
    sharp = store.keep(f"sharp {name}", lambda: sharpness(subject))
    parts += [("stay", _steps(sharp, 0, ABOVE)), ("open", _steps(sharp, 1, BELOW))]
    by_layer = said["critical"].reshape(subject.chosen.groups.layers, -1)
    return {**told, "sharp": _plain(sharp), "critical": by_layer.tolist()}


def _levels(
    config: Config, store: Store, seed: int, told: Numbers, parts: list[tuple[str, Arrays]]
) -> tuple[Subject, float]:
    """The bracket of every twin; the capped one as a subject, with its certificate on the judged documents."""
    twins = {name: levels.twin_of(config, store, seed, name) for name in TWINS}
    for name, one in twins.items():
        proved = store.keep(f"proved {name} {seed}", lambda one=one: levels.proved(one, one.chosen))
        level = float(proved["level"])
        found = store.keep(f"searched {name} {seed}", lambda one=one, lev=level: levels.searched(one, lev, seed))
        useful = level <= MOST * float(found["witness"])
        told["twins"][name] = {**_plain(proved), **_plain(found), "told": useful}
        if useful:
            parts.append(("staircase", levels.staircase_rows(found, level)))
    capped, witness = twins["capped"], told["twins"]["capped"]["witness"]
    trained = store.keep(f"capped together {seed}", lambda: levels.trained_capped(capped, witness, seed))
    told["twins"]["capped"]["together"] = _plain(trained)
    parts.append(("levels", levels.level_rows(trained)))
    judged = store.keep(f"proved judged {seed}", lambda: levels.proved(capped, capped.judged))
    return of_text("capped", capped.model, capped.chosen, capped.judged), float(judged["level"])


def _plain(arrays: Arrays) -> Numbers:
    return {name: value.tolist() for name, value in arrays.items()}


def _steps(sharp: Arrays, side: int, ratio: float) -> Arrays:
    """One projected step from the mask, and the solver, on one side of the critical penalty."""
    top = sharp["critical"].max()
    return {
        "open_gates": np.array([sharp["open_stepped"][side], sharp["open_solved"][side]], dtype=float),
        "gates_at_start": np.zeros(2),
        "penalty": np.full(2, ratio * top),
        "critical": np.full(2, top),
    }


THEOREMS = {
    "ceiling": ("penalised_leakage",),
    "exchange": PAIRS,
    "exchange judged": PAIRS,
    "masking": ("hard_mask_cost",),
    "stay": ("gates_stay",),
    "open": ("gates_open",),
    "staircase": ("gate_staircase",),
    "levels": ("gate_level_a",),
}


def _judged(parts: list[tuple[str, Arrays]]) -> tuple[Judged, ...]:
    """The rows of all seeds and models, one after the other."""
    found = []
    for name, theorems in THEOREMS.items():
        mine = [{key: np.ravel(value) for key, value in rows.items()} for part, rows in parts if part == name]
        rows = {key: np.concatenate([one[key] for one in mine]) for key in mine[0]}
        found.append(Judged(name, ("row",), rows, theorems))
    return tuple(found)


def least_by_layer(subject: Numbers) -> list[float]:
    """The penalty from which each layer's gates stay shut at the mask: the largest of its heads'."""
    return np.max(subject["critical"], axis=1).tolist()


def table(numbers: Numbers) -> str:
    """What was foretold beside what was found, a line a model and seed; the bracket of every twin."""
    lines = ["model        seed  lambda_crit  rises, falls by the stock model  J <= J(mask)  largest Omega/ceiling"]
    for seed in numbers["seeds"]:
        for name, one in seed["subjects"].items():
            signs = f"{_share(one['sharp']['rise'])}, {_share(one['sharp']['fall'])}"
            used = float((np.array(one["omega"]) / np.array(one["ceiling"])).max())
            lines.append(
                f"{name:12}{seed['seed']:5}{np.max(one['critical']):13.4g}{signs:>33}"
                f"{100 * one['share_beating']:12.0f} %{used:23.2f}"
            )
    lines.append(
        "twin         seed  lambda_crit   witness  measured  proved (over witness)   pairs A*    level A   "
        "starts open above, at half the witness"
    )
    for seed in numbers["seeds"]:
        for name, one in seed["twins"].items():
            opened = [f"{np.count_nonzero(one[at])} of {len(one[at])}" for at in ("open_above", "open_half")]
            if not one["told"]:
                opened[0] = "none asked"
            level = f"{one['level']:.4g} ({one['level'] / one['witness']:.3g})" if one["told"] else "UNKNOWN"
            lines.append(
                f"{name:12}{seed['seed']:5}{one['critical']:13.4g}{one['witness']:10.4g}{one['measured']:10.4g}"
                f"{level:>23}{one['pair']:11.4g}{one['norm']:11.4g}   {', '.join(opened)}"
            )
        together = seed["twins"]["capped"]["together"]
        opened = [f"{np.count_nonzero(together[at])} of {len(together[at])}" for at in ("open_above", "open_half")]
        lines.append(
            f"  capped, weights trained too: level A = {together['level']:.4g} at every weights; open {opened[0]} "
            f"above, {opened[1]} at half the witness"
        )
    for seed in numbers["seeds"]:
        for name, one in seed["subjects"].items():
            depths = ", ".join(f"{value:.3g}" for value in least_by_layer(one))
            lines.append(f"{name}, seed {seed['seed']}: critical penalty by layer {depths}")
    return "\n".join(lines)


def _share(signs: Any) -> str:
    good = np.array(signs) > 0
    return f"{good.sum()} of {good.size}"
