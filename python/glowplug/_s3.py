"""The S3 client: a listing of all buckets with their regions.

This is the cold path: it imports nothing that a bare interpreter has not loaded.
"""

from __future__ import annotations

import _thread
import os
from _collections_abc import Sequence
from time import monotonic

from . import _runtime, errors
from ._runtime import RECORD, UNIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from types import TracebackType
    from typing import Any, Literal, SupportsFloat, overload

    from typing_extensions import Self

    from .types import BucketDict, ErrorDict, LambdaContext, NativeBucketDict

    _Buckets = Sequence["Bucket"]
else:
    _Buckets = Sequence

    def overload(f):
        return f


DEFAULT_TIMEOUT = 10.0  # seconds
DEFAULT_RESERVE = 0.25  # seconds of a Lambda's time that are left to the handler
LEAST_TIME = 0.05  # seconds; a call that has less does not begin
LONGEST_TIME = 365 * 24 * 3600.0  # seconds; what is longer counts as this
INIT_WAIT = 0.5  # seconds that S3() waits for its connection


class Bucket:
    """One bucket of a listing. Immutable; pickles, copies, compares and hashes.

    Attributes:
        name: the bucket's name.
        region: where it lives (``"eu-central-1"``), None exactly when ``error`` is set.
        error: why the region is not known, else None.
    """

    __slots__ = ("_created", "error", "name", "region")
    __match_args__ = ("name", "region", "created", "error")

    name: str
    region: str | None
    error: errors.GlowplugError | None
    _created: str

    def __init__(
        self,
        name: str,
        region: str | None,
        created: datetime | None = None,
        error: errors.GlowplugError | None = None,
    ) -> None:
        _set_name(self, _text("name", name))
        _set_region(self, region if region is None else _text("region", region))
        _set_error(self, error)
        if created is None:
            _set_created(self, "")
        else:
            if not hasattr(created, "astimezone"):
                raise errors.ArgumentTypeError(f"created is {type(created).__name__}: give an aware datetime")
            if created.tzinfo is None:
                raise errors.InvalidArgumentError(f"created={created!r} has no time zone: give an aware datetime")
            from datetime import timezone

            _set_created(self, created.astimezone(timezone.utc).isoformat())

    @property
    def created(self) -> datetime | None:
        """When the bucket was made, in UTC; S3 moves it when the bucket's policy is edited."""
        if not self._created:
            return None
        from datetime import datetime

        return datetime.fromisoformat(self._created)

    @overload
    def to_dict(self, *, native: Literal[False] = False) -> BucketDict: ...
    @overload
    def to_dict(self, *, native: Literal[True]) -> NativeBucketDict: ...
    def to_dict(self, *, native: bool = False) -> BucketDict | NativeBucketDict:
        """Return the bucket as a dict: ``created`` in ISO 8601, or as a datetime if ``native``; ``error`` only where there is one."""
        d: BucketDict | NativeBucketDict
        if native:
            d = {"name": self.name, "region": self.region, "created": self.created}
        else:
            d = {"name": self.name, "region": self.region, "created": self._created or None}
        if self.error is not None:
            error: ErrorDict = {"kind": self.error.kind, "code": self.error.code, "message": str(self.error)}
            d["error"] = error
        return d

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Bucket can't be changed: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Bucket can't be changed: {name}")

    def _key(self) -> tuple[object, ...]:
        return self.name, self.region, self._created, self.error

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Bucket) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.region, self._created))

    def __repr__(self) -> str:
        error = f", error={self.error!r}" if self.error is not None else ""
        return f"Bucket(name={self.name!r}, region={self.region!r}, created={self.created!r}{error})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _bucket, (self.name, self.region, self._created, self.error)


def _setter(owner: type, slot: str) -> Callable[[object, object], None]:
    """Return what sets a slot of an object that refuses assignment."""
    setter: Callable[[object, object], None] = owner.__dict__[slot].__set__
    return setter


_set_name = _setter(Bucket, "name")
_set_region = _setter(Bucket, "region")
_set_error = _setter(Bucket, "error")
_set_created = _setter(Bucket, "_created")
_new = Bucket.__new__


def _bucket(name: str, region: str | None, created: str, error: errors.GlowplugError | None) -> Bucket:
    b = _new(Bucket)
    _set_name(b, name)
    _set_region(b, region)
    _set_created(b, created)
    _set_error(b, error)
    return b


