"""Gates on attention outside a row's block: merged exactly, priced, and solved for; of any model that reads them.

a problem is a model with gates and its documents: `checkpoints.gate_problem`, `laboratory.gates.gate_problem`
priced(problem)         what each gate is worth          cell_map(problem)   critical penalties, one backward pass
minimised(problem, penalty, start)   exact zeros         penalty_path(problem)     from both ends
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from empirical.gates.along_penalties import penalty_path as penalty_path
    from empirical.gates.groups import Groups as Groups
    from empirical.gates.groups import grouped as grouped
    from empirical.gates.pair_map import CellMap as CellMap
    from empirical.gates.pair_map import cell_map as cell_map
    from empirical.gates.price import mask_prices as mask_prices
    from empirical.gates.price import priced as priced
    from empirical.gates.problem import Problem as Problem
    from empirical.gates.problem import Reading as Reading
    from empirical.gates.solve import Solution as Solution
    from empirical.gates.solve import minimised as minimised
    from empirical.gates.solve import projected_step as projected_step
    from empirical.gates.together import trained_together as trained_together

_HOMES = {
    "along_penalties": ("penalty_path",),
    "groups": ("Groups", "grouped"),
    "pair_map": ("CellMap", "cell_map"),
    "price": ("mask_prices", "priced"),
    "problem": ("Problem", "Reading"),
    "solve": ("Solution", "minimised", "projected_step"),
    "together": ("trained_together",),
}
"""Module -> its public names, loaded when one is asked for: a run needs some of them, and depends on no other."""

__all__ = [name for names in _HOMES.values() for name in names]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
