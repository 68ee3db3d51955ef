"""A configuration: frozen, validated once, the same from TOML, from a dict and from code.

    Config = Setting and PenaltyConfig (what the thresholds need) + ModelConfig + TaskConfig + SweepConfig

A wrong value raises BadInput naming `section.key`; an unknown key also names the nearest known one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bounds.numbers.errors import meant
from bounds.penalty.fields import Start
from bounds.thresholds.result import said
from bounds.thresholds.setting import LEVEL_BOUNDS, PenaltySetting, Setting
from empirical.errors import BadInput
from empirical.files import LARGEST_SOURCE, json_digest, parse_toml, read_text, reason
from empirical.laboratory.fields import (
    Validated,
    choice,
    described,
    flag,
    is_number,
    is_whole,
    positive,
    several,
    whole,
)
from empirical.laboratory.penalty_config import GATES, PenaltyConfig, gate_bounds, refuse_misfits, without_gates

SCHEMA_VERSION = 1
STARTS = tuple(start.value for start in Start)
MOST_NUMBERS = 2**31  # of one array: 16 GiB in float64
BRANCHES = tuple(start.value for start in Start if start.branch)
TASKS = ("blocks", "topics")


@dataclass(frozen=True)
class ModelConfig(Validated):
    """The reference model; with `anchor_logit` every block has `setting.n_anchors` anchor keys."""

    section = "model"

    layers: int = whole(1, 1, 2**10, "attention layers", "topics")
    heads: int = whole(1, 1, 2**10, "heads a layer", "topics")
    blocks: int = whole(4, 2, 2**10, "feature blocks K")
    d_block: int = whole(8, 1, 2**14, "features a block")
    form: str = choice("bilinear", "bilinear", meaning="logits x^T W y, W in blocks W_bc")
    causal: bool = flag("a query sees no later token", "topics")
    mlp: bool = flag("a block-wise MLP after each attention", "topics")
    dtype: str = choice("float64", "float64", "float32", meaning="of training; observations are float64")
    anchor_logit: float | None = positive(
        None, "logit of a block's anchors for its own queries; not given: no anchors", "topics"
    )
    value_norm: float | None = positive(
        None, "cap on the norm of a value at a head's output; not given: no cap", "topics"
    )
    unembedding_norm: float | None = positive(
        None, "cap on the norm of an unembedding row; not given: no cap", "topics"
    )
    stream: str = choice(
        "localist", "localist", "shared", meaning="writes go to the query's own block, or to all", task="topics"
    )


@dataclass(frozen=True)
class TaskConfig(Validated):
    """What is learned: `blocks` (synthetic retrieval) or `topics` (real text)."""

    section = "task"

    name: str = choice("blocks", *TASKS, meaning="synthetic retrieval, or real text in groups of topics")
    queries: int = whole(512, 2, 2**24, "blocks: queries of the fixed batch; topics: tokens a sequence")
    cue: float = described(
        0.3,
        "a number in [0, 1)",
        lambda v: is_number(v) and 0 <= v < 1,
        "share of the target that only another block's key can supply",
        "blocks",
    )
    segment: int = whole(4, 1, 2**24, "consecutive words from one group", "topics")
    vocabulary: int = whole(512, 2, 2**24, "words kept, the last one standing for all others", "topics")
    text_dir: str | None = described(
        None,
        "the path of a folder",
        lambda v: v is None or (isinstance(v, str) and v != ""),
        "a folder, one text file a topic; not given: Python's own documentation",
        "topics",
    )


@dataclass(frozen=True)
class SweepConfig(Validated):
    """Which settings are trained, and when one counts as converged."""

    section = "sweep"

    penalties: tuple[float, ...] = several(
        (1e-4,), "finite numbers >= 0", lambda v: is_number(v) and v >= 0, "on a norm, or leakage; each is a setting"
    )
    relative_to_critical: bool = flag("penalties are multiples of each seed's critical one; blocks, or gates")
    seeds: tuple[int, ...] = several(
        (1,), "whole numbers in [0, 2^31)", lambda v: is_whole(v) and 0 <= v < 2**31, "of data and start; each a run"
    )
    starts: tuple[str, ...] = several(
        None,
        " or ".join(map(repr, STARTS)),
        lambda v: v in STARTS,
        "where a setting starts; not given: localised (topics without gates: random)",
    )
    tolerance: float = positive(1e-6, "stationarity residual at which a setting counts as converged")
    max_steps: int = whole(4000, 1, 2**31, "a setting still moving then is unconverged, which is no error")
    workers: int = whole(2, 1, 2**10, "one-thread processes on a CPU; does not change any result")
    device: str = choice(
        "cpu", "cpu", "cuda", "mps", "auto", meaning="auto: GPU or CPU, whichever a probe finds faster"
    )
    batch: int = whole(16, 1, 2**20, "sequences a step; with gates the same ones in every step", "topics")
    learning_rate: float = positive(5e-3, "Adam's, for all but the forms; with gates for all weights", "topics")
    step: float | None = positive(None, "proximal, of forms (not given: 160; topics: 20), or projected, of gates (0.1)")


@dataclass(frozen=True)
class Config:
    """Everything a run depends on."""

    setting: Setting = field(default_factory=Setting)
    penalty: PenaltyConfig = field(default_factory=PenaltyConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)

    def __post_init__(self) -> None:
        blocks = self.task.name == "blocks"
        if self.sweep.starts is None:  # pyright: ignore[reportUnnecessaryComparison]  (nobody said)
            start = Start.LOCALISED if self.has_localised else Start.RANDOM
            object.__setattr__(self, "sweep", replace(self.sweep, starts=(start.value,)))
        for section in (self.model, self.task, self.sweep):
            for item in fields(section):
                of, value = item.metadata["task"], getattr(section, item.name)
                if of and of != self.task.name and value != item.default:
                    raise BadInput(f"{section.section}.{item.name} must go with task.name={of!r}, got {value!r}")
        sweep = self.sweep
        refuse_misfits(self.penalty, self.task.name, sweep.starts, sweep.relative_to_critical)
        (_check_blocks if blocks else _check_topics)(self)
        for name, shape in (*self.shapes.items(), *self._data.items()):
            size, allowed = math.prod(shape), f"of at most {MOST_NUMBERS:,} numbers"
            _require(f"{name} of the configuration", size <= MOST_NUMBERS, allowed, shape)
        if self.sweep.device == "mps" and self.model.dtype == "float64":
            raise BadInput("sweep.device must be 'cpu' or 'cuda' with model.dtype='float64', got 'mps'")

    @property
    def layers(self) -> int:
        return self.model.layers

    @property
    def heads(self) -> int:
        return self.model.heads

    @property
    def temperature(self) -> float:
        return self.setting.temperature

    @property
    def gated(self) -> bool:
        """Whether leakage is penalised, through gates that are trained with the weights."""
        return self.penalty.kind == GATES

    @property
    def has_localised(self) -> bool:
        """Whether a seed has a localised solution, with a critical penalty."""
        return self.gated or self.task.name == "blocks"

    @property
    def step(self) -> float:
        """The proximal step of the forms, or the projected one of gates."""
        return self.sweep.step or (0.1 if self.gated else 160.0 if self.task.name == "blocks" else 20.0)

    @property
    def anchors(self) -> int:
        """Anchor keys a block: none without `model.anchor_logit`."""
        return (self.setting.n_anchors or 1) if self.model.anchor_logit is not None else 0

    @property
    def dial(self) -> float:
        """The dial at which rows are observed a second time."""
        return 0.5 if self.setting.dial is None else self.setting.dial

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parameters, a setting's."""
        model, task = self.model, self.task
        depth, heads, blocks, d = model.layers, model.heads, model.blocks, model.d_block
        written = d * (1 if model.stream == "localist" else blocks)  # features that a head writes: its block's, or all
        shapes: dict[str, tuple[int, ...]] = {
            "embedding": (task.vocabulary, d),
            "position": (task.queries, d),
            "forms": (depth, heads, blocks, d, blocks, d),
            "output": (depth, heads, blocks * d, written),
            "unembedding": (d, task.vocabulary),
        }
        if model.mlp:
            shapes |= {"mlp_in": (depth, d, 4 * d), "mlp_out": (depth, 4 * d, d)}
        if self.anchors:
            keys = blocks * self.anchors
            shapes |= {"anchor_key": (depth, keys, d), "anchor_value": (depth, heads, keys, written)}
        return shapes

    @property
    def keys_a_block(self) -> int:
        """`blocks`: keys of each block that a query sees."""
        return self.setting.n_block or (self.setting.n_keys or 8 * self.model.blocks) // self.model.blocks

    @property
    def _data(self) -> dict[str, tuple[int, ...]]:
        """The largest arrays besides: keys of the `blocks` task; logits and scores of a batch of `topics`."""
        model, task = self.model, self.task
        if task.name == "blocks":
            return {"keys": (task.queries, model.blocks * self.keys_a_block, model.blocks, model.d_block)}
        tokens = (self.sweep.batch, task.queries)
        logits = (model.heads, *tokens, task.queries + model.blocks * self.anchors)
        return {"logits": logits, "scores": (*tokens, task.vocabulary)}

    @property
    def penalty_setting(self) -> PenaltySetting:
        """What `[penalty]` says of the training problem, and where it is silent what the configuration bounds."""
        given = {name: value for name, value in asdict(self.penalty.setting).items() if value is not None}
        if self.gated:
            bounds = gate_bounds(self.level_bounds, self.task.vocabulary, self.setting.fidelity)
            return PenaltySetting(**{**bounds, **given})
        step = {"step": self.step} if self.level_bounds or said(self.penalty.setting) else {}
        return PenaltySetting(**{**step, **self.level_bounds, **given})

    @property
    def level_bounds(self) -> dict[str, float]:
        """What level A needs, where the configuration bounds it at every parameter; else nothing.

        blocks: queries, keys, values and targets are of norm 1 at most, so ||o - y|| <= 2 and G = 4. topics, where the
        model ends in its head: the loss gradient there is sum_k p_k (u_k - u_target), of norm at most twice the cap on
        u; V is twice the cap on a value; a normalised block has norm sqrt(d) at most, so two keys differ by twice that.
        """
        model = self.model
        if self.task.name == "blocks":
            return dict(zip(LEVEL_BOUNDS, (4.0, 2.0, 1.0, 1.0, 2.0)))
        if model.value_norm is None or model.unembedding_norm is None or not self.ends_in_head:
            return {}
        root = math.sqrt(model.d_block)
        return dict(zip(LEVEL_BOUNDS, (2 * model.unembedding_norm, 2 * model.value_norm, root, root, 2 * root)))

    @property
    def ends_in_head(self) -> bool:
        """One layer, no MLP, both caps: nothing but a capped linear map follows the head, so level A is proved."""
        model = self.model
        return model.layers == 1 and not model.mlp and None not in (model.value_norm, model.unembedding_norm)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, JSON-ready; `parse` reads it back."""
        return json.loads(json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}))

    def digest(self) -> str:
        """sha256 of the configuration, without `sweep.workers`, which changes no result."""
        return digest_of(self.as_dict())

    def problem_digest(self) -> str:
        """sha256 of what is learned by which model, whatever is swept."""
        return json_digest({name: part for name, part in self.as_dict().items() if name not in ("sweep", "penalty")})


def digest_of(plain: Mapping[str, Any]) -> str:
    """`Config.digest` of plain values as they were saved, whatever fields a later release knows."""
    sweep = {name: value for name, value in plain["sweep"].items() if name != "workers"}
    return json_digest({**plain, "sweep": sweep, "penalty": without_gates(plain["penalty"])})


def _require(name: str, good: bool, allowed: str, value: Any) -> None:
    if not good:
        raise BadInput(f"{name} must be {allowed}, got {value!r}")


def _check_blocks(config: Config) -> None:
    """The exact laboratory: one head, given values, a fixed batch."""
    model, n, m = config.model, config.setting.n_keys, config.setting.n_block
    if m is not None:
        _require("setting.n_keys", n == m * model.blocks, f"model.blocks * n_block = {m * model.blocks}", n)
    elif n is not None:
        _require("setting.n_keys", n % model.blocks == 0, f"a multiple of model.blocks = {model.blocks}", n)


def _check_topics(config: Config) -> None:
    model, setting, task = config.model, config.setting, config.task
    starts, alone = config.sweep.starts, "['random'] with task.name='topics'"
    _require("sweep.starts", config.gated or starts == (Start.RANDOM,), alone, starts)
    tokens = task.queries + model.blocks * config.anchors
    if setting.n_keys is not None:
        _require("setting.n_keys", setting.n_keys == tokens, f"task.queries + anchors = {tokens}", setting.n_keys)


SECTIONS: dict[str, type] = {
    "setting": Setting,
    "penalty": PenaltyConfig,
    "model": ModelConfig,
    "task": TaskConfig,
    "sweep": SweepConfig,
}


def _known(name: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            raise BadInput(f"{name} must have only known keys, got {str(key)!r}{meant(str(key), known)}")


def _section(name: str, given: Any) -> Any:
    """One table of the configuration; a null value counts as absent, a list becomes a tuple."""
    if not isinstance(given, Mapping):
        raise BadInput(f"{name} must be a table, got {given!r}")
    kind = SECTIONS[name]
    _known(f"[{name}]", given, tuple(f.name for f in fields(kind)))
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v is not None}
    try:
        return kind(**values)
    except TypeError:  # an unhashable or incomparable value slipped past the checks
        raise BadInput(f"[{name}] must hold numbers, strings and lists of them, got {dict(given)!r}") from None


def parse(given: Mapping[str, Any]) -> Config:
    """The configuration from plain nested values (a parsed TOML file, or `Config.as_dict()`)."""
    _known("configuration", given, ("schema_version", *SECTIONS))
    if given.get("schema_version") != SCHEMA_VERSION:
        raise BadInput(f"schema_version must be {SCHEMA_VERSION}, got {given.get('schema_version')!r}")
    return Config(**{name: _section(name, given.get(name, {})) for name in SECTIONS})


def load(path: str | Path) -> Config:
    """The configuration in a TOML file. Raises BadInput for a file that cannot be read, or is none."""
    text = read_text(Path(path), "CONFIG", "TOML file", LARGEST_SOURCE)
    try:
        plain = parse_toml(text)
    except ValueError as error:
        raise BadInput(f"CONFIG must be a TOML file, got {str(path)!r} ({reason(error)})") from None
    return parse(plain)
