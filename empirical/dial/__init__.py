"""Changes of attention: the dial at inference, the guard, and how far a dialled layer carries the states after it."""

from empirical.dial.changes import Change as Change
from empirical.dial.changes import adaptive_dial as adaptive_dial
from empirical.dial.changes import dial as dial
from empirical.dial.changes import least_kappa as least_kappa
from empirical.dial.changes import steer as steer
from empirical.dial.changes import turned as turned
from empirical.dial.guard import Guard as Guard
from empirical.errors import Miss as Miss
from empirical.errors import Missed as Missed
