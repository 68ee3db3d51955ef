"""Nothing changed: a pinned commit and this tree side by side, every number that both have in public, bit for bit.

    python benchmarks/unchanged.py [--pinned REV] [--inputs 10000] [--only PART ...] [--out benchmarks/unchanged.json]

    calculators  the functions of `bounds.__all__` on random inputs, extreme ones too, and what they refuse; `design`
    claims       paper_checks.md and docs/evidence.md line by line, but for formulas, names of tests, and paths
    commands     what `localist` prints, and its exit status
    sweep        every variable of the observations, and every verdict, of small runs from every start
    studies      numbers, cells and verdicts of every quick study (minutes; not with --quick)

Each tree, the pinned one from this repository's git, is probed by this file in processes of its own with PYTHONPATH at
it. Exit status 1 where anything differs by more than `ALLOWED`, or is no more, or a probe fails.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, is_dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PINNED = "9a644bec89cd05423914e1e7feda9c0cf0d14961"
ALLOWED: dict[str, tuple[float, str]] = {
    "claims": (float("inf"), "false readings in the order of claims; steps and studies named beside whole formulas"),
}
"""How the name of an item begins -> (relative difference, why)."""
REWORDED = (("refused: shape mismatch: objects cannot be broadcast", "refused: arguments must broadcast against each"),)
"""How a refusal began, and how it begins now: better words for the same refusal."""
ROOT = Path(__file__).resolve().parent.parent
SEED, LAYERS, SINGLY, RIGOROUS, QUICK_INPUTS, SAID = 20251, 6, 200, 20, 500, 4
Array = NDArray[Any]
Items = dict[str, list[str]]  # "part/row/item" -> numbers as Python writes them, exactly, or text that may end with one
Sampler = tuple[Callable[[np.random.Generator, tuple[int, ...]], Array], tuple[float, ...]]


def power(low: float, high: float, whole: bool = False) -> Any:
    """Draws evenly in the logarithm, rounded down where `whole`."""
    return lambda rng, shape: (np.floor if whole else np.asarray)(10 ** rng.uniform(low, high, shape))


def unit(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """In (0, 1): half of it anywhere, a quarter near either end."""
    near, place = 10 ** -rng.uniform(0.1, 16, shape), rng.random(shape)
    return np.where(place < 0.5, rng.uniform(0.001, 0.999, shape), np.where(place < 0.75, near, 1 - near))


NEAR_ONE = 1 - 2.0**-53
KINDS: dict[str, Sampler] = {  # names of parameters: how they are drawn, and what one entry in twenty is instead
    "n_block n_anchors n_rule n_first n_second n_observations": (power(0, 5, True), (1, 2, 2.0**31, 2.0**52)),
    "n_keys n_blocks n_patterns dimension group_size": (power(0.31, 5, True), (2, 3, 2.0**31, 2.0**53)),
    "temperature budget cost costs beta ratio step cross_norm": (power(-2, 2), (1e-300, 1e-12, 1e12, 1e300)),
    "margin gap loss loss_localised offset": (lambda rng, shape: rng.normal(0, 10, shape), (0, -0.0, -700, 710, 1e300)),
    "fidelity beta_2": (unit, (1e-300, 0.5, NEAR_ONE)),
    "leakage beta_1": (unit, (0, 5e-324, 0.5, NEAR_ONE)),
    "dial eta removal anchor_mass query_share": (unit, (0, 1, 0.5, NEAR_ONE)),
    "theta jitter": (lambda rng, shape: rng.uniform(0, np.pi / 4, shape), (0, 1e-12, np.pi / 4)),
    "phi": (lambda rng, shape: rng.uniform(np.pi / 2, np.pi, shape), (np.pi / 2, np.pi)),
}
SAMPLERS = {name: sampler for names, sampler in KINDS.items() for name in names.split()}
NON_NEGATIVE: Sampler = (power(-6, 2.5), (0, 5e-324, 1e-12, 1e12, 1e300))  # every other parameter
RELATED: dict[str, Callable[..., Array]] = {  # the first is moved to where it goes with the others
    "n_keys n_block": lambda n, m: np.maximum(n, m + 1),
    "n_keys n_rule": lambda n, r: np.maximum(n, r + 1),
    "n_anchors n_block": np.minimum,
    "n_anchors dimension": lambda k, d: np.maximum(k, 2),
    "logit_range margin": lambda span, x: np.maximum(span, np.abs(x)),
    "prior_entropy n_blocks": lambda h, k: np.minimum(h, np.log(k)),
    "leakage n_blocks": lambda eps, k: np.minimum(eps, 1 - 1 / k),
    "beta_1 beta_2": lambda b1, b2: np.minimum(b1, 0.999 * np.sqrt(b2)),
}
LAYERED = r"errors|lipschitz|(\w+_)?diameters|costs|available|removal|\w+_norms|gradient_bounds"  # their last axis goes
CHOICES: dict[str, tuple[Any, ...]] = {"of": ("each", "mean"), "axis": (None, -1)}
BAD: tuple[Any, ...] = (np.nan, np.inf, -np.inf, -1.0, 0.0, 0.5, 1.0, 2.0**60, "x", None, [0.25, 0.5], [[1, 2], [3, 4]])
RUNS = {
    "blocks": """schema_version = 1
        setting = {n_keys = 16, n_block = 4, n_anchors = 1, fidelity = 0.9}
        penalty = {group_norm = 2.0}
        task = {queries = 64}
        sweep = {relative_to_critical = true, penalties = [0.5, 1.2, 3.0, 30.0], seeds = [1, 2], max_steps = 200, """
    """starts = ["localised", "zero", "random", "plain", "downwards", "upwards"]}""",
    "topics": """schema_version = 1
        setting = {n_keys = 20, n_block = 5, n_anchors = 1, margin = 6.0, fidelity = 0.85}
        model = {layers = 2, heads = 2, d_block = 4, causal = true, mlp = true, dtype = "float32", anchor_logit = 6}
        task = {name = "topics", queries = 16, vocabulary = 64}
        sweep = {penalties = [0.0, 1e-3], starts = ["random"], max_steps = 30, batch = 4}""",
}
FLAGS = "--margin 3 --fidelity 0.9 --logit-range 8 --dial 0.5 --entropy 3 --temperature 0.7 --n-keys 32 --n-block 8"
COMMANDS = {
    "thresholds, a file": "thresholds examples/blocks.toml",
    "thresholds, flags": f"thresholds {FLAGS}",
    "thresholds, json": f"thresholds examples/blocks.toml --json {FLAGS}",
    "thresholds, rigorous": f"thresholds examples/blocks.toml --rigorous {FLAGS}",
    "thresholds, refused": "thresholds --n-keys 8 --n-block 8",
    "anchors": "anchors --blocks 12 --dim 4 --target-fidelity 0.9 --theta 0.05 --restarts 4 --json",
    "schedule": "schedule --diameters 1 2 0.5 --lipschitz 0.3 0.2 0.1 --available 1 0.4 0.7 --budget 2",
    "check": "check {out}/rows.npz",
    "check, json": "check {out}/rows.npz --json --require fidelity>=0.2",
    "verify": "verify --quick leakage_ceiling steps_to_zero anchor_margin",
}
LOCALIST = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f)]; "  # no other tree
LOCALIST += "from empirical.cli import main; sys.exit(main(sys.argv[1:]))"
# Of JSON and cells, not compared. The last counts what the interpreter holds alive, which is not the same twice.
UNSAID = ("commit", "versions", "config_digest", "code", "objects_grown")
MASK = re.compile(  # commits, digests, versions, modules and paths
    r"(?<=\"commit\": )\"[^\"]*\"|\b[0-9a-f]{64}\b|\b[0-9a-f]{40}\b|\b\d+\.\d+\.\d+[\w.+]*|python -m [\w.]+"
    r"|[\w./-]*/[\w.-]+\.(?:py|md|png|svg|json|toml|nc|npz|v)\b|\b(?:evidence|examples|docs|proofs)/(?=\W|$)"
)


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Every path in JSON, or in what a calculator returns, with its number or words."""
    value = value.tolist() if hasattr(value, "tolist") else value._asdict() if hasattr(value, "_asdict") else value
    value = vars(value) if is_dataclass(value) else value
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, f"{path}.{key}") if key not in UNSAID else ()
    else:
        yield f"{path}: {MASK.sub('...', value) if isinstance(value, str) else value}"


