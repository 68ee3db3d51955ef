"""How the attention of a Hugging Face model is met: through the library's own registry, call by call.

While any context lasts, what is registered under the names of both implementations stands before them. A call that no
context was entered for, of this thread or task, passes. One of a route goes on to its implementation with its own mask
where nothing is added (a bias of nothing is bit-identical) and with one float mask where something is, half precision
then in float32. Contexts may be left in any order and in any thread; the model, its copies and the registry are then as
they were.
Not covered: paged caches, attention that does not ask the registry.
"""

from __future__ import annotations

import functools
import inspect
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from empirical.checkpoints.architectures import known
from empirical.checkpoints.call import Call, checked_mask
from empirical.checkpoints.positions import first_positions, note_cache, noted_cache
from empirical.checkpoints.recomputation import NOTHING, Stack, carry, carry_no_more, checkpoints
from empirical.checkpoints.uncompiled import uncompiled
from empirical.errors import BadInput
from empirical.observe.streaming import widened

BASES = ("sdpa", "eager")
HARMLESS = {
    *("dropout", "scaling", "is_causal", "position_bias", "output_attentions", "use_cache", "position_ids", "cache"),
    *("cache_position", "position_embeddings", "sliding_window", "past_key_values", "return_dict"),
    *("output_hidden_states", "layer_idx", "logits_to_keep", "num_items_in_batch", "deterministic", "softcap"),
}  # keyword arguments of an attention call that the logits here account for, or that leave them alone


Bias = Callable[[Call], Tensor | None]
"""What is added to the logits of a call, broadcasting to (B, H, T, N); none: nothing."""


@dataclass(frozen=True)
class Attended:
    """What stands in place of a kernel's outputs, and the same as something added to its logits."""

    bias: Callable[[], Tensor]
    output: Tensor | None = None  # (B, T, H, F); none: the kernel's own, with that bias
    leakage: Tensor | None = None  # (B, H, T)


Attend = Callable[[Call, Tensor, Tensor | None], Attended | None]
"""(call, values, biases) -> what stands in place of its outputs; none: nothing does."""
After = Callable[[Call, Tensor, Tensor | None, Tensor, Attended | None], None]
"""What is told of a call: its values, biases, outputs (B, T, H, F) as they stand in the graph, and what made them."""


@dataclass
class Route:
    """What happens to the attention of one model, while the context that made it lasts."""

    places: dict[int, tuple[str, str, int]]  # id of the module: its name, kind and layer
    modules: tuple[torch.nn.Module, ...]  # of the model
    causal: bool  # so that a cache may be
    entered: Stack  # the checkpoints that were running
    bias: Bias | None = None
    watch: Callable[[Call, Tensor | None], None] | None = None
    attend: Attend | None = None
    after: After | None = None
    left: bool = False


_ROUTES: ContextVar[tuple[Route, ...]] = ContextVar("routes of this thread or task", default=())
_LASTING: list[Route] = []  # of all threads
_INTERCEPTING: list[dict[str, Any]] = []  # what was registered before, once for each that needs it
_LOCK = threading.RLock()


def places_of(model: Any) -> dict[int, tuple[str, str, int]]:
    """Every attention of the model. Raises BadInput for an architecture that is not known, or without one here."""
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    model_type = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    architecture = known(model_type)
    for name in architecture.refused:
        if getattr(model.config, name, False):
            raise BadInput(f"model must attend as its family does, through its registry, got {name}=True")
    if architecture.causal and not getattr(model.config, "is_causal", True):
        raise BadInput("model must attend as its family does, to no key after a query, got is_causal=False")
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


def _check_interceptable(model: Any, module: Any) -> None:
    """Raises BadInput where what is registered for all models would not be asked for."""
    forward = inspect.unwrap(type(module).forward)
    base = getattr(module, "config", model.config)._attn_implementation
    if base not in BASES:
        raise BadInput(f"model must attend by one of {', '.join(BASES)}, got {base!r}")
    asks = base != "eager" or {"get_interface", "eager_attention_forward"} <= set(forward.__code__.co_names)
    if not asks or base in forward.__globals__["ALL_ATTENTION_FUNCTIONS"]._local_mapping:
        raise BadInput(f"model must ask the common registry for {base!r} attention, got {type(module).__name__}")


