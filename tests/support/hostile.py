"""What a hostile file holds, and a small site for its rules."""

from __future__ import annotations

import numpy as np

from empirical.rules.site import Site

SITE = Site(("a", "b"), 1.0, np.full((1, 2), 2.0), np.array([0, 1]), np.ones((2, 2)))
RULE = '[[rule]]\nname = "a"\ntrigger = {{ block = 0 }}\ntarget = {{ block = {} }}\nstrength = 9.0\nmass = 0.9\n'
DEEP, LONG, HEX = 3000, "9" * 5000, "0x" + "f" * 5000
