"""A configuration: frozen, validated once, the same from TOML, from a dict and from code.

    Config = Setting and PenaltySetting (what the thresholds need) + ModelConfig + TaskConfig + SweepConfig

A wrong value raises BadInput naming `section.key`; an unknown key also names the nearest known one.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bounds.penalty.fields import Start
from bounds.thresholds.setting import LEVEL_BOUNDS, PenaltySetting, Setting
from empirical.errors import BadInput
from empirical.files import LARGEST_SOURCE, json_digest, parse_toml, read_text, reason

SCHEMA_VERSION = 1
STARTS = tuple(start.value for start in Start)
MOST_NUMBERS = 2**31  # of one array: 16 GiB in float64
BRANCHES = tuple(start.value for start in Start if start.branch)


def _field(default: Any, allowed: str, check: Callable[[Any], bool]) -> Any:
    return field(default=default, metadata={"allowed": allowed, "check": check})


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(default: int, least: int, most: int) -> Any:
    return _field(default, f"a whole number in [{least}, {most}]", lambda v: _is_whole(v) and least <= v <= most)


def _positive(default: float | None) -> Any:
    absent = default is None
    return _field(default, "a finite number > 0", lambda v: (absent and v is None) or (_is_number(v) and v > 0))


def _flag(default: bool) -> Any:
    return _field(default, "true or false", lambda v: isinstance(v, bool))


def _choice(default: str, *choices: str) -> Any:
    return _field(default, " or ".join(map(repr, choices)), lambda v: isinstance(v, str) and v in choices)


def _several(default: tuple[Any, ...], allowed: str, check: Callable[[Any], bool]) -> Any:
    def each_once(values: Any) -> bool:
        good = isinstance(values, tuple) and len(values) > 0 and all(check(v) for v in values)
        return good and len(set(values)) == len(values)

    return _field(default, f"a list of {allowed}, not empty, each once", each_once)


class _Validated:
    """Checks every field of a section against its own metadata."""

    section = ""
    __no_type_check__ = True  # by anything else, which would refuse in other words

    def __post_init__(self) -> None:
        for item in fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, item.name)
            if not item.metadata["check"](value):
                raise BadInput(f"{self.section}.{item.name} must be {item.metadata['allowed']}, got {value!r}")


@dataclass(frozen=True)
class ModelConfig(_Validated):
    """The reference model; with `anchor_logit` every block has `setting.n_anchors` anchor keys."""

    section = "model"

    layers: int = _whole(1, 1, 2**10)  # attention layers
    heads: int = _whole(1, 1, 2**10)  # heads a layer
    blocks: int = _whole(4, 2, 2**10)  # feature blocks K
    d_block: int = _whole(8, 1, 2**14)  # features a block
    form: str = _choice("bilinear", "bilinear")  # logits x^T W y, W in blocks W_bc
    causal: bool = _flag(False)  # a query sees no later token
    mlp: bool = _flag(False)  # a block-wise MLP after each attention
    dtype: str = _choice("float64", "float64", "float32")  # arithmetic of training; observations are float64
    anchor_logit: float | None = _positive(None)  # logit of a block's anchors for its own queries; none: no anchors
    value_norm: float | None = _positive(None)  # cap on the norm of a value at a head's output; none: no cap
    unembedding_norm: float | None = _positive(None)  # cap on the norm of an unembedding row; none: no cap
    stream: str = _choice("localist", "localist", "shared")  # writes go to the query's own block, or to all


@dataclass(frozen=True)
class TaskConfig(_Validated):
    """What is learned: `blocks` (synthetic retrieval) or `topics` (real text)."""

    section = "task"

    name: str = _choice("blocks", "blocks", "topics")
    queries: int = _whole(512, 2, 2**24)  # blocks: queries of the fixed batch; topics: tokens a sequence
    cue: float = _field(0.3, "a number in [0, 1)", lambda v: _is_number(v) and 0 <= v < 1)  # blocks: foreign share
    segment: int = _whole(4, 1, 2**24)  # topics: consecutive words from one topic group
    vocabulary: int = _whole(512, 2, 2**24)  # topics: words kept, the last one standing for all others
    text_dir: str | None = _field(  # topics: a folder, one file a topic; none: Python's own documentation
        None, "the path of a folder", lambda v: v is None or (isinstance(v, str) and v != "")
    )


@dataclass(frozen=True)
class SweepConfig(_Validated):
    """Which settings are trained, and when one counts as converged."""

    section = "sweep"

    penalties: tuple[float, ...] = _several((1e-4,), "finite numbers >= 0", lambda v: _is_number(v) and v >= 0)
    relative_to_critical: bool = _flag(False)  # penalties are multiples of each seed's critical penalty
    seeds: tuple[int, ...] = _several((1,), "whole numbers in [0, 2^31)", lambda v: _is_whole(v) and 0 <= v < 2**31)
    starts: tuple[str, ...] = _several((Start.LOCALISED.value,), f"{STARTS}", lambda v: v in STARTS)
    tolerance: float = _positive(1e-6)  # stationarity residual at which a setting counts as converged
    max_steps: int = _whole(4000, 1, 2**31)  # a setting still moving then is unconverged, which is no error
    workers: int = _whole(2, 1, 2**10)  # one-thread processes on CPU; does not change any result
    device: str = _choice("cpu", "cpu", "cuda", "mps", "auto")  # auto: GPU or CPU, whichever a short probe finds faster
    batch: int = _whole(16, 1, 2**20)  # topics: sequences a step
    learning_rate: float = _positive(5e-3)  # topics: Adam's, for everything but the forms
    step: float | None = _positive(None)  # proximal step of the forms; none: 160 for blocks, 20 for topics


@dataclass(frozen=True)
class Config:
    """Everything a run depends on."""

    setting: Setting = field(default_factory=Setting)
    penalty: PenaltySetting = field(default_factory=PenaltySetting)
    model: ModelConfig = field(default_factory=ModelConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)

    def __post_init__(self) -> None:
        (_check_blocks if self.task.name == "blocks" else _check_topics)(self)
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
    def step(self) -> float:
        """The proximal step of the forms."""
        return self.sweep.step or (160.0 if self.task.name == "blocks" else 20.0)

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
        given = {name: value for name, value in asdict(self.penalty).items() if value is not None}
        return PenaltySetting(**{"step": self.step, **self.level_bounds, **given})

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
    return json_digest({**plain, "sweep": sweep})


def _require(name: str, good: bool, allowed: str, value: Any) -> None:
    if not good:
        raise BadInput(f"{name} must be {allowed}, got {value!r}")


def _check_blocks(config: Config) -> None:
    """The exact laboratory: one head, given values, a fixed batch."""
    model, n, m = config.model, config.setting.n_keys, config.setting.n_block
    for name, value, only in (
        ("layers", model.layers, 1),
        ("heads", model.heads, 1),
        ("mlp", model.mlp, False),
        ("causal", model.causal, False),
        ("anchor_logit", model.anchor_logit, None),
        ("value_norm", model.value_norm, None),
        ("unembedding_norm", model.unembedding_norm, None),
    ):
        allowed = "absent" if only is None else f"{only!r}"
        _require(f"model.{name}", value == only, f"{allowed} with task.name='blocks'", value)
    if m is not None:
        _require("setting.n_keys", n == m * model.blocks, f"model.blocks * n_block = {m * model.blocks}", n)
    elif n is not None:
        _require("setting.n_keys", n % model.blocks == 0, f"a multiple of model.blocks = {model.blocks}", n)


def _check_topics(config: Config) -> None:
    model, setting, task = config.model, config.setting, config.task
    _require(
        "sweep.starts",
        config.sweep.starts == (Start.RANDOM,),
        "['random'] with task.name='topics'",
        config.sweep.starts,
    )
    _require("sweep.relative_to_critical", not config.sweep.relative_to_critical, "false with task.name='topics'", True)
    tokens = task.queries + model.blocks * config.anchors
    if setting.n_keys is not None:
        _require("setting.n_keys", setting.n_keys == tokens, f"task.queries + anchors = {tokens}", setting.n_keys)


_SECTIONS: dict[str, type] = {
    "setting": Setting,
    "penalty": PenaltySetting,
    "model": ModelConfig,
    "task": TaskConfig,
    "sweep": SweepConfig,
}


def _known(name: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known: {', '.join(known)}"
            raise BadInput(f"{name} must have only known keys, got {str(key)!r}{hint}")


def _section(name: str, given: Any) -> Any:
    """One table of the configuration; a null value counts as absent, a list becomes a tuple."""
    if not isinstance(given, Mapping):
        raise BadInput(f"{name} must be a table, got {given!r}")
    kind = _SECTIONS[name]
    _known(f"[{name}]", given, tuple(f.name for f in fields(kind)))
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v is not None}
    try:
        return kind(**values)
    except TypeError:  # an unhashable or incomparable value slipped past the checks
        raise BadInput(f"[{name}] must hold numbers, strings and lists of them, got {dict(given)!r}") from None


def parse(given: Mapping[str, Any]) -> Config:
    """The configuration from plain nested values (a parsed TOML file, or `Config.as_dict()`)."""
    _known("configuration", given, ("schema_version", *_SECTIONS))
    if given.get("schema_version") != SCHEMA_VERSION:
        raise BadInput(f"schema_version must be {SCHEMA_VERSION}, got {given.get('schema_version')!r}")
    return Config(**{name: _section(name, given.get(name, {})) for name in _SECTIONS})


def load(path: str | Path) -> Config:
    """The configuration in a TOML file. Raises BadInput for a file that cannot be read, or is none."""
    text = read_text(Path(path), "CONFIG", "TOML file", LARGEST_SOURCE)
    try:
        plain = parse_toml(text)
    except ValueError as error:
        raise BadInput(f"CONFIG must be a TOML file, got {str(path)!r} ({reason(error)})") from None
    return parse(plain)
