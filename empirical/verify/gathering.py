"""`localist verify`: gathers the evidence on every theorem and compares it with what is committed.

One million inputs a theorem, 20,000 with --quick, from the families of `adversary`, the same for any order or choice of
theorems. What is worse than the committed evidence is not written over it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bounds.ledger.evidence import FOLDER, Evidence, digest, faults, file_of, load, worse
from bounds.theory.theorem import Relation, Rows, Theorem, Verdict
from empirical.check.witness import witness
from empirical.errors import BadInput
from empirical.files import make_folder, read_object, write_atomically
from empirical.provenance import MODIFIED, commit, versions
from empirical.threads import one_thread
from empirical.verify.adversary import FAMILIES, Family

ROWS, QUICK_ROWS, CHUNK = 1_000_000, 20_000, 20_000
SEED = 20251
WRITTEN = ("bounds/ledger/evidence/*.json",)  # what gathering itself changes of the tree
CHANGE = 0.01  # of a constant, to the wrong side, that must not go unseen
SHARES = ("leakage", "fidelity", "leakage_dialled", "anchor_mass", "mean_leakage", "violating", "promised", "off_rule")
VIOLATED = Verdict.VIOLATED.code
Advance = Callable[[str, int], None]


def tightened(theorem: Theorem, share: float = CHANGE) -> Theorem:
    """The theorem with its bound moved to the wrong side by a share of itself; by `share` where the bound is 0.

    Of a theorem with `widened`, whose rows satisfy it exactly or not at all, the hypotheses' threshold moves instead.
    """
    if (widened := theorem.widened) is not None:

        def wider(holds: Callable[[Rows], np.ndarray]) -> Callable[[Rows], np.ndarray]:
            return lambda rows: holds(widened(rows, share))

        return replace(theorem, hypotheses=tuple(replace(h, holds=wider(h.holds)) for h in theorem.hypotheses))
    sign = -1 if theorem.relation is Relation.AT_MOST else 1

    def bound(rows: Rows) -> np.ndarray | np.floating:
        value = np.asarray(theorem.bound(rows), dtype=np.float64)
        return value + sign * np.where(value == 0, share, share * np.abs(value))

    return replace(theorem, bound=bound)


def possible(rows: Rows) -> np.ndarray:
    """Mask of the rows that exist: whatever else a hypothesis that is dropped lets in, shares lie in [0, 1].

    A row that cannot be is no sign that a hypothesis is needed.
    """
    shares = [np.asarray(rows[name]) for name in SHARES if name in rows]
    room = 1e-9  # of sums that are 1
    within = [((share >= -room) & (share <= 1 + room)).reshape(len(share), -1).all(-1) for share in shares]
    return np.logical_and.reduce(within) if within else np.asarray(True)


class AttackCounts:
    """What the inputs of a family say about one theorem."""

    def __init__(self, theorem: Theorem) -> None:
        self.theorem, self.wrong = theorem, tightened(theorem)
        self.counts = dict.fromkeys(Verdict, 0)
        self.rows = self.noticed = 0
        self.ratio = -np.inf
        self.broken: list[dict[str, Any] | None] = [None] * len(theorem.hypotheses)

    def add(self, rows: Rows) -> None:
        with np.errstate(all="ignore"):
            codes = self.theorem.verdicts(rows)
            self.rows += codes.size
            for verdict in Verdict:
                self.counts[verdict] += int((codes == verdict.code).sum())
            says = codes != Verdict.VACUOUS.code
            self.noticed += int(((self.wrong.verdicts(rows) == VIOLATED) & (codes != VIOLATED)).sum())
            observed, bound = np.broadcast_arrays(self.theorem.observed(rows), self.theorem.bound(rows))
            away = np.abs(observed - bound) / np.where(bound == 0, 1.0, np.abs(bound))
            if (says & np.isfinite(away)).any():
                self.ratio = max(self.ratio, 1 - float(away[says & np.isfinite(away)].min()))
            self._necessity(rows, codes.shape)

    def _necessity(self, rows: Rows, shape: tuple[int, ...]) -> None:
        """The first input that exists, for each hypothesis, that fails it alone and breaks the conclusion."""
        masks = [np.broadcast_to(np.asarray(h.holds(rows), bool), shape) for h in self.theorem.hypotheses]
        summed = {"valid": np.ones(shape, bool)} if "valid" in rows else {}  # so that the bound is that of the row
        slack, room = np.broadcast_arrays(self.theorem.slack({**rows, **summed}), self.theorem.room({**rows, **summed}))
        broken = (slack < -room) & np.broadcast_to(possible(rows), shape)
        for at, mask in enumerate(masks):
            if self.broken[at] is None:
                others = [m for i, m in enumerate(masks) if i != at]
                found = np.flatnonzero(np.logical_and.reduce([~mask, broken, *others]))
                if found.size:
                    self.broken[at] = _input(rows, int(found[0]), slack, shape[0])

    def as_dict(self) -> dict[str, Any]:
        names = {
            Verdict.HOLDS: "holds",
            Verdict.VIOLATED: "violated",
            Verdict.VACUOUS: "vacuous",
            Verdict.UNKNOWN: "unknown",
        }
        counts = {name: self.counts[verdict] for verdict, name in names.items()}
        return {"rows": self.rows, **counts, "tightened": self.noticed, "closest": round(self.ratio, 9)}

    def necessity(self) -> list[dict[str, Any]]:
        return [
            {"hypothesis": h.statement, "spare": h.spare, "breaks": found}
            for h, found in zip(self.theorem.hypotheses, self.broken)
        ]


def _input(rows: Rows, at: int, slack: np.ndarray, size: int) -> dict[str, Any]:
    """One input as JSON, six digits a number, and by how much the conclusion fails there."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.ndim:
            return [plain(v) for v in value]
        value = value.item() if hasattr(value, "item") else value
        return (
            float(f"{value:.6g}")
            if isinstance(value, float) and np.isfinite(value)
            else str(value)
            if isinstance(value, (float, str))
            else value
        )

    fields = {name: plain(value[at]) for name, value in rows.items() if np.ndim(value) and len(value) == size}
    return {**fields, "slack": plain(slack[at])}


