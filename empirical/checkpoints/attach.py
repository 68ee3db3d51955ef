"""How the attention of a Hugging Face model is met: through the library's own registry, call by call.

A route is registered as an attention function, and under the same name the mask function of the implementation that it
stands for: without it a model would lose causality and padding. A call goes on to that implementation, with its own
mask where nothing is added (a bias of nothing is bit-identical) and with one float mask where something is, half
precision then in float32. Whatever happens inside `routed`, the model and the registry leave it as they were.
Not covered: paged and static caches, attention that does not ask the registry.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from empirical.checkpoints.architectures import known
from empirical.checkpoints.call import Call, checked_mask
from empirical.checkpoints.uncompiled import uncompiled
from empirical.errors import BadInput
from empirical.observe.streaming import widened

NAME = "localist"
BASES = ("sdpa", "eager")
HARMLESS = {
    *("dropout", "scaling", "is_causal", "position_bias", "output_attentions", "use_cache", "position_ids", "cache"),
    *("cache_position", "position_embeddings", "sliding_window", "past_key_values", "return_dict"),
    *("output_hidden_states", "layer_idx", "logits_to_keep", "num_items_in_batch", "deterministic", "softcap"),
}  # keyword arguments of an attention call that the logits here account for, or that leave them alone


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
    """Every attention of the model. Raises BadInput for an architecture that is not known, or without one here."""
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    model_type = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    architecture = known(model_type)
    for name in architecture.refused:
        if getattr(model.config, name, False):
            raise BadInput(f"model must attend as its family does, through its registry, got {name}=True")
    places: dict[int, tuple[str, str, int]] = {}
    counts: dict[str, int] = {}
    for name, module in model.named_modules():
        if not _attends(module):
            continue
        kind = architecture.kind_of(name, model.config.is_encoder_decoder)
        places[id(module)] = (name, kind, counts.setdefault(kind, 0))
        counts[kind] += 1
    if not places:
        raise BadInput(f"model must attend through its registry, got a {model_type} that does not")
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
    is_causal, eager = given.get("is_causal"), mine[0].base == "eager"
    scaling = float(given.get("scaling") or query.shape[-1] ** -0.5)
    query, key, value = _as_attended(query, key, value)
    call = Call(
        name,
        kind,
        layer,
        query,
        key,
        scaling,
        checked_mask(attention_mask, eager),
        bool(getattr(module, "is_causal", True) if is_causal is None else is_causal) and query.shape[2] > 1,
        given.get("position_bias"),
        unknown,
        _accumulates(base, query.dtype) if eager else widened(query.dtype),
        abs(scaling) * torch.finfo(query.dtype).max if eager and query.dtype == torch.float16 else math.inf,
        given.get("softcap"),
    )
    biases = [bias for route in mine if route.bias is not None and (bias := route.bias(call)) is not None]
    total = sum(biases[1:], biases[0]) if biases else None
    if total is not None and unknown:
        raise BadInput(f"model must do nothing to a dialled row but softmax, got {', '.join(unknown)} in {name}")
    for route in mine:
        if route.watch is not None:
            route.watch(call, total)
    if total is None:
        return base(module, query, key, value, attention_mask, **given)
    wide = (x.to(widened(query.dtype)) for x in (query, key, value))
    with torch.autocast(query.device.type, enabled=False):  # it would round the dial again
        output, weights = base(module, *wide, call.biased(total), **given)
    return output.to(value.dtype), None if weights is None else weights.to(value.dtype)


def _as_attended(*states: Tensor) -> tuple[Tensor, ...]:
    """Queries, keys and values in the dtype that autocast rounds them to before they are attended with."""
    device = states[0].device.type
    if not torch.is_autocast_enabled(device):
        return states
    narrow = torch.get_autocast_dtype(device)
    return tuple(x.to(narrow) if x.dtype == torch.float32 else x for x in states)


def _accumulates(eager: Callable[..., Any], dtype: torch.dtype) -> torch.dtype:
    """In which eager attention takes its softmax: some functions ask for float32 whatever the model is."""
    asked = "float32" in inspect.unwrap(eager).__code__.co_names
    return torch.float32 if asked else widened(dtype)


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
    _ROUTES.append(route)
    try:
        if outer is None:
            AttentionInterface.register(f"{NAME}_{base}", _attend)
            AttentionMaskInterface.register(f"{NAME}_{base}", _mask(base))
            model.set_attn_implementation(f"{NAME}_{base}")
        with uncompiled():
            yield
    finally:
        _ROUTES.remove(route)
        if outer is None:
            model.set_attn_implementation(base)
        if all(other.base != base for other in _ROUTES):
            for registry in (AttentionInterface, AttentionMaskInterface):
                registry._global_mapping.pop(f"{NAME}_{base}", None)


def _shares(route: Route, model: Any) -> bool:
    return any(id(module) in route.places for module in model.modules())
