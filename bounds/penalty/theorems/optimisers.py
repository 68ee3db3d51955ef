"""When optimisers leave a group at zero: Adam's own threshold, heavy ball (claims C3, C10).

Adam: |update| <= U_t = (1-b1)/(1-b1^t) sqrt((1-b2^t)(1-q^t)/((1-b2)(1-q))), q = b1^2/b2
"""

# sympy has no types: what comes of its functions is unknown to a type checker.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false, reportUnknownParameterType=false
# pyright: reportOperatorIssue=false

from __future__ import annotations

from typing import Any

from sympy import Expr, S, Symbol, ceiling, factor, sqrt

from bounds.penalty import closed_forms
from bounds.penalty.calculators import predicted_steps
from bounds.penalty.theorems.global_threshold import SOURCE, gradient_mean_rounding
from bounds.theory.rows import exact
from bounds.theory.stable_forms import Forms
from bounds.theory.symbols import b1, b2, eta, gradient, group_size, momentum, norm, penalty, steps
from bounds.theory.theorem import Hypothesis, Level, ProofStep, Relation, Theorem

_q = b1**2 / b2


def _adam(power_1: Any, power_2: Any, power_q: Any) -> Any:
    """The largest update where b1^t, b2^t and q^t are the given powers."""
    return (1 - b1) / (1 - power_1) * sqrt((1 - power_2) / (1 - b2) * (1 - power_q) / (1 - _q))


ADAM_STEP = _adam(b1**steps, b2**steps, _q**steps)
ADAM: Expr = (1 - b1) / sqrt((1 - b2) * (1 - _q))
HEAVY_BALL = norm / (eta * (penalty - gradient / (1 - momentum)))

FORMS: Forms = {
    "adam_step": ((b1, b2, steps), ADAM_STEP),
    "adam_update": ((b1, b2), ADAM),
    "adam_threshold": ((b1, b2, group_size), ADAM * sqrt(group_size)),
}

_g, _k = (Symbol(name, positive=True) for name in ("g_1", "k_1"))
_B2 = Hypothesis(
    "b1^2 < b2",
    lambda rows: rows["b1"] ** 2 < rows["b2"],
    spare="the bound for step t holds without; its limit does not",
)
_ZERO_MOMENTS = Hypothesis("the moments start at zero", lambda rows: rows["first_moment"] == 0)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        key="adam_update",
        claims=("C10",),
        title="No coordinate of Adam's update exceeds U_t",
        statement="With zero initial moments, |m_t / sqrt(v_t)| (bias-corrected) is at most U_t = (1-b1)/(1-b1^t) "
        "sqrt((1-b2^t)(1-q^t)/((1-b2)(1-q))), q = b1^2/b2; for b1^2 < b2 it tends to U = (1-b1)/sqrt((1-b2)(1-q)), "
        "7.270 at "
        "the defaults. Attained by gradients that grow like (b2/b1)^s.",
        quantity="update",
        relation=Relation.AT_MOST,
        formula=ADAM_STEP,
        trivial="nothing bounds an update but the decay rates",
        hypotheses=(_ZERO_MOMENTS, _B2),
        bound=lambda rows: closed_forms.adam_step(rows["b1"], rows["b2"], rows["steps"]),
        rounding=gradient_mean_rounding,
        proof=(
            ProofStep("m_t = (1-b1) sum b1^j g_(t-j) and v_t = (1-b2) sum b2^j g_(t-j)^2", lemma="induction"),
            ProofStep("(sum b1^j g)^2 <= (sum (b1^2/b2)^j)(sum b2^j g^2)", lemma="cauchy-schwarz"),
            ProofStep("the geometric sum", residual=factor((1 - _q) * (1 + _q + _q**2) - (1 - _q**3))),
            ProofStep("The powers vanish as t grows: U_t tends to U", residual=_adam(0, 0, 0) ** 2 - ADAM**2),
        ),
        source=SOURCE,
        level=Level.OPTIMISER,
        attained=True,
    ),
    Theorem(
        key="adam_threshold",
        claims=("C3", "C10"),
        title="Adam's own threshold",
        statement="With a decoupled proximal step after Adam's update, lambda >= U sqrt(group size) keeps a zero "
        "group at "
        "zero whatever the gradients: levels A to E do not describe it.",
        quantity="penalty_that_left",
        relation=Relation.AT_MOST,
        formula=ADAM * sqrt(group_size),
        trivial="no penalty is known to empty a group under Adam without it",
        hypotheses=(
            _ZERO_MOMENTS,
            Hypothesis("b1^2 < b2", lambda rows: rows["b1"] ** 2 < rows["b2"], spare="without it U is not defined"),
        ),
        bound=lambda rows: closed_forms.adam_threshold(rows["b1"], rows["b2"], rows["group_size"]),
        rounding=gradient_mean_rounding,
        proof=(
            ProofStep(
                "U_t <= U: with B = b2^t, Q = q^t it says (1-B)(1-Q) <= (1 - sqrt(BQ))^2, and the difference is a "
                "square",
                residual=((1 - _g * _k) ** 2 - (1 - _g**2) * (1 - _k**2) - (_g - _k) ** 2).expand(),
            ),
            ProofStep(
                "Every coordinate of the update is at most U, so its norm is at most U sqrt(size)", lemma="termwise"
            ),
            ProofStep("prox keeps 0 if ||update|| <= lambda", lemma="proximal step"),
            ProofStep(
                "U at the defaults is 7.270 to four digits",
                residual=S(int((ADAM.subs({b1: S(9) / 10, b2: S(999) / 1000}) * 1000).evalf(20).round())) - 7270,
            ),
        ),
        source=SOURCE,
        level=Level.OPTIMISER,
        needs=("adam_update",),
        attained=True,
    ),
    Theorem(
        key="heavy_ball_steps",
        claims=("C3", "C10"),
        title="Finite identification with heavy ball",
        statement="With a momentum buffer v <- mu v + grad and ||grad_bc|| <= g, a group is zero for good after "
        "ceil(||W(0)|| / (eta (lambda - g/(1-mu)))) proximal steps, if lambda > g/(1-mu).",
        quantity="steps_to_zero",
        relation=Relation.AT_MOST,
        formula=ceiling(HEAVY_BALL),
        trivial="no number of steps is known to do without it",
        hypotheses=(
            Hypothesis(
                "lambda > g/(1-mu)",
                lambda rows: rows["penalty"] > rows["gradient_bound"] / (1 - rows["momentum"]),
                spare="no number of steps is predicted then",
            ),
            Hypothesis("the gradient stayed below g", lambda rows: rows["gradient_peak"] <= rows["gradient_bound"]),
            Hypothesis("the buffer starts at zero", lambda rows: rows["first_moment"] == 0),
        ),
        bound=lambda rows: predicted_steps(
            rows["group_norm"], rows["penalty"], rows["gradient_bound"] / (1 - rows["momentum"]), rows["step"]
        ),
        rounding=exact,
        proof=(
            ProofStep("||v|| <= g (1 + mu + mu^2 + ...) <= g/(1-mu)", lemma="induction"),
            ProofStep("so each step shortens the group by eta (lambda - g/(1-mu)) at least", lemma="proximal step"),
            ProofStep(
                "k steps reach 0",
                residual=(norm - steps * eta * (penalty - gradient / (1 - momentum)))
                .subs(steps, HEAVY_BALL)
                .simplify(),
            ),
        ),
        source=SOURCE,
        level=Level.OPTIMISER,
        needs=("steps_to_zero",),
        attained=True,
    ),
)
