"""S3's bucket listing: ListBuckets, HeadBucket and GetBucketLocation, with S3's errors and with faults to order.

Answers follow the S3 API reference and recorded answers of the real service.
tests/test_fakes3.py holds this server, glowplug's other fake in Go, moto and
versitygw against one table of requests and answers.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import random
import re
import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from glowplug import Bucket

from ._http import Received, Reply, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType
    from typing import TypedDict

    from typing_extensions import Self, Unpack

    class Options(TypedDict, total=False):
        """The options of :class:`FakeS3`."""

        buckets: int | Iterable[str | tuple[str, str] | Bucket]
        region: str | None
        tells_regions: bool
        page_size: int | None
        owner: str
        keys: Mapping[str, str] | None


Operation = Literal["ListBuckets", "HeadBucket", "GetBucketLocation"]

OPERATIONS: tuple[Operation, ...] = ("ListBuckets", "HeadBucket", "GetBucketLocation")
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2", "sa-east-1", "af-south-1")
CREATED = datetime(2024, 3, 1, 12, tzinfo=timezone.utc)
OWNER = "75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a"
ACCESS_KEY, SECRET_KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

MAX_PAGE = 10_000
MAX_TOKEN = 1024
QUOTA = 10_000
MAX_SKEW = timedelta(minutes=15)

XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
AS_XML = [("Content-Type", "application/xml")]
ALGORITHM = "AWS4-HMAC-SHA256"

# Settings that would lead a client elsewhere than to the fake, and are taken out of the environment.
CLEARED = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_ENDPOINT_URL",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_CA_BUNDLE",
    "AWS_MAX_ATTEMPTS",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class Request(NamedTuple):
    """A request that the fake got.

    Attributes:
        method: ``"GET"`` or ``"HEAD"``, or what else was sent.
        path: decoded, with its slash: ``"/"`` or ``"/logs"``.
        query: decoded; where a name came twice its last value.
        operation: what S3 calls it, empty where it is none that the fake knows.
        bucket: the bucket it is about, else empty.
    """

    method: str
    path: str
    query: dict[str, str]
    operation: Operation | Literal[""]
    bucket: str


class _Refusal(Exception):
    """An error of S3's; the fields are further elements."""

    def __init__(self, status: int, code: str, message: str, **fields: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.fields = status, code, message, fields
        self.headers: list[tuple[str, str]] = []


@dataclass
class _Fault:
    kind: Literal["throttle", "deny", "slow", "drop"]
    times: int | None
    every: int
    operation: Operation | None
    bucket: str | None
    seconds: float = 0.0
    seen: int = 0
    done: int = 0

    def strikes(self, request: Request) -> bool:
        if self.operation not in (None, request.operation) or self.bucket not in (None, request.bucket):
            return False
        if self.times is not None and self.done >= self.times:
            return False
        self.seen += 1
        if self.seen % self.every:
            return False
        self.done += 1
        return True


@dataclass(frozen=True)
class _Caller:
    """Who signed a request, and for which region; nobody did where the key is empty."""

    key: str = ""
    region: str = ""


class _Account:
    """The simulated account: what it holds, and what S3 answers for it."""

    def __init__(
        self,
        buckets: int | Iterable[str | tuple[str, str] | Bucket] = 100,
        region: str | None = None,
        tells_regions: bool = True,
        page_size: int | None = None,
        owner: str = OWNER,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        if page_size is not None:
            _whole("page_size", page_size, MAX_PAGE)
        self.region = None if region is None else _region(region)
        self.tells_regions = tells_regions
        self.page_size = page_size
        self.owner = owner
        self.keys = dict(keys or {})
        self.buckets: dict[str, Bucket] = {}
        self.foreign: set[str] = set()
        self._names: list[str] | None = None
        for bucket in _given(buckets):
            self.add(bucket)

    def add(self, bucket: Bucket, foreign: bool = False) -> None:
        if bucket.name in self.buckets:
            raise ValueError(f"there is a bucket {bucket.name!r} already")
        self.buckets[bucket.name] = bucket
        if foreign:
            self.foreign.add(bucket.name)
        self._names = None

    def remove(self, name: str) -> None:
        del self.buckets[name]
        self.foreign.discard(name)
        self._names = None

    def names(self) -> list[str]:
        """The account's own buckets in S3's order."""
        if self._names is None:
            self._names = sorted(name for name in self.buckets if name not in self.foreign)
        return self._names

    def answer(self, request: Request, received: Received) -> Reply:
        try:
            caller, refused = self._authenticate(received), None
        except _Refusal as e:
            caller, refused = _Caller(), e
        if request.operation == "ListBuckets":
            if refused:
                raise refused
            if not caller.key:
                # What s3.amazonaws.com answers to GET / without a signature.
                return Reply(307, [("Location", "https://aws.amazon.com/s3/")])
            return self._list(request.query)
        if not request.bucket:
            message = "The specified method is not allowed against this resource."
            raise _Refusal(405, "MethodNotAllowed", message, Method=request.method, ResourceType="SERVICE")
        bucket = self.buckets.get(request.bucket)
        if bucket is None:
            raise refused or _Refusal(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=request.bucket)
        try:
            answer = self._of_bucket(request, bucket, caller)
            if refused:
                raise refused
            return answer
        except _Refusal as e:
            if refused:
                e = refused
            if e.status != 501:
                # S3 tells the region whatever it refuses (API reference, HeadBucket).
                e.headers.append(("x-amz-bucket-region", bucket.region or REGIONS[0]))
            raise e from None

    def _of_bucket(self, request: Request, bucket: Bucket, caller: _Caller) -> Reply:
        region = bucket.region or REGIONS[0]
        if not caller.key or bucket.name in self.foreign:
            raise _denied()
        if not request.operation:
            raise _Refusal(501, "NotImplemented", "FakeS3 answers ListBuckets, HeadBucket and GetBucketLocation only: use a moto server for the rest")
        if request.operation == "HeadBucket":
            if self.region not in (None, region):
                message = "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint."
                raise _Refusal(301, "PermanentRedirect", message, Endpoint=f"s3.{region}.amazonaws.com", Bucket=bucket.name)
            return Reply(200, [("x-amz-bucket-region", region), ("x-amz-access-point-alias", "false"), *AS_XML])
        # The oldest buckets of eu-west-1 say EU; those of us-east-1 say nothing at all (API reference, GetBucketLocation).
        told = {"us-east-1": "", "eu-west-1": "EU" if bucket.created and bucket.created.year < 2014 else region}.get(region, region)
        end = f">{told}</LocationConstraint>" if told else "/>"
        return Reply(200, AS_XML, f'{XML}<LocationConstraint xmlns="{NAMESPACE}"{end}'.encode())

    def _list(self, query: Mapping[str, str]) -> Reply:
        """The messages are those of the real service as versitygw's issues 1804 and 1930 record them."""
        prefix, region, given = (query.get(name, "") for name in ("prefix", "bucket-region", "max-buckets"))
        limit = MAX_PAGE
        if given:
            try:
                limit = int(given)
            except ValueError:
                raise _invalid("Provided max-buckets not an integer or within integer range", "max-buckets", ArgumentValue=given) from None
            if not 1 <= limit <= MAX_PAGE:
                raise _invalid("Argument max-buckets must be an integer between 1 and 10000.", "max-buckets", ArgumentValue=given)
        if region and self.region not in (None, region):
            raise _invalid("Requests with bucket-region specified must be made to the corresponding regional endpoint", "bucket-region")
        token = query.get("continuation-token", "")
        start = _read_token(token) if token else ""
        paginated = bool(prefix or region or given or token)
        names = self.names()
        if not paginated and len(names) > QUOTA:
            # The API reference says that these are rejected, not with which code.
            message = "Unpaginated ListBuckets requests are not supported for accounts with a general purpose bucket quota above 10,000. Send max-buckets."
            raise _Refusal(400, "InvalidRequest", message)
        if self.page_size and paginated:
            limit = min(limit, self.page_size)
        return Reply(200, AS_XML, self._page(prefix, region, start, limit, paginated and self.tells_regions).encode())

    def _page(self, prefix: str, region: str, start: str, limit: int, tell: bool) -> str:
        names = self.names()
        parts: list[str] = []
        rest = ""
        for i in range(bisect_left(names, max(start, prefix)), len(names)):
            bucket = self.buckets[names[i]]
            if not bucket.name.startswith(prefix):
                break
            if region and bucket.region != region:
                continue
            if len(parts) == limit:
                rest = f"<ContinuationToken>{_make_token(bucket.name)}</ContinuationToken>"
                break
            told = f"<BucketRegion>{bucket.region}</BucketRegion>" if tell else ""
            parts.append(f"<Bucket><Name>{bucket.name}</Name><CreationDate>{_date(bucket.created or CREATED)}</CreationDate>{told}</Bucket>")
        echo = f"<Prefix>{_escaped(prefix)}</Prefix>" if prefix else ""
        head = f'{XML}<ListAllMyBucketsResult xmlns="{NAMESPACE}"><Owner><ID>{_escaped(self.owner)}</ID></Owner>'
        return f"{head}<Buckets>{''.join(parts)}</Buckets>{echo}{rest}</ListAllMyBucketsResult>"

    def _authenticate(self, received: Received) -> _Caller:
        """Check the Authorization header (SigV4 of AWS's General Reference; signed queries are not part of this surface)."""
        header = received.header("authorization")
        if not header:
            return _Caller()
        if not header.startswith(ALGORITHM + " "):
            raise _invalid("Unsupported Authorization Type", "Authorization", ArgumentValue=header)
        parts: dict[str, str] = {}
        for part in header[len(ALGORITHM) + 1 :].split(","):
            name, _, parts[name] = part.strip().partition("=")
        # An access key may hold slashes: the scope is the last four parts.
        key, *scope = parts.get("Credential", "").rsplit("/", 4)
        if len(scope) < 4 or not key or "SignedHeaders" not in parts or not parts.get("Signature"):
            message = 'The authorization header is malformed; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
            raise _Refusal(400, "AuthorizationHeaderMalformed", message)
        if self.region not in (None, scope[1]):
            message = f"The authorization header is malformed; the region '{scope[1]}' is wrong; expecting '{self.region}'"
            raise _Refusal(400, "AuthorizationHeaderMalformed", message, Region=str(self.region))
        if self.keys:
            if key not in self.keys:
                raise _Refusal(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", AWSAccessKeyId=key)
            _verify(received, key, self.keys[key], scope, parts)
        return _Caller(key, scope[1])


def _verify(received: Received, key: str, secret: str, scope: list[str], parts: dict[str, str]) -> None:
    if token := received.header("x-amz-security-token"):
        raise _Refusal(400, "InvalidToken", "The provided token is malformed or otherwise invalid.", **{"Token-0": token})
    date, now = received.header("x-amz-date"), datetime.now(timezone.utc)
    try:
        at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        at = None
    if at is None or not date.startswith(scope[0]):
        raise _Refusal(403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    if abs(now - at) > MAX_SKEW:
        raise _Refusal(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            RequestTime=date,
            ServerTime=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            MaxAllowedSkewMilliseconds=str(int(MAX_SKEW.total_seconds() * 1000)),
        )
    payload = received.header("x-amz-content-sha256")
    if not payload:
        raise _Refusal(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    path, _, query = received.target.partition("?")
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(query, keep_blank_values=True))
    canonical = [received.method, path, "&".join("=".join(pair) for pair in pairs)]
    for name in parts["SignedHeaders"].split(";"):
        values = received.headers.get(name, ["0"] if name == "content-length" else [])
        canonical.append(f"{name}:{','.join(' '.join(value.split()) for value in values)}")
    whole = "\n".join([*canonical, "", parts["SignedHeaders"], payload])
    to_sign = "\n".join([ALGORITHM, date, "/".join(scope), hashlib.sha256(whole.encode()).hexdigest()])
    derived = b"AWS4" + secret.encode()
    for part in (*scope, to_sign):
        derived = hmac.digest(derived, part.encode(), "sha256")
    if not hmac.compare_digest(derived.hex().encode(), parts["Signature"].encode()):
        raise _Refusal(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            AWSAccessKeyId=key,
            StringToSign=to_sign,
            SignatureProvided=parts["Signature"],
            StringToSignBytes=to_sign.encode().hex(" "),
            CanonicalRequest=whole,
            CanonicalRequestBytes=whole.encode().hex(" "),
        )


class FakeS3:
    """S3's bucket listing for tests: ListBuckets, HeadBucket and GetBucketLocation on a loopback port.

    A server in this process, with one daemon thread, that any S3 client can use. It
    runs inside ``with``, or between :meth:`start` and :meth:`close`; after that no
    thread and no socket is left. Its methods may be called from any thread, while
    requests are under way. It pages, filters, orders, refuses and numbers its answers
    as S3 does. Any other operation is answered with 501 NotImplemented.

    A forked child can send requests to its parent's server, and sees nothing of what it gets.

    Args:
        buckets: so many, named ``bucket-00000`` and so on, in seven regions by turns;
            or each as its name (in us-east-1), as ``(name, region)`` or as a
            :class:`glowplug.Bucket`. Unless a Bucket says otherwise they were created
            on 2024-03-01 at 12:00 UTC.
        region: the region of this endpoint: a signature for another and a filter by
            another are refused, and a bucket of another answers HeadBucket with 301,
            as S3's regional endpoints do. None serves all regions alike.
        tells_regions: whether listings tell each bucket's region where the request has a
            parameter, as S3 does; False: never, as moto, so that clients ask for each.
        page_size: at most so many buckets in a page, 1 to 10,000, whatever the client
            asks for; so that a few buckets make many pages. None: as S3.
        owner: the canonical id of the account.
        keys: secret keys by access key id, against which signatures are verified. None:
            any signature is right. Without a signature every request is refused.

    Raises:
        TypeError, ValueError: an option can't be used.

    Attributes:
        ACCESS_KEY, SECRET_KEY: the credentials in :attr:`environ`; AWS's documented example.
    """

    ACCESS_KEY = ACCESS_KEY
    SECRET_KEY = SECRET_KEY

    def __init__(
        self,
        buckets: int | Iterable[str | tuple[str, str] | Bucket] = 100,
        *,
        region: str | None = None,
        tells_regions: bool = True,
        page_size: int | None = None,
        owner: str = OWNER,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(buckets, (int, str)):
            buckets = tuple(buckets)  # reset() needs them again
        self._options: Options = {"buckets": buckets, "region": region, "tells_regions": tells_regions, "page_size": page_size, "owner": owner, "keys": keys}
        self._lock = threading.Lock()
        self._ids = random.Random()
        self._server: Server | None = None
        self.reset()

    def start(self) -> Self:
        """Listen on a free port of 127.0.0.1. Without effect on a server that runs."""
        if self._server is None:
            self._server = Server(self._answer)
        return self

    def close(self) -> None:
        """End the thread and close every connection. May be called again; :meth:`start` begins anew, on another port."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        where = self.url if self._server else "not started"
        return f"<FakeS3 {where}, {len(self.buckets)} buckets>"

    @property
    def url(self) -> str:
        """The endpoint, such as ``http://127.0.0.1:40963``.

        Raises:
            RuntimeError: the server does not run.
        """
        if self._server is None:
            raise RuntimeError("this FakeS3 does not run: use it in `with FakeS3() as s3`, or call start()")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables that make glowplug, boto3 and other SDKs use this server and nothing of this machine's settings."""
        region = self._account.region or REGIONS[0]
        key, secret = next(iter(self._account.keys.items()), (ACCESS_KEY, SECRET_KEY))
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    @contextlib.contextmanager
    def patch_environ(self) -> Generator[Self, None, None]:
        """Set :attr:`environ` in ``os.environ`` for a ``with`` block, without what contradicts it (a profile, a session token, proxies).

        A client reads the environment when it is made: make it inside.
        """
        wanted: dict[str, str | None] = {**dict.fromkeys(CLEARED), **self.environ}
        if any(os.environ.get(name) for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")):
            for name in ("no_proxy", "NO_PROXY"):
                wanted[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))
        before = {name: os.environ.get(name) for name in wanted}
        _set_environ(wanted)
        try:
            yield self
        finally:
            _set_environ(before)

    @property
    def requests(self) -> list[Request]:
        """The requests so far, or since :meth:`reset`, in the order in which they came. A copy."""
        with self._lock:
            return list(self._requests)

    @property
    def buckets(self) -> list[Bucket]:
        """What the account holds, in S3's order, as glowplug lists it: ``list(s3.list_buckets()) == fake.buckets``."""
        with self._lock:
            return [self._account.buckets[name] for name in self._account.names()]

    def add_bucket(self, name: str, region: str = "us-east-1", *, created: datetime | None = None, foreign: bool = False) -> Bucket:
        """Add a bucket and return it.

        Args:
            name: 3 to 255 of letters, digits, ``.``, ``_`` and ``-``: what S3 ever allowed.
            region: where it lives.
            created: an aware datetime; None: now. S3 tells milliseconds.
                One of eu-west-1 made before 2014 has the location ``EU``, as those have on S3.
            foreign: it is another account's: not listed, and refused with its region when asked for.

        Raises:
            ValueError: there is one of that name, or an argument can't be used.
        """
        bucket = _bucket(name, region, datetime.now(timezone.utc) if created is None else created)
        with self._lock:
            self._account.add(bucket, foreign)
        return bucket

    def delete_bucket(self, name: str) -> None:
        """Remove a bucket.

        Raises:
            KeyError: there is none of that name.
        """
        with self._lock:
            self._account.remove(name)

    def throttle(self, *, times: int | None = None, every: int = 1, operation: Operation | None = None, bucket: str | None = None) -> None:
        """Answer 503 SlowDown.

        The arguments narrow which requests suffer, here and in the other faults; a
        request meets all faults that select it: delays add up, the first that
        answers wins.

        Args:
            times: as often as that, then no more; None: until :meth:`reset_faults`.
            every: only each so-manieth of the requests that the other arguments select.
            operation: only this one.
            bucket: only requests for this bucket.

        Raises:
            ValueError: an argument can't be used.
        """
        self._order("throttle", times, every, operation, bucket)

    def deny(self, bucket: str | None = None, *, times: int | None = None, every: int = 1, operation: Operation | None = None) -> None:
        """Answer 403 AccessDenied, to everything or for one bucket; with the bucket's region, as S3. See :meth:`throttle`."""
        self._order("deny", times, every, operation, bucket)

    def slow(self, seconds: float, *, times: int | None = None, every: int = 1, operation: Operation | None = None, bucket: str | None = None) -> None:
        """Answer so many seconds late. Other connections are not held up. See :meth:`throttle`."""
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds={seconds!r}: give a finite number that is not negative")
        self._order("slow", times, every, operation, bucket, seconds)

    def drop(self, times: int | None = None, *, every: int = 1, operation: Operation | None = None, bucket: str | None = None) -> None:
        """Close the connection in place of an answer. See :meth:`throttle`."""
        self._order("drop", times, every, operation, bucket)

    def reset_faults(self) -> None:
        """End all faults. What is held up already stays so."""
        with self._lock:
            self._faults.clear()

    def reset(self, **options: Unpack[Options]) -> None:
        """Make the account as it was at first, but for the options given; forget requests, end faults. The address stays."""
        account = _Account(**{**self._options, **options})  # type: ignore[arg-type]
        with self._lock:
            self._account = account
            self._requests: list[Request] = []
            self._faults: list[_Fault] = []

    def _order(
        self,
        kind: Literal["throttle", "deny", "slow", "drop"],
        times: int | None,
        every: int,
        operation: Operation | None,
        bucket: str | None,
        seconds: float = 0.0,
    ) -> None:
        if times is not None:
            _whole("times", times)
        _whole("every", every)
        if operation not in (None, *OPERATIONS):
            raise ValueError(f"operation={operation!r}: give one of {', '.join(OPERATIONS)}")
        with self._lock:
            self._faults.append(_Fault(kind, times, every, operation, bucket, seconds))

    def _answer(self, received: Received) -> Reply:
        """Answer a request; the server's thread calls it."""
        request = _understood(received)
        with self._lock:
            self._requests.append(request)
            struck = [fault for fault in self._faults if fault.strikes(request)]
            reply = self._after(struck, request, received)
        reply.delay = sum(fault.seconds for fault in struck)
        return reply

    def _after(self, struck: list[_Fault], request: Request, received: Received) -> Reply:
        id_ = "".join(self._ids.choices("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=16))
        host_id = base64.b64encode(self._ids.randbytes(56)).decode()
        headers = [("x-amz-request-id", id_), ("x-amz-id-2", host_id), ("Server", "AmazonS3")]
        try:
            for fault in struck:
                if fault.kind == "drop":
                    return Reply(0, drop=True)
                if fault.kind == "throttle":
                    raise _Refusal(503, "SlowDown", "Please reduce your request rate.")
                if fault.kind == "deny":
                    raise self._denied(request.bucket)
            reply = self._account.answer(request, received)
        except _Refusal as e:
            fields = {"Code": e.code, "Message": e.message, **e.fields, "RequestId": id_, "HostId": host_id}
            body = "".join(f"<{name}>{_escaped(value)}</{name}>" for name, value in fields.items())
            reply = Reply(e.status, [*e.headers, *AS_XML], f"{XML}<Error>{body}</Error>".encode())
        reply.headers = [*headers, *reply.headers]
        return reply

    def _denied(self, name: str) -> _Refusal:
        refusal = _denied()
        if bucket := self._account.buckets.get(name):
            refusal.headers.append(("x-amz-bucket-region", bucket.region or REGIONS[0]))
        return refusal


def _set_environ(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _understood(received: Received) -> Request:
    """Find out what is asked for, path-style or virtual-hosted below localhost."""
    path, _, query_text = received.target.partition("?")
    query = dict(parse_qsl(query_text, keep_blank_values=True))
    host, below, _ = received.header("host").partition(".localhost")
    bucket, _, key = f"{host}{unquote(path)}".partition("/") if below else unquote(path).lstrip("/").partition("/")
    operation: Operation | Literal[""] = ""
    if received.method == "GET" and not bucket:
        operation = "ListBuckets"
    elif received.method == "HEAD" and bucket and not key:
        operation = "HeadBucket"
    elif received.method == "GET" and "location" in query and not key:
        operation = "GetBucketLocation"
    return Request(received.method, unquote(path), query, operation, bucket)


def _whole(name: str, value: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} is {type(value).__name__}: give an int")
    if value < 1 or most is not None and value > most:
        raise ValueError(f"{name}={value}: give a whole number from 1{f' to {most:,}' if most else ' on'}")


def _region(region: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,63}", region):
        raise ValueError(f"region={region!r}: give one such as eu-west-1")
    return region


def _bucket(name: str, region: str, created: datetime) -> Bucket:
    if not re.fullmatch(r"[A-Za-z0-9._-]{3,255}", name):
        raise ValueError(f"{name!r:.80} is no bucket's name: give 3 to 255 of letters, digits, '.', '_' and '-'")
    # S3 tells milliseconds, and what is listed is to be equal to what was given.
    return Bucket(name, _region(region), created.replace(microsecond=created.microsecond // 1000 * 1000))


def _given(buckets: int | Iterable[str | tuple[str, str] | Bucket]) -> Iterable[Bucket]:
    if isinstance(buckets, bool) or isinstance(buckets, str):
        raise TypeError(f"buckets is {type(buckets).__name__}: give how many, or a list of names, of (name, region) or of Buckets")
    if isinstance(buckets, int):
        if buckets < 0:
            raise ValueError(f"buckets={buckets}: give how many, 0 or more")
        return [_bucket(f"bucket-{i:05d}", REGIONS[i % len(REGIONS)], CREATED) for i in range(buckets)]
    return [
        _bucket(b.name, b.region or REGIONS[0], b.created or CREATED)
        if isinstance(b, Bucket)
        else _bucket(*((b, REGIONS[0]) if isinstance(b, str) else b), created=CREATED)
        for b in buckets
    ]


def _denied() -> _Refusal:
    return _Refusal(403, "AccessDenied", "Access Denied")


def _invalid(message: str, name: str, **fields: str) -> _Refusal:
    return _Refusal(400, "InvalidArgument", message, ArgumentName=name, **fields)


def _date(at: datetime) -> str:
    return at.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;").replace("\r", "&#13;")


def _make_token(name: str) -> str:
    """Hide the name of the next page's first bucket behind a checksum, so that any other text is told apart."""
    text = name.encode()
    sum_ = binascii.crc32(b"fakes3" + text).to_bytes(4, "big")
    return base64.urlsafe_b64encode(sum_ + bytes(c ^ sum_[i % 4] for i, c in enumerate(text))).rstrip(b"=").decode()


def _read_token(token: str) -> str:
    with contextlib.suppress(ValueError):
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        name = bytes(c ^ raw[i % 4] for i, c in enumerate(raw[4:])).decode()
        if len(token) <= MAX_TOKEN and name and _make_token(name) == token:
            return name
    raise _invalid("The continuation token provided is incorrect", "continuation-token")