def called(function: Callable[..., Any], **given: Any) -> list[str]:
    try:
        return list(leaves(function(**given)))
    except Exception as refusal:
        return [f"refused: {refusal}"]


def drawn(function: str, names: Iterable[str], size: int, stream: int) -> dict[str, Array]:
    """Inputs by name, each from a seed of its own."""
    a: dict[str, Array] = {}
    for name in names:
        rng = np.random.default_rng([SEED, stream, *f"{function}.{name}".encode()])
        shape = (size, LAYERS) if re.fullmatch(LAYERED, name) else (size,)
        draw, extremes = SAMPLERS.get(name, NON_NEGATIVE)
        a[name] = np.where(rng.random(shape) < 0.05, rng.choice(extremes, shape), draw(rng, shape))
    if function == "entropy_floor_with_margin":  # no margin is below 0
        a["margin"] = np.abs(a["margin"])
    for related, moved in RELATED.items():
        if set(related.split()) <= a.keys():
            a[related.split()[0]] = moved(*(a[name] for name in related.split()))
    return a


def of_calculator(items: Items, name: str, function: Callable[..., Any], known: dict[str, Any], inputs: int) -> None:
    """All inputs at once, with all parameters and with the required ones; one by one, some refused, some rigorous."""
    items[f"calculators/{name}/signature"] = [f"{n}, {p.kind.name}, {p.default!r}" for n, p in known.items()]
    numeric = [n for n in known if n not in (*CHOICES, "rigorous")]
    required = [n for n in numeric if known[n].default is inspect.Parameter.empty]
    chosen = {n: CHOICES[n][-1] for n in known if n in CHOICES}
    items[f"calculators/{name}/at once"] = called(function, **drawn(name, numeric, inputs, 0), **chosen)
    items[f"calculators/{name}/required"] = called(function, **drawn(name, required, inputs, 1))
    rng, few = np.random.default_rng([SEED, *name.encode()]), drawn(name, numeric, RIGOROUS + SINGLY, 2)
    found = items[f"calculators/{name}/one by one"] = []
    for at in range(RIGOROUS + SINGLY):
        given = {n: v[at] if v.ndim > 1 else (int if n.startswith("n_") else float)(v[at]) for n, v in few.items()}
        given |= {n: CHOICES[n][rng.integers(2)] for n in chosen}
        if at < RIGOROUS and "rigorous" in known:
            found += called(function, **given, rigorous=True)
        given = {n: v for n, v in given.items() if n in required or rng.random() < 0.7}
        if given and rng.random() < 0.3:
            given[str(rng.choice(sorted(given)))] = BAD[rng.integers(len(BAD))]
        found += called(function, **given)


