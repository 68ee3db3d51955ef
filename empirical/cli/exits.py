"""Exit statuses of `localist`, and what becomes one: a refusal, a missed promise; a bug is a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from empirical.errors import BadInput, Missed
from empirical.files import one_line

OK, REFUTED, BAD_INPUT, UNDECIDED, INTERRUPTED = 0, 1, 2, 3, 130


def status_of(command: Callable[[], int]) -> int:
    """What the command returns, or the status of how it ended; any exception that is neither is the caller's."""
    try:
        return command()
    except KeyboardInterrupt:
        print("interrupted; what is finished is saved, --resume goes on from there", file=sys.stderr)
        return INTERRUPTED
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
