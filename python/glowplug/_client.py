"""The drop-in for boto3's S3 client: its calls, its answers and its errors, for the operations that glowplug does.

``glowplug.client`` loads this module; ``import glowplug`` does not.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import os
import sys
from datetime import datetime

from . import errors
from ._runtime import UNIT
from ._s3 import S3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Literal, Protocol, TypedDict

    from typing_extensions import NotRequired, Required, Unpack

    class ListBucketsInput(TypedDict, total=False):
        MaxBuckets: int
        ContinuationToken: str
        Prefix: str
        BucketRegion: str

    class BucketInput(TypedDict, total=False):
        Bucket: Required[str]
        ExpectedBucketOwner: str

    class PaginationConfig(TypedDict, total=False):
        MaxItems: int | str | None
        PageSize: int | str | None
        StartingToken: str | None

    class PaginateInput(TypedDict, total=False):
        MaxBuckets: int
        ContinuationToken: str
        Prefix: str
        BucketRegion: str
        PaginationConfig: PaginationConfig

    class ResponseMetadata(TypedDict):
        RequestId: NotRequired[str]
        HostId: NotRequired[str]
        HTTPStatusCode: int
        HTTPHeaders: dict[str, str]
        MaxAttemptsReached: NotRequired[bool]
        RetryAttempts: int

    class Bucket(TypedDict):
        Name: str
        CreationDate: datetime
        BucketRegion: NotRequired[str]

    class Owner(TypedDict, total=False):
        DisplayName: str
        ID: str

    class ListBucketsOutput(TypedDict):
        Buckets: list[Bucket]
        Owner: NotRequired[Owner]
        ContinuationToken: NotRequired[str]
        Prefix: NotRequired[str]
        ResponseMetadata: ResponseMetadata

    class FullResult(TypedDict):
        Buckets: list[Bucket]
        Owner: Owner | None
        Prefix: str | None
        NextToken: NotRequired[str]

    class HeadBucketOutput(TypedDict):
        BucketArn: NotRequired[str]
        BucketLocationType: NotRequired[str]
        BucketLocationName: NotRequired[str]
        BucketRegion: NotRequired[str]
        AccessPointAlias: NotRequired[bool]
        ResponseMetadata: ResponseMetadata

    class GetBucketLocationOutput(TypedDict):
        LocationConstraint: str | None
        ResponseMetadata: ResponseMetadata

    class BotocoreConfig(Protocol):
        """A ``botocore.config.Config``, or what has attributes of its names."""

        def __init__(self) -> None: ...

_OPERATIONS = {"list_buckets": "ListBuckets", "head_bucket": "HeadBucket", "get_bucket_location": "GetBucketLocation"}
_SUPPORTED = "glowplug's client does list_buckets, head_bucket, get_bucket_location and the paginator of list_buckets"


# --- errors ---


class NotSupportedError(errors.GlowplugError, NotImplementedError):
    """boto3 can do this, and glowplug's client can't. The message says what it can."""

    kind = "not_supported"


class _NotSupportedAttributeError(NotSupportedError, AttributeError):
    """An attribute that boto3's client has: ``hasattr`` says no to it."""


class ClientError(errors.GlowplugError):
    """S3 refused the call, in the shape of ``botocore.exceptions.ClientError``.

    What is raised is also the leaf of :mod:`glowplug.errors` for the cause
    (:class:`~glowplug.errors.AccessDeniedError`, ...), the exception of
    ``client.exceptions`` for the code, and botocore's own ClientError where botocore
    has been imported.

    Attributes:
        response: ``{"Error": {"Code", "Message", ...}, "ResponseMetadata": {...}}``.
        operation_name: ``"ListBuckets"``, ``"HeadBucket"`` or ``"GetBucketLocation"``.
    """

    def __init__(self, error_response: Mapping[str, Any], operation_name: str, *, bucket: str = "", retryable: bool = False) -> None:
        error = error_response.get("Error", {})
        metadata = error_response.get("ResponseMetadata", {})
        retries = f" (reached max retries: {metadata['RetryAttempts']})" if metadata.get("MaxAttemptsReached") and "RetryAttempts" in metadata else ""
        text = f"An error occurred ({error.get('Code', 'Unknown')}) when calling the {operation_name} operation{retries}: {error.get('Message', 'Unknown')}"
        # Past the leaf and botocore's class, whose arguments are others.
        Exception.__init__(self, text)
        self.response: Mapping[str, Any] = error_response
        self.operation_name = operation_name
        self.message: str = error.get("Message") or ""
        self.code: str = error.get("Code") or ""
        self.status: int = metadata.get("HTTPStatusCode", 0)
        self.request_id: str = metadata.get("RequestId", "")
        self.operation = operation_name
        self.bucket = bucket
        self.retryable = retryable

    def __str__(self) -> str:
        return str(self.args[0])

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and isinstance(other, ClientError) and self.response == other.response

    def __hash__(self) -> int:
        return super().__hash__()

    def __reduce__(self) -> tuple[Any, ...]:
        return _refusal, (self.response, self.operation_name, self.kind, self.bucket, self.retryable)


