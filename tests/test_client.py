"""The drop-in: one script runs on boto3's client and on ours, and what comes of it is the same but for a table of differences."""

from __future__ import annotations

import importlib
import json
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import glowplug
import pytest

import servers
import support

Make = Callable[..., Any]
Step = Callable[[Any, Make], Any]

# --- the script ---


def bodies(make: Make, pages: Any) -> list[Any]:
    return [{k: v for k, v in page.items() if k != "ResponseMetadata"} for page in pages]


def paginate(c: Any, **params: Any) -> Any:
    return c.get_paginator("list_buckets").paginate(**params)


def resumed(c: Any) -> list[list[str]]:
    """Names in runs of four, each begun where the one before was cut off, over pages of three."""
    runs: list[list[str]] = []
    token = None
    while True:
        config: dict[str, Any] = {"MaxItems": 4, "PageSize": 3, "StartingToken": token}
        result = paginate(c, PaginationConfig=config).build_full_result()
        runs.append([b["Name"] for b in result["Buckets"]])
        token = result.get("NextToken")
        if token is None or len(runs) == 9:
            return runs


SCRIPT: dict[str, Step] = {
    "all buckets": lambda c, make: c.list_buckets(),
    "a page of two": lambda c, make: c.list_buckets(MaxBuckets=2),
    "the page behind it": lambda c, make: c.list_buckets(MaxBuckets=2, ContinuationToken=c.list_buckets(MaxBuckets=2).get("ContinuationToken", "none")),
    "a prefix": lambda c, make: c.list_buckets(Prefix="bucket-0000", MaxBuckets=3),
    "an empty prefix": lambda c, make: c.list_buckets(Prefix=""),
    "a prefix that nothing has": lambda c, make: c.list_buckets(Prefix="zzz"),
    "a prefix that must be escaped": lambda c, make: c.list_buckets(Prefix="ü &=/+%<>'\""),
    "a region": lambda c, make: c.list_buckets(BucketRegion="us-east-1"),
    "a bad token": lambda c, make: c.list_buckets(ContinuationToken="bad!"),
    "an empty token": lambda c, make: c.list_buckets(ContinuationToken=""),
    "a token of 1,025 characters": lambda c, make: c.list_buckets(ContinuationToken="x" * 1025),
    "no bucket at a time": lambda c, make: c.list_buckets(MaxBuckets=0),
    "less than none": lambda c, make: c.list_buckets(MaxBuckets=-1),
    "10,000 buckets at a time": lambda c, make: c.list_buckets(MaxBuckets=10_000),
    "10,001 buckets at a time": lambda c, make: c.list_buckets(MaxBuckets=10_001),
    "more buckets than an int32 holds": lambda c, make: c.list_buckets(MaxBuckets=2**31),
    "True buckets": lambda c, make: c.list_buckets(MaxBuckets=True),
    "a text for a number": lambda c, make: c.list_buckets(MaxBuckets="5"),
    "a number for a text": lambda c, make: c.list_buckets(Prefix=3),
    "None for a text": lambda c, make: c.list_buckets(Prefix=None),
    "all wrong at once": lambda c, make: c.list_buckets(Colour="red", MaxBuckets="x", Prefix=3, BucketRegion=b""),
    "a positional argument": lambda c, make: c.list_buckets(3),
    "head: a bucket": lambda c, make: c.head_bucket(Bucket="bucket-00000"),
    "head: a bucket of another region": lambda c, make: c.head_bucket(Bucket="bucket-00001"),
    "head: no such bucket": lambda c, make: c.head_bucket(Bucket="none-such"),
    "head: owned by another": lambda c, make: c.head_bucket(Bucket="bucket-00000", ExpectedBucketOwner="111122223333"),
    "head: no name": lambda c, make: c.head_bucket(),
    "head: no name and an unknown parameter": lambda c, make: c.head_bucket(bucket="bucket-00000"),
    "head: a name of another type": lambda c, make: c.head_bucket(Bucket=3),
    "head: an empty name": lambda c, make: c.head_bucket(Bucket=""),
    "head: a name with a slash": lambda c, make: c.head_bucket(Bucket="a/b"),
    "head: a name with a line feed behind": lambda c, make: c.head_bucket(Bucket="bucket-00000\n"),
    "head: a name of dots": lambda c, make: c.head_bucket(Bucket=".."),
    "head: a name too short": lambda c, make: c.head_bucket(Bucket="ab"),
    "head: a name too long": lambda c, make: c.head_bucket(Bucket="a" * 256),
    "head: a name of 255": lambda c, make: c.head_bucket(Bucket="a" * 255),
    "head: a name of old": lambda c, make: c.head_bucket(Bucket="Old_Name"),
    "head: a name and more": lambda c, make: c.head_bucket(Bucket="a/b", Colour="red"),
    "location: us-east-1": lambda c, make: c.get_bucket_location(Bucket="bucket-00000"),
    "location: elsewhere": lambda c, make: c.get_bucket_location(Bucket="bucket-00002"),
    "location: no such bucket": lambda c, make: c.get_bucket_location(Bucket="none-such"),
    "location: owned by another": lambda c, make: c.get_bucket_location(Bucket="bucket-00000", ExpectedBucketOwner="111122223333"),
    "location: a name of old": lambda c, make: c.get_bucket_location(Bucket="Old_Name"),
    "wrong secret: list": lambda c, make: make(aws_secret_access_key="no").list_buckets(),
    "wrong secret: head": lambda c, make: make(aws_secret_access_key="no").head_bucket(Bucket="bucket-00000"),
    "wrong secret: location": lambda c, make: make(aws_secret_access_key="no").get_bucket_location(Bucket="bucket-00000"),
    "unknown key: list": lambda c, make: make(aws_access_key_id="AKIAUNKNOWN").list_buckets(),
    "unknown key: head": lambda c, make: make(aws_access_key_id="AKIAUNKNOWN").head_bucket(Bucket="bucket-00000"),
    "unknown key: location": lambda c, make: make(aws_access_key_id="AKIAUNKNOWN").get_bucket_location(Bucket="bucket-00000"),
    "bad session token: list": lambda c, make: make(aws_session_token="nonsense").list_buckets(),
    "bad session token: head": lambda c, make: make(aws_session_token="nonsense").head_bucket(Bucket="bucket-00000"),
    "anonymous: list": lambda c, make: make(aws_access_key_id=None, aws_secret_access_key=None).list_buckets(),
    "anonymous: head": lambda c, make: make(aws_access_key_id=None, aws_secret_access_key=None).head_bucket(Bucket="bucket-00000"),
    "half of the credentials": lambda c, make: make(aws_secret_access_key=None),
    "another region's client: list": lambda c, make: make(region_name="eu-west-1").list_buckets(MaxBuckets=1),
    "another region's client: head": lambda c, make: make(region_name="eu-west-1").head_bucket(Bucket="bucket-00000"),
    "another region's client: location": lambda c, make: make(region_name="eu-west-1").get_bucket_location(Bucket="bucket-00000"),
    "a region of nonsense": lambda c, make: make(region_name="bad region"),
    "an endpoint of nonsense": lambda c, make: make(endpoint_url="nonsense"),
    "an endpoint that refuses": lambda c, make: make(endpoint_url="http://127.0.0.1:1").list_buckets(),
    "an endpoint that does not exist": lambda c, make: make(endpoint_url="http://none.invalid").list_buckets(),
    "pages": lambda c, make: bodies(make, paginate(c)),
    "pages of three": lambda c, make: bodies(make, paginate(c, PaginationConfig={"PageSize": 3})),
    "pages of '3'": lambda c, make: bodies(make, paginate(c, PaginationConfig={"PageSize": "3"})),
    "pages of none": lambda c, make: bodies(make, paginate(c, PaginationConfig={"PageSize": 0})),
    "pages by MaxBuckets": lambda c, make: bodies(make, paginate(c, MaxBuckets=4, Prefix="bucket-0000")),
    "no items": lambda c, make: bodies(make, paginate(c, PaginationConfig={"MaxItems": 0})),
    "four items of pages of three": lambda c, make: bodies(make, paginate(c, PaginationConfig={"MaxItems": 4, "PageSize": 3})),
    "pages of an unknown parameter": lambda c, make: bodies(make, paginate(c, Colour="red")),
    "pages of nonsense": lambda c, make: paginate(c, PaginationConfig={"PageSize": "many"}),
    "a full result": lambda c, make: paginate(c, PaginationConfig={"PageSize": 3}).build_full_result(),
    "a full result of a prefix": lambda c, make: paginate(c, Prefix="bucket", PaginationConfig={"PageSize": 4}).build_full_result(),
    "a full result of nothing": lambda c, make: paginate(c, Prefix="zzz").build_full_result(),
    "a full result of three items": lambda c, make: paginate(c, PaginationConfig={"PageSize": 3, "MaxItems": 3}).build_full_result(),
    "a full result of five items": lambda c, make: paginate(c, PaginationConfig={"MaxItems": "5"}).build_full_result(),
    "runs of four, each resumed": lambda c, make: resumed(c),
    "a StartingToken of the old kind": lambda c, make: bodies(make, paginate(c, PaginationConfig={"StartingToken": "None___2"})),
    "a StartingToken of S3's own kind": lambda c, make: bodies(make, paginate(c, PaginationConfig={"StartingToken": "bad"})),
    "a StartingToken with strange keys": lambda c, make: bodies(make, paginate(c, PaginationConfig={"StartingToken": "eyJDb2xvdXIiOiAicmVkIn0="})),
    "a search": lambda c, make: list(paginate(c, PaginationConfig={"PageSize": 3}).search("Buckets[?ends_with(Name, '5')].Name")),
    "a search for one value": lambda c, make: list(paginate(c, PaginationConfig={"PageSize": 3}).search("Owner.ID")),
    "the result keys": lambda c, make: [list(i) for i in paginate(c).result_key_iters()],
    "the result keys' names": lambda c, make: [k.expression for k in paginate(c).result_keys],
    "what paginates": lambda c, make: [c.can_paginate(name) for name in ("list_buckets", "head_bucket", "get_bucket_location")],
    "meta": lambda c, make: [c.meta.region_name, c.meta.endpoint_url, c.meta.service_model.service_name, c.meta.method_to_api_mapping["head_bucket"]],
    "exceptions": lambda c, make: [c.exceptions.NoSuchBucket.__name__, c.exceptions.from_code("NoSuchKey").__name__, c.exceptions.from_code("Strange").__name__],
    "no such exception": lambda c, make: hasattr(c.exceptions, "Strange"),
}

