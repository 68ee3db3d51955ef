"""Gates on attention itself (claims C1, C2, C3, C6, C13): prices, exact zeros, thresholds on any transformer.

A gate s in [0, 1] multiplies the weights of a group c of pairs outside their query's block; 1 is the model as trained,
0 the hard mask. Row i: Z_i = Z_in,i + sum_c s_c Z_c,i; output o_i; g_i = dL/do_i, effects downstream included;
Omega: sum over layers and heads of their mean leakage; J = L + lambda Omega.
"""

from __future__ import annotations

from bounds.gates.theorems import curvature, gram, leakage, prices, stationarity
from bounds.theory.stable_forms import Forms

FORMS: Forms = prices.FORMS | stationarity.FORMS | leakage.FORMS | curvature.FORMS
THEOREMS = (*prices.THEOREMS, *stationarity.THEOREMS, *leakage.THEOREMS, *curvature.THEOREMS, *gram.THEOREMS)
FALSE_READINGS = stationarity.FALSE_READINGS
