"""What is known of a trained model's layers before any is dialled: leakage, diameters, Lipschitz constants, costs.

A_l = V_l prod_{k>l} (1 + Lip_k) a unit of leakage;  V_l and Lip_k the largest over sequences and probes
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bounds.depth.calculators import amplification
from empirical.dial.drift import drift, given, secants
from empirical.laboratory.config import Config
from empirical.laboratory.dialled_pass import run
from empirical.laboratory.model import Layout, Parameters
from empirical.shapes import Float, Int, plain

PROBES = (0.25, 1.0, 4.0, math.inf)  # kappa = -ln(1 - dial) of every layer alike, at which secants are taken


@dataclass(frozen=True)
class Calibration:
    """What is known of the layers; `alone` is a measured cost, the others enter the bound."""

    leakage: Float[np.ndarray, "L"]  # u_l along the original trajectory
    diameters: Float[np.ndarray, "L"]  # V_l, largest
    lipschitz: Float[np.ndarray, "K"]  # Lip_k, largest
    costs: Float[np.ndarray, "L"]  # A_l
    costs_whole: Float[np.ndarray, "L"]  # A_l with the secant of x + f_k(x) in place of 1 + Lip_k
    alone: Float[np.ndarray, "L"]  # final drift a unit of leakage, only that layer dialled, to 1


def calibrate(parameters: Parameters, tokens: Int[Tensor, "B T"], layout: Layout, config: Config) -> Calibration:
    """Secants and diameters are the largest over sequences and probes: all layers dialled alike, or one alone."""
    layers = config.model.layers
    kappas = [np.full(layers, kappa) for kappa in (0.0, *PROBES)] + list(np.where(np.eye(layers), math.inf, 0.0))
    original, *probes = (run(parameters, tokens, layout, config, given(each)) for each in kappas)
    single = probes[-layers:]
    leakage = np.array([float(trace.removed[layer].mean()) for layer, trace in enumerate(single)])
    diameters = plain(torch.stack([trace.diameters for trace in (original, *probes)]).amax((0, 2)))
    lipschitz, growth = (np.max([secants(original, p, whole) for p in probes], axis=(0, 1)) for whole in (False, True))
    costs, costs_whole = (diameters * amplification(lip)[:: len(lip) // layers] for lip in (lipschitz, growth - 1))
    alone = np.array([drift(original, trace).mean() for trace in single]) / leakage
    return Calibration(leakage, diameters, lipschitz, costs, costs_whole, alone)