# Where the answers differ and why that stays, by server ("*": every one) and step. A row whose answers agree fails.
DIFFERENCES: dict[tuple[str, str], str] = {
    ("*", "a positional argument"): "a TypeError by Python itself, in Python's words",
    ("*", "more buckets than an int32 holds"): "Go's SDK sends an int32, so the number is refused here",
    ("*", "True buckets"): "boto3 sends 'True', which servers refuse or fail on; a bool is refused here",
    ("*", "head: a name of another type"): "boto3 lets re raise its TypeError; ours is a ParamValidationError that is a TypeError too",
    ("*", "head: a name with a line feed behind"): "boto3's pattern ends with $, which lets a last line feed pass",
    ("*", "head: a name of dots"): "boto3 sends a request for /.., another path",
    ("*", "anonymous: list"): "the text says where credentials were looked for",
    ("*", "anonymous: head"): "the text says where credentials were looked for",
    ("*", "half of the credentials"): "the text has our code in front",
    ("*", "a region of nonsense"): "the text has our code in front",
    ("*", "an endpoint of nonsense"): "the text does not repeat the URL, which may hold a password",
    ("*", "an endpoint that refuses"): "the text names the cause and says what to do",
    ("*", "an endpoint that does not exist"): "the text names the cause and says what to do",
    ("versitygw", "wrong secret: head"): "the length of a body that a HEAD does not get: it quotes what was signed",
    ("versitygw", "another region's client: list"): "boto3 sends it twice, to the same region: the look-up of regions needs a bucket",
}