class ParamValidationError(errors.InvalidArgumentError):
    """A parameter is missing, unknown or can't be used: nothing was sent. The shape of botocore's.

    Attributes:
        kwargs: ``{"report": what is wrong, a line each}``.
    """

    def __init__(self, *, report: str, operation: str = "") -> None:
        Exception.__init__(self, f"Parameter validation failed:\n{report}")
        self.kwargs = {"report": report}
        self.message = self.args[0]
        self.code = "ParamValidation"
        self.status = 0
        self.request_id = self.bucket = ""
        self.operation = operation
        self.retryable = False

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return _invalid, (self.kwargs["report"], self.operation, isinstance(self, TypeError))


class _Failure(errors.GlowplugError):
    """An error without an answer of S3, beside the class that botocore has for it."""

    def __init__(self, like: str, error: errors.GlowplugError, kwargs: dict[str, str]) -> None:
        Exception.__init__(self, *error.args)
        self.__dict__.update(error.__dict__)
        self.kwargs = kwargs
        self.request = self.response = None  # of botocore's HTTPClientError
        self._plain = like, error

    def __reduce__(self) -> tuple[Any, ...]:
        return _failure, (*self._plain, self.kwargs)


# The exception of botocore for the codes of errors that have no answer of S3.
_LIKE = {
    "NoCredentials": "NoCredentialsError",
    "PartialCredentials": "PartialCredentialsError",
    "IncompleteCredentials": "PartialCredentialsError",
    "CredentialsError": "CredentialRetrievalError",
    "ExpiredCredentials": "CredentialRetrievalError",
    "CredentialsTimeout": "CredentialRetrievalError",
    "InvalidRegion": "InvalidRegionError",
    "HostNotFound": "EndpointConnectionError",
    "HostLookupFailed": "EndpointConnectionError",
    "ConnectionRefused": "EndpointConnectionError",
    "NetworkUnreachable": "EndpointConnectionError",
    "ConnectTimeout": "ConnectTimeoutError",
    "AttemptTimeout": "ReadTimeoutError",
    "DeadlineExceeded": "ReadTimeoutError",
    "ConnectionReset": "ConnectionClosedError",
    "EOF": "ConnectionClosedError",
    "IncompleteBody": "ConnectionClosedError",
    "NotHTTP": "ConnectionClosedError",
    "ConnectionFailed": "HTTPClientError",
    "HeaderTooLarge": "HTTPClientError",
    "ProxyRefused": "ProxyConnectionError",
    "ProxyUnreachable": "ProxyConnectionError",
    "CertificateExpired": "SSLError",
    "CertificateHostMismatch": "SSLError",
    "CertificateInvalid": "SSLError",
    "CertificateNotTrusted": "SSLError",
    "NotTLS": "SSLError",
    "TLSFailed": "SSLError",
    "TLSVersion": "SSLError",
    "RepeatedToken": "PaginationError",
}

# The names that boto3's client.exceptions has beside ClientError.
_MODELED = (
    "AccessDenied AnnotationLimitExceeded AnnotationNameTooLong BucketAlreadyExists BucketAlreadyOwnedByYou EncryptionTypeMismatch "
    "IdempotencyParameterMismatch InvalidAnnotationName InvalidObjectState InvalidPrefix InvalidRequest InvalidWriteOffset NoSuchAnnotation "
    "NoSuchBucket NoSuchKey NoSuchUpload ObjectAlreadyInActiveTierError ObjectNotInActiveTierError TooManyParts UnsupportedMediaType"
).split()

_classes: dict[tuple[type, ...], type] = {}
_modeled: dict[str, type[ClientError]] = {}


def _botocore(name: str) -> type | None:
    """Return a class of botocore's exceptions where somebody has imported them."""
    return getattr(sys.modules.get("botocore.exceptions"), name, None)


def _join(name: str, *bases: type[Any] | None) -> type[Any]:
    """Return the class that is all of ``bases`` at once."""
    given = tuple(dict.fromkeys(base for base in bases if base is not None))
    # A base that another one has already would be out of order.
    least = tuple(b for b in given if not any(b is not other and issubclass(other, b) for other in given))
    if len(least) == 1:
        return least[0]
    # Two threads at once make the same class twice; the first one stays.
    return _classes.get(least) or _classes.setdefault(least, type(name, least, {"__module__": __name__}))


def _of_code(code: str) -> type[ClientError]:
    """Return the class of ``client.exceptions`` for an error code."""
    if code not in _MODELED:
        return ClientError
    return _modeled.get(code) or _modeled.setdefault(code, type(code, (ClientError,), {"__module__": __name__}))


