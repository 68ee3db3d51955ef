"""What a gated model is judged by: the loss of every document, summed over its scored tokens, and how many they are.

    next_token     -ln p(x_{t+1} | x_1..t)
    masked_token   -ln p(label), where there is a label
    answer         logit of `foil` - logit of `answer`, after the last token
    kl             KL(as trained || gated), a token
    cosine         1 - cosine of the mean last states, a document

The last two are of the model as trained, and need no labels: their first-order price at s = 1 is 0. Any callable
(outputs, batch, outputs as trained) -> (loss, scored), both (B,), stands for a loss of one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from empirical.errors import BadInput
from empirical.shapes import Float

Batch = Mapping[str, Any]
"""What the model is called with, and what the loss reads besides: `labels`, `answer`, `foil`."""
LossOf = Callable[[Any, Batch, Any], tuple[Float[Tensor, "B"], Float[Tensor, "B"]]]
IGNORED = -100
READ_BY_LOSS = ("labels", "answer", "foil")


@dataclass(frozen=True)
class Loss:
    """A loss, what it reads, and whether it compares with the model as trained."""

    of: LossOf
    compares: bool = False
    states: bool = False  # whether it reads hidden states
    fields: tuple[str, ...] = ()


def shown(batch: Batch) -> Tensor:
    """(B, T) bool: which tokens are there, and not padding."""
    ids = batch["input_ids"]
    mask = batch.get("attention_mask")
    return torch.ones_like(ids, dtype=torch.bool) if mask is None or mask.ndim != 2 else mask.to(ids.device) == 1


def _of_tokens(logits: Tensor, targets: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = functional.cross_entropy(wide.mT, targets.where(scored, 0), reduction="none")
    return losses.where(scored, 0.0).sum(-1), scored.sum(-1).double()


def _next_token(outputs: Any, batch: Batch, _: Any) -> tuple[Tensor, Tensor]:
    given, seen = batch.get("labels", batch["input_ids"]), shown(batch)
    scored = seen[:, 1:] & seen[:, :-1] & (given[:, 1:] != IGNORED)
    return _of_tokens(outputs.logits[:, :-1], given[:, 1:], scored)


def _masked_token(outputs: Any, batch: Batch, _: Any) -> tuple[Tensor, Tensor]:
    return _of_tokens(outputs.logits, batch["labels"], batch["labels"] != IGNORED)


def _answer(outputs: Any, batch: Batch, _: Any) -> tuple[Tensor, Tensor]:
    seen = shown(batch)
    last = seen.shape[1] - 1 - seen.flip(1).int().argmax(1)
    row = outputs.logits[torch.arange(len(last), device=last.device), last].double()
    answer, foil = (
        row.gather(1, torch.as_tensor(batch[name]).to(row.device)[:, None])[:, 0] for name in ("answer", "foil")
    )
    return foil - answer, torch.ones_like(answer)


def _kl(outputs: Any, batch: Batch, trained: Any) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(outputs.logits.dtype, torch.float32)
    found, truth = (x.logits.to(wide).log_softmax(-1) for x in (outputs, trained))
    seen = shown(batch) if found.shape[:2] == batch["input_ids"].shape else torch.ones_like(found[..., 0]).bool()
    return ((truth.exp() * (truth - found)).sum(-1).where(seen, 0.0)).sum(-1), seen.sum(-1).double()


def _cosine(outputs: Any, batch: Batch, trained: Any) -> tuple[Tensor, Tensor]:
    seen = shown(batch)[..., None]
    found, truth = (
        state.to(torch.promote_types(state.dtype, torch.float32)).where(seen, 0.0).sum(1)
        for state in (outputs.hidden_states[-1], trained.hidden_states[-1])
    )
    return 1 - functional.cosine_similarity(found, truth, dim=-1), torch.ones(len(found), device=found.device).double()


LOSSES: Mapping[str, Loss] = {
    "next_token": Loss(_next_token),
    "masked_token": Loss(_masked_token, fields=("labels",)),
    "answer": Loss(_answer, fields=("answer", "foil")),
    "kl": Loss(_kl, compares=True),
    "cosine": Loss(_cosine, compares=True, states=True),
}


def loss_named(loss: str | LossOf, batches: list[Batch]) -> Loss:
    """Raises BadInput for a name that is none, or batches without what it reads."""
    if callable(loss):
        return Loss(loss, compares=True, states=True)
    if loss not in LOSSES:
        raise BadInput(f"loss must be one of {', '.join(LOSSES)}, or a callable, got {loss!r}")
    made = LOSSES[loss]
    for number, batch in enumerate(batches):
        lacking = next((name for name in made.fields if name not in batch), None)
        if lacking is not None:
            raise BadInput(
                f"batches must have {' and '.join(made.fields)} for {loss}, got no {lacking} in batch {number}"
            )
    return made
