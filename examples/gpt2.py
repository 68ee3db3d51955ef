"""Group penalties on GPT-2: AdamW on minibatches of real text, and the penalty that this optimiser needs.

    pip install -e '.[hf]';  python examples/gpt2.py

Head h owns the h-th block of the residual stream; what its queries and keys read of another block is a group. The model
is small, of random weights, and its tokens are the bytes of Python's own documentation: nothing is downloaded.

Trained with every group held at zero it has a critical penalty, which is that of gradient descent. Adam divides by the
size of gradients and needs a penalty of its own: `ProximalGroups.pulls`, never above `bounds.adam_threshold`. Just
above it no group ever leaves, just below one does. For the same reason `stationarity` on the evaluation set is far
from 0 once groups have left: AdamW does not minimise loss and penalty, as `penalty_path` does.

For a model of your own change `head_groups`, `loss` and `batches`, and mind three things:
- GPT-2's Conv1D keeps its weight as (in, out), so that a head is columns; in nn.Linear it is rows;
- call `eval()` or set dropout to 0 before a gradient is looked at; frozen parameters are refused in a group;
- never let queries and keys of one head be zero in everything, or each has gradient 0 because of the other: no penalty
  is too small to hold them, and the critical penalty is 0 (theorem `factorised_heads`). Heads here keep what they own.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from bounds import adam_threshold
from empirical.laboratory.text import read_topics
from empirical.penalise.modules import Critical, Places, critical_penalty, module_groups, stationarity
from empirical.penalise.optimizer import ProximalGroups

SHARES = (math.inf, 1.001, 0.999, 0.3, 0.1)  # of the largest pull while every group is held
BATCH, LENGTH = 8, 32


def gpt2(width: int = 64, heads: int = 4, layers: int = 2) -> GPT2LMHeadModel:
    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    tokens = {"vocab_size": 256, "bos_token_id": 0, "eos_token_id": 0, "n_positions": LENGTH}
    sizes = {"n_embd": width, "n_head": heads, "n_layer": layers}
    return GPT2LMHeadModel(GPT2Config(**sizes, **tokens, **dropout, attn_implementation="eager")).eval()


def head_groups(config: GPT2Config) -> dict[str, Places]:
    """What queries and keys of head h read of the features of block b != h."""
    size = config.n_embd // config.n_head
    blocks = [slice(h * size, (h + 1) * size) for h in range(config.n_head)]
    groups: dict[str, Places] = {}
    for layer in range(config.n_layer):
        for kind, offset in (("query", 0), ("key", config.n_embd)):  # columns: queries, keys, values
            for head, own in enumerate(blocks):
                columns = slice(offset + own.start, offset + own.stop)
                for block, rows in enumerate(blocks):
                    if block != head:
                        place = (f"transformer.h.{layer}.attn.c_attn.weight", (rows, columns))
                        groups[f"layer {layer} {kind} {head}<-{block}"] = [place]
    return groups


def loss(model: nn.Module, batch: Tensor) -> Tensor:
    """Cross-entropy of the next byte, in nats."""
    logits = model(batch, use_cache=False).logits
    return cross_entropy(logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten())


def batches(text: Tensor, count: int, seed: int) -> list[Tensor]:
    starts = torch.randint(len(text) - LENGTH, (count, BATCH, 1), generator=torch.Generator().manual_seed(seed))
    return list(text[starts + torch.arange(LENGTH)])


def train(model: nn.Module, proximal: ProximalGroups, text: list[Tensor]) -> dict[str, int]:
    """One step a minibatch; the step at which each group that left zero was first seen away from it."""
    left: dict[str, int] = {}
    for number, batch in enumerate(text):
        proximal.zero_grad()
        loss(model, batch).backward()
        proximal.step()
        left = {name: number for name, norm in proximal.norms().items() if norm > 0} | left
    return left


@dataclass(frozen=True)
class Row:
    penalty: float
    left: int  # groups that were not zero after some step
    zero: int  # groups that are zero at the end
    evaluation_loss: float
    residual: float  # of all groups, on the evaluation set: 0 at a minimum of loss and penalty
    pull: float  # the largest that a zero group felt


def main(warm: int = 150, steps: int = 100, dtype: torch.dtype = torch.float32) -> tuple[Critical, float, list[Row]]:
    torch.manual_seed(0)
    text = torch.tensor(list("\n".join(read_topics(None).values()).encode()))
    seen, unseen = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]
    evaluation, minibatches = batches(unseen, 4, seed=1), batches(seen, warm + steps, seed=2)
    model = gpt2().to(dtype)
    groups = head_groups(model.config)
    held = module_groups(model, groups)
    held.localise()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    train(model, ProximalGroups(optimizer, held, math.inf), minibatches[:warm])
    critical = critical_penalty(model, loss, evaluation, groups)
    size = (model.config.n_embd // model.config.n_head) ** 2
    print(f"{len(groups)} groups of {size}, localised: evaluation loss {critical.loss:.4f} nats a byte")
    print(f"critical penalty of gradient descent {critical.penalty:.3e} ({critical.group!r}),")
    print(f"exact at a localised minimum; this model's gradient elsewhere is {critical.residual:.1e}\n")

    state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    rows: list[Row] = []
    print(f"{'penalty':>12} {'left':>5} {'zero':>8} {'loss':>10} {'residual':>10} {'pull':>10}")
    for share in SHARES:
        penalty = share * (rows[0].pull if rows else 1.0)
        model.load_state_dict(state[0])
        optimizer.load_state_dict(copy.deepcopy(state[1]))
        proximal = ProximalGroups(optimizer, held, penalty)
        left = train(model, proximal, minibatches[warm:])
        slopes = stationarity(model, loss, evaluation, groups, penalty)
        value = sum(float(loss(model, batch).detach()) for batch in evaluation) / len(evaluation)
        zero = sum(norm == 0 for norm in proximal.norms().values())
        residual, pull = math.hypot(*(slopes[name] for name in groups)), max(proximal.pulls().values())
        rows.append(Row(penalty, len(left), zero, value, residual, pull))
        print(f"{penalty:12.4e} {len(left):5d} {zero:5d}/{len(groups)} {value:10.4f} {residual:10.1e} {pull:10.4f}")
    bound = float(adam_threshold(size))
    print(f"\nPenalty {rows[0].pull:.3f} holds every group in this run; {bound:.1f} does in any run.")
    return critical, bound, rows


if __name__ == "__main__":
    main()