def _acting(module: Any) -> tuple[list[Route], Stack]:
    """The routes that a call of this module goes by, and the checkpoints running, where there are routes.

    Those entered where it was, and not around a recomputation alone.
    """
    mine = [route for route in _ROUTES.get() if id(module) in route.places and not route.left]
    running = checkpoints() if mine else NOTHING
    return [route for route in mine if running.back <= route.entered.back], running


def _attend(original: Any, module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **given: Any) -> Any:
    """The attention function that is registered: biases of all routes of this model, then the implementation's own."""
    base, (mine, running) = _function(original, module), _acting(module)
    if not mine:
        return base(module, query, key, value, mask, **given)
    query, key, value = _as_attended(query, key, value)
    call = _call(mine[0], base, original is None, module, query, key, mask, given)
    found = [(route, bias) for route in mine if route.bias is not None and (bias := route.bias(call)) is not None]
    total = functools.reduce(torch.add, [bias for _, bias in found]) if found else None
    gates = [(route, route.attend(call, value, total)) for route in mine if route.attend is not None]
    made = [(route, one) for route, one in gates if one is not None]
    _check_changed(call, [route for route, _ in (*found, *made)], running)
    if len(made) > 1:
        raise BadInput(f"gates must be those of one context for an attention, got {len(made)} in {call.name}")
    instead, all_added = made[0][1] if made else None, total
    watching = [route.watch for route in mine if route.watch is not None]
    if instead is not None and (watching or instead.output is None):
        all_added = instead.bias() if total is None else total + instead.bias()
    for watch in watching:
        watch(call, all_added)
    if instead is not None and instead.output is not None:
        output, weights = instead.output, None
    elif all_added is None:
        output, weights = base(module, query, key, value, mask, **given)
    else:
        wide = (x.to(widened(query.dtype)) for x in (query, key, value))
        with torch.autocast(query.device.type, enabled=False):  # it would round the dial again
            output, weights = base(module, *wide, call.biased(all_added), **given)
    for route in mine:
        if route.after is not None:
            route.after(call, value, total, output, instead)
    return output.to(value.dtype), None if weights is None else weights.to(value.dtype)


def _check_changed(call: Call, routes: list[Route], running: Stack) -> None:
    """Raises BadInput where what changes a row meets more than a softmax, or would not be recomputed."""
    if routes and call.unknown:
        what = ", ".join(call.unknown)
        raise BadInput(f"model must do nothing to a dialled row but softmax, got {what} in {call.name}")
    if any(running.forth > route.entered.forth for route in routes):
        raise BadInput(
            "gradient checkpointing must be the model's own, enabled before its contexts are entered, or around them: "
            f"nothing can be carried to what recomputes {call.name}, got torch.utils.checkpoint inside them"
        )


def _call(
    route: Route,
    base: Callable[..., Any],
    eager: bool,
    module: Any,
    query: Tensor,
    key: Tensor,
    mask: Any,
    given: dict[str, Any],
) -> Call:
    name, kind, layer = route.places[id(module)]
    cache, softcap = noted_cache(module), given.get("softcap")
    if cache is not None and not route.causal:
        raise BadInput(f"cache must not be given to a model that sees both ways, got {type(cache).__name__} in {name}")
    if softcap is not None and not eager:
        raise BadInput(f"model must attend by 'eager' where its logits are capped, got another in {name}")
    unknown = tuple(sorted(k for k, v in given.items() if k not in HARMLESS and v is not None and v is not False))
    if module.training and given.get("dropout"):
        unknown += ("dropout",)
    causal = given.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    scaling = float(given.get("scaling") or query.shape[-1] ** -0.5)
    of_cache = getattr(module, "layer_idx", None)
    return Call(
        name,
        kind,
        layer,
        query,
        key,
        scaling,
        checked_mask(mask, eager),
        bool(causal) and not eager and query.shape[2] > 1,
        given.get("position_bias"),
        unknown,
        _accumulates(base, query.dtype) if eager else widened(query.dtype),
        abs(scaling) * torch.finfo(query.dtype).max if eager and query.dtype == torch.float16 else math.inf,
        softcap,
        *first_positions(name, kind, cache, of_cache, query.shape[2], key.shape[2]),
    )


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


