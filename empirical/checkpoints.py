"""The attention of Hugging Face models, observed without an n x n matrix and dialled exactly, through their own registry.

    with dial(model, 0.8, blocks=labels): model(**inputs)        # - kappa on logits outside the query's block
    with observing(model, labels) as rows: model(**inputs)       # then rows["layers.0.self_attn"]["entropy_nats"]

A route is registered as an attention function, and under the same name the mask function of the implementation that it
stands for: without it a model would lose causality and padding. A call goes on to that implementation, with its own
mask where nothing is added (dial 0 is bit-identical) and with one float mask where something is. Whatever adds to a row
beyond softmax(scaling q.k + mask + bias), sinks and soft-capping say, is named: such rows are not valid, and not
dialled. Whatever happens inside, the model leaves the context as it was.
Not covered: paged and static caches, attention that does not call the registry.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bounds.dial import kappa_of_dial
from empirical.errors import BadInput
from empirical.shapes import Bool, Float, Int
from empirical.streaming import stream_rows

NAME = "localist"
ARCHITECTURES = ("gpt2", "llama", "mistral", "qwen2", "bert", "roberta", "bart", "t5")
BASES = ("sdpa", "eager")
HARMLESS = frozenset(
    ("dropout", "scaling", "is_causal", "position_bias", "output_attentions", "use_cache", "position_ids", "cache")
    + ("cache_position", "position_embeddings", "sliding_window", "past_key_values", "past_key_value", "return_dict")
    + ("output_hidden_states", "layer_idx", "logits_to_keep", "num_items_in_batch", "deterministic")
)  # keyword arguments of an attention call that the logits here account for, or that leave them alone


@dataclass(frozen=True)
class Call:
    """One attention of one forward pass."""

    name: str  # of the module, as in model.named_modules()
    kind: str  # "self", "encoder" or "cross"
    layer: int  # among those of its kind
    query: Float[Tensor, "B H T E"]
    key: Float[Tensor, "B G N E"]
    scaling: float
    mask: Tensor | None
    is_causal: bool
    position_bias: Tensor | None
    unknown: tuple[str, ...]  # what is done to these rows beyond softmax(scaling q.k + bias)

    @property
    def shape(self) -> tuple[int, int]:
        """Queries and keys."""
        return self.query.shape[2], self.key.shape[2]

    def visible(self, start: int, stop: int) -> Bool[Tensor, "_ _ _ N"]:
        """Which keys the queries in [start, stop) see: by the mask, boolean or additive, or causally without one."""
        tokens, keys = self.shape
        position = torch.arange(keys, device=self.key.device)
        if self.mask is None:
            last = position[keys - tokens :][start:stop] if self.is_causal else position[-1:]
            return (position <= last[:, None])[None, None]
        mask = self.mask[..., start:stop, :] if self.mask.shape[-2] > 1 else self.mask
        return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


Bias = Callable[[Call], Tensor | None]
"""What is added to the logits of a call, broadcasting to (B, H, T, N); none: nothing."""


@dataclass
class Route:
    """What happens to the attention of one model, while the context that made it lasts."""

    places: dict[int, tuple[str, str, int]]  # id of the module: its name, kind and layer
    base: str
    bias: Bias | None = None
    watch: Callable[[Call, Tensor | None], None] | None = None


_ROUTES: list[Route] = []


def places_of(model: Any) -> dict[int, tuple[str, str, int]]:
    """Every attention of the model. Raises BadInput for an architecture that is not known."""
    kind_of_model = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    if kind_of_model not in ARCHITECTURES:
        raise BadInput(f"model must be of a known architecture ({', '.join(ARCHITECTURES)}), got {kind_of_model!r}")
    if getattr(model.config, "reorder_and_upcast_attn", False):
        raise BadInput("model must attend through its registry, got reorder_and_upcast_attn=True")
    places: dict[int, tuple[str, str, int]] = {}
    counts: dict[str, int] = {}
    for name, module in model.named_modules():
        if not _attends(module):
            continue
        if any(part in name for part in ("encoder_attn", "crossattention", "EncDecAttention")):
            kind = "cross"
        else:
            kind = "encoder" if model.config.is_encoder_decoder and "encoder." in name + "." else "self"
        places[id(module)] = (name, kind, counts.setdefault(kind, 0))
        counts[kind] += 1
    return places


def _attends(module: torch.nn.Module) -> bool:
    """Whether the module's own forward asks the registry for its attention."""
    return "ALL_ATTENTION_FUNCTIONS" in inspect.unwrap(type(module).forward).__code__.co_names


