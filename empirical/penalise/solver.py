"""Minimises a smooth loss plus a penalty on groups: Newton steps on those that are not zero, exact zeros elsewhere.

    F(w) = L(w) + sum_g penalty_g p(||w_g||),   v = the subgradient of F of least norm (`penalty.Penalty`)
    working set: groups that are not zero; a zero group joins once ||grad_g|| > penalty_g and the rest is nearly solved
    step:  w + a d, d = -H v on the working set, where F is smooth; a group that a proximal step would zero is zeroed;
           a is halved until F falls enough; where that fails a proximal step is taken
    H:     limited-memory BFGS; near a minimum 1/F'' of an objective that is `Curved`, which is also the tangent of the
           path of minima where the penalty has changed

Far from a minimum no Newton step is taken: of many minima short steps find the near one. Every gradient is the whole
one, so that each screened group is looked at again at each step. A row has converged when ||v|| <= tolerance and no
group is about to leave or join. Rows never interact: one that has converged, can fall no further, or has no finite
value leaves the batch, and the others go on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from empirical.penalise.directions import CURVED, Factor, coordinates, factorise, quasi_newton, sound
from empirical.penalise.groups import Groups
from empirical.penalise.objective import Curved, Objective, Progress
from empirical.penalise.penalty import GroupNorm, Kind, Penalty, active
from empirical.shapes import Bool, Float, Int

MEMORY = 12  # pairs of the quasi-Newton matrix
ENOUGH = 1e-4  # share of the predicted fall: Armijo's constant
ENTER = 0.3  # of the largest violation: a zero group waits until the working set is solved to this
SHORTEST = 2.0**-6  # a step shorter than this share gives way to a proximal one
ARRIVED = 20.0  # times the tolerance: the slope at which the descent from the start turns to Newton steps
NEAR = 0.1  # of ||w||: no Newton step is longer
PAUSE = 12  # steps until F'' is looked at again where it gave none: it costs as much as a few of them
KEPT = 0.3  # F'' serves again where the slope fell to this share


@dataclass(frozen=True)
class Path:
    """Where each row ended at each of its penalties in turn, and the certificate; groups end with what is in none."""

    points: Float[Tensor, "S T P"]
    loss: Float[Tensor, "S T"]  # without the penalty
    gradient_norm: Float[Tensor, "S T G1"]
    residual: Float[Tensor, "S T G1"]  # distance of each group from stationarity
    converged: Bool[Tensor, "S T"]
    evaluations: Int[Tensor, "S T"]
    halved: Int[Tensor, "S T"]  # steps that were too long


class _Rows:
    """The rows that still move, one array an attribute; `keep` drops the others."""

    def __init__(self, points: Tensor, penalties: Tensor, step: float | None, ready: float):
        zero = points.new_zeros(len(points))
        self.index = torch.arange(len(points), device=points.device)
        self.stage = torch.zeros_like(self.index)  # which of its penalties a row is at
        self.penalties = penalties
        self.point, self.gradient, self.slope = points, torch.zeros_like(points), torch.zeros_like(points)
        self.loss, self.value = zero, zero + torch.inf
        self.trial, self.direction, self.fall = points, torch.zeros_like(points), zero
        self.good = zero == 0  # the last trial was taken
        self.share = zero + 1  # a; 0 says that the trial is a proximal step
        self.step = zero + (step or 0)  # scale of H, length of a proximal step; 0 while unknown
        self.norms, self.steepness = (torch.zeros_like(penalties) for _ in range(2))  # of the groups, at the point
        self.steep, self.before = zero + torch.inf, zero + torch.inf  # ||v|| at the point, and at the one before
        self.ready = zero + ready  # ||v|| from which on F'' is looked at
        self.pause = torch.zeros_like(self.index)  # steps until it is again
        self.factors: dict[int, Factor] = {}  # of F'', by index
        self.pairs = points.new_zeros(len(points), 2, MEMORY, points.shape[1])  # moves s, turns y of the slope
        self.evaluations, self.halved = torch.zeros_like(self.index), torch.zeros_like(self.index)

    def keep(self, rows: Tensor) -> None:
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[rows])


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(-1)


def _column(x: Tensor) -> Tensor:
    return x.unsqueeze(-1)


def _judge(rows: _Rows, groups: Groups, penalty: Penalty, loss: Tensor, gradient: Tensor) -> None:
    """Moves to the trial where it is good, and keeps what that says of the curvature on groups off the kink."""
    precision = torch.finfo(loss.dtype).eps
    norms, steepness = groups.norms(rows.trial), groups.norms(gradient)
    value = loss + penalty.value(norms, rows.penalties)
    slope = penalty.slope(rows.trial, gradient, rows.penalties, norms, steepness)
    steep = slope.norm(dim=-1)
    fell = value <= rows.value + ENOUGH * rows.fall
    level = (value <= rows.value + 4 * precision * value.abs()) & (steep < rows.steep)
    good = rows.good = (fell | level) & steep.isfinite() & value.isfinite()
    before, after = (active(n, rows.penalties) for n in (rows.norms, norms))
    smooth = groups.spread((before & after).to(slope.dtype))
    move, turn = (rows.trial - rows.point) * smooth, (slope - rows.slope) * smooth
    bend, length = _dot(move, turn), _dot(turn, turn)
    curved = bend > CURVED * move.norm(dim=-1) * length.sqrt()
    known = good & rows.value.isfinite()  # no move leads to a first point
    rows.step = torch.where(known, torch.where(curved, bend / length.where(curved, 1.0), 2 * rows.step), rows.step)
    pair = torch.where(curved[:, None, None], torch.stack([move, turn], 1), 0.0)
    pairs = torch.cat([rows.pairs[:, :, 1:], pair.unsqueeze(2)], 2)
    rows.pairs = pairs if known.all() else torch.where(known[:, None, None, None], pairs, rows.pairs)
    left = good & (before & ~after).any(-1)
    if left.any():  # pairs hold nothing in groups that are zero
        mask = torch.where(_column(left), groups.spread(after.to(slope.dtype)), 1.0)
        rows.pairs = sound(rows.pairs * mask[:, None, None])
    every = bool(good.all())
    vectors = {"point": rows.trial, "gradient": gradient, "slope": slope, "norms": norms, "steepness": steepness}
    for name, new in vectors.items():
        setattr(rows, name, new if every else torch.where(_column(good), new, getattr(rows, name)))
    for name, new in {"loss": loss, "value": value, "before": rows.steep, "steep": steep}.items():
        setattr(rows, name, new if every else torch.where(good, new, getattr(rows, name)))


@dataclass(frozen=True)
class _State:
    """What the groups of each row are about to do, and how far they are from stationary."""

    active: Bool[Tensor, "R G1"]
    joining: Bool[Tensor, "R G1"]
    leaving: Bool[Tensor, "R G1"]
    residual: Float[Tensor, "R G1"]
    steepness: Float[Tensor, "R G1"]

    @classmethod
    def of(cls, rows: _Rows, groups: Groups, penalty: Penalty) -> _State:
        room = torch.finfo(rows.point.dtype).eps ** 0.75  # relative: what another order of summation may change
        moving, steepness = active(rows.norms, rows.penalties), rows.steepness
        joining, step = ~moving & (steepness > rows.penalties * (1 + room)), _column(rows.step)
        _, kept = penalty.prox(rows.point - step * rows.gradient, step * rows.penalties)
        leaving = moving & ~kept & (steepness < rows.penalties)
        return cls(moving, joining, leaving, groups.norms(rows.slope).where(moving | joining, 0.0), steepness)

    def settled(self, tolerance: float) -> Bool[Tensor, "R"]:
        return (self.residual.norm(dim=-1) <= tolerance) & ~(self.joining | self.leaving).any(-1)

    @property
    def use(self) -> Bool[Tensor, "R G1"]:
        """The working set: groups join once the others are solved to a share of the largest violation."""
        unsolved = self.residual.where(self.active, 0.0).norm(dim=-1)
        violation = self.residual.where(self.joining, 0.0).amax(-1)
        return self.active | (self.joining & _column(unsolved <= ENTER * violation))


def _newton(
    rows: _Rows, groups: Groups, penalty: Penalty, objective: Curved, use: Bool[Tensor, "S G1"]
) -> dict[int, Tensor]:
    """The Newton step of each row that is near a minimum: off all kinks, F'' positive definite, the step short."""
    steps: dict[int, Tensor] = {}
    rows.pause = rows.pause - rows.good.to(rows.pause.dtype)
    smooth = rows.good & ~(use & ~active(rows.norms, rows.penalties)).any(-1)
    ready, fell = ((rows.steep <= rows.ready) & (rows.pause <= 0)).tolist(), (rows.steep <= KEPT * rows.before).tolist()
    longest = (NEAR * rows.point.norm(dim=-1)).tolist()
    for row in smooth.nonzero()[:, 0].tolist():
        index = int(rows.index[row])
        factor = rows.factors.pop(index, None)
        if factor is None or not fell[row] or not torch.equal(factor.use, use[row]):
            if not ready[row]:
                continue
            at = coordinates(groups, use[row])
            hessian = objective.hessian(row, rows.point[row], at)
            factor = factorise(hessian, rows.point[row], at, use[row], penalty, rows.penalties[row])
        step = None if factor is None else factor.step(rows.slope[row])
        if factor is None or step is None or float(step.norm()) > longest[row]:
            rows.pause[row] = PAUSE
        else:
            rows.factors[index], steps[row] = factor, step
    return steps


def _aim(rows: _Rows, groups: Groups, penalty: Penalty, curved: Curved | None, state: _State) -> None:
    """The next trial of each row: a new direction where the last trial was good, else a shorter step."""
    guess = 0.1 * rows.point.norm(dim=-1).clamp(min=1) / rows.steep
    rows.step = torch.where(rows.step == 0, guess, rows.step)
    use = state.use
    mask = groups.spread(use.to(rows.slope.dtype))
    steps = {} if curved is None else _newton(rows, groups, penalty, curved, use & ~state.leaving)
    if len(steps) < len(rows.index):
        direction = quasi_newton(rows.pairs, rows.step, rows.slope * mask) * mask
    else:  # every row has one
        direction = torch.zeros_like(rows.slope)
    for row, step in steps.items():
        direction[row] = step
    direction = torch.where(groups.spread(state.leaving), -rows.point, direction)
    fresh = rows.good & (_dot(rows.slope, direction) < 0)
    rows.direction = torch.where(_column(fresh), direction, rows.direction)
    shorter = torch.where(rows.share > SHORTEST, rows.share / 2, 0.0)
    rows.step = torch.where(~rows.good & (rows.share == 0), rows.step / 4, rows.step)
    rows.share = torch.where(rows.good, fresh.to(shorter.dtype), shorter)
    rows.halved = rows.halved + ~rows.good
    rows.trial = rows.point + _column(rows.share) * rows.direction
    rows.fall = rows.share * _dot(rows.slope, rows.direction)
    proximal = rows.share == 0
    if proximal.any():
        step = _column(rows.step)
        there, _ = penalty.prox(rows.point - step * rows.gradient, step * rows.penalties)
        there = torch.where(groups.spread(use), there, rows.point)
        rows.trial = torch.where(_column(proximal), there, rows.trial)
        granted = -(there - rows.point).square().sum(-1) / rows.step  # what a short enough proximal step falls by
        rows.fall = torch.where(proximal, granted, rows.fall)


def follow(
    objective: Objective,
    start: Float[Tensor, "S P"],
    groups: Groups,
    penalties: Float[Tensor, "S T G1"],
    *,
    tolerance: float,
    max_evaluations: int,
    step: float | None = None,
    penalty: Kind = GroupNorm,
    report: Progress | None = None,
) -> Path:
    """The stationary points that each row descends to, at its first penalties from `start`, then from point to point.

    `step` is a first guess of the proximal step. A point has not converged where `max_evaluations` were spent on it,
    or rounding let F fall no further; the path goes on from there. Without a finite loss at the start no point has.
    """
    descent = _Descent(objective, start, groups, penalty(groups), penalties, step, tolerance, max_evaluations)
    while True:
        descent.evaluate()
        state = descent.advance()
        if state is None:
            return descent.end
        _aim(descent.rows, groups, descent.penalty, descent.curved, state)
        if report is not None:
            report(int(descent.rows.stage.min()), penalties.shape[1], len(descent.rows.index))


class _Descent:
    """Rows on their way from penalty to penalty, and where those have ended that are done."""

    def __init__(
        self,
        objective: Objective,
        start: Float[Tensor, "S P"],
        groups: Groups,
        penalty: Penalty,
        penalties: Float[Tensor, "S T G1"],
        step: float | None,
        tolerance: float,
        max_evaluations: int,
    ):
        self.groups, self.penalty, self.penalties = groups, penalty, penalties
        self._take(objective)
        self.tolerance, self.max_evaluations = tolerance, max_evaluations
        settings, stages = penalties.shape[:2]
        self.rows = _Rows(start, penalties[:, 0], step, ARRIVED * tolerance)
        whole, each = self.rows.index.new_zeros(settings, stages), start.new_zeros(settings, stages)
        self.end = Path(
            points=start.unsqueeze(1).repeat(1, stages, 1),
            loss=each + torch.nan,
            gradient_norm=torch.full_like(penalties, torch.nan),
            residual=torch.full_like(penalties, torch.inf),
            converged=each > 0,
            evaluations=whole.clone(),
            halved=whole.clone(),
        )

    def _take(self, objective: Objective) -> None:
        self.objective, self.curved = objective, objective if isinstance(objective, Curved) else None

    def evaluate(self) -> None:
        """Loss and gradient at the trials, and which of them are taken."""
        loss, gradient = self.objective(self.rows.trial)
        self.rows.evaluations = self.rows.evaluations + 1
        _judge(self.rows, self.groups, self.penalty, loss, gradient)

    def advance(self) -> _State | None:
        """Rows that are done go on to their next penalties, loss and gradient being known; None at the end."""
        rows = self.rows
        stuck = ~rows.good & (rows.trial == rows.point).all(-1)
        while True:
            state = _State.of(rows, self.groups, self.penalty)
            settled, lost = state.settled(self.tolerance), ~rows.value.isfinite()
            done = settled | stuck | lost | (rows.evaluations >= self.max_evaluations)
            if not done.any():
                return state
            self._record(state, done, settled & ~lost, lost)
            rows.stage = rows.stage + done
            rows.good, stuck = rows.good | done, stuck & ~done
            for counter in (rows.evaluations, rows.halved):
                counter[done] = 0
            stay = (rows.stage < self.penalties.shape[1]).nonzero()[:, 0]
            if len(stay) == 0:
                return None
            if len(stay) < len(rows.index):
                rows.keep(stay)
                self._take(self.objective.take(stay))
                done, stuck = done[stay], stuck[stay]
            self._turn(done)

    def _record(self, state: _State, done: Tensor, converged: Tensor, lost: Tensor) -> None:
        rows, end = self.rows, self.end
        at = rows.index[done], rows.stage[done]
        end.points[at], end.loss[at] = rows.point[done], torch.where(lost, torch.nan, rows.loss)[done]
        end.gradient_norm[at], end.residual[at] = state.steepness[done], state.residual[done]
        end.converged[at], end.evaluations[at] = converged[done], rows.evaluations[done]
        end.halved[at] = rows.halved[done]

    def _turn(self, done: Tensor) -> None:
        """Value and slope of the rows that are done, under their next penalties."""
        rows = self.rows
        rows.penalties = self.penalties[rows.index, rows.stage]
        value = rows.loss + self.penalty.value(rows.norms, rows.penalties)
        rows.value = torch.where(done & rows.value.isfinite(), value, rows.value)
        slope = self.penalty.slope(rows.point, rows.gradient, rows.penalties, rows.norms, rows.steepness)
        rows.slope = torch.where(_column(done), slope, rows.slope)
        rows.steep = rows.slope.norm(dim=-1)
        rows.ready, rows.pause = torch.where(done, torch.inf, rows.ready), torch.where(done, 0, rows.pause)
