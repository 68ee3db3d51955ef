"""Gates on attention outside a row's block: merged exactly, priced, and solved for; of any model that reads them.

a problem is a model with gates and its documents: `checkpoints.gate_problem`, `laboratory.gates.gate_problem`
priced(problem)         what each gate is worth          cell_map(problem)   critical penalties, one backward pass
minimised(problem, penalty, start)   exact zeros         penalty_path(problem)     from both ends
"""

from __future__ import annotations

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

__all__ = [
    "CellMap",
    "Groups",
    "Problem",
    "Reading",
    "Solution",
    "cell_map",
    "grouped",
    "mask_prices",
    "minimised",
    "penalty_path",
    "priced",
    "projected_step",
    "trained_together",
]
