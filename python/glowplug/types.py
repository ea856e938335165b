"""Types for annotations: what `to_dicts` returns, and what `context` has to be.

Nothing of glowplug imports this module when it runs; yours may.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, TypedDict

__all__ = ["BucketDict", "ErrorDict", "LambdaContext", "NativeBucketDict"]


class LambdaContext(Protocol):
    """The part of a Lambda's context that bounds a call."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""
        ...


class ErrorDict(TypedDict):
    """Why the region of a bucket could not be had; see `glowplug.errors`."""

    kind: str
    code: str
    message: str


class _Failed(TypedDict, total=False):
    error: ErrorDict  # only where the region could not be had


class BucketDict(_Failed):
    """One bucket as JSON can hold it; `created` is ISO 8601 in UTC, `error` is absent where the region is known."""

    name: str
    region: str | None
    created: str | None


class NativeBucketDict(_Failed):
    """One bucket with `created` as an aware datetime."""

    name: str
    region: str | None
    created: datetime | None
