"""Exit statuses of `localist`: of a refusal, a missed promise, an end from outside; a bug is a traceback."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from empirical.errors import BadInput, Missed
from empirical.files import one_line

OK, REFUTED, BAD_INPUT, UNDECIDED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143


MEANINGS = {
    OK: "0: done",
    REFUTED: "1: violated, or a promise or requirement missed",
    BAD_INPUT: "2: bad input",
    UNDECIDED: "3: nothing is decided",
    INTERRUPTED: "130: interrupted",
    TERMINATED: "143: terminated",
}


def epilog(example: str, gives: str, *others: int) -> str:
    """What the help of a command ends with: an example, what comes out, the statuses beside those of every command."""
    statuses = sorted({OK, BAD_INPUT, INTERRUPTED, TERMINATED, *others})
    ends = ";\n  ".join("; ".join(MEANINGS[s] for s in part) for part in (statuses[:-2], statuses[-2:]))
    return f"example:\n  {example}\n\ncomes out:\n  {gives}\n\nexit status:\n  {ends}"


class Terminated(KeyboardInterrupt):
    """SIGTERM: a command ends of it as of an interrupt."""


def status_of(command: Callable[[], int], resumes: Callable[[], bool] = lambda: False) -> int:
    """What the command returns, or the status of how it ended; any exception that is neither is the caller's.

    `resumes`: whether --resume goes on where it was.
    """
    try:
        with _terminable():
            return command()
    except KeyboardInterrupt as end:
        way = "; what is finished is saved, --resume goes on from there" if resumes() else ""
        terminated = isinstance(end, Terminated)
        print(f"{'terminated' if terminated else 'interrupted'}{way}", file=sys.stderr)
        return TERMINATED if terminated else INTERRUPTED
    except BrokenPipeError:  # the reader, `| head` say, has gone
        sys.stderr.close()
        return OK
    except BadInput as error:
        return _said(error, BAD_INPUT)
    except Missed as error:
        return _said(error, REFUTED)


def _said(error: Exception, status: int) -> int:
    print(f"localist: {one_line(error)}", file=sys.stderr)
    return status


@contextmanager
def _terminable() -> Iterator[None]:
    """Inside, SIGTERM raises `Terminated` in the main thread; afterwards it does what it did."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