def _refusal(response: Mapping[str, Any], operation: str, kind: str, bucket: str, retryable: bool) -> ClientError:
    found = _of_code(response["Error"].get("Code") or "")
    leaf = errors._LEAVES.get(kind, errors.ServiceError)
    error: ClientError = _join(found.__name__, found, leaf, _botocore("ClientError"))(response, operation, bucket=bucket, retryable=retryable)
    return error


def _invalid(report: str, operation: str, is_type: bool) -> ParamValidationError:
    leaf = errors.ArgumentTypeError if is_type else None
    error: ParamValidationError = _join("ParamValidationError", ParamValidationError, leaf, _botocore("ParamValidationError"))(report=report, operation=operation)
    return error


def _failure(like: str, error: errors.GlowplugError, kwargs: dict[str, str]) -> errors.GlowplugError:
    base = _botocore(like)
    if base is None:
        return error
    failure: errors.GlowplugError = _join(like, _Failure, type(error), base)(like, error, kwargs)
    return failure


def _as_botocore(error: errors.GlowplugError, **kwargs: str) -> errors.GlowplugError:
    """Return an error that botocore's exception for its cause catches as well, where there is one."""
    like = _LIKE.get(error.code)
    return error if like is None else _failure(like, error, {**kwargs, "error": error.message})


_ClientError = ClientError


class Exceptions:
    """``client.exceptions``: ClientError, and a subclass for each error code that boto3 has one for."""

    ClientError: type[_ClientError] = ClientError

    def __getattr__(self, name: str) -> type[_ClientError]:
        if name in _MODELED:
            return _of_code(name)
        raise AttributeError(f"{self!r} object has no attribute {name}. Valid exceptions are: {', '.join(_MODELED)}")

    def from_code(self, error_code: str) -> type[_ClientError]:
        """Return the exception for an error code, ClientError where it has none of its own."""
        return _of_code(error_code)


# --- the error's body ---

_DEEPEST = 32  # levels of elements; S3's errors have two


class _BadXML(Exception):
    pass


def _parse_xml(body: str) -> tuple[str, dict[str, Any]]:
    """Return the root's name and its elements: a dict of what is within each, else its text or None.

    Of elements that repeat botocore keeps what is within the first, and so does this.
    There is no DOCTYPE in what S3 sends, and so no entity to expand: one is an error.
    """
    from pyexpat import ExpatError, ParserCreate

    root: list[tuple[str, dict[str, Any]]] = []
    stack: list[tuple[str, dict[str, Any], list[str]]] = []

    def start(name: str, _: dict[str, str]) -> None:
        if len(stack) == _DEEPEST:
            raise _BadXML
        if stack:
            name = name.rpartition(" ")[2]
        stack.append((name, {}, []))

    def end(_: str) -> None:
        name, children, text = stack.pop()
        if not stack:
            root.append((name, children))
            return
        value = children or "".join(text) or None
        siblings = stack[-1][1]
        if name not in siblings:
            siblings[name] = value
        elif not isinstance(siblings[name], dict):
            siblings[name] = {}

    def text(data: str) -> None:
        # Blanks between elements belong to nobody.
        if stack:
            stack[-1][2].append(data)

    def refuse(*_: object) -> None:
        raise _BadXML

    parser = ParserCreate("utf-8", " ")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(body.encode("utf-8", "replace"), True)
    except ExpatError as e:
        raise _BadXML from e
    return root[0]