def _function(original: Any, module: Any) -> Callable[..., Any]:
    """What was registered; eager attention is the function of the module's own file."""
    return original or inspect.unwrap(type(module).forward).__globals__["eager_attention_forward"]


def _met(module: Any, given: tuple[Any, ...], more: dict[str, Any]) -> None:
    """A hook before each attention of a model that is routed somewhere, be it in another thread."""
    if any(id(module) in route.places for route in _ROUTES.get()):
        note_cache(module, given, more)
    elif getattr(module, "_is_replica", False):  # of DataParallel, in a thread of its own
        raise BadInput(f"model must be called itself inside its contexts, got a replica of {type(module).__name__}")


@contextmanager
def _intercepting() -> Iterator[None]:
    """Inside, both implementations are asked for here, by every model and thread."""
    from transformers.modeling_utils import AttentionInterface

    registry = AttentionInterface._global_mapping
    with _LOCK:
        before = _INTERCEPTING[0] if _INTERCEPTING else {base: registry.get(base) for base in BASES}
        _INTERCEPTING.append(before)
        if len(_INTERCEPTING) == 1:
            registry |= {base: functools.partial(_attend, original) for base, original in before.items()}
    try:
        yield
    finally:
        with _LOCK:
            _INTERCEPTING.pop()
            if not _INTERCEPTING:
                registry |= before
                for base in [base for base, original in before.items() if original is None]:
                    del registry[base]


def _captured() -> Callable[[], AbstractContextManager[None]]:
    """What a recomputation runs under: the biases of the routes that act now. Nothing is watched again."""
    routes = [route for route in _ROUTES.get() if not route.left]

    @contextmanager
    def again() -> Iterator[None]:
        here = checkpoints()
        token = _ROUTES.set(tuple(replace(route, watch=None, after=None, left=False, entered=here) for route in routes))
        try:
            with _intercepting():
                yield
        finally:
            _ROUTES.reset(token)

    return again


@contextmanager
def routed(
    model: Any,
    bias: Bias | None = None,
    watch: Callable[[Call, Tensor | None], None] | None = None,
    attend: Attend | None = None,
    after: After | None = None,
) -> Iterator[None]:
    """Inside, every attention of the model goes by what is given here; contexts nest, their biases add.

    Of the calls of this thread or task alone: another one is given them by `contextvars.copy_context().run`. Raises
    BadInput for an unknown architecture or an implementation other than sdpa and eager.
    """
    places = places_of(model)
    attending = [module for module in model.modules() if id(module) in places]
    for module in attending:
        _check_interceptable(model, module)
    causal = known(model.config.model_type).causal
    route = Route(places, tuple(model.modules()), causal, checkpoints(), bias, watch, attend, after)
    hooks = []
    with _intercepting():
        try:
            with _LOCK:
                _LASTING.append(route)
                hooks += [module.register_forward_pre_hook(_met, with_kwargs=True) for module in attending]
                for module in route.modules:
                    carry(module, _captured)
            _ROUTES.set((*(other for other in _ROUTES.get() if not other.left), route))
            with uncompiled():
                yield
        finally:
            route.left = True
            _ROUTES.set(tuple(other for other in _ROUTES.get() if other is not route))
            with _LOCK:
                _LASTING.remove(route)
                for hook in hooks:
                    hook.remove()
                lasting = {id(module) for other in _LASTING for module in other.modules}
                for module in route.modules:
                    if id(module) not in lasting:
                        carry_no_more(module)
