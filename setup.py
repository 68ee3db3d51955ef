"""What pyproject.toml cannot say of the build: what Coq has checked, in proofs/, travels in the wheel."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FORMAL = ("pinned.json", "formal.json")


class WithFormalStatus(build_py):
    """Copies proofs/*.json into bounds/ledger/formal_status; an editable install reads proofs/ itself."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib, "bounds", "ledger", "formal_status")
            self.mkpath(str(folder))
            for name in FORMAL:
                self.copy_file(str(Path("proofs", name)), str(folder / name))


setup(cmdclass={"build_py": WithFormalStatus})