def _attend(module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **given: Any) -> Any:
    """The attention function that is registered: biases of all routes of this model, then the implementation's own."""
    mine = [route for route in _ROUTES if id(module) in route.places]
    base = _function(mine[0].base, module)
    name, kind, layer = mine[0].places[id(module)]
    unknown = tuple(sorted(k for k, v in given.items() if k not in HARMLESS and v is not None and v is not False))
    if module.training and given.get("dropout"):
        unknown += ("dropout",)
    is_causal = given.get("is_causal")
    call = Call(
        name,
        kind,
        layer,
        query,
        key,
        float(given.get("scaling") or query.shape[-1] ** -0.5),
        attention_mask,
        bool(getattr(module, "is_causal", True) if is_causal is None else is_causal) and query.shape[2] > 1,
        given.get("position_bias"),
        unknown,
    )
    biases = [bias for route in mine if route.bias is not None and (bias := route.bias(call)) is not None]
    total = sum(biases[1:], biases[0]) if biases else None
    if total is not None and unknown:
        raise BadInput(f"model must do nothing to a dialled row but softmax, got {', '.join(unknown)} in {name}")
    for route in mine:
        if route.watch is not None:
            route.watch(call, total)
    mask = attention_mask if total is None else _biased(call, total)
    return base(module, query, key, value, mask, **given)


def _biased(call: Call, bias: Tensor) -> Float[Tensor, "B _ T N"]:
    """One float mask: the bias where a key is seen, -inf elsewhere; a row that sees nothing keeps what it had."""
    tokens, keys = call.shape
    seen = call.visible(0, tokens).expand(len(call.query), -1, tokens, keys)
    added = torch.where(seen, bias.to(call.query.dtype), -torch.inf)
    return torch.where(seen.any(-1, keepdim=True), added, 0.0)


def _function(base: str, module: Any) -> Callable[..., Any]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if base == "eager":
        return sys.modules[type(module).__module__].eager_attention_forward
    return ALL_ATTENTION_FUNCTIONS[base]


def _mask(base: str) -> Callable[..., Any]:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    return ALL_MASK_ATTENTION_FUNCTIONS[base]


@contextmanager
def routed(
    model: Any, bias: Bias | None = None, watch: Callable[[Call, Tensor | None], None] | None = None
) -> Iterator[None]:
    """Inside, every attention of the model goes by `bias` and `watch`; contexts nest, their biases add.

    Raises BadInput for an unknown architecture or an implementation other than sdpa and eager.
    """
    from transformers.masking_utils import AttentionMaskInterface
    from transformers.modeling_utils import AttentionInterface

    outer = next((route for route in _ROUTES if id(model) in route.places or _shares(route, model)), None)
    base = outer.base if outer is not None else model.config._attn_implementation
    if base not in BASES:
        raise BadInput(f"model must attend by one of {', '.join(BASES)}, got {base!r}")
    route = Route(places_of(model), base, bias, watch)
    for one in BASES:
        AttentionInterface.register(f"{NAME}_{one}", _attend)
        AttentionMaskInterface.register(f"{NAME}_{one}", _mask(one))
    _ROUTES.append(route)
    try:
        if outer is None:
            model.set_attn_implementation(f"{NAME}_{base}")
        yield
    finally:
        _ROUTES.remove(route)
        if outer is None:
            model.set_attn_implementation(base)


def _shares(route: Route, model: Any) -> bool:
    return any(id(module) in route.places for module in model.modules())


@dataclass
class Labels:
    """The block of every token, as the queries and as the keys of a call; below 0 it is in none.

    New tokens of a generation are of block `grown`, one a sequence; for cross attention `keys` are of the encoder.
    """

    tokens: Int[Tensor, "B T"]
    keys: Int[Tensor, "B N"] | None = None  # cross attention
    grown: Int[Tensor, "B"] | None = None
    named: int | None = None  # the relevant block of every query, whatever its own

    def of(self, call: Call) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B N"]]:
        """The relevant block of each query and the block of each key. Raises BadInput where tokens and labels differ."""
        queries, keys = call.shape
        device = call.query.device
        if call.kind == "cross" or (call.kind == "encoder" and self.keys is not None):
            if self.keys is None:
                raise BadInput(f"blocks must have labels of the encoder's tokens for {call.name}, got none")
            of_keys = self.keys.to(device)
            if of_keys.shape[1] != keys:
                raise BadInput(f"blocks must label {keys} encoder tokens, got {of_keys.shape[1]}")
            of_queries = self._extended(queries, device)[:, -queries:] if call.kind == "cross" else of_keys
        else:
            of_keys = self._extended(keys, device)
            of_queries = of_keys[:, -queries:]
        if self.named is not None:
            of_queries = torch.full_like(of_queries, self.named)
        repeats = len(call.query) // len(of_keys)  # beams
        return of_queries.repeat_interleave(repeats, 0), of_keys.repeat_interleave(repeats, 0)

    def _extended(self, length: int, device: torch.device) -> Int[Tensor, "B N"]:
        known = self.tokens.to(device)
        if known.shape[1] >= length and (self.grown is not None or known.shape[1] == length):
            return known[:, :length]
        if self.grown is None:
            raise BadInput(f"blocks must label every token, got {known.shape[1]} labels for {length} tokens")
        new = self.grown.to(device)[:, None].expand(-1, length - known.shape[1])
        return torch.cat([known, new], 1)


