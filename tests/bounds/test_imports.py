"""`import bounds` and its calculators load numpy alone: every other distribution is blocked."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in ("bounds", "numpy"):
            raise ModuleNotFoundError(f"blocked: {top}", name=top)

sys.meta_path.insert(0, Blocked())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "code",
    [
        "import bounds; print(bounds.fidelity_floor(6.0, 64, 16), bounds.__version__)",
        "from bounds import Setting, design; print(design(Setting(n_keys=64, n_block=16, fidelity=0.9)).table())",
        "import bounds; print(bounds.margin_for_fidelity(0.9, 64, 16), bounds.coherence_floor(7, 3))",
    ],
)
def test_numpy_is_enough(code):
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_the_block_can_block():
    done = run("import bounds; bounds.THEOREMS")
    assert done.returncode == 1
    assert "blocked: sympy" in done.stderr


def test_rigorous_without_flint_is_refused_with_the_remedy():
    code = (
        "sys.meta_path[0].find_spec = lambda name, path=None, target=None: (_ for _ in ()).throw(ImportError(name)) "
        "if name.partition('.')[0] == 'flint' else None\n"
        "import bounds; bounds.fidelity_floor(6.0, 64, 16, rigorous=True)"
    )
    done = run(code)
    assert "BadInput: rigorous evaluation needs python-flint: pip install python-flint" in done.stderr