# Values that name one request, its time or its signature.
OF_ONE_REQUEST = {
    "RequestId", "HostId", "x-amz-request-id", "x-amzn-requestid", "x-amz-id-2", "date",
    "StringToSign", "StringToSignBytes", "SignatureProvided", "CanonicalRequest", "CanonicalRequestBytes",
}  # fmt: skip


def plain(value: Any) -> Any:
    """The value as types, keys and contents that two clients can share; what names one request is a star."""
    if isinstance(value, dict):
        fields: dict[str, Any] = {k: ("*" if v else v) if k in OF_ONE_REQUEST else plain(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType]
        if "SignatureProvided" in str(value.get("Error", "")):  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            fields["ResponseMetadata"]["HTTPHeaders"]["content-length"] = "*"
        return fields
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, datetime):
        assert value.utcoffset() is not None
        return value.astimezone(timezone.utc).isoformat()
    if isinstance(value, str):
        return value
    return [type(value).__name__, value]


def outcome(step: Step, client: Any, make: Make) -> dict[str, Any]:
    try:
        return {"answer": plain(step(client, make))}
    except Exception as e:
        known = [k.__name__ for k in type(e).__mro__ if k.__module__ == "botocore.exceptions"]
        builtin = next(k.__name__ for k in type(e).__mro__ if k.__module__ == "builtins")
        return {
            "error": known or builtin,
            "text": str(e),
            "response": plain(getattr(e, "response", None)),
            "operation_name": getattr(e, "operation_name", None),
        }


def makers(server: servers.Server) -> tuple[Make, Make]:
    """What makes a client of boto3's and one of ours, from the same arguments."""
    boto3 = importlib.import_module("boto3")
    config = importlib.import_module("botocore.config").Config(
        retries={"mode": "standard", "total_max_attempts": 3}, s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=1
    )

    def of(client: Make) -> Make:
        def make(**more: Any) -> Any:
            return client(
                "s3",
                **{
                    "region_name": server.region,
                    "endpoint_url": server.url,
                    "aws_access_key_id": server.access_key,
                    "aws_secret_access_key": server.secret_key,
                    "config": config,
                    **more,
                },
            )

        return make

    return of(boto3.client), of(glowplug.client)


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, servers.Server]]:
    servers.require("moto", "versitygw", "fakes3")
    with servers.moto() as moto, servers.versitygw() as versitygw, servers.fakes3(10, verify=True) as fakes3:
        for server in (moto, versitygw):
            servers.fill(server, 10)
        yield {"moto": moto, "versitygw": versitygw, "fakes3": fakes3}