def in_block(queries: Int[Tensor, "B T"], keys: Int[Tensor, "B N"]) -> Bool[Tensor, "B 1 T N"]:
    """Whether a key is in the query's relevant block; everything is where a query has none: it is not dialled."""
    own = queries[:, None, :, None]
    return (own == keys[:, None, None, :]) | (own < 0)


def dial(
    model: Any,
    dials: float | list[Any] | np.ndarray | None = None,
    *,
    kappas: float | list[Any] | np.ndarray | None = None,
    blocks: Int[Tensor, "B T"] | Labels,
    kinds: tuple[str, ...] = ("self",),
) -> Any:
    """The dial on a checkpoint, as a context: `dials` in [0, 1] or `kappas` >= 0, a number or (layers, heads) of each.

    Logits outside the query's block are lower by kappa = -ln(1 - dial) before the softmax. Raises BadInput for a value
    out of range, another shape, labels that do not fit the tokens, or an attention that is not a plain softmax.
    """
    given, name, most = (dials, "dials", 1.0) if dials is not None else (kappas, "kappas", np.inf)
    values = np.asarray(np.nan if given is None else given, dtype=float)
    if not ((values >= 0) & (values <= most)).all() or values.ndim > 2 or (dials is not None and kappas is not None):
        raise BadInput(f"{name} must be numbers in [0, {most:g}], one or (layers, heads) of them, got {given!r}")
    cells = torch.as_tensor(np.asarray(kappa_of_dial(values) if name == "dials" else values, dtype=float))
    labels = blocks if isinstance(blocks, Labels) else Labels(blocks)

    def bias(call: Call) -> Tensor | None:
        if call.kind not in kinds:
            return None
        try:
            kappa = cells.expand(max(call.layer + 1, len(cells) if cells.ndim == 2 else 1), call.query.shape[1])
        except RuntimeError:
            shape = tuple(cells.shape)
            raise BadInput(f"{name} must be (layers, {call.query.shape[1]}) numbers, got shape {shape}") from None
        mine = kappa[call.layer]
        if not bool(mine.any()):
            return None
        off = ~in_block(*labels.of(call))
        return torch.where(off, -mine.to(call.query)[None, :, None, None], 0.0)

    return routed(model, bias)


@dataclass
class Observed:
    """Rows by attention: name -> fields (B, H, T), on the CPU; `unknown` says why those of a name are not valid."""

    rows: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    calls: dict[str, tuple[str, int]] = field(default_factory=dict)  # kind and layer
    unknown: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> dict[str, Tensor]:
        return self.rows[name]


@contextmanager
def observing(
    model: Any,
    blocks: Int[Tensor, "B T"] | Labels,
    *,
    layers: tuple[int, ...] | None = None,
    kinds: tuple[str, ...] = ("self",),
    n_anchors: int | None = 1,
    dial: float = 0.5,
) -> Iterator[Observed]:
    """Row fields of every chosen attention of the forward passes inside; of a name seen again, the last.

    Memory grows with the number of tokens, not with its square. Rows that are more than a softmax are not valid.
    """
    labels = blocks if isinstance(blocks, Labels) else Labels(blocks)
    found = Observed()

    def watch(call: Call, bias: Tensor | None) -> None:
        if call.kind not in kinds or (layers is not None and call.layer not in layers):
            return
        queries, keys = labels.of(call)
        added = [b for b in (call.position_bias, bias) if b is not None]
        full = [b.expand(-1, -1, *call.shape) for b in added]
        rows = stream_rows(
            call.query,
            call.key,
            queries,
            keys,
            scaling=call.scaling,
            visible=call.visible,
            bias=(lambda start, stop: sum(b[..., start:stop, :].double() for b in full)) if full else None,
            n_anchors=n_anchors,
            dial=dial,
        )
        if call.unknown:
            rows["valid"] = torch.zeros_like(rows["valid"])
            found.unknown[call.name] = call.unknown
        found.rows[call.name], found.calls[call.name] = rows, (call.kind, call.layer)

    with routed(model, watch=watch):
        yield found