def _phrase(status: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _error(status: int, headers: dict[str, str], body: str) -> dict[str, Any]:
    """Return the answer of a refusal, as botocore.parsers.RestXMLParser makes it."""
    by_status = {"Code": str(status), "Message": _phrase(status)}
    stripped = body.strip()
    if status >= 500 and (not stripped or stripped.startswith("<html>")):
        return {"Error": by_status, "ResponseMetadata": {}}
    if body:
        try:
            name, fields = _parse_xml(body)
        except _BadXML:
            pass
        else:
            if name == "Error":
                fields.pop("RequestId", "")
                fields.pop("HostId", "")
                return {"Error": fields, "ResponseMetadata": _ids(headers)}
            answer: dict[str, Any] = {"Error": {"Message": "", "Code": ""}}
            if "RequestId" in fields:
                answer["ResponseMetadata"] = {"RequestId": fields.pop("RequestId")}
            error = fields.pop("Error", {})
            if isinstance(error, dict):
                answer["Error"].update(error)
            return {**answer, **fields}
    return {"Error": by_status, "ResponseMetadata": {"RequestId": headers.get("x-amz-request-id", ""), "HostId": headers.get("x-amz-id-2", "")}}


def _ids(headers: dict[str, str]) -> dict[str, Any]:
    if "x-amzn-requestid" in headers:
        return {"RequestId": headers["x-amzn-requestid"]}
    if "x-amz-request-id" in headers:
        return {"RequestId": headers["x-amz-request-id"], "HostId": headers.get("x-amz-id-2", "")}
    return {}


# --- parameters ---

_INPUTS: dict[str, dict[str, type]] = {
    "ListBuckets": {"MaxBuckets": int, "ContinuationToken": str, "Prefix": str, "BucketRegion": str},
    "HeadBucket": {"Bucket": str, "ExpectedBucketOwner": str},
    "GetBucketLocation": {"Bucket": str, "ExpectedBucketOwner": str},
}

_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_")

_NAME_RULE = (
    r'Bucket name must match the regex "^[a-zA-Z0-9.\-_]{1,255}$" or be an ARN matching the regex '
    r'"^arn:(aws).*:(s3|s3-object-lambda):[a-z\-0-9]*:[0-9]{12}:accesspoint[/:][a-zA-Z0-9\-.]{1,63}$|'
    r'^arn:(aws).*:s3-outposts:[a-z\-0-9]+:[0-9]{12}:outpost[/:][a-zA-Z0-9\-]{1,63}[/:]accesspoint[/:][a-zA-Z0-9\-]{1,63}$"'
)


def _options(operation: str, params: Mapping[str, Any]) -> str:
    """Check the parameters of an operation and return them as Go reads them.

    Raises:
        ParamValidationError: with the text of botocore.validate.
        NotSupportedError: a kind of bucket that glowplug does not reach.
    """
    members = _INPUTS[operation]
    bucket: object = params.get("Bucket", "none")
    if isinstance(bucket, str) and "Bucket" in members:
        _check_bucket(bucket, operation)
    wrong: list[str] = []
    bad_types = 0
    if "Bucket" in members and "Bucket" not in params:
        wrong.append('Missing required parameter in input: "Bucket"')
    unknown = [f'Unknown parameter in input: "{name}", must be one of: {", ".join(members)}' for name in params if name not in members]
    wrong += unknown
    options = ""
    for name, value in params.items():
        wanted = members.get(name)
        if wanted is None:
            continue
        if not isinstance(value, wanted) or isinstance(value, bool):
            bad_types += 1
            wrong.append(f"Invalid type for parameter {name}, value: {value}, type: {type(value)}, valid types: {wanted}")
        elif isinstance(value, int):
            if value < 1:
                wrong.append(f"Invalid value for parameter {name}, value: {value}, valid min value: 1")
            elif value >= 2**31:
                wrong.append(f"Invalid value for parameter {name}, valid max value: {2**31 - 1}")
        elif not _crosses(str(value)):
            wrong.append(f"Invalid value for parameter {name}: it holds a control character or a lone surrogate")
        options += f"{UNIT}{name}={value}" if not wrong else ""
    if wrong:
        raise _invalid("\n".join(wrong), operation, bad_types == len(wrong))
    return options


def _check_bucket(bucket: str, operation: str) -> None:
    if bucket.startswith("arn:"):
        raise NotSupportedError("Bucket is an ARN, and access points are not supported: give the name of a bucket", operation=operation)
    if bucket.endswith("--x-s3"):
        raise NotSupportedError(
            f"Bucket={bucket[:80]!r} is a directory bucket, which has an API of its own: give the name of a general purpose bucket", operation=operation
        )
    if not 1 <= len(bucket) <= 255 or not _NAME.issuperset(bucket) or bucket in (".", ".."):
        raise _invalid(f'Invalid bucket name "{bucket}": {_NAME_RULE}', operation, False)


def _crosses(value: str) -> bool:
    """Tell whether a text reaches Go as it is."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return value.isprintable() or not any(c < " " or c == "\x7f" for c in value)


# --- config= and verify= ---

_CONFIG = (
    "region_name, connect_timeout, read_timeout, retries (max_attempts, total_max_attempts, mode 'legacy' or 'standard'), max_pool_connections, "
    "s3 (addressing_style), signature_version ('s3v4'), use_fips_endpoint, use_dualstack_endpoint, tcp_keepalive (True)"
)

# What a Config has where nobody has set it.
_CONFIG_DEFAULTS: dict[str, object] = {"connect_timeout": 60, "read_timeout": 60, "parameter_validation": True, "max_pool_connections": 10}


def _refuse_config(name: str) -> NotSupportedError:
    # The value may hold a password: it is not shown.
    return NotSupportedError(f"config.{name} is not supported as it is set: leave it out; supported are {_CONFIG}", code="ConfigNotSupported")


def _mapping(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise errors.ArgumentTypeError(f"config.{name} is {type(value).__name__}: give a dict")
    return {str(k): v for k, v in value.items() if v is not None}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _from_config(config: object) -> dict[str, Any]:
    """Return the options of :class:`S3` that a Config asks for.

    Raises:
        NotSupportedError: it sets something else.
    """
    try:
        found: dict[str, Any] = {name: value for name, value in vars(config).items() if name[0] != "_"}
    except TypeError:
        raise errors.ArgumentTypeError(f"config is {type(config).__name__}: give a botocore.config.Config") from None
    given: dict[str, Any] = getattr(config, "_user_provided_options", {})
    options: dict[str, Any] = {}
    for name, value in {**given, **found}.items():
        if value is None or value == {} or name not in given and name in _CONFIG_DEFAULTS and value == _CONFIG_DEFAULTS[name]:
            continue
        if name == "region_name":
            options["region"] = value
        elif name == "connect_timeout":
            options["connect_timeout"] = value
        elif name == "read_timeout":
            options["attempt_timeout"] = value
        elif name == "retries":
            options["max_attempts"] = _attempts(_mapping(name, value))
        elif name == "max_pool_connections":
            options["max_concurrency"] = value
        elif name == "s3":
            for key, choice in _mapping(name, value).items():
                if key == "addressing_style":
                    options["addressing_style"] = choice
                elif choice is not False:
                    raise _refuse_config(f"s3[{key!r}]")
        elif name == "use_fips_endpoint":
            options["use_fips"] = value
        elif name == "use_dualstack_endpoint":
            options["use_dualstack"] = value
        elif (name, value) not in (("signature_version", "s3v4"), ("signature_version", "v4"), ("tcp_keepalive", True), ("parameter_validation", True)):
            raise _refuse_config(name)
    if options.get("max_attempts") is None:
        options.pop("max_attempts", None)
    return options


def _attempts(retries: dict[str, Any]) -> int | None:
    """Return the attempts that ``retries`` asks for; max_attempts counts without the first."""
    for key in retries:
        if key not in ("max_attempts", "total_max_attempts", "mode"):
            raise _refuse_config(f"retries[{key!r}]")
    if retries.get("mode", "standard") not in ("legacy", "standard"):
        raise _refuse_config("retries['mode']")
    for key, more in (("total_max_attempts", 0), ("max_attempts", 1)):
        if key in retries:
            number: object = retries[key]
            if not isinstance(number, int) or isinstance(number, bool):
                raise errors.ArgumentTypeError(f"config.retries[{key!r}] is {type(number).__name__}: give an int")
            return number + more
    return None


def _check_verify(verify: object) -> None:
    if verify is False:
        raise NotSupportedError(
            "verify=False is not supported, for verification is never weakened: give verify the file of the certificate that signs your server's",
            code="ArgumentNotSupported",
        )
    if verify is not None and verify is not True and not isinstance(verify, (str, os.PathLike)):
        raise errors.ArgumentTypeError(f"verify is {type(verify).__name__}: give the path of a file with certificates, True or None")


def _check_region(region: str | None) -> None:
    if isinstance(region, str) and (
        len(region) > 63 or not region.isascii() or not region.replace("-", "").isalnum() or region.isdigit() or region[0] == "-" or region[-1] == "-"
    ):
        raise _as_botocore(errors.InvalidArgumentError(f"Provided region_name {region!r:.80} doesn't match a supported format.", code="InvalidRegion"))


# --- the client ---


def client(
    service_name: str,
    region_name: str | None = None,
    *,
    api_version: None = None,
    use_ssl: Literal[True] | None = None,
    verify: Literal[True] | str | os.PathLike[str] | None = None,
    endpoint_url: str | None = None,
    aws_access_key_id: str | None = None,
    aws_secret_access_key: str | None = None,
    aws_session_token: str | None = None,
    config: BotocoreConfig | None = None,
    aws_account_id: None = None,
) -> Client:
    """Return a client with the calls of ``boto3.client("s3")`` that glowplug does.

    None for an argument means what it means for :class:`glowplug.S3`: the environment,
    the profile, the built-in.

    Args:
        service_name: ``"s3"``.
        region_name: signs requests and chooses AWS's endpoint; before ``config.region_name``.
        verify: file of PEM certificates to trust in place of the system's. True or None:
            the system's. Verification can't be turned off.
        endpoint_url: used in place of AWS's endpoints.
        aws_access_key_id, aws_secret_access_key, aws_session_token: static credentials.
        config: a ``botocore.config.Config``. Supported are region_name, connect_timeout and
            read_timeout (seconds, for one attempt), retries (max_attempts, total_max_attempts),
            max_pool_connections, s3["addressing_style"], signature_version "s3v4",
            use_fips_endpoint and use_dualstack_endpoint.
        api_version, use_ssl, aws_account_id: not supported.

    The time-outs are glowplug's, not boto3's 60 s each: 1 s to connect, 2 s of silence
    within an attempt, 3 attempts, 10 s for a call. Where ``config`` sets a time-out, a call
    may take all its attempts at full length, and no less than 10 s.

    Raises:
        NotSupportedError: another service, or an argument that is not supported.
        errors.InvalidArgumentError: an argument can't be used.
    """
    if service_name != "s3":
        raise NotSupportedError(f"service {service_name!r:.80} is not supported: {_SUPPORTED}", code="ServiceNotSupported")
    for name, value in (("api_version", api_version), ("use_ssl", use_ssl), ("aws_account_id", aws_account_id)):
        if value is not None and not (name == "use_ssl" and value is True):
            raise NotSupportedError(f"{name} is not supported: leave it out", code="ArgumentNotSupported")
    _check_verify(verify)
    if (aws_access_key_id is None) != (aws_secret_access_key is None):
        missing = "aws_access_key_id" if aws_access_key_id is None else "aws_secret_access_key"
        error = errors.InvalidArgumentError(f"Partial credentials found in explicit, missing: {missing}", code="PartialCredentials")
        raise _as_botocore(error, provider="explicit", cred_var=missing)

    options = _from_config(config) if config is not None else {}
    if region_name is not None:
        options["region"] = region_name
    _check_region(options.get("region"))
    s3 = S3(
        endpoint_url=endpoint_url,
        access_key_id=aws_access_key_id,
        secret_access_key=aws_secret_access_key,
        session_token=aws_session_token,
        ca_bundle=None if verify is True else verify,
        timeout=_call_timeout(options),
        **options,
    )
    return Client(s3, endpoint_url)


def _call_timeout(options: dict[str, Any]) -> float | None:
    connect, attempt = options.get("connect_timeout"), options.get("attempt_timeout")
    if connect is None and attempt is None:
        return None
    try:
        return max(10.0, (float(connect or 1) + float(attempt or 2)) * int(options.get("max_attempts") or 3))
    except (TypeError, ValueError, OverflowError):
        return None  # S3 says what is wrong with it


class ServiceModel:
    """``client.meta.service_model``: the names of the service."""

    service_name = "s3"
    service_id = "S3"
    operation_names: tuple[str, ...] = tuple(_OPERATIONS.values())


class Meta:
    """``client.meta``."""

    service_model: ServiceModel = ServiceModel()

    def __init__(self, s3: S3, endpoint_url: str | None) -> None:
        self._s3 = s3
        self._endpoint_url = endpoint_url
        self._described: list[str] = []

    def _describe(self) -> list[str]:
        if not self._described:
            answer, _ = self._s3._call("describe", "", self._s3._deadline(None, None, 0))
            self._described = answer[1:].split(UNIT)
        return self._described

    @property
    def method_to_api_mapping(self) -> dict[str, str]:
        """The operations by the names of their methods."""
        return dict(_OPERATIONS)

    @property
    def endpoint_url(self) -> str:
        """Where requests for listings go."""
        return self._endpoint_url or self._describe()[0]

    @property
    def region_name(self) -> str:
        """The region that signs requests."""
        return self._describe()[1]


class Client:
    """What ``boto3.client("s3")`` is, as far as glowplug goes: see :func:`client`.

    Safe for use from many threads. It can't be pickled.

    Attributes:
        exceptions: ClientError and, for some error codes, subclasses of it.
        meta: region_name, endpoint_url and service_model.
    """

    exceptions: Exceptions = Exceptions()

    def __init__(self, s3: S3, endpoint_url: str | None) -> None:
        self._s3 = s3
        self.meta: Meta = Meta(s3, endpoint_url)

    def _call(self, operation: str, params: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Send one operation; return its result and its answer with ResponseMetadata."""
        options = _options(operation, params)
        try:
            text, _ = self._s3._call(operation, options, self._s3._deadline(None, None, 0))
        except errors.GlowplugError as e:
            raise _as_botocore(e, endpoint_url=self.meta._endpoint_url or "") from None
        answer = json.loads(text[1:])
        status: int = answer["status"]
        headers: dict[str, str] = answer["headers"]
        response: dict[str, Any] = _error(status, headers, answer.get("body", "")) if answer.get("kind") else {"ResponseMetadata": _ids(headers)}
        metadata: dict[str, Any] = response.setdefault("ResponseMetadata", {})
        metadata["HTTPStatusCode"] = status
        metadata["HTTPHeaders"] = headers
        if answer.get("exhausted"):
            metadata["MaxAttemptsReached"] = True
        metadata["RetryAttempts"] = answer["retries"]
        if not answer.get("kind"):
            return answer["result"], response
        if operation == "GetBucketLocation":
            response["LocationConstraint"] = None
        raise _refusal(response, operation, answer["kind"], str(params.get("Bucket", "")), answer.get("retryable", False))

    def list_buckets(self, **params: Unpack[ListBucketsInput]) -> ListBucketsOutput:
        """Return one page of the account's buckets.

        Args:
            MaxBuckets: 1 to 10,000. Without it S3 sends all, and refuses accounts with a higher quota.
            Prefix: only buckets whose name begins so.
            BucketRegion: only buckets of this region.
            ContinuationToken: of the page before.

        Raises:
            ClientError: S3 refused.
            ParamValidationError: a parameter can't be used.
            errors.GlowplugError: there was no answer.
        """
        result, response = self._call("ListBuckets", params)
        buckets: list[dict[str, Any]] = []
        for name, created, region in result["buckets"] or ():
            bucket: dict[str, Any] = {} if name is None else {"Name": name}
            if created is not None:
                bucket["CreationDate"] = datetime.fromisoformat(created)
            if region is not None:
                bucket["BucketRegion"] = region
            buckets.append(bucket)
        response["Buckets"] = buckets
        if "owner" in result:
            response["Owner"] = {theirs: result["owner"][ours] for theirs, ours in (("DisplayName", "name"), ("ID", "id")) if ours in result["owner"]}
        for theirs, ours in (("ContinuationToken", "token"), ("Prefix", "prefix")):
            if ours in result:
                response[theirs] = result[ours]
        return response  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    def head_bucket(self, **params: Unpack[BucketInput]) -> HeadBucketOutput:
        """Tell whether a bucket exists and may be used, and its region.

        Args:
            Bucket: the bucket's name.
            ExpectedBucketOwner: id of the account that the bucket must belong to.

        Raises:
            ClientError: of code "404", "403", "400" or another status, for a HEAD has no body to say more.
            ParamValidationError, errors.GlowplugError: as :meth:`list_buckets`.
        """
        result, response = self._call("HeadBucket", params)
        for theirs, ours in (
            ("BucketArn", "arn"),
            ("BucketLocationType", "location_type"),
            ("BucketLocationName", "location_name"),
            ("BucketRegion", "region"),
            ("AccessPointAlias", "alias"),
        ):
            if ours in result:
                response[theirs] = result[ours]
        return response  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    def get_bucket_location(self, **params: Unpack[BucketInput]) -> GetBucketLocationOutput:
        """Return the bucket's location constraint: None for us-east-1, ``"EU"`` for some of eu-west-1, else the region.

        Args and errors are those of :meth:`head_bucket`, but an error says S3's own code.
        """
        result, response = self._call("GetBucketLocation", params)
        response["LocationConstraint"] = result or None
        return response  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    def can_paginate(self, operation_name: str) -> bool:
        """Tell whether :meth:`get_paginator` takes this name."""
        return operation_name == "list_buckets"

    def get_paginator(self, operation_name: str) -> ListBucketsPaginator:
        """Return the paginator of ``"list_buckets"``.

        Raises:
            NotSupportedError: another operation.
        """
        if not self.can_paginate(operation_name):
            raise NotSupportedError(f"a paginator for {operation_name!r:.80} is not supported: {_SUPPORTED}", code="PaginatorNotSupported")
        return ListBucketsPaginator(self)

    def get_waiter(self, waiter_name: str) -> Any:
        """Not supported.

        Raises:
            NotSupportedError: always.
        """
        raise NotSupportedError(f"waiter {waiter_name!r:.80} is not supported, nor is any other: {_SUPPORTED}", code="WaiterNotSupported")

    def close(self) -> None:
        """Close the connections. A call after it raises :class:`~glowplug.errors.InvalidArgumentError`."""
        self._s3.close()

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            if name.startswith("_"):
                raise AttributeError(f"'Client' object has no attribute {name!r}")
            raise _NotSupportedAttributeError(f"client.{name} is not supported: {_SUPPORTED}", code="OperationNotSupported")

    def __repr__(self) -> str:
        return f"<glowplug.client of {self._s3!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a client holds connections and can't be pickled: make one where it is used")


