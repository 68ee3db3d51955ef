"""Group penalties on a plain `nn.MultiheadAttention`: localise it, find its critical penalty, follow both branches.

    python examples/any_module.py

Features come in two blocks, and each of two heads owns one: its query and key rows read the other block only through
cross blocks W_bc, the groups here. A teacher that looks across a little makes the data, so that the penalty decides.

Above the critical penalty the localised model stays as it is, below it one group leaves. On the way back up the other
branch may reach further: that is two minima, and each row of the table certifies its own.

For a model of your own change `Regression`, `error` and `GROUPS`, and mind four things:
- dropout and batch normalisation: `model.eval()`, and batches that stay the same;
- frozen parameters do not move, and a group of them is refused;
- a product of factors has flat directions, along which no solver converges: a little weight decay ends them;
- where a score is a product of factors, keep one side non-zero. Here a head always has what it owns; a query group
  whose keys are all zero has gradient 0 whatever the data: it never leaves, and a critical penalty of 0 would say
  nothing (theorem `factorised_heads`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from empirical.penalise.modules import Critical, ModulePath, block_groups, critical_penalty, module_groups, penalty_path

WIDTH = 8
BLOCKS = {"a": slice(0, 4), "b": slice(4, 8)}  # of the features, and of the rows of a head
KEY_ROWS = {name: slice(WIDTH + rows.start, WIDTH + rows.stop) for name, rows in BLOCKS.items()}
MATRIX = "attention.in_proj_weight"  # (3 WIDTH, WIDTH): rows of the queries, the keys, the values
GROUPS = block_groups(MATRIX, BLOCKS, BLOCKS, "query ") | block_groups(MATRIX, KEY_ROWS, BLOCKS, "key ")
DECAY, NOISE = 1e-3, 0.3
SHARES = (2.0, 1.001, 0.999, 0.5, 0.1)  # of the critical penalty


class Regression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, len(BLOCKS), batch_first=True, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


def error(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    x, y = batch
    decay = sum(parameter.square().sum() for parameter in model.parameters())
    return (model(x) - y).square().mean() / 2 + DECAY * decay / 2


def data(sequences: int, across: float) -> list[tuple[Tensor, Tensor]]:
    """Two batches of random tokens and what a teacher makes of them, whose cross blocks are `across` times smaller."""
    teacher = Regression()
    own = teacher.attention.in_proj_weight.detach().clone()
    with torch.no_grad():
        own[: 2 * WIDTH] *= 4  # sharp attention
        teacher.attention.in_proj_weight.copy_(own)
        module_groups(teacher, GROUPS).localise()
        teacher.attention.in_proj_weight.lerp_(own, across)
        x = torch.randn(sequences, 6, WIDTH, dtype=torch.float64)
        y = teacher(x)
        y = y / y.std() + NOISE * torch.randn_like(y)
    return list(zip(x.chunk(2), y.chunk(2)))


def row(path: ModulePath, number: int) -> str:
    zero, groups = int((path.norms[number] == 0).sum()), path.norms.shape[1]
    said = "yes" if path.converged[number] else "no"
    return (
        f"{path.penalties[number]:12.4e} {zero:8d}/{groups} {float(path.loss[number]):10.6f} "
        f"{float(path.residual[number]):10.1e} {said:>9}"
    )


def main(sequences: int = 100, across: float = 0.3, tolerance: float = 1e-6) -> tuple[Critical, ModulePath, ModulePath]:
    torch.manual_seed(0)
    batches = data(sequences, across)
    model = Regression()
    module_groups(model, GROUPS).localise()
    start = penalty_path(model, error, batches, GROUPS, [math.inf], tolerance=tolerance)  # train what is left
    start.load(0)
    critical = critical_penalty(model, error, batches, GROUPS)
    print(f"critical penalty {critical.penalty:.6e}: {critical.group!r} leaves first")
    print(f"the rest is {critical.residual:.1e} from stationary\n")
    penalties = [share * critical.penalty for share in SHARES]
    down = penalty_path(model, error, batches, GROUPS, penalties, tolerance=tolerance)
    down.load(len(penalties) - 1)
    up = penalty_path(model, error, batches, GROUPS, penalties[::-1], tolerance=tolerance)
    print(f"{'penalty':>12} {'zero':>10} {'loss':>10} {'residual':>10} {'converged':>9}")
    for title, path in (("down, from the localised model", down), ("up, from the last of them", up)):
        print(title)
        print(*(row(path, number) for number in range(len(penalties))), sep="\n")
    return critical, down, up


if __name__ == "__main__":
    main()