class Stats:
    """What calls did. Immutable; pickles, copies, compares and hashes.

    Attributes:
        requests: sent, retries included.
        retries: of those, sent again after a failure.
        connections: opened for these requests; the one that S3() opened ahead is not among them.
        bytes: of bodies received.
        cache_hits: regions that were remembered from an earlier look-up.
        first_byte: seconds from the call's start to the head of its first answer, None where none came.
    """

    __slots__ = ("_counts", "bytes", "cache_hits", "connections", "first_byte", "requests", "retries")

    requests: int
    retries: int
    connections: int
    bytes: int
    cache_hits: int
    first_byte: float | None
    _counts: str

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Stats can't be changed: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Stats can't be changed: {name}")

    def _key(self) -> tuple[object, ...]:
        return self.requests, self.retries, self.connections, self.bytes, self.cache_hits, self.first_byte

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Stats) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Stats({', '.join(f'{name}={getattr(self, name)!r}' for name in Stats.__slots__[1:])})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _stats, (self._counts,)


def _stats(counts: str) -> Stats:
    stats = Stats()
    numbers = [int(n) for n in counts.split(UNIT)] if counts else [0] * 6
    for name, number in zip(("requests", "retries", "connections", "bytes", "cache_hits"), numbers):
        object.__setattr__(stats, name, number)
    object.__setattr__(stats, "first_byte", numbers[5] / 1e6 if numbers[5] else None)
    object.__setattr__(stats, "_counts", counts)
    return stats


def _parse(answer: str) -> tuple[list[str], dict[int, str], bool]:
    """Take an answer apart: name, region and date of each bucket; errors by index; whether it is truncated."""
    head, flat, failed = answer.split(RECORD)
    fields = flat.split(UNIT) if flat else []
    pairs = failed.split(UNIT) if failed else []
    return fields, {int(i): text for i, text in zip(pairs[::2], pairs[1::2])}, len(head) > 1


