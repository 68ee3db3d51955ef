"""The models that gates are put on: the reference text model and a GPT-2 trained on its text, each with its own masks.

`chosen` and `judged` are held-out documents that do not meet: gates are solved on the first. `stock` is the model's own
forward under additive masks ln s, without gates and without gradients: (loss, Omega) on the chosen documents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from empirical.errors import BadInput
from empirical.gates.problem import Problem
from empirical.laboratory.config import Config
from empirical.laboratory.gates import gate_problem
from empirical.laboratory.model import Layout, token_losses
from empirical.laboratory.store import Store
from empirical.laboratory.tasks import Topics, make_task
from empirical.observe.rows import softmax
from empirical.shapes import Arrays, Float, Int
from empirical.studies.trained import Trained, trained

Stock = Callable[[Float[Tensor, "L H"]], tuple[float, float]]
GPT2_RATE = 2e-3  # of AdamW


@dataclass(frozen=True)
class Subject:
    """A trained model with a gate a head, on two sets of documents."""

    name: str
    chosen: Problem
    judged: Problem
    stock: Stock


def seeded(config: Config, seed: int) -> Config:
    return replace(config, sweep=replace(config.sweep, seeds=(seed,)))


def reference(config: Config, store: Store, seed: int, documents: int) -> Subject:
    """The model of the configuration, from one seed."""
    model = trained(seeded(config, seed), store, name=f"model_{seed}")
    return of_text("reference", model, *halves(model, documents))


def of_text(name: str, model: Trained, chosen: Int[Tensor, "B T1"], judged: Int[Tensor, "B T1"]) -> Subject:
    one, other = (gate_problem(model.parameters, some, model.layout, model.config) for some in (chosen, judged))
    return Subject(name, one, other, lambda s: _stock_reference(model, chosen, s))


def halves(model: Trained, documents: int) -> tuple[Int[Tensor, "B T1"], Int[Tensor, "B T1"]]:
    """Held-out documents to choose on, and as many others to judge."""
    some = model.heldout(0, 2 * documents)
    if len(some) < 2:
        raise BadInput(f"task.text_dir must give at least 2 held-out sequences, got {len(some)}")
    return some[: len(some) // 2], some[len(some) // 2 :]


@torch.no_grad()
def _stock_reference(model: Trained, sequences: Tensor, s: Float[Tensor, "L H"]) -> tuple[float, float]:
    outside, leaks = ~model.layout.in_block, []
    temperature = model.config.setting.temperature

    def weigh(layer: int, logits: Float[Tensor, "S H B T N"]) -> Tensor:
        masked = logits / temperature + torch.where(outside, s[layer, :, None, None, None].log(), 0.0)
        weights = softmax(masked, 1.0)
        leaks.append((weights * outside).sum(-1).mean((0, 2, 3)).sum())
        return weights

    loss = token_losses(model.parameters, sequences, model.layout, model.config, weigh=weigh).mean()
    return float(loss), float(torch.stack(leaks).sum())


def gpt2(config: Config, store: Store, seed: int, documents: int) -> Subject | None:
    """A GPT-2 of the configuration's depth, heads and width, trained on its text; None without `transformers`."""
    try:
        import transformers
    except ImportError:
        return None
    from empirical.checkpoints.gate_prices import gate_problem as of_checkpoint

    task = make_task(config, seed, torch.device("cpu"))
    assert isinstance(task, Topics)
    torch.manual_seed(seed)
    network: Any = transformers.GPT2LMHeadModel(_gpt2_config(config))
    arrays = store.keep(f"trained gpt2 {seed}", lambda: _trained_gpt2(network, config, task))
    network.load_state_dict({name: torch.as_tensor(value) for name, value in arrays.items()})
    network = network.double().eval()
    half = min(documents, len(task.heldout) // 2)
    chosen, judged = ({"input_ids": task.heldout[a : a + half]} for a in (0, half))
    length = task.heldout.shape[1]
    blocks = torch.arange(length) // config.task.segment % config.model.blocks
    layout = Layout(blocks, config, torch.float64)
    one, other = (of_checkpoint(network, some, blocks.expand(half, -1)) for some in (chosen, judged))
    return Subject("gpt2", one, other, lambda s: _stock_gpt2(network, chosen["input_ids"], layout, s))


def _gpt2_config(config: Config) -> Any:
    import transformers

    model = config.model
    made: Any = transformers.GPT2Config  # its type knows no attn_implementation
    return made(
        n_layer=model.layers,
        n_head=model.heads,
        n_embd=model.blocks * model.d_block,
        n_positions=config.task.queries + 1,
        vocab_size=config.task.vocabulary,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="eager",
    )


def _trained_gpt2(network: Any, config: Config, task: Topics) -> Arrays:
    optimizer = torch.optim.AdamW(network.parameters(), GPT2_RATE)
    for _ in range(config.sweep.max_steps):
        batch = task.batch(config)
        optimizer.zero_grad()
        _next_token(network(input_ids=batch).logits, batch).backward()
        optimizer.step()
    return {name: np.asarray(value.detach().numpy()) for name, value in network.state_dict().items()}


@torch.no_grad()
def _stock_gpt2(network: Any, ids: Int[Tensor, "B T1"], layout: Layout, s: Float[Tensor, "L H"]) -> tuple[float, float]:
    """Each layer's attention is given a float mask of its own, (1, H, T, T)."""
    outside, hidden = ~layout.in_block, ~layout.visible

    def masking(layer: int) -> Callable[..., Any]:
        mask = torch.where(outside, s[layer, :, None, None].log(), 0.0)
        mask = mask.clamp(min=torch.finfo(torch.float64).min).masked_fill(hidden, torch.finfo(torch.float64).min)[None]
        return lambda _, args, given: (args, {**given, "attention_mask": mask})

    handles = [
        block.attn.register_forward_pre_hook(masking(layer), with_kwargs=True)
        for layer, block in enumerate(network.transformer.h)
    ]
    try:
        out = network(input_ids=ids, output_attentions=True, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    leakage = sum(float((one * outside).sum()) for one in out.attentions)
    return float(_next_token(out.logits, ids)), leakage / ids.numel()


def _next_token(logits: Float[Tensor, "B T V"], ids: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