def calculators(items: Items, out: Path, inputs: int) -> None:
    import bounds

    def designed(rigorous: bool = False, **given: Any) -> dict[str, Any]:
        both: Any = (kind(**{n: v for n, v in given.items() if n in fields}) for kind, fields in kinds.items())
        return bounds.design(*both, rigorous=rigorous).as_dict()

    kinds = {kind: inspect.signature(kind).parameters for kind in (bounds.Setting, bounds.PenaltySetting)}
    for name in bounds.__all__:
        function = getattr(bounds, name)
        if callable(function) and not isinstance(function, type):
            known = dict(inspect.signature(function).parameters)
            if name == "design":
                known = {**kinds[bounds.Setting], **kinds[bounds.PenaltySetting], "rigorous": known["rigorous"]}
            of_calculator(items, name, designed if name == "design" else function, known, inputs)


def localist(*arguments: object) -> list[str]:
    """Exit status and lines printed, on stderr too where the status is 2. Raises RuntimeError for a traceback."""
    command = [sys.executable, "-c", LOCALIST, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "Traceback" in done.stderr:
        raise RuntimeError(f"{' '.join(command[3:])}\n{done.stderr}")
    printed = done.stdout + (done.stderr if done.returncode == 2 else "")
    return [f"status {done.returncode}", *MASK.sub("...", printed).splitlines()]


def claims(items: Items, out: Path, inputs: int) -> None:
    pages = [page for name in ("paper_checks.md", "docs/evidence.md") if (page := Path(name)).exists()]
    text = re.sub(r"```math.*?```", "", "".join(page.read_text(encoding="utf-8") for page in pages), flags=re.DOTALL)
    items["claims/paper_checks.md/"] = [x for x in MASK.sub("...", text).splitlines() if not x.startswith("Tests:")]


def commands(items: Items, out: Path, inputs: int) -> None:
    rng, blocks = np.random.default_rng([SEED, 4]), np.arange(24) % 4
    logits = 3 * rng.normal(size=(2, 1, 3, 24, 24)) + 4 * (blocks[:, None] == blocks)
    np.savez(out / "rows.npz", logits=logits, query_block=blocks, key_block=blocks, temperature=0.8, dial=0.4)
    for name, words in COMMANDS.items():
        items[f"commands/{name}/"] = localist(*(word.format(out=out) for word in words.split()))


def ran(items: Items, row: str, out: Path, *arguments: object) -> None:
    """Exit status and verdicts of a run; what it saves is in `out` then."""
    items[f"{row}/status"] = localist("run", *arguments, "--out", out, "--workers", 1)[:1]
    for said in json.loads((out / "verdicts.json").read_text(encoding="utf-8"))["outcomes"]:
        kept = {key: said[key] for key in ("verdict", "counts", "least_slack", "median_slack", "worst")}
        items.setdefault(f"{row}/verdict of {said['theorem']}", []).extend(leaves(kept))


def sweep(items: Items, out: Path, inputs: int) -> None:
    import xarray as xr

    for name, config in RUNS.items():
        (out / f"{name}.toml").write_text(config, encoding="utf-8")
        ran(items, f"sweep/{name}", out / name, out / f"{name}.toml")
        with xr.open_dataset(out / name / "observations.nc", engine="h5netcdf") as dataset:
            for variable, values in dataset.variables.items():
                items[f"sweep/{name}/{variable}"] = [f"{values.dtype} {values.dims}", *leaves(values.values)]


def studies(items: Items, out: Path, inputs: int) -> None:
    from safetensors.numpy import load_file

    for name in ("dial", "hysteresis", "rules", "depth", "interference", "ablation"):
        ran(items, f"studies/{name}", out / name, "--study", name, "--quick")
        items[f"studies/{name}/study.json"] = list(leaves(json.loads((out / name / "study.json").read_bytes())))
        arrays = [pair for cell in (out / name).glob("cells/*.safetensors") for pair in load_file(cell).items()]
        contents = [(n, f"{x.dtype} {x.shape} sha256:{hashlib.sha256(x.tobytes()).hexdigest()}") for n, x in arrays]
        items[f"studies/{name}/arrays of cells"] = sorted(f"{n} {what}" for n, what in contents if n not in UNSAID)


def probed(part: str, tree: Path, out: Path, inputs: int) -> Items:
    """What the probe found in the tree: nothing where it failed."""
    out.mkdir(parents=True)
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, **one, "PYTHONPATH": str(tree), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-P", "-W", "ignore", __file__, "--probe", part, str(out), str(inputs)]
    failed = subprocess.run(command, cwd=tree, env=environment).returncode
    return {} if failed else json.loads((out / "items.json").read_bytes())


@dataclass
class Line:
    """What was compared of one row of a part."""

    what: str
    compared: int = 0
    differ: int = 0
    beyond: int = 0  # differ by more than is allowed
    worst: float = 0.0  # relative difference, infinite for texts
    said: list[str] = field(default_factory=list)

    def add(self, item: str, old: list[str], new: list[str]) -> None:
        pairs = [(a, b) for a, b in differences(old, new) if not reworded(a, b)]
        away = [relative(a, b) for a, b in pairs]
        tolerance = max((most for start, (most, _) in ALLOWED.items() if item.startswith(start)), default=0.0)
        self.compared, self.differ = self.compared + len(old), self.differ + len(away)
        self.beyond, self.worst = self.beyond + sum(a > tolerance for a in away), max(self.worst, *away, 0.0)
        self.said += [f"    {item} {a} -> {b}" for a, b in (pairs if item.startswith("claims") else pairs[:SAID])]


def reworded(old: str, new: str) -> bool:
    return any(old.startswith(before) and new.startswith(after) for before, after in REWORDED)


def relative(old: str, new: str) -> float:
    """The relative difference of the numbers at the ends of two texts that differ; infinite where more does."""
    (start, _, a), (begin, _, b) = old.rpartition(" "), new.rpartition(" ")
    with suppress(ValueError, ZeroDivisionError):
        if start == begin:
            return max(5e-324, min(np.inf, abs(float(b) - float(a)) / abs(float(a))))  # in this order, NaN is infinite
    return np.inf


def differences(old: list[str], new: list[str]) -> list[tuple[str, str]]:
    """The entries that differ, place by place; those of short lists, and of another length, are aligned first."""
    hunks = [("", 0, len(old), 0, len(new))]
    if old != new and (len(old) != len(new) or len(old) < 2000):
        hunks = difflib.SequenceMatcher(None, old, new).get_opcodes()
    pairs = (pair for _, a, b, c, d in hunks for pair in zip_longest(old[a:b], new[c:d], fillvalue="(none)"))
    return [(a, b) for a, b in pairs if a != b]


def lines_of(part: str, old: Items, new: Items) -> Iterator[Line]:
    """One a row; what only this tree has is said, and no difference."""
    if not old or not new:
        old, new = {f"{part}: a probe failed/": ["a probe"]}, {}
    lines: dict[str, Line] = {}
    for item, values in old.items():
        lines.setdefault(row := item.rsplit("/", 1)[0], Line(row)).add(item, values, new.get(item, []))
    yield from lines.values()
    if more := sorted(new.keys() - old.keys()):
        yield Line(f"{part}: only here", said=[f"    {item}" for item in more])


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    probes = {probe.__name__: probe for probe in (calculators, claims, commands, sweep, studies)}
    if given[:1] == ["--probe"]:
        items: Items = {}
        probes[given[1]](items, Path(given[2]), int(given[3]))
        (Path(given[2]) / "items.json").write_text(json.dumps(items), encoding="utf-8")
        return 0
    from common import quick_and_out, save

    parser = argparse.ArgumentParser(description="a pinned commit and this tree side by side, bit for bit")
    parser.add_argument("--pinned", default=PINNED, metavar="REV", help=f"default {PINNED[:7]}")
    parser.add_argument("--inputs", type=int, default=10_000, metavar="N", help="of every calculator")
    parser.add_argument("--only", nargs="+", choices=probes, default=list(probes), metavar="PART")
    chosen = quick_and_out(parser, __file__, given)
    inputs = min(chosen.inputs, QUICK_INPUTS) if chosen.quick else chosen.inputs
    lines, seconds = [], {}
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(2) as pool:
        folder = Path(temporary).resolve()
        archive = ["git", "-C", str(ROOT), "archive", f"--output={folder / 'pinned.tar'}", chosen.pinned]
        if subprocess.run(archive).returncode:
            parser.error(f"--pinned must be a revision of this repository, got {chosen.pinned!r}")
        shutil.unpack_archive(folder / "pinned.tar", folder / "pinned", filter="data")
        print(f"{'':<52}{'compared':>12}{'differ':>9}{'beyond':>9}{'worst':>10}")
        for part in (part for part in chosen.only if not (chosen.quick and part == "studies")):
            start, trees = time.perf_counter(), (folder / "pinned", ROOT)
            jobs = [pool.submit(probed, part, tree, folder / f"{part} {at}", inputs) for at, tree in enumerate(trees)]
            for line in lines_of(part, *(job.result() for job in jobs)):
                numbers = f"{line.compared:>12,}{line.differ:>9,}{line.beyond:>9,}{line.worst:>10.2g}"
                print(f"{line.what:<52}{numbers}", *line.said, sep="\n", flush=True)
                lines.append(line)
            seconds[part] = time.perf_counter() - start
    kept = bool(lines) and not any(line.beyond for line in lines)
    print(*(f"{part}: {spent:.0f} s" for part, spent in seconds.items()), "kept" if kept else "CHANGED", sep="\n")
    result = {"pinned": chosen.pinned, "inputs": inputs, "seconds": seconds, "allowed": ALLOWED, "kept": kept}
    save({**result, "lines": [asdict(line) for line in lines], "quick": chosen.quick}, chosen.out)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