def _make(fields: list[str], failed: dict[int, str]) -> tuple[Bucket, ...]:
    if not failed:
        return tuple(map(_bucket, fields[::3], fields[1::3], fields[2::3], [None] * (len(fields) // 3)))
    return tuple(
        _bucket(name, region or None, created, errors.decode(failed[i]) if i in failed else None)
        for i, (name, region, created) in enumerate(zip(fields[::3], fields[1::3], fields[2::3]))
    )


class BucketList(_Buckets):
    """The buckets of a listing, in its order: an immutable sequence of :class:`Bucket`.

    Pickles, copies and compares.

    Attributes:
        truncated: whether ``limit`` ended the listing ahead of the account's last bucket.
    """

    __slots__ = ("_counts", "_items", "_raw", "truncated")

    truncated: bool
    _counts: str
    _items: tuple[Bucket, ...]
    _raw: tuple[list[str], dict[int, str]] | None

    def __init__(self, buckets: Iterable[Bucket] = (), *, truncated: bool = False) -> None:
        _set_items(self, tuple(buckets))
        _set_raw(self, None)
        _set_truncated(self, truncated)
        _set_counts(self, "")

    def _all(self) -> tuple[Bucket, ...]:
        raw = self._raw
        if raw is not None:
            # In this order: another thread finds the raw fields or the buckets.
            _set_items(self, _make(*raw))
            _set_raw(self, None)
        return self._items

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a BucketList can't be changed: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a BucketList can't be changed: {name}")

    def __len__(self) -> int:
        raw = self._raw
        return len(self._items) if raw is None else len(raw[0]) // 3

    @overload
    def __getitem__(self, index: int) -> Bucket: ...
    @overload
    def __getitem__(self, index: slice) -> BucketList: ...
    def __getitem__(self, index: int | slice) -> Bucket | BucketList:
        if isinstance(index, slice):
            return BucketList(self._all()[index], truncated=self.truncated)
        return self._all()[index]

    def __iter__(self) -> Iterator[Bucket]:
        return iter(self._all())

    @property
    def errors(self) -> tuple[Bucket, ...]:
        """The buckets whose region could not be had; each has its ``error``."""
        raw = self._raw
        if raw is not None and not raw[1]:
            return ()
        return tuple(b for b in self._all() if b.error is not None)

    @property
    def stats(self) -> Stats:
        """What the call that made this list did; it does not pickle, copy or compare with the list."""
        return _stats(self._counts)

    def by_region(self) -> dict[str | None, list[Bucket]]:
        """Return the buckets grouped by region; those without a known one stand under None."""
        groups: dict[str | None, list[Bucket]] = {}
        for b in self._all():
            groups.setdefault(b.region, []).append(b)
        return groups

    @overload
    def to_dicts(self, *, native: Literal[False] = False) -> list[BucketDict]: ...
    @overload
    def to_dicts(self, *, native: Literal[True]) -> list[NativeBucketDict]: ...
    @overload
    def to_dicts(self, *, native: bool) -> list[BucketDict] | list[NativeBucketDict]: ...
    def to_dicts(self, *, native: bool = False) -> list[BucketDict] | list[NativeBucketDict]:
        """Return a list of dicts that a Lambda can return as it is.

        Each has ``name``, ``region`` and ``created`` (ISO 8601 in UTC, as
        ``datetime.isoformat`` writes it), and ``error`` (``kind``, ``code``,
        ``message``) only where the region could not be had.

        Args:
            native: keep ``created`` as a datetime.
        """
        if native:
            return [b.to_dict(native=True) for b in self._all()]
        raw = self._raw
        if raw is not None and not raw[1]:
            f = raw[0]
            plain: list[BucketDict] = [{"name": n, "region": r, "created": c or None} for n, r, c in zip(f[::3], f[1::3], f[2::3])]
            return plain
        return [b.to_dict() for b in self._all()]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BucketList):
            return NotImplemented
        return self.truncated == other.truncated and self._all() == other._all()

    def __hash__(self) -> int:
        return hash((self._all(), self.truncated))

    def __repr__(self) -> str:
        shown = ", ".join(repr(b) for b in self._all()[:3])
        more = f", ... {len(self) - 3} more" if len(self) > 3 else ""
        return f"BucketList([{shown}{more}], truncated={self.truncated})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _bucket_list, (self._all(), self.truncated)


_set_items = _setter(BucketList, "_items")
_set_raw = _setter(BucketList, "_raw")
_set_counts = _setter(BucketList, "_counts")
_set_truncated = _setter(BucketList, "truncated")


def _bucket_list(buckets: tuple[Bucket, ...], truncated: bool) -> BucketList:
    return BucketList(buckets, truncated=truncated)


def _text(name: str, value: object) -> str:
    """Check a string that goes to Go: no NUL or separator, and encodable."""
    if not isinstance(value, str):
        raise errors.ArgumentTypeError(f"{name} is {type(value).__name__}: give a str")
    # Not raised while the UnicodeEncodeError is handled: that would carry the value along, which may be a secret.
    if not _encodes(value):
        raise errors.InvalidArgumentError(f"{name} holds a lone surrogate, which no UTF-8 can carry: correct its encoding", code="InvalidText")
    # One look for control characters, without naming the value: it may be a secret.
    if not value.isprintable() and any(c < " " or c == "\x7f" for c in value):
        raise errors.InvalidArgumentError(f"{name} holds a control character: remove it", code="InvalidText")
    return value


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _path(value: Any) -> Any:
    return value.__fspath__() if hasattr(value, "__fspath__") else value


def _seconds(name: str, value: SupportsFloat, zero: bool = False) -> float:
    if isinstance(value, (str, bytes, bool)) or not hasattr(value, "__float__"):
        raise errors.ArgumentTypeError(f"{name} is {type(value).__name__}: give a number of seconds")
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        number = float("inf")
    # NaN fails every comparison.
    if not (0 < number < float("inf") or zero and number == 0):
        raise errors.InvalidArgumentError(f"{name}={number:g}: give a {'finite number of seconds from 0 up' if zero else 'positive, finite number of seconds'}", code="InvalidNumber")
    return min(number, LONGEST_TIME) or 0.0  # Go would read a minus zero as negative


def _count(name: str, value: int, most: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise errors.ArgumentTypeError(f"{name} is {type(value).__name__}: give an int")
    number = value.__index__()
    if not 1 <= number <= most:
        # Python refuses to print an int of thousands of digits.
        shown = number if abs(number) < 10**20 else "a huge number"
        raise errors.InvalidArgumentError(f"{name}={shown}: give a whole number from 1 to {most:,}", code="InvalidNumber")
    return number


def _flag(name: str, value: object) -> str:
    if not isinstance(value, bool):
        raise errors.ArgumentTypeError(f"{name} is {type(value).__name__}: give True, False or None")
    return "1" if value else "0"


def _endpoint(name: str, value: str) -> str:
    text = _text(name, value)
    scheme, found, rest = text.partition("://")
    if not found or scheme.lower() not in ("http", "https") or not rest.strip("/") or any(c in "@?# " for c in text):
        # The value may hold a password: it is not shown.
        raise errors.InvalidArgumentError(f"{name} is no URL: give one like https://s3.example.com, without user, password or query", code="InvalidEndpoint")
    return text


def _style(name: str, value: str) -> str:
    if _text(name, value) not in ("auto", "path", "virtual"):
        raise errors.InvalidArgumentError(f"{name}={value!r:.40}: give 'auto', 'path' or 'virtual'")
    return value


def _environment() -> str:
    """Return the environment of now, which Go by itself can't see."""
    # Another thread may take a variable away meanwhile.
    pairs = (f"{k}={v}" for k, v in ((k, os.environ.get(k)) for k in list(os.environ)) if v is not None)
    return "".join(f"{UNIT}${pair}" for pair in pairs if pair.isprintable() or (UNIT not in pair and _encodes(pair)))


class S3:
    """A client for one account's buckets. Make one outside the handler and keep it.

    None for an option means: the AWS environment variable, then the profile, then
    the built-in. The environment is read when the client is made. The client is
    safe for use from many threads; its connections and its memory of regions are
    shared by all calls.

    Args:
        region: signs requests and chooses AWS's endpoint (``AWS_REGION``,
            ``AWS_DEFAULT_REGION``; built-in us-east-1).
        endpoint_url: used in place of AWS's endpoints (``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL``).
        profile: section of the AWS config files (``AWS_PROFILE``); one named here
            comes before the credentials of the environment.
        access_key_id, secret_access_key, session_token: static credentials. Default:
            environment, container endpoint, web identity, profile, instance metadata.
        timeout: seconds for a whole call (built-in 10).
        connect_timeout: seconds for DNS and TCP of one connection (built-in 1).
        attempt_timeout: seconds that the server may be silent within one attempt (built-in 2).
        max_attempts: attempts for one request, the first included, 1 to 100
            (``AWS_MAX_ATTEMPTS``; built-in 3).
        max_concurrency: region look-ups at once, 1 to 1,024 (built-in 32).
        addressing_style: ``"auto"`` (path), ``"path"`` or ``"virtual"``.
        use_fips, use_dualstack: variants of AWS's endpoints (``AWS_USE_FIPS_ENDPOINT``,
            ``AWS_USE_DUALSTACK_ENDPOINT``).
        ca_bundle: file of PEM certificates to trust in place of the system's (``AWS_CA_BUNDLE``).
        cache_ttl: seconds that a looked-up region is remembered; 0: not at all.
        preconnect: True: get credentials and connect before S3() returns, for at most 0.5 s.
            "auto": the same inside Lambda, so that it happens in INIT; elsewhere it happens in
            the background. False: at the first call. A failure is left to that call.

    Raises:
        errors.InvalidArgumentError: an argument can't be used. What the environment or the
            profile says wrong is raised by the first call.
    """

    __slots__ = ("__weakref__", "_closed", "_counts", "_environment", "_id", "_lock", "_options", "_owner", "_shown", "_timeout")

    def __init__(
        self,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        profile: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        attempt_timeout: float | None = None,
        max_attempts: int | None = None,
        max_concurrency: int | None = None,
        addressing_style: Literal["auto", "path", "virtual"] | None = None,
        use_fips: bool | None = None,
        use_dualstack: bool | None = None,
        ca_bundle: str | os.PathLike[str] | None = None,
        cache_ttl: float = 300.0,
        preconnect: Literal["auto"] | bool = "auto",
    ) -> None:
        self._closed = False
        self._adopt()

        if (access_key_id is None) != (secret_access_key is None) or session_token is not None and access_key_id is None:
            raise errors.InvalidArgumentError("access_key_id and secret_access_key go together, a session_token with both", code="PartialCredentials")
        if all(preconnect is not mode for mode in (True, False)) and preconnect != "auto":
            raise errors.InvalidArgumentError("preconnect is neither 'auto' nor a bool")
        options: list[str] = []

        def option(name: str, value: Any, check: Callable[..., object], *args: Any) -> None:
            if value is not None:
                options.append(f"{UNIT}{name}={check(name, value, *args)}")

        option("region", region, _text)
        option("endpoint_url", endpoint_url, _endpoint)
        option("profile", profile, _text)
        option("access_key_id", access_key_id, _text)
        option("secret_access_key", secret_access_key, _text)
        option("session_token", session_token, _text)
        option("timeout", timeout, _seconds)
        option("connect_timeout", connect_timeout, _seconds)
        option("attempt_timeout", attempt_timeout, _seconds)
        option("max_attempts", max_attempts, _count, 100)
        option("max_concurrency", max_concurrency, _count, 1024)
        option("addressing_style", addressing_style, _style)
        option("use_fips", use_fips, _flag)
        option("use_dualstack", use_dualstack, _flag)
        option("ca_bundle", ca_bundle if ca_bundle is None or isinstance(ca_bundle, str) else _path(ca_bundle), _text)
        options.append(f"{UNIT}cache_ttl={_seconds('cache_ttl', cache_ttl, True):.9g}")

        self._timeout = DEFAULT_TIMEOUT if timeout is None else _seconds("timeout", timeout)
        self._shown = f"S3(region={region!r}, endpoint_url={endpoint_url!r}, profile={profile!r})"
        self._options = "".join(options)
        self._environment = _environment()
        if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            self._survive_snapshot(bool(preconnect))
        if not preconnect:
            return
        self._options += f"{UNIT}preconnect=1"
        if preconnect is True or "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
            self._connect()
        else:
            _runtime.in_background(self._open_quietly)  # without a thread, the first call opens the client

    def _adopt(self) -> None:
        """Make this client the current process's: what a parent opened, and locked, is not there for a child."""
        self._id: int | None = None
        self._counts = ""  # of what was closed
        self._lock = _thread.allocate_lock()
        self._owner = _runtime.process()

    def _connect(self) -> None:
        try:
            self.wait_ready(INIT_WAIT)
        except errors.GlowplugError:
            pass  # the first call meets the same cause, or finds it gone

    def _survive_snapshot(self, connect: bool) -> None:
        """Register with SnapStart: the library is in the snapshot, credentials and sockets are not."""
        try:
            from snapshot_restore_py import register_after_restore, register_before_snapshot  # pyright: ignore[reportMissingTypeStubs]
        except ImportError:
            return
        from _weakref import ref

        client = ref(self)

        def before() -> None:
            if (s3 := client()) is not None and not s3._closed:
                if connect:
                    s3._connect()
                s3._release()

        def after() -> None:
            if (s3 := client()) is not None and not s3._closed:
                s3._environment = _environment()
                if connect:
                    s3._connect()

        register_before_snapshot(before)
        register_after_restore(after)

    def _open_quietly(self) -> None:
        try:
            self._open(monotonic() + self._timeout)
        except BaseException:
            pass  # the first call meets the same cause in its caller's thread

    def _open(self, deadline: float) -> int:
        """Return the id of the client in Go, made on the first call."""
        native = _runtime.native()
        if self._owner != _runtime.process():
            with _runtime.lock:
                if self._owner != _runtime.process():
                    self._adopt()
        if not self._lock.acquire(timeout=max(0.0, deadline - monotonic())):
            raise errors.TimeoutError("the call's time-out passed while the library was being loaded", code="DeadlineExceeded", retryable=True)
        try:
            if self._closed:
                raise errors.InvalidArgumentError("this client is closed: make another", code="ClientClosed")
            if self._id is None:
                try:
                    self._id = int(native.pybind_Open(self._options + self._environment))
                except RuntimeError as e:
                    raise _runtime.decode(e) from None
            return self._id
        finally:
            self._lock.release()

    def _deadline(self, timeout: float | None, context: LambdaContext | None, reserve: float) -> float:
        now = monotonic()
        left = self._timeout if timeout is None else _seconds("timeout", timeout)
        reserve = _seconds("reserve", reserve, True)
        if context is not None:
            try:
                remaining = context.get_remaining_time_in_millis() / 1000
            except (AttributeError, OverflowError, TypeError):
                raise errors.ArgumentTypeError("context has no usable get_remaining_time_in_millis(): give the context of the Lambda's handler") from None
            if remaining - reserve < LEAST_TIME - 1e-9:  # 0.3 - 0.25 is a little less than 0.05
                raise errors.TimeoutError(
                    f"the Lambda has {remaining:.2f} s left, of which reserve={reserve:g} is kept: no time for the call; raise the function's timeout",
                    code="DeadlineExceeded",
                )
            left = min(left, remaining - reserve)
        return now + left

    def _call(self, verb: str, options: str, deadline: float) -> tuple[str, str]:
        client = self._open(deadline)
        return _runtime.call(client, verb, options + _timeout(deadline), deadline)

    def wait_ready(self, timeout: float | None = None) -> bool:
        """Connect, if that has not happened, and wait for it.

        Returns:
            True when credentials are there and a connection is open, False when
            ``timeout`` seconds (default: the client's) passed before.

        Raises:
            errors.GlowplugError: why it can't connect.
        """
        return self._call("ready", "", self._deadline(timeout, None, 0))[0] == "D1"

    @property
    def stats(self) -> Stats:
        """What all ended calls of this client did in this process, also once it is closed; ``first_byte`` is the last call's."""
        client = self._id
        if self._owner != _runtime.process():
            return _stats("")
        if client is not None:
            try:
                return _stats(_runtime.native().pybind_Info(str(client)))
            except RuntimeError:
                pass  # another thread has closed it since
        return _stats(self._counts)

    def list_buckets(
        self,
        *,
        prefix: str | None = None,
        region: str | None = None,
        limit: int | None = None,
        timeout: float | None = None,
        context: LambdaContext | None = None,
        reserve: float = DEFAULT_RESERVE,
        on_error: Literal["collect", "raise"] = "collect",
    ) -> BucketList:
        """List the account's buckets with their regions.

        Args:
            prefix: only buckets whose name begins so.
            region: only buckets of this region, and those whose region can't be had.
            limit: at most so many, counted after filtering.
            timeout: seconds for the call, in place of the client's.
            context: a Lambda's context: the call ends ``reserve`` seconds before the Lambda does.
            reserve: seconds that are left to the handler.
            on_error: what becomes of a bucket whose region can't be had: ``"collect"`` keeps
                it with its error, ``"raise"`` raises the first such error.

        Raises:
            errors.CredentialsError: none found, or refused.
            errors.AccessDeniedError: s3:ListAllMyBuckets is not allowed.
            errors.ThrottledError, errors.ConnectionError, errors.ServiceError, errors.ResponseError:
                after the attempts were used up.
            errors.TimeoutError: the deadline passed.
            errors.InvalidArgumentError: an argument, a setting or a closed client.
            errors.ForkError: in a forked child that can't load a library of its own.
            errors.InternalError: a defect of glowplug.
        """
        options = _query(prefix, region, limit, on_error)
        return _listed(*self._call("list", options, self._deadline(timeout, context, reserve)), on_error)

    def iter_buckets(
        self,
        *,
        prefix: str | None = None,
        region: str | None = None,
        limit: int | None = None,
        timeout: float | None = None,
        context: LambdaContext | None = None,
        reserve: float = DEFAULT_RESERVE,
        on_error: Literal["collect", "raise"] = "collect",
    ) -> Iterator[Bucket]:
        """Yield the buckets while their pages arrive, in constant memory.

        Arguments and errors are those of :meth:`list_buckets`. ``timeout`` or ``context``
        bound the whole iteration; without either, each page may take the client's time-out.
        An error in the middle is raised after the buckets that came before it.
        """
        options = _query(prefix, region, limit, on_error)
        bounded = timeout is not None or context is not None
        deadline = self._deadline(timeout, context, reserve)
        return self._walk(options, deadline if bounded else None, on_error)

    def _walk(self, options: str, deadline: float | None, on_error: str) -> Iterator[Bucket]:
        call = self._pages(options, deadline)
        try:
            while True:
                page = call.take()
                if call.done:
                    return
                yield from _page(page, on_error)
        finally:
            call.close()

    def _pages(self, options: str, deadline: float | None, notifier: str = "") -> _runtime.Call:
        client = self._open(deadline or monotonic() + self._timeout)
        if deadline is not None:
            options += _timeout(deadline)
        return _runtime.Call(client, "pages", options, deadline or float("inf"), notifier)

    def bucket_region(self, name: str, *, timeout: float | None = None, context: LambdaContext | None = None, reserve: float = DEFAULT_RESERVE) -> str:
        """Return the region of one bucket, of any account.

        Raises:
            errors.NotFoundError: there is no such bucket.
            errors.GlowplugError: as :meth:`list_buckets`.
        """
        region = self.bucket_regions([name], timeout=timeout, context=context, reserve=reserve)[name]
        if isinstance(region, errors.GlowplugError):
            raise region
        return region

    def bucket_regions(
        self,
        names: Iterable[str],
        *,
        timeout: float | None = None,
        context: LambdaContext | None = None,
        reserve: float = DEFAULT_RESERVE,
        on_error: Literal["collect", "raise"] = "collect",
    ) -> dict[str, str | errors.GlowplugError]:
        """Return the region of each name, looked up concurrently.

        With ``on_error="collect"`` a name whose region can't be had maps to its error, with
        ``"raise"`` the first such error is raised. Errors that are fatal to all (credentials,
        the deadline) are raised either way; see :meth:`list_buckets`.
        """
        wanted = _names(names, on_error)
        deadline = self._deadline(timeout, context, reserve)
        if not wanted:
            return {}
        answer, _ = self._call("regions", "".join(f"{UNIT}name={name}" for name in wanted), deadline)
        return _regions(wanted, answer, on_error)

    def close(self) -> None:
        """Cancel the calls under way and close the connections. May be called again."""
        self._closed = True
        self._release()

    def _release(self) -> None:
        """End the client in Go, unless that is a parent's: then there is nothing to end."""
        if self._owner != _runtime.process() or _runtime.is_dead():
            return
        with self._lock:
            client, self._id = self._id, None
        if client is not None:
            self._counts = _runtime.native().pybind_Close(str(client))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        # Where __init__ did not begin there are no attributes.
        if getattr(self, "_id", None) is not None:
            try:
                self.close()
            except BaseException:
                pass  # the interpreter may be half gone

    def __repr__(self) -> str:
        return self._shown

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("an S3 client holds connections and can't be pickled: make one where it is used")


def _timeout(deadline: float) -> str:
    return f"{UNIT}timeout={max(1e-3, deadline - monotonic()):.6f}"


def _check_on_error(on_error: str) -> None:
    if on_error not in ("collect", "raise"):
        raise errors.InvalidArgumentError(f"on_error={on_error!r:.40}: give 'collect' or 'raise'")


def _query(prefix: str | None, region: str | None, limit: int | None, on_error: str) -> str:
    _check_on_error(on_error)
    options = ""
    if prefix is not None:
        options += f"{UNIT}prefix={_text('prefix', prefix)}"
    if region is not None:
        options += f"{UNIT}region={_text('region', region)}"
    if limit is not None:
        options += f"{UNIT}limit={_count('limit', limit, 2**31 - 1)}"
    return options


def _listed(answer: str, counts: str, on_error: str) -> BucketList:
    fields, failed, truncated = _parse(answer)
    found = BucketList(truncated=truncated)
    # The buckets are made when one is asked for: to_dicts needs none.
    _set_raw(found, (fields, failed))
    _set_counts(found, counts)
    if on_error == "raise":
        _raise_first(b.error for b in found.errors)
    return found


def _page(answer: str, on_error: str) -> Iterator[Bucket]:
    fields, failed, _ = _parse(answer)
    for bucket in _make(fields, failed):
        if on_error == "raise" and bucket.error is not None:
            raise bucket.error
        yield bucket


def _names(names: Iterable[str], on_error: str) -> list[str]:
    _check_on_error(on_error)
    if isinstance(names, (str, bytes)) or not hasattr(names, "__iter__"):
        raise errors.ArgumentTypeError(f"names is {type(names).__name__}: give a list of names, or use bucket_region")
    return list(dict.fromkeys(_text("a bucket's name", name) for name in names))


def _regions(wanted: list[str], answer: str, on_error: str) -> dict[str, str | errors.GlowplugError]:
    found = {name: errors.decode(text[1:]) if text[0] == "E" else text[1:] for name, text in zip(wanted, answer[1:].split(UNIT))}
    if on_error == "raise":
        _raise_first(region for region in found.values() if isinstance(region, errors.GlowplugError))
    return found


def _raise_first(failures: Iterable[errors.GlowplugError | None]) -> None:
    for failure in failures:
        if failure is not None:
            raise failure