# --- the paginator: what botocore.paginate does for list_buckets ---


class ResultKey:
    """A key of a page, with the two things that a compiled jmespath expression is used for."""

    def __init__(self, expression: str) -> None:
        self.expression = expression

    def search(self, value: Mapping[str, Any]) -> Any:
        """Return the key's value, None where there is none."""
        return value.get(self.expression)

    def __repr__(self) -> str:
        return f"ResultKey({self.expression!r})"


class ListBucketsPaginator:
    """``client.get_paginator("list_buckets")``."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.result_keys: list[ResultKey] = [ResultKey("Buckets")]

    def paginate(self, **params: Unpack[PaginateInput]) -> PageIterator:
        """Return the pages of a listing; nothing is sent before they are iterated.

        Args:
            PaginationConfig: MaxItems (buckets in all), PageSize (buckets a page) and
                StartingToken (``NextToken`` of a full result, or a continuation token).
            MaxBuckets, Prefix, BucketRegion, ContinuationToken: as of list_buckets.

        Raises:
            NotSupportedError: PaginationConfig has another key.
        """
        rest: dict[str, Any] = {**params}
        config: Mapping[str, Any] = rest.pop("PaginationConfig", None) or {}
        for name in config:
            if name not in ("MaxItems", "PageSize", "StartingToken"):
                raise NotSupportedError(f"PaginationConfig[{name!r}] is not supported: supported are MaxItems, PageSize and StartingToken", code="ParameterNotSupported")
        items, size = config.get("MaxItems"), config.get("PageSize")
        if size is not None:
            rest["MaxBuckets"] = int(size)
        return PageIterator(self._client, rest, None if items is None else int(items), config.get("StartingToken"))


class PageIterator:
    """The pages of a listing. Each iteration over it begins anew."""

    def __init__(self, client: Client, params: dict[str, Any], max_items: int | None, starting_token: str | None) -> None:
        self._client = client
        self._params = params
        self._max_items = max_items
        self._starting_token = starting_token
        self._resume_token: str | None = None
        self._rest: dict[str, Any] = {}
        self.result_keys: list[ResultKey] = [ResultKey("Buckets")]

    @property
    def resume_token(self) -> str | None:
        """The StartingToken for what MaxItems has cut off, None where nothing was."""
        return self._resume_token

    @property
    def non_aggregate_part(self) -> dict[str, Any]:
        """Owner and Prefix of the first page."""
        return self._rest

    def __iter__(self) -> Iterator[ListBucketsOutput]:
        params = dict(self._params)
        token: dict[str, Any] = {"ContinuationToken": None}
        skip = 0
        if self._starting_token is not None:
            token, skip = _decode_token(self._starting_token)
            _put(params, token)
        seen, previous, first = 0, None, True
        while True:
            page: Any = self._client.list_buckets(**params)
            if first:
                if self._starting_token is not None:
                    page["Buckets"] = page["Buckets"][skip:]
                self._rest = {"Owner": page.get("Owner"), "Prefix": page.get("Prefix")}
            count = len(page["Buckets"])
            if self._max_items is not None and seen + count > self._max_items:
                keep = self._max_items - seen
                page["Buckets"] = page["Buckets"][:keep]
                self._resume_token = _encode_token({**token, "boto_truncate_amount": keep + (skip if first else 0)})
                yield page
                return
            yield page
            first = False
            seen += count
            token = {"ContinuationToken": page.get("ContinuationToken") or None}
            if token["ContinuationToken"] is None:
                return
            if self._max_items is not None and seen == self._max_items:
                self._resume_token = _encode_token(token)
                return
            if token == previous:
                raise _as_botocore(
                    errors.ResponseError(f"Error during pagination: The same next token was received twice: {token}", code="RepeatedToken", operation="ListBuckets")
                )
            _put(params, token)
            previous = token

    def search(self, expression: str) -> Iterator[Any]:
        """Yield what a JMESPath expression finds in each page, the elements of a list one by one.

        Raises:
            NotSupportedError: jmespath is not installed.
        """
        try:
            jmespath: Any = __import__("jmespath")
        except ImportError:
            raise NotSupportedError("search needs jmespath, which is not installed: pip install jmespath", code="JMESPathMissing") from None
        return self._search(jmespath.compile(expression))

    def _search(self, compiled: Any) -> Iterator[Any]:
        for page in self:
            found: Any = compiled.search(page)
            if isinstance(found, list):
                yield from found
            else:
                yield found

    def result_key_iters(self) -> list[ResultKeyIterator]:
        """Return one iterable for each result key: that over the buckets."""
        return [ResultKeyIterator(self, key) for key in self.result_keys]

    def build_full_result(self) -> FullResult:
        """Return all pages as one: Buckets, Owner, Prefix and, where MaxItems cut it off, NextToken."""
        result: dict[str, Any] = {}
        for page in self:
            result.setdefault("Buckets", []).extend(page["Buckets"])
        result.update(self.non_aggregate_part)
        if self._resume_token is not None:
            result["NextToken"] = self._resume_token
        return result  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


class ResultKeyIterator:
    """The elements of one key over all pages."""

    def __init__(self, pages: PageIterator, result_key: ResultKey) -> None:
        self._pages = pages
        self.result_key = result_key

    def __iter__(self) -> Iterator[Any]:
        for page in self._pages:
            yield from self.result_key.search(page) or ()


def _put(params: dict[str, Any], token: dict[str, Any]) -> None:
    for name, value in token.items():
        if value is not None and value != "None":
            params[name] = value
        else:
            params.pop(name, None)


def _encode_token(token: dict[str, Any]) -> str:
    from binascii import b2a_base64

    return b2a_base64(json.dumps(token).encode(), newline=False).decode()


def _decode_token(token: str) -> tuple[dict[str, Any], int]:
    """Return a StartingToken's parameters and how many buckets of the page were seen: botocore's form, its old form, or S3's own token."""
    from binascii import a2b_base64

    if not isinstance(token, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _invalid(f"Invalid type for parameter StartingToken, value: {token}, type: {type(token)}, valid types: {str}", "ListBuckets", True)
    try:
        decoded: Any = json.loads(a2b_base64(token.encode()))
        if isinstance(decoded, dict):
            return decoded, int(decoded.pop("boto_truncate_amount", 0))  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType, reportUnknownArgumentType]
    except (ValueError, TypeError, RecursionError):
        pass
    value, mark, index = token.rpartition("___")
    if mark and "___" not in value and index.isdigit():
        return {"ContinuationToken": value}, int(index)
    return {"ContinuationToken": token}, 0
