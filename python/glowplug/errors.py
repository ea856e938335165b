"""The exceptions of glowplug.

One base, :class:`GlowplugError`, and a leaf for each cause that a caller can act
on. A leaf is also the built-in exception that a Python programmer would catch:
``except PermissionError`` catches :class:`AccessDeniedError`.

Every exception has the same attributes, so that nobody parses its text. They
pickle, copy and compare.
"""

# decode sets what an error carries for its own package.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import builtins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "AccessDeniedError",
    "ArgumentTypeError",
    "CancelledError",
    "ConnectionError",
    "CredentialsError",
    "ForkError",
    "GlowplugError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "ResponseError",
    "ServiceError",
    "ThrottledError",
    "TimeoutError",
    "UnsupportedError",
]


class GlowplugError(Exception):
    """Base of all exceptions of glowplug.

    Attributes:
        kind: the cause in one word, the same for every error of a leaf.
        code: the service's code (``"AccessDenied"``) or ours (``"NoCredentials"``), may be empty.
        message: one sentence, with what to do where that is known. Never holds a secret.
        status: the HTTP status, 0 where there was no answer.
        request_id: the service's id of the request, may be empty.
        operation: the S3 operation (``"ListBuckets"``), may be empty.
        bucket: the bucket it is about, may be empty.
        retryable: whether the same call may succeed later.
    """

    kind: str = "unknown"

    # What the call did until then; see S3.stats.
    _stats: str = ""
    _log: list[str] = []

    def __init__(
        self,
        message: str = "",
        *,
        code: str = "",
        status: int = 0,
        request_id: str = "",
        operation: str = "",
        bucket: str = "",
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.request_id = request_id
        self.operation = operation
        self.bucket = bucket
        self.retryable = retryable

    def __str__(self) -> str:
        where = f'{self.operation} "{self.bucket}"' if self.operation and self.bucket else self.operation
        what = f"{self.code} (HTTP {self.status})" if self.code and self.status else self.code
        return ": ".join(part for part in (where, what, self.message or self.kind) if part)

    def _fields(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "status": self.status,
            "request_id": self.request_id,
            "operation": self.operation,
            "bucket": self.bucket,
            "retryable": self.retryable,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self._fields())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.message == other.message and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((type(self), self.message, self.code, self.status, self.bucket))


class InvalidArgumentError(GlowplugError, ValueError):
    """An argument or a setting can't be used; also what is done on a closed client."""

    kind = "invalid"


class ArgumentTypeError(InvalidArgumentError, TypeError):
    """An argument has the wrong type."""


class CredentialsError(GlowplugError, PermissionError):
    """No credentials were found, or the service refuses those that were."""

    kind = "credentials"


class AccessDeniedError(GlowplugError, PermissionError):
    """The caller is known, and its policy does not allow the action."""

    kind = "denied"


class NotFoundError(GlowplugError, LookupError):
    """There is no such bucket."""

    kind = "not_found"


class ThrottledError(GlowplugError):
    """The service asked for fewer requests, and the retries did not help."""

    kind = "throttled"


class TimeoutError(GlowplugError, builtins.TimeoutError):
    """The deadline of the call passed, or the server was silent for too long."""

    kind = "timeout"


class CancelledError(GlowplugError):
    """The client was closed while the call went on, or the interpreter is shutting down."""

    kind = "cancelled"


class ConnectionError(GlowplugError, builtins.ConnectionError):
    """DNS, TCP, the proxy or TLS failed."""

    kind = "connection"


class ServiceError(GlowplugError):
    """The service refused or failed in another way; see ``code`` and ``status``."""

    kind = "service"


class ResponseError(GlowplugError):
    """The answer can't be read: no XML, cut short, too large, or without an end."""

    kind = "response"


class ForkError(GlowplugError, RuntimeError):
    """In a forked child: the call began in the parent, or a fresh copy of the library can't be loaded."""

    kind = "fork"


class UnsupportedError(GlowplugError, ImportError):
    """The native library can't be loaded here: another Python, another libc, a sub-interpreter."""

    kind = "unsupported"


class InternalError(GlowplugError, RuntimeError):
    """A defect of glowplug; the message has what a report needs."""

    kind = "internal"


_LEAVES: dict[str, type[GlowplugError]] = {
    leaf.kind: leaf
    for leaf in (
        InvalidArgumentError,
        CredentialsError,
        AccessDeniedError,
        NotFoundError,
        ThrottledError,
        TimeoutError,
        CancelledError,
        ConnectionError,
        ServiceError,
        ResponseError,
        InternalError,
    )
}


def _rebuild(leaf: type[GlowplugError], message: str, fields: dict[str, Any]) -> GlowplugError:
    return leaf(message, **fields)


def decode(text: str) -> GlowplugError:
    """Make the exception of an error that crossed from Go as JSON."""
    import json

    fields = json.loads(text)
    leaf = _LEAVES.get(fields.pop("kind", ""), InternalError)
    stats, log = fields.pop("stats", ""), fields.pop("log", [])
    error = leaf(fields.pop("message", ""), **fields)
    error._stats, error._log = stats, log
    return error