@pytest.fixture
def bare(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    return environment


def compare(kind: str, script: dict[str, Step], server: servers.Server, before: Callable[[str], object] = lambda step: None) -> None:
    wrong: list[str] = []
    for name, step in script.items():
        outcomes: list[dict[str, Any]] = []
        for make in makers(server):
            before(name)
            # A client of its own for each step: boto3 remembers redirects.
            outcomes.append(outcome(step, make(), make))
        theirs, ours = outcomes
        reason = DIFFERENCES.get((kind, name)) or DIFFERENCES.get(("*", name))
        if "error" in theirs and "error" in ours and reason:
            # Whoever catches boto3's exception catches ours, differ as the text may.
            caught = theirs["error"] == ours["error"] or name in OTHER_CLASS
            if not caught:
                wrong.append(f"{name}: {theirs['error']} is not {ours['error']}")
        if (theirs == ours) is bool(reason):
            wrong.append(f"{name} {'agrees, but is in the table' if reason else 'differs'}\n  boto3    {json.dumps(theirs)}\n  glowplug {json.dumps(ours)}")
    assert not wrong, "\n".join(wrong)


# Steps of the table whose exception is another as well.
OTHER_CLASS = {
    "head: a name of another type", "head: a name with a line feed behind", "head: a name of dots",
    "True buckets", "more buckets than an int32 holds", "an endpoint of nonsense", "cut short",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["moto", "versitygw", "fakes3"])
def test_the_same_script_has_the_same_results_and_errors(kind: str, running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    compare(kind, SCRIPT, running[kind])


def test_the_table_of_differences_names_steps() -> None:
    assert {step for _, step in DIFFERENCES} <= SCRIPT.keys() | FAULTS.keys()
    assert OTHER_CLASS <= {step for _, step in DIFFERENCES}


LIST: Step = lambda c, make: c.list_buckets(MaxBuckets=2)  # noqa: E731
HEAD: Step = lambda c, make: c.head_bucket(Bucket="bucket-00000")  # noqa: E731
LOCATION: Step = lambda c, make: c.get_bucket_location(Bucket="bucket-00000")  # noqa: E731

FAULTS: dict[str, tuple[dict[str, Any], Step]] = {
    "throttled once": ({"kind": "throttle", "times": 1}, LIST),
    "throttled for good": ({"kind": "throttle"}, LIST),
    "head throttled for good": ({"kind": "throttle"}, HEAD),
    "failing once": ({"kind": "status", "times": 1}, LOCATION),
    "failing for good": ({"kind": "status", "status": 500}, LOCATION),
    "not implemented": ({"kind": "status", "status": 501, "code": "NotImplemented"}, LIST),
    "a code of 400 that repeats": ({"kind": "status", "status": 400, "code": "RequestTimeout"}, LIST),
    "denied: list": ({"kind": "deny"}, LIST),
    "denied: head": ({"kind": "deny"}, HEAD),
    "denied: location": ({"kind": "deny"}, LOCATION),
    "expired": ({"kind": "status", "status": 400, "code": "ExpiredToken"}, LIST),
    "dropped for good": ({"kind": "drop"}, LIST),
    "reset within the answer": ({"kind": "reset", "bytes": 100}, LIST),
    "cut short": ({"kind": "cut", "bytes": 100}, LIST),
    "silent": ({"kind": "black-hole"}, LIST),
}

for _name, _reason in {
    "dropped for good": "the text names the cause and says what to do",
    "silent": "the text names the cause and says what to do",
    "reset within the answer": "the text names the cause and says what to do",
    "cut short": "boto3 makes an error 500 of a success that it can't read; ours says that the connection broke",
}.items():
    DIFFERENCES["faults", _name] = _reason


def test_faults_have_the_same_results_and_errors(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    server = running["fakes3"]
    try:
        compare("faults", {name: step for name, (_, step) in FAULTS.items()}, server, lambda name: server.control(clear=True, faults=[FAULTS[name][0]]))
    finally:
        server.control(clear=True)


def test_a_connection_that_drops_is_not_noticed(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    server = running["fakes3"]
    c = makers(server)[1]()
    server.control(faults=[{"kind": "drop", "times": 1}])
    # On a connection that was opened ahead the request is sent again without counting as a retry.
    assert LIST(c, offline)["ResponseMetadata"]["RetryAttempts"] in (0, 1)


def test_a_foreign_bucket_and_an_account_of_none(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    server = running["fakes3"]
    try:
        foreign: dict[str, Step] = {
            "head: foreign": lambda c, make: c.head_bucket(Bucket="foreign"),
            "location: foreign": lambda c, make: c.get_bucket_location(Bucket="foreign"),
        }
        none: dict[str, Step] = {"none": LIST, "none in full": lambda c, make: paginate(c).build_full_result()}
        for buckets, script in (([{"name": "foreign", "region": "eu-west-1", "foreign": True}], foreign), ([], none)):
            server.control(buckets=buckets)
            compare("fakes3", script, server)
    finally:
        server.control(n=10)


# --- one answer for every request ---


@pytest.fixture
def canned() -> Iterator[Callable[[bytes], str]]:
    """Gives the URL of a server that answers with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answer = [b""]

        def serve() -> None:
            while True:
                try:
                    conn, _ = listener.accept()
                except OSError:
                    return
                with conn:
                    conn.settimeout(5)
                    try:
                        # A connection that was opened ahead may close without a word.
                        if conn.recv(65536):
                            conn.sendall(answer[0])
                    except OSError:
                        pass

        thread = threading.Thread(target=serve)
        thread.start()

        def give(text: bytes) -> str:
            answer[0] = text
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield give
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def http(status: int, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some Phrase", f"Content-Length: {len(body.encode())}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


BODIES: dict[str, tuple[int, str]] = {
    "nested and repeated elements": (400, "<Error><Code>C</Code><Message>M</Message><A><B>1</B><B>2</B></A><D/><D>x</D></Error>"),
    "references and CDATA": (400, "<Error><Code>C</Code><Message>a &lt;b&gt; &#x41;<![CDATA[<c>]]></Message></Error>"),
    "no message": (403, "<Error><Code>AccessDenied</Code></Error>"),
    "an empty code": (403, "<Error><Code/><Message/></Error>"),
    "a namespace": (400, '<Error xmlns="urn:x"><Code>C</Code><Message>M</Message></Error>'),
    "the form of other services": (400, "<ErrorResponse><Error><Type>Sender</Type><Code>C</Code><Message>M</Message></Error><RequestId>r</RequestId></ErrorResponse>"),
    "HTML of a proxy": (502, "<html><body>Bad Gateway</body></html>"),
    "HTML of a 404": (404, "<html><head><title>t</title></head><body>b</body></html>"),
    "text": (400, "nonsense"),
    "cut XML": (400, "<Error><Code>C</Code>"),
    "nothing": (400, ""),
    "nothing at 503": (503, ""),
    "a status of nobody's": (499, ""),
    "blanks": (400, "<?xml version='1.0'?>\n<Error>\n  <Code>C</Code>\n  <Message>M</Message>\n</Error>\n"),
}


@pytest.mark.parametrize("sentence", BODIES)
def test_error_bodies_are_read_as_botocore_reads_them(sentence: str, canned: Callable[[bytes], str], bare: pytest.MonkeyPatch) -> None:
    status, body = BODIES[sentence]
    url = canned(http(status, body, "X-Amz-Request-Id: r1", "X-Amz-Id-2: h1", "X-Twice: 1", "X-Twice: 2"))
    server = servers.Server("canned", url)
    theirs, ours = (outcome(LIST, make(), make) for make in makers(server))
    assert ours == theirs


@pytest.mark.parametrize(
    "body",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><Error><Code>&b;</Code></Error>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><Error><Code>C</Code></Error>',
        "<a>" * 5000 + "</a>" * 5000,
    ],
)
def test_dangerous_error_bodies_count_as_unreadable(body: str, canned: Callable[[bytes], str], bare: pytest.MonkeyPatch) -> None:
    _, make = makers(servers.Server("canned", canned(http(400, body))))
    with pytest.raises(glowplug.ClientError) as e:
        make().list_buckets()
    assert e.value.response["Error"] == {"Code": "400", "Message": "Bad Request"}


# --- time ---


WITHOUT_ANSWER: dict[str, type[glowplug.errors.GlowplugError]] = {
    "ReadTimeoutError": glowplug.errors.TimeoutError,
    "ConnectionClosedError": glowplug.errors.ConnectionError,
    "SSLError": glowplug.errors.ConnectionError,
}


@pytest.mark.parametrize("theirs", WITHOUT_ANSWER)
def test_errors_without_an_answer_are_botocores_and_ours(
    theirs: str, silent: str, canned: Callable[[bytes], str], running: dict[str, servers.Server], bare: pytest.MonkeyPatch
) -> None:
    exceptions = importlib.import_module("botocore.exceptions")
    config = importlib.import_module("botocore.config").Config(read_timeout=0.5, retries={"total_max_attempts": 1})
    url = {"ReadTimeoutError": silent, "ConnectionClosedError": canned(b""), "SSLError": running["fakes3"].url.replace("http:", "https:")}[theirs]
    c = glowplug.client("s3", endpoint_url=url, aws_access_key_id="A", aws_secret_access_key="B", config=config)
    with pytest.raises(getattr(exceptions, theirs)) as e:
        c.list_buckets()
    assert isinstance(e.value, WITHOUT_ANSWER[theirs])
    assert getattr(e.value, "kwargs")["endpoint_url"] == url
    again = pickle.loads(pickle.dumps(e.value))
    assert type(again) is type(e.value) and again == e.value


def test_a_call_ends_with_glowplugs_deadline_and_not_after_boto3s_minutes(silent: str, bare: pytest.MonkeyPatch) -> None:
    c = glowplug.client("s3", endpoint_url=silent, aws_access_key_id="A", aws_secret_access_key="B")
    with support.Stopwatch() as watch, pytest.raises(glowplug.errors.TimeoutError):
        c.list_buckets()
    assert 5 < watch.seconds < 11


# --- errors ---


def test_errors_pickle_and_compare(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    _, make = makers(running["fakes3"])
    c = make()
    calls: list[Callable[[], Any]] = [
        lambda: c.get_bucket_location(Bucket="none-such"),
        lambda: c.head_bucket(Bucket="none-such"),
        lambda: c.list_buckets(MaxBuckets=10_001),
        lambda: c.list_buckets(MaxBuckets=0),
        lambda: c.list_buckets(MaxBuckets="0"),
        lambda: c.get_object(),
        lambda: make(aws_access_key_id=None, aws_secret_access_key=None).list_buckets(),
        lambda: make(region_name="bad region"),
    ]
    for call in calls:
        with pytest.raises(glowplug.errors.GlowplugError) as e:
            call()
        again = pickle.loads(pickle.dumps(e.value))
        assert type(again) is type(e.value)
        assert again == e.value
        assert hash(again) == hash(e.value)
        assert str(again) == str(e.value)
        assert again.__dict__.keys() == e.value.__dict__.keys() - {"_stats", "_log"}


def test_an_error_is_all_that_it_should_be(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    _, make = makers(running["fakes3"])
    c = make()
    with pytest.raises(c.exceptions.NoSuchBucket) as e:
        c.get_bucket_location(Bucket="none-such")
    assert isinstance(e.value, (c.exceptions.ClientError,)) and isinstance(e.value, glowplug.ClientError)
    assert isinstance(e.value, glowplug.errors.NotFoundError) and isinstance(e.value, LookupError)
    assert isinstance(e.value, importlib.import_module("botocore.exceptions").ClientError)
    assert (e.value.code, e.value.status, e.value.operation, e.value.bucket) == ("NoSuchBucket", 404, "GetBucketLocation", "none-such")
    assert e.value.request_id == e.value.response["ResponseMetadata"]["RequestId"]
    with pytest.raises(PermissionError):
        make(aws_secret_access_key="no").list_buckets()
    with pytest.raises(TypeError):
        c.list_buckets(Prefix=3)
    with pytest.raises(ValueError):
        c.list_buckets(MaxBuckets=0)


def test_no_error_shows_the_secret(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    for kind in ("fakes3", "versitygw"):
        _, make = makers(running[kind])
        c = make(aws_secret_access_key=support.CANARY)
        for step in (LIST, HEAD, LOCATION):
            with pytest.raises(glowplug.ClientError) as e:
                step(c, make)
            assert support.CANARY not in f"{e.value} {e.value!r} {e.value.response} {pickle.dumps(e.value)!r}"
        assert support.CANARY not in repr(make(aws_secret_access_key=support.CANARY))


def test_botocore_may_be_imported_later(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    server = running["fakes3"]
    script = f"""
import pickle, sys, glowplug
c = glowplug.client("s3", region_name="us-east-1", endpoint_url={server.url!r}, aws_access_key_id={server.access_key!r}, aws_secret_access_key={server.secret_key!r})
def kept(call, *kinds):
    try: call()
    except kinds as e: return e
first = [kept(lambda: c.head_bucket(Bucket="none-such"), c.exceptions.ClientError), kept(lambda: c.list_buckets(MaxBuckets=0), ValueError)]
packed = pickle.dumps(first)
assert not [m for m in sys.modules if m.split(".")[0] in ("botocore", "boto3", "jmespath", "urllib3", "dateutil")]
import botocore.exceptions as b
kept(lambda: c.head_bucket(Bucket="none-such"), b.ClientError).response["Error"]["Code"] == "404"
kept(lambda: c.list_buckets(MaxBuckets=0), b.ParamValidationError).kwargs
assert [isinstance(e, k) for e, k in zip(pickle.loads(packed), (b.ClientError, b.ParamValidationError))] == [True, True]
print("fine")
"""
    assert support.run(script) == "fine\n"


# --- what is not supported says so at the call ---

URL = "http://127.0.0.1:1"


def offline(**more: Any) -> Any:
    arguments: dict[str, Any] = {"region_name": "us-east-1", "endpoint_url": URL, "aws_access_key_id": "A", "aws_secret_access_key": "B", **more}
    return glowplug.client("s3", **arguments)


class Config:
    """A config that is not botocore's."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "another service": (lambda: glowplug.client("sqs"), "'sqs'"),
    "an API version": (lambda: offline(api_version="2006-03-01"), "api_version"),
    "no TLS": (lambda: offline(use_ssl=False), "use_ssl"),
    "an account id": (lambda: offline(aws_account_id="1"), "aws_account_id"),
    "no verification": (lambda: offline(verify=False), "never weakened"),
    "another operation": (lambda: offline().get_object(Bucket="b", Key="k"), "client.get_object"),
    "another paginator": (lambda: offline().get_paginator("list_objects_v2"), "'list_objects_v2'"),
    "a paginator of an operation that has none": (lambda: offline().get_paginator("head_bucket"), "'head_bucket'"),
    "a waiter": (lambda: offline().get_waiter("bucket_exists"), "'bucket_exists'"),
    "presigned URLs": (lambda: offline().generate_presigned_url("list_buckets"), "client.generate_presigned_url"),
    "an access point": (lambda: offline().head_bucket(Bucket="arn:aws:s3:us-east-1:123456789012:accesspoint/x"), "ARN"),
    "a directory bucket": (lambda: offline().head_bucket(Bucket="b--use1-az4--x-s3"), "directory bucket"),
    "a key of PaginationConfig": (lambda: offline().get_paginator("list_buckets").paginate(PaginationConfig={"Pages": 1}), "'Pages'"),
}
for _setting, _value in {
    "signature_version": "s3",
    "proxies": {"https": "http://user:canary@proxy"},
    "proxies_config": {"proxy_ca_bundle": "x"},
    "client_cert": "x.pem",
    "user_agent": "x",
    "user_agent_extra": "x",
    "user_agent_appid": "x",
    "parameter_validation": False,
    "inject_host_prefix": False,
    "endpoint_discovery_enabled": True,
    "defaults_mode": "standard",
    "ignore_configured_endpoint_urls": True,
    "retries": {"mode": "adaptive"},
    "s3": {"use_accelerate_endpoint": True},
    "tcp_keepalive": False,
    "disable_request_compression": True,
    "of_the_future": 1,
}.items():
    REFUSED[f"config.{_setting}"] = (lambda setting=_setting, value=_value: offline(config=Config(**{setting: value})), f"config.{_setting}")


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_is_not_supported_says_so_at_the_call(sentence: str, bare: pytest.MonkeyPatch) -> None:
    call, named = REFUSED[sentence]
    with pytest.raises(glowplug.NotSupportedError) as e:
        call()
    assert isinstance(e.value, NotImplementedError)
    assert named in str(e.value)
    assert "canary" not in str(e.value)


def test_botocores_config_is_refused_by_the_same_names(bare: pytest.MonkeyPatch) -> None:
    make = importlib.import_module("botocore.config").Config
    botocore = importlib.import_module("botocore")
    for name, value in {"signature_version": botocore.UNSIGNED, "user_agent_extra": "x", "inject_host_prefix": False, "proxies": {"http": "x"}}.items():
        with pytest.raises(glowplug.NotSupportedError, match=f"config.{name}"):
            offline(config=make(**{name: value}))


def test_a_plain_config_of_botocore_changes_nothing(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    make = importlib.import_module("botocore.config").Config
    for config in (make(), make().merge(make()), make(proxies={}, s3={}, retries={}), make(signature_version="s3v4", tcp_keepalive=True, max_pool_connections=50), Config()):
        server = running["fakes3"]
        c = offline(endpoint_url=server.url, aws_access_key_id=server.access_key, aws_secret_access_key=server.secret_key, config=config)
        assert len(c.list_buckets()["Buckets"]) == 10
    assert offline(config=make(region_name="eu-west-1"), region_name=None).meta.region_name == "eu-west-1"
    assert offline(config=make(region_name="eu-west-1")).meta.region_name == "us-east-1"


def test_endpoints_of_aws(bare: pytest.MonkeyPatch) -> None:
    make = importlib.import_module("botocore.config").Config
    assert offline(endpoint_url=None, region_name="eu-west-1").meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"
    fips = offline(endpoint_url=None, config=make(use_fips_endpoint=True, use_dualstack_endpoint=True))
    assert fips.meta.endpoint_url == "https://s3-fips.dualstack.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"verify": 1}, TypeError),
        ({"config": 5}, TypeError),
        ({"config": Config(retries=5)}, TypeError),
        ({"config": Config(retries={"max_attempts": "5"})}, TypeError),
        ({"config": Config(retries={"max_attempts": -1})}, ValueError),
        ({"config": Config(connect_timeout="1")}, TypeError),
        ({"config": Config(read_timeout=float("nan"))}, ValueError),
        ({"config": Config(use_fips_endpoint="yes")}, TypeError),
        ({"config": Config(s3={"addressing_style": "odd"})}, ValueError),
        ({"config": Config(max_pool_connections=0)}, ValueError),
        ({"region_name": 5}, TypeError),
        ({"region_name": ""}, ValueError),
        ({"region_name": "-a"}, ValueError),
        ({"region_name": "123"}, ValueError),
        ({"aws_session_token": "x", "aws_access_key_id": None, "aws_secret_access_key": None}, ValueError),
        ({"aws_access_key_id": "A\x1fB"}, ValueError),
    ],
)
def test_arguments_that_cannot_be_used(more: dict[str, Any], kind: type[Exception], bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(glowplug.errors.InvalidArgumentError) as e:
        offline(**more)
    assert isinstance(e.value, kind)


@pytest.mark.parametrize("params", [{"Prefix": "a\x1fregion=x"}, {"Prefix": "\x00"}, {"Prefix": "\ud800"}, {"ContinuationToken": "a\x1eb"}, {"MaxBuckets": 10**5000}, {"Prefix\x1fx": "y"}])
def test_no_parameter_breaks_out_of_its_field(params: dict[str, Any], bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(glowplug.errors.InvalidArgumentError, match="Parameter validation failed"):
        offline().list_buckets(**params)


# --- the client ---


def test_a_client_closes_and_does_not_pickle(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    _, make = makers(running["fakes3"])
    c = make()
    c.list_buckets()
    c.close()
    c.close()
    with pytest.raises(glowplug.errors.InvalidArgumentError, match="closed"):
        c.list_buckets()
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(c)


def test_hasattr_tells_what_a_client_does(bare: pytest.MonkeyPatch) -> None:
    c = offline()
    assert hasattr(c, "list_buckets") and not hasattr(c, "list_objects_v2") and not hasattr(c, "_request_signer")


def test_pages_can_be_walked_twice(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    pages = paginate(makers(running["fakes3"])[1](), PaginationConfig={"PageSize": 3})
    assert bodies(offline, pages) == bodies(offline, pages)
    assert len(list(pages)) == 4


def test_a_token_that_comes_again_ends_the_pages(canned: Callable[[bytes], str], bare: pytest.MonkeyPatch) -> None:
    url = canned(http(200, "<ListAllMyBucketsResult><Buckets/><ContinuationToken>t</ContinuationToken></ListAllMyBucketsResult>"))
    theirs, ours = (outcome(lambda c, m: list(paginate(c)), make(), make) for make in makers(servers.Server("canned", url)))
    assert theirs["error"] == ours["error"] == ["PaginationError", "BotoCoreError"]
    assert theirs["text"] in ours["text"]


def test_search_without_jmespath_says_what_to_install(bare: pytest.MonkeyPatch) -> None:
    bare.setitem(sys.modules, "jmespath", None)
    with pytest.raises(glowplug.NotSupportedError, match="pip install jmespath"):
        offline().get_paginator("list_buckets").paginate().search("Buckets")


def test_dates_are_aware_and_equal_to_boto3s(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    theirs, ours = (make().list_buckets()["Buckets"][0]["CreationDate"] for make in makers(running["versitygw"]))
    assert theirs == ours
    assert ours.utcoffset() == timedelta(0)
    assert pickle.loads(pickle.dumps(ours)) == theirs


def test_a_bucket_elsewhere_on_aws_is_asked_in_its_region(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    """A refusal that names the region is followed, once, and counted as boto3 counts it."""
    server = running["fakes3"]
    server.control(region="us-east-1")
    try:
        compare("fakes3", {"head": lambda c, make: c.head_bucket(Bucket="bucket-00001"), "location": lambda c, make: c.get_bucket_location(Bucket="bucket-00001")}, server)
    finally:
        server.control(region="signed")


def test_threads_share_a_client(running: dict[str, servers.Server], bare: pytest.MonkeyPatch) -> None:
    c = makers(running["fakes3"])[1]()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                assert len(c.list_buckets()["Buckets"]) == 10
                with pytest.raises(glowplug.ClientError):
                    c.head_bucket(Bucket="none-such")
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not failed


# --- the cost ---


def test_the_client_costs_nothing_until_it_is_asked_for() -> None:
    added = """
import sys
before = set(sys.modules)
import glowplug
added = set(sys.modules) - before
assert not added & {"json", "datetime", "typing", "re", "enum", "http", "pyexpat"}, added
print(*sorted(name for name in added if name.startswith("glowplug")))
"""
    modules = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(Path(glowplug.__file__).parent.parent)!r})\n{added}"], capture_output=True, text=True, timeout=60, check=True)
    assert modules.stdout.split() == ["glowplug", "glowplug._runtime", "glowplug._s3", "glowplug._version", "glowplug.errors"]


def test_the_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'resource'"):
        glowplug.resource  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnusedExpression]
