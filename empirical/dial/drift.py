"""How far dialled layers carry the states after them (claims C6, C13), of any model whose passes are traced.

    drift <= sum_l e_l prod_{k>l} (1 + Lip_k),  e_l <= z_l V_l

Sublayers k are attention and MLP in turn and attention alone is dialled. The norm of a sequence is the mean over tokens
of Euclidean norms; a token's leakage removed is that of the head that loses most, V_l sums the heads' value diameters:
then e_l <= z_l V_l with z_l the mean over tokens. e_l is taken on the dialled trajectory; Lip_k =
||f_k(x) - f_k(x')|| / ||x - x'||, f_k original. Theorem: depth_sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bounds.depth import calculators
from bounds.dial.closed_forms import kappa_leakage
from empirical.shapes import Bool, Float, plain

Reals = NDArray[np.float64]
Choose = Callable[[int, Reals, Reals], float]
"""(layer, leakage, fidelity of every row) -> kappa"""
MOST_KAPPA = 1000.0  # e^-1000 is 0 in float64


@dataclass(frozen=True)
class Trace:
    """One pass over B sequences: K sublayers, L of them attention."""

    states: Float[Tensor, "K1 B T d"]  # what each sublayer reads, and what the last one leaves
    undialled: Float[Tensor, "K B T d"]  # what the original sublayer would write there
    strayed: Float[Tensor, "L B T"]  # ||dialled - original write|| of every token
    moved: Float[Tensor, "L B T"]  # leakage between the two, of the head with most
    diameters: Float[Tensor, "L B"]  # V_l
    kappas: list[float]

    @property
    def errors(self) -> Float[Tensor, "L B"]:
        """e_l, the mean over tokens."""
        return self.strayed.mean(-1)

    @property
    def removed(self) -> Float[Tensor, "L B"]:
        """z_l, the mean over tokens."""
        return self.moved.mean(-1)

    def on(self, tokens: Bool[Tensor, "T"]) -> Trace:
        """What it says of some tokens; the diameters stay those of all keys."""
        return replace(
            self,
            states=self.states[:, :, tokens],
            undialled=self.undialled[:, :, tokens],
            strayed=self.strayed[..., tokens],
            moved=self.moved[..., tokens],
        )


def size(x: Float[Tensor, "*lead B T d"]) -> Float[Tensor, "*lead B"]:
    """The norm of a sequence: the mean over its tokens of Euclidean norms."""
    return x.norm(dim=-1).mean(-1)


def given(kappas: Iterable[float]) -> Choose:
    fixed = [float(kappa) for kappa in kappas]

    def choose(layer: int, leakage: Reals, fidelity: Reals) -> float:
        return fixed[layer]

    return choose


def least(reached: Callable[[float], float], goal: float, high: float) -> float:
    """The least x in [0, high] with reached(x) >= goal, `reached` rising; `high` where there is none."""
    if reached(0.0) >= goal:
        return 0.0
    low, top = 0.0, high
    for _ in range(110 if reached(top) >= goal else 0):
        middle = (low + top) / 2
        low, top = (low, middle) if reached(middle) >= goal else (middle, top)
    return top


def aiming(allocation: Float[np.ndarray, "L"]) -> Choose:
    """The least kappa that removes allocation[layer] of what leaks on the trajectory so far, by the odds law."""

    def choose(layer: int, leakage: Reals, fidelity: Reals) -> float:
        seen = np.maximum(fidelity, 1e-300)  # a row that all but ignores its block: no 0 / 0

        def removed(kappa: float) -> float:
            return float((leakage - kappa_leakage(leakage, seen, kappa)).max(0).mean())

        return least(removed, float(allocation[layer]), MOST_KAPPA)

    return choose


def secants(original: Trace, dialled: Trace, whole: bool = False) -> Float[np.ndarray, "B K"]:
    """||f_k(x) - f_k(x')|| / ||x - x'||, 0 where x = x'; `whole`: of x + f_k(x), which is at most one more."""
    apart = (original.states - dialled.states)[:-1]
    change = original.undialled - dialled.undialled + (apart if whole else 0.0)
    gap = size(apart)
    return plain(torch.where(gap > 0, size(change) / gap, 0.0).T)


def errors_of_sublayers(dialled: Trace) -> Float[np.ndarray, "B K"]:
    """e_k, an MLP's being 0."""
    errors = np.zeros(dialled.undialled.shape[1::-1])
    errors[:, :: len(dialled.undialled) // len(dialled.strayed)] = plain(dialled.errors.T)
    return errors


def depth_sum(dialled: Trace, lipschitz: Float[np.ndarray, "*B K"]) -> Float[np.ndarray, "B"]:
    """sum_l e_l prod_{k>l} (1 + Lip_k)."""
    return calculators.drift(errors_of_sublayers(dialled), lipschitz)


def drift(original: Trace, dialled: Trace) -> Float[np.ndarray, "B"]:
    """||x - x'|| of what the last sublayer leaves, before the read-out."""
    return plain(size(original.states[-1] - dialled.states[-1]))


def depth_rows(original: Trace, dialled: Trace) -> dict[str, np.ndarray]:
    """The fields of theorem `depth_sum`, one row a sequence, with the pair's own Lipschitz constants."""
    errors, lipschitz = errors_of_sublayers(dialled), secants(original, dialled)
    return {
        "drift": drift(original, dialled),
        "errors": errors,
        "observed_errors": errors,
        "lipschitz": lipschitz,
        "secant": lipschitz,
        "state_size": plain(torch.maximum(original.states.abs(), dialled.states.abs()).amax((0, 2, 3))),
    }
