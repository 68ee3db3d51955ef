"""The one error for input that cannot be used, here and in `bounds`."""

from __future__ import annotations

from bounds.numbers.errors import BadInput as BadInput