@one_thread()
def attack(family: Family, theorems: Iterable[Theorem], rows: int, advance: Advance) -> dict[str, AttackCounts]:
    """Tallies of the family's inputs, drawn in chunks from seeds of their own."""
    counts = {theorem.key: AttackCounts(theorem) for theorem in theorems}
    for chunk in range(-(-rows // CHUNK)):
        drawn = family.sample(np.random.default_rng([SEED, FAMILIES.index(family), chunk]), min(CHUNK, rows))
        for count in counts.values():
            count.add(drawn)
        advance(family.name, min(CHUNK, rows))
    return counts


def _symbolic(theorem: Theorem) -> dict[str, Any]:
    outcomes = [(step, step.settled()) for step in theorem.proof]
    return {
        "settled": sum(settled is True for _, settled in outcomes),
        "lemmas": [step.lemma for step, settled in outcomes if settled is None and step.lemma],
        "argued": [step.words for step, settled in outcomes if settled is None and not step.lemma],
        "failed": [step.words for step, settled in outcomes if settled is False],
    }


def _enclosures(theorem: Theorem) -> list[dict[str, Any]]:
    from bounds.rigour.branch_and_bound import Decision, decide

    found = []
    for statement in theorem.enclosures:
        outcome = decide(statement)
        found.append(
            {
                "words": statement.words,
                "box": {str(s): list(ends) for s, ends in statement.box.items()},
                "decision": outcome.decision.name,
                "expected": (Decision.REFUTED if statement.false else Decision.PROVED).name,
                "boxes": outcome.boxes,
                "place": outcome.place,
            }
        )
    return found


@one_thread()
def gather(theorem: Theorem, counts: AttackCounts, observed: list[dict[str, Any]]) -> Evidence:
    """The evidence of every kind."""
    attained = witness(theorem) if theorem.tight else None
    wrong = witness(tightened(theorem)) if theorem.tight else None
    enclosure = _enclosures(theorem)
    return {
        "theorem": theorem.key,
        "digest": digest(theorem),
        "symbolic": _symbolic(theorem),
        "enclosure": enclosure,
        "witness": None if attained is None else attained.as_dict(),
        "necessity": counts.necessity(),
        "adversary": counts.as_dict(),
        "mutation": {
            "witness": wrong is not None and not wrong.attained,
            "adversary": bool(counts.noticed),
            "enclosure": any(e["expected"] == "REFUTED" and e["decision"] == "REFUTED" for e in enclosure),
        },
        "observed": observed,
        "provenance": {"versions": versions(), "commit": commit(*WRITTEN), "seed": SEED},
    }


def observed_in(runs: Iterable[Path]) -> dict[str, list[dict[str, Any]]]:
    """The verdicts of saved runs, by theorem. Raises BadInput for a folder without verdicts, or of a modified tree."""
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        try:
            saved = read_object(run / "verdicts.json", "verdicts.json")
            outcomes = {o["theorem"]: {k: v for k, v in o["counts"].items() if v} for o in saved["outcomes"]}
            saved = {name: str(saved[name] or "") for name in ("config_digest", "commit")}
        except (OSError, ValueError, KeyError, TypeError):
            raise BadInput(f"--runs must name folders of finished runs, with verdicts.json, got {run}") from None
        if not saved["commit"] or saved["commit"].endswith(MODIFIED):
            raise BadInput(f"--runs must name runs of a committed tree, got {run} of {saved['commit'] or 'no commit'}")
        for key, counts in outcomes.items():
            if counts:
                found.setdefault(key, []).append({"run": run.name, **saved, "counts": counts})
    return found


def cite(theorems: Iterable[Theorem], folder: Path, runs: Iterable[Path]) -> Iterator[tuple[Theorem, list[str]]]:
    """Writes the verdicts of saved runs into evidence that is there, gathers nothing else, and says what is wrong.

    A run takes the place of the one of its name; runs of other names stay.
    """
    runs = list(runs)
    seen, named = observed_in(runs), {run.name for run in runs}
    for theorem in theorems:
        old = load(theorem, folder)
        if old is None:
            raise BadInput(f"--observed must find evidence in {folder}, got none on {theorem.key}")
        del old["formal"]
        others = [run for run in old["observed"] if run["run"] not in named]
        new = {**old, "observed": [*seen.get(theorem.key, []), *others]}
        wrong = list(faults(theorem, new))
        if not wrong:
            _write(theorem, new, folder)
        yield theorem, wrong


def verify(
    theorems: Iterable[Theorem], folder: Path, runs: Iterable[Path] = (), quick: bool = False, progress: bool = False
) -> Iterator[tuple[Theorem, Evidence, list[str]]]:
    """Each theorem with its evidence and what is wrong or worse; good evidence is written, unless `quick`."""
    if folder == FOLDER and not quick and commit(*WRITTEN).endswith(MODIFIED):
        raise BadInput("the tree must be committed before its evidence is gathered, got one that is modified")
    wanted = {theorem.key: theorem for theorem in theorems}
    rows = QUICK_ROWS if quick else ROWS
    families = [family for family in FAMILIES if set(family.keys) & set(wanted)]
    seen = observed_in(runs)
    bar = None
    if progress:
        from tqdm import tqdm

        bar = tqdm(total=rows * len(families), unit=" inputs", unit_scale=True, leave=False, disable=None)

    def advance(name: str, count: int) -> None:
        if bar is not None:
            bar.set_description(name)
            bar.update(count)

    for family in families:
        mine = [wanted[key] for key in family.keys if key in wanted]
        counts = attack(family, mine, rows, advance)
        for theorem in mine:
            old = _committed(theorem, folder)
            observed = seen.get(theorem.key) or (old or {}).get("observed", [])
            new = gather(theorem, counts[theorem.key], observed)
            wrong = [*faults(theorem, new), *worse(new, old)]
            if not wrong and not quick:
                _write(theorem, new, folder)
            yield theorem, new, wrong
    if bar is not None:
        bar.close()


def _write(theorem: Theorem, evidence: Evidence, folder: Path) -> None:
    make_folder(folder)
    write_atomically(file_of(theorem.key, folder), (json.dumps(evidence, indent=1) + "\n").encode())


def _committed(theorem: Theorem, folder: Path) -> Evidence | None:
    """The evidence that is there, unless it is of another version of the theorem, which new evidence replaces."""
    try:
        return load(theorem, folder)
    except ValueError:
        return None


def summary(theorem: Theorem, evidence: Evidence, wrong: list[str]) -> str:
    """One line a theorem, and one for everything that is wrong."""
    symbolic, adversary = evidence["symbolic"], evidence["adversary"]
    needed = [n for n in evidence["necessity"] if not n["spare"]]
    line = (
        f"{'worse' if wrong else 'ok':6}{theorem.key:26}{symbolic['settled']:3} settled {len(symbolic['lemmas']):2} "
        f"lemmas "
        f"{len(symbolic['argued']):2} argued  {sum(n['breaks'] is not None for n in needed)}/{len(needed)} needed  "
        f"{adversary['rows']:,} inputs, {adversary['violated']} violate, {adversary['tightened']:,} notice 1 %"
    )
    return "\n".join([line, *(f"      {reason}" for reason in wrong)])
