"""The fakes of S3, that in Go and the users' in Python, held against others: moto and versitygw get the very same raw
requests, and the documented or recorded answers of S3 itself are compared where those two differ from it.

``S3`` says what S3 answers, and so the fakes; ``DIFFERENCES`` lists every known departure of another
server with its reason. A departure that is not listed fails, and so does one that has gone.
"""

from __future__ import annotations

import http.client
import importlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from glowplug.testing import FakeS3

import servers

# botocore has no types.
S3SigV4Auth: Any = importlib.import_module("botocore.auth").S3SigV4Auth
AWSRequest: Any = importlib.import_module("botocore.awsrequest").AWSRequest
Credentials: Any = importlib.import_module("botocore.credentials").Credentials
Session: Any = importlib.import_module("botocore.session").Session

N = 25


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def root(self) -> ElementTree.Element | None:
        return ElementTree.fromstring(self.body) if self.body.lstrip().startswith(b"<?xml") else None

    def texts(self, tag: str) -> list[str]:
        return [] if self.root is None else [e.text or "" for e in self.root.iter() if local(e) == tag]


def local(e: ElementTree.Element) -> str:
    return e.tag.rpartition("}")[2]


def send(server: servers.Server, method: str, path: str, signed: str = "own") -> Answer:
    """One request, signed by botocore with the server's key, a "wrong" secret, an "unknown" key, or "nobody"."""
    request = AWSRequest(method=method, url=server.url + path)
    if signed != "nobody":
        key = {"own": (server.access_key, server.secret_key), "wrong": (server.access_key, "x"), "unknown": ("AKIAUNKNOWN", "x")}[signed]
        request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        S3SigV4Auth(Credentials(*key), "s3", server.region).add_auth(request)
    conn = http.client.HTTPConnection(*server.address, timeout=20)
    try:
        conn.request(method, path, headers=dict(request.headers))
        got = conn.getresponse()
        return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
    finally:
        conn.close()


# S3 stopped sending an owner's DisplayName in November 2025; moto and versitygw still send one.
IGNORED = {"DisplayName"}


def shape(e: ElementTree.Element) -> str:
    """The element tree without texts and without order: XML's order means nothing to a client."""
    parts: dict[str, int] = {}
    for child in e:
        if local(child) not in IGNORED:
            parts[shape(child)] = parts.get(shape(child), 0) + 1
    inside = " ".join(f"{n}*{part}" if n > 1 else part for part, n in sorted(parts.items()))
    return local(e) + (f"({inside})" if inside else "")


def describe(a: Answer) -> str:
    """Status, error code, element tree, location text and region header in one line."""
    words = [str(a.status), *a.texts("Code")]
    if a.root is not None:
        words.append(shape(a.root))
        words += [repr(text) for text in a.texts("LocationConstraint")]
    words += [f"{name}={a.headers[name]}" for name in ("x-amz-bucket-region", "location") if name in a.headers]
    return " ".join(words)


def listing(count: int, *rest: str, told: bool = True) -> str:
    bucket = "Bucket(BucketRegion CreationDate Name)" if told else "Bucket(CreationDate Name)"
    inside = {0: "Buckets", 1: f"Buckets({bucket})"}.get(count, f"Buckets({count}*{bucket})")
    return f"200 ListAllMyBucketsResult({' '.join(sorted([inside, 'Owner(ID)', *rest]))})"


def argument_error(*fields: str) -> str:
    return f"400 InvalidArgument Error({' '.join(sorted(['ArgumentName', 'Code', 'HostId', 'Message', 'RequestId', *fields]))})"


DENIED = "403 AccessDenied Error(Code HostId Message RequestId)"
SHOP = "307 location=https://aws.amazon.com/s3/"
MISMATCH = "403 SignatureDoesNotMatch Error(AWSAccessKeyId CanonicalRequest CanonicalRequestBytes Code HostId Message RequestId SignatureProvided StringToSign StringToSignBytes)"

# request -> what S3 answers for the 25 buckets of the anchors: its API reference, and recorded answers where that is silent
S3: dict[tuple[str, ...], str] = {
    ("GET", "/"): listing(25, told=False),
    ("GET", "/?max-buckets=1000"): listing(25),
    ("GET", "/?max-buckets=10000"): listing(25),
    ("GET", "/?max-buckets=25"): listing(25),
    ("GET", "/?max-buckets=10"): listing(10, "ContinuationToken"),
    ("GET", "/?max-buckets=1&x-id=ListBuckets"): listing(1, "ContinuationToken"),
    ("GET", "/?prefix=bucket-0001"): listing(10, "Prefix"),
    ("GET", "/?prefix=none"): listing(0, "Prefix"),
    ("GET", "/?prefix=bucket-0001&max-buckets=3"): listing(3, "ContinuationToken", "Prefix"),
    ("GET", "/?bucket-region=eu-west-1"): listing(4),
    ("GET", "/?continuation-token=made-up"): argument_error(),
    ("GET", "/?max-buckets=0"): argument_error("ArgumentValue"),
    ("GET", "/?max-buckets=-1"): argument_error("ArgumentValue"),
    ("GET", "/?max-buckets=10001"): argument_error("ArgumentValue"),
    ("GET", "/?max-buckets=abc"): argument_error("ArgumentValue"),
    ("HEAD", "/bucket-00000"): "200 x-amz-bucket-region=us-east-1",
    ("HEAD", "/bucket-00002"): "200 x-amz-bucket-region=eu-west-1",
    ("HEAD", "/missing-bucket"): "404",
    ("GET", "/bucket-00000?location"): "200 LocationConstraint ''",
    ("GET", "/bucket-00002?location"): "200 LocationConstraint 'eu-west-1'",
    ("GET", "/missing-bucket?location"): "404 NoSuchBucket Error(BucketName Code HostId Message RequestId)",
    ("GET", "/", "nobody"): SHOP,
    ("GET", "/?max-buckets=10", "nobody"): SHOP,
    ("HEAD", "/bucket-00002", "nobody"): "403 x-amz-bucket-region=eu-west-1",
    ("HEAD", "/missing-bucket", "nobody"): "404",
    ("GET", "/bucket-00002?location", "nobody"): DENIED + " x-amz-bucket-region=eu-west-1",
    ("GET", "/?max-buckets=10", "wrong"): MISMATCH,
    ("HEAD", "/bucket-00002", "wrong"): "403 x-amz-bucket-region=eu-west-1",
    ("GET", "/?max-buckets=10", "unknown"): "403 InvalidAccessKeyId Error(AWSAccessKeyId Code HostId Message RequestId)",
    ("HEAD", "/bucket-00002", "unknown"): "403 x-amz-bucket-region=eu-west-1",
    ("PUT", "/"): "405 MethodNotAllowed Error(Code HostId Message Method RequestId ResourceType)",
}

NEVER_TELLS = "moto never tells a region"
NO_TOKEN = "moto cuts at max-buckets but gives no token: the rest of the buckets can't be had"
NO_PREFIX = "moto does not echo the prefix"
NO_RANGE = "moto checks neither range nor form of max-buckets"
NO_AUTH = "moto checks no signature and serves anonymous callers"
ONE_REGION = "versitygw has one region, its own, for every bucket"
ALWAYS_TELLS = "versitygw tells the region also where no parameter was sent"
ANONYMOUS = "versitygw denies where S3 redirects to its product page"
NO_REGION = "versitygw tells no region when it refuses before it looks at the bucket"
NO_ACCOUNT = "versitygw answers for its account store: unknown keys are 404 XAdminUserNotFound"

BAD_TOKEN = "versitygw's token is the last name of the page: any text is one, and what sorts after it follows"

# server, request -> what it answers instead, and why; measured on moto 5.2.5 and versitygw 1.8.0
DIFFERENCES: dict[tuple[str, tuple[str, ...]], tuple[str, str]] = {
    ("versitygw", ("GET", "/")): (listing(25), ALWAYS_TELLS),
    ("versitygw", ("GET", "/?bucket-region=eu-west-1")): (listing(25), "versitygw ignores bucket-region"),
    ("versitygw", ("GET", "/?continuation-token=made-up")): (listing(0), BAD_TOKEN),
    ("versitygw", ("HEAD", "/bucket-00002")): ("200 x-amz-bucket-region=us-east-1", ONE_REGION),
    ("versitygw", ("GET", "/bucket-00002?location")): ("200 LocationConstraint ''", ONE_REGION),
    ("versitygw", ("GET", "/", "nobody")): (DENIED, ANONYMOUS),
    ("versitygw", ("GET", "/?max-buckets=10", "nobody")): (DENIED, ANONYMOUS),
    ("versitygw", ("HEAD", "/bucket-00002", "nobody")): ("403 x-amz-bucket-region=us-east-1", ONE_REGION),
    ("versitygw", ("HEAD", "/missing-bucket", "nobody")): ("404 x-amz-bucket-region=us-east-1", "versitygw tells anonymous callers its region also for buckets that are not there"),
    ("versitygw", ("GET", "/bucket-00002?location", "nobody")): (DENIED, NO_REGION),
    ("versitygw", ("HEAD", "/bucket-00002", "wrong")): ("403", NO_REGION),
    ("versitygw", ("GET", "/?max-buckets=10", "unknown")): ("404 XAdminUserNotFound Error(Code HostId Message RequestId)", NO_ACCOUNT),
    ("versitygw", ("HEAD", "/bucket-00002", "unknown")): ("404", NO_ACCOUNT),
    ("moto", ("GET", "/?max-buckets=1000")): (listing(25, told=False), NEVER_TELLS),
    ("moto", ("GET", "/?max-buckets=10000")): (listing(25, told=False), NEVER_TELLS),
    ("moto", ("GET", "/?max-buckets=25")): (listing(25, told=False), NEVER_TELLS),
    ("moto", ("GET", "/?max-buckets=10")): (listing(10, told=False), NO_TOKEN),
    ("moto", ("GET", "/?max-buckets=1&x-id=ListBuckets")): (listing(1, told=False), NO_TOKEN),
    ("moto", ("GET", "/?prefix=bucket-0001")): (listing(10, told=False), NO_PREFIX),
    ("moto", ("GET", "/?prefix=none")): (listing(0), NO_PREFIX),
    ("moto", ("GET", "/?prefix=bucket-0001&max-buckets=3")): (listing(3, told=False), NO_TOKEN),
    ("moto", ("GET", "/?bucket-region=eu-west-1")): (listing(4, told=False), NEVER_TELLS),
    ("moto", ("GET", "/?continuation-token=made-up")): (listing(25, told=False), "moto ignores the token"),
    ("moto", ("GET", "/?max-buckets=0")): (listing(0), NO_RANGE),
    ("moto", ("GET", "/?max-buckets=-1")): (listing(24, told=False), NO_RANGE + ": -1 drops the last bucket"),
    ("moto", ("GET", "/?max-buckets=10001")): (listing(25, told=False), NO_RANGE),
    ("moto", ("GET", "/?max-buckets=abc")): ("500", NO_RANGE + ": a traceback, and an HTML page"),
    ("moto", ("GET", "/", "nobody")): (listing(25, told=False), NO_AUTH),
    ("moto", ("GET", "/?max-buckets=10", "nobody")): (listing(10, told=False), NO_AUTH),
    ("moto", ("HEAD", "/bucket-00002", "nobody")): ("200 x-amz-bucket-region=eu-west-1", NO_AUTH),
    ("moto", ("GET", "/bucket-00002?location", "nobody")): ("200 LocationConstraint 'eu-west-1'", NO_AUTH),
    ("moto", ("GET", "/?max-buckets=10", "wrong")): (listing(10, told=False), NO_AUTH),
    ("moto", ("HEAD", "/bucket-00002", "wrong")): ("200 x-amz-bucket-region=eu-west-1", NO_AUTH),
    ("moto", ("GET", "/?max-buckets=10", "unknown")): (listing(10, told=False), NO_AUTH),
    ("moto", ("HEAD", "/bucket-00002", "unknown")): ("200 x-amz-bucket-region=eu-west-1", NO_AUTH),
    ("moto", ("PUT", "/")): (listing(25, told=False), "moto lists whatever the method"),
}


def in_process(s: FakeS3) -> servers.Server:
    return servers.Server("testing", s.url)


@pytest.fixture(scope="module", params=["fakes3", "testing"])
def fake(request: pytest.FixtureRequest) -> Generator[servers.Server, None, None]:
    """One of our own: in Go for our tests, in Python (glowplug.testing) for our users'."""
    if request.param == "testing":
        with FakeS3(N, keys={FakeS3.ACCESS_KEY: FakeS3.SECRET_KEY}) as s:
            yield in_process(s)
        return
    servers.require("fakes3")
    with servers.fakes3(N, verify=True) as s:
        yield s


@pytest.fixture(scope="module")
def others() -> Generator[dict[str, servers.Server], None, None]:
    servers.require("moto", "versitygw")
    with servers.moto() as moto, servers.versitygw() as versitygw:
        servers.fill(moto, N)
        servers.fill(versitygw, N)
        yield {"moto": moto, "versitygw": versitygw}


@pytest.mark.parametrize("request_", S3, ids=" ".join)
def test_the_fakes_answer_as_s3(fake: servers.Server, request_: tuple[str, ...]) -> None:
    assert describe(send(fake, *request_)) == S3[request_]


@pytest.mark.parametrize("kind", ["moto", "versitygw"])
@pytest.mark.parametrize("request_", S3, ids=" ".join)
def test_others_differ_only_as_listed(others: dict[str, servers.Server], kind: str, request_: tuple[str, ...]) -> None:
    expected, reason = DIFFERENCES.get((kind, request_), (S3[request_], "as S3"))
    assert describe(send(others[kind], *request_)) == expected, reason


def test_no_listed_difference_is_idle() -> None:
    for (kind, request_), (answer, reason) in DIFFERENCES.items():
        assert kind in ("moto", "versitygw") and reason
        assert answer != S3[request_], f"{kind} answers {request_} as S3 does"


def pages(server: servers.Server, size: int, query: str = "") -> list[list[str]]:
    """The names of each page, to the end or to the 50th page."""
    out: list[list[str]] = []
    token = ""
    while len(out) < 50:
        answer = send(server, "GET", f"/?max-buckets={size}{query}" + (f"&continuation-token={quote(token, safe='')}" if token else ""))
        assert answer.status == 200, answer
        out.append(answer.texts("Name"))
        tokens = answer.texts("ContinuationToken")
        if not tokens:
            break
        assert len(tokens[0]) <= 1024
        token = tokens[0]
    return out


def test_paging_to_the_end(fake: servers.Server, others: dict[str, servers.Server]) -> None:
    names = [servers.name(i) for i in range(N)]
    want = [names[:10], names[10:20], names[20:]]
    assert pages(fake, 10) == want
    assert pages(others["versitygw"], 10) == want
    lost = pages(others["moto"], 10)
    assert [len(p) for p in lost] == [10], NO_TOKEN


def test_paging_under_a_prefix(fake: servers.Server, others: dict[str, servers.Server]) -> None:
    want = [["bucket-00010", "bucket-00011", "bucket-00012", "bucket-00013"], ["bucket-00014", "bucket-00015", "bucket-00016", "bucket-00017"], ["bucket-00018", "bucket-00019"]]
    assert pages(fake, 4, "&prefix=bucket-0001") == want
    assert pages(others["versitygw"], 4, "&prefix=bucket-0001") == want


def test_a_page_that_ends_with_the_last_bucket_has_no_token(fake: servers.Server, others: dict[str, servers.Server]) -> None:
    assert [len(p) for p in pages(fake, 5)] == [5] * 5
    assert [len(p) for p in pages(others["versitygw"], 5)] == [5] * 5


def test_a_page_may_end_with_the_last_bucket_of_its_prefix(fake: servers.Server, others: dict[str, servers.Server]) -> None:
    assert [len(p) for p in pages(fake, 5, "&prefix=bucket-0001")] == [5, 5]
    assert [len(p) for p in pages(others["versitygw"], 5, "&prefix=bucket-0001")] == [5, 5]


def test_the_order_of_listings(fake: servers.Server, others: dict[str, servers.Server]) -> None:
    names = [servers.name(i) for i in range(N)]
    assert send(fake, "GET", "/").texts("Name") == names
    assert send(others["versitygw"], "GET", "/").texts("Name") == names
    # moto lists in the order of creation.
    assert sorted(send(others["moto"], "GET", "/").texts("Name")) == names


def test_request_ids(fake: servers.Server, others: dict[str, servers.Server]) -> None:
    for path in ("/?max-buckets=1", "/missing-bucket?location"):
        first, second = send(fake, "GET", path), send(fake, "GET", path)
        assert first.headers["x-amz-request-id"] != second.headers["x-amz-request-id"]
        assert first.headers["server"] == "AmazonS3"
        gateway = send(others["versitygw"], "GET", path)
        for answer in (first, gateway):
            assert re.fullmatch("[0-9A-Z]{16}", answer.headers["x-amz-request-id"])
            # S3's host ids are base64 of several lengths.
            assert re.fullmatch("[0-9A-Za-z+/]{70,100}={0,2}", answer.headers["x-amz-id-2"])
        # moto has an id of its own only.
        assert {"x-amz-request-id", "x-amz-id-2"}.isdisjoint(send(others["moto"], "GET", path).headers)
    refused = send(fake, "GET", "/missing-bucket?location")
    assert refused.texts("RequestId") == [refused.headers["x-amz-request-id"]]
    assert refused.texts("HostId") == [refused.headers["x-amz-id-2"]]


def test_dates(fake: servers.Server, others: dict[str, servers.Server]) -> None:
    def first(s: servers.Server) -> str:
        return send(s, "GET", "/?max-buckets=1").texts("CreationDate")[0]

    assert first(fake) == "2024-03-01T12:00:00.000Z"
    assert datetime.strptime(first(others["moto"]), "%Y-%m-%dT%H:%M:%S.000Z")
    # versitygw writes whole seconds and no fraction.
    assert datetime.strptime(first(others["versitygw"]), "%Y-%m-%dT%H:%M:%SZ")


def test_signature_errors_show_what_the_server_computed(fake: servers.Server, others: dict[str, servers.Server]) -> None:
    path = "/?prefix=a%20b%2Fc&max-buckets=10"
    for s in (fake, others["versitygw"]):
        answer = send(s, "GET", path, "wrong")
        canonical = answer.texts("CanonicalRequest")[0].splitlines()
        assert canonical[:3] == ["GET", "/", "max-buckets=10&prefix=a%20b%2Fc"], s.kind
        assert bytes.fromhex(answer.texts("CanonicalRequestBytes")[0]).decode().splitlines() == canonical
    assert send(fake, "GET", path).status == 200


# S3 itself: the service model that botocore ships, the examples beside it, and recorded answers.


@pytest.fixture(scope="module")
def model() -> Any:
    return Session().get_service_model("s3")


def test_each_element_of_a_listing_is_one_of_the_service_model(fake: servers.Server, model: Any) -> None:
    def unknown(e: ElementTree.Element, shape_: Any) -> list[str]:
        if shape_.type_name == "list":
            return [u for child in e for u in unknown(child, shape_.member)]
        if shape_.type_name != "structure":
            return []
        members = {m.serialization.get("name", name): m for name, m in shape_.members.items()}
        return [u for child in e for u in (unknown(child, members[local(child)]) if local(child) in members else [local(child)])]

    output = model.operation_model("ListBuckets").output_shape
    root = send(fake, "GET", "/?max-buckets=10&prefix=bucket").root
    assert root is not None
    assert root.tag == "{http://s3.amazonaws.com/doc/2006-03-01/}ListAllMyBucketsResult"
    assert unknown(root, output) == []
    assert {local(e) for e in root} == set(output.members)
    # BucketArn is documented for directory buckets only, which this operation does not list.
    assert {local(e) for e in root.iter()} >= set(output.members["Buckets"].member.members) - {"BucketArn"}


def test_the_bounds_of_max_buckets_are_those_of_the_service_model(fake: servers.Server, model: Any) -> None:
    bounds = model.operation_model("ListBuckets").input_shape.members["MaxBuckets"].metadata
    for n, status in ((bounds["min"] - 1, 400), (bounds["min"], 200), (bounds["max"], 200), (bounds["max"] + 1, 400)):
        assert send(fake, "GET", f"/?max-buckets={n}").status == status


@pytest.fixture(params=["fakes3", "testing"])
def documented(request: pytest.FixtureRequest) -> Generator[servers.Server, None, None]:
    """One of our own with the buckets of the service model's examples, and an old one of eu-west-1."""
    if request.param == "testing":
        with FakeS3([("examplebucket", "us-west-2"), "acl1"]) as s:
            s.add_bucket("old", "eu-west-1", created=datetime(2013, 12, 31, tzinfo=timezone.utc))
            yield in_process(s)
        return
    servers.require("fakes3")
    with servers.fakes3(0, old_eu=True) as s:
        s.control(buckets=[{"name": "examplebucket", "region": "us-west-2"}, {"name": "acl1"}, {"name": "old", "region": "eu-west-1"}])
        yield s


def test_the_documented_examples(documented: servers.Server) -> None:
    """examples-1.json of botocore, and the notes of GetBucketLocation about null and EU."""
    loader = Session().get_component("data_loader")
    examples = loader.load_data("s3/2006-03-01/examples-1")["examples"]
    client = documented.client()
    for example in examples["GetBucketLocation"]:
        assert client.get_bucket_location(**example["input"])["LocationConstraint"] == example["output"]["LocationConstraint"]
    for example in examples["HeadBucket"]:
        assert client.head_bucket(**example["input"])["BucketRegion"] == "us-east-1"
    assert client.get_bucket_location(Bucket="acl1")["LocationConstraint"] is None
    assert client.get_bucket_location(Bucket="old")["LocationConstraint"] == "EU"


# Answers of the real service, as reports quote them; ids and tokens are shortened.
RECORDED = {
    # versity/versitygw issue 1930
    "a region that is not the endpoint's": (
        400,
        "<Error><Code>InvalidArgument</Code><Message>Requests with bucket-region specified must be made to the corresponding regional endpoint</Message>"
        "<ArgumentName>bucket-region</ArgumentName><RequestId>N</RequestId><HostId>i</HostId></Error>",
    ),
    # romange/helio issue 15
    "a token that has expired": (400, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message><Token-0>T</Token-0><RequestId>F</RequestId><HostId>B</HostId></Error>"),
}


def same(answer: Answer, recorded: tuple[int, str]) -> None:
    want = ElementTree.fromstring(recorded[1])
    assert answer.status == recorded[0]
    assert answer.root is not None and shape(answer.root) == shape(want)
    assert answer.texts("Message") == [want.findtext("Message")]


def test_recorded_answers_of_the_users_fake() -> None:
    with FakeS3(1, region="us-east-1") as local_s3:
        s = in_process(local_s3)
        same(send(s, "GET", "/?bucket-region=eu-west-1"), RECORDED["a region that is not the endpoint's"])
        anonymous = send(s, "GET", "/", "nobody")
        assert (anonymous.status, anonymous.headers["content-length"], anonymous.body) == (307, "0", b"")


def test_recorded_answers() -> None:
    servers.require("fakes3")
    with servers.fakes3(1, region="us-east-1") as s:
        same(send(s, "GET", "/?bucket-region=eu-west-1"), RECORDED["a region that is not the endpoint's"])
        s.control(keys=[{"id": s.access_key, "secret": s.secret_key, "expires": datetime(2020, 1, 1, tzinfo=timezone.utc).isoformat()}])
        same(send(s, "GET", "/"), RECORDED["a token that has expired"])
        # minio/minio-java issue 206: an anonymous GET / is sent to the product page with an empty body.
        anonymous = send(s, "GET", "/", "nobody")
        assert (anonymous.status, anonymous.headers["content-length"], anonymous.body) == (307, "0", b"")


def test_head_bucket_tells_the_region_on_each_status() -> None:
    """API reference of HeadBucket: the header is right "regardless of the permissions on the bucket"."""
    servers.require("fakes3")
    with servers.fakes3(3, region="us-east-1") as s:
        assert describe(send(s, "HEAD", "/bucket-00000")) == "200 x-amz-bucket-region=us-east-1"
        assert describe(send(s, "HEAD", "/bucket-00002")) == "301 x-amz-bucket-region=eu-west-1"
        s.control(faults=[{"kind": "deny", "bucket": "bucket-00002"}])
        assert describe(send(s, "HEAD", "/bucket-00002")) == "403 x-amz-bucket-region=eu-west-1"
        s.control(clear=True, faults=[{"kind": "no-region"}])
        assert describe(send(s, "HEAD", "/bucket-00002")) == "301"
    with servers.fakes3(3, region="us-east-1", bad_region=400) as s:
        assert describe(send(s, "HEAD", "/bucket-00002")) == "400 x-amz-bucket-region=eu-west-1"


def test_the_users_fake_tells_the_region_on_each_status() -> None:
    with FakeS3(3, region="us-east-1") as local_s3:
        s = in_process(local_s3)
        assert describe(send(s, "HEAD", "/bucket-00000")) == "200 x-amz-bucket-region=us-east-1"
        assert describe(send(s, "HEAD", "/bucket-00002")) == "301 x-amz-bucket-region=eu-west-1"
        local_s3.deny("bucket-00002")
        assert describe(send(s, "HEAD", "/bucket-00002")) == "403 x-amz-bucket-region=eu-west-1"
        assert describe(send(s, "GET", "/bucket-00002?location")) == DENIED + " x-amz-bucket-region=eu-west-1"


def test_both_fakes_answer_the_same_beyond_the_table() -> None:
    """What the table leaves to the two of them: malformed headers, other methods, regional endpoints, ordered faults, foreign buckets."""
    servers.require("fakes3")
    requests = [
        *(("GET", path) for path in ("/bucket-00002", "/?prefix=%26%3C&max-buckets=2", "/bucket-00001?location=", "/?bucket-region=us-east-1", "/?bucket-region=nowhere")),
        *((method, "/bucket-00001") for method in ("PUT", "DELETE", "POST")),
        ("DELETE", "/"),
        ("HEAD", "/"),
        ("HEAD", "/foreign"),
        ("GET", "/foreign?location"),
        ("GET", "/bucket-00001", "nobody"),
        ("PUT", "/bucket-00001", "nobody"),
        ("HEAD", "/foreign", "nobody"),
    ]
    for region in ("", "us-east-1", "eu-west-1"):
        with servers.fakes3(0) as go, FakeS3(3, region=region or None) as local_s3:
            buckets = [{"name": b.name, "region": b.region} for b in local_s3.buckets]
            go.control(buckets=[*buckets, {"name": "foreign", "region": "sa-east-1", "foreign": True}], region=region)
            local_s3.add_bucket("foreign", "sa-east-1", foreign=True)
            python = in_process(local_s3)
            for request_ in requests:
                assert describe(send(python, *request_)) == describe(send(go, *request_)), (region, request_)
            for fault in ({"kind": "throttle"}, {"kind": "deny"}):
                go.control(clear=True, faults=[fault])
                local_s3.reset_faults()
                getattr(local_s3, fault["kind"])()
                for request_ in requests[:6]:
                    assert describe(send(python, *request_)) == describe(send(go, *request_)), (fault, request_)


# The quirks make the fake answer as the servers they are named after.


def test_quirks_make_a_moto(others: dict[str, servers.Server]) -> None:
    servers.require("fakes3")
    with servers.fakes3(N, quirks="never-tell,no-token") as s:
        for path in ("/", "/?max-buckets=1000", "/?max-buckets=10", "/?bucket-region=eu-west-1", "/?continuation-token=made-up", "/bucket-00002?location"):
            assert describe(send(s, "GET", path)) == describe(send(others["moto"], "GET", path)), path


def test_quirks_make_a_versitygw(others: dict[str, servers.Server]) -> None:
    servers.require("fakes3")
    with servers.fakes3(N, quirks="own-region,ignore-bucket-region") as s:
        for request_ in (("GET", "/?max-buckets=10"), ("GET", "/?bucket-region=eu-west-1"), ("HEAD", "/bucket-00002"), ("GET", "/bucket-00002?location")):
            assert describe(send(s, *request_)) == describe(send(others["versitygw"], *request_)), request_


# The helpers themselves.


@pytest.mark.parametrize("n", [0, 1, 300])
def test_fill_makes_what_boto3_lists(n: int) -> None:
    servers.require("moto", "versitygw")
    with servers.moto() as moto, servers.versitygw("eu-west-1") as versitygw:
        for s in (moto, versitygw):
            wanted = servers.fill(s, n)
            client = s.client()
            assert sorted(b["Name"] for b in client.list_buckets()["Buckets"]) == sorted(wanted)
            for bucket in list(wanted)[:8]:
                assert client.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == wanted[bucket]
                assert (client.get_bucket_location(Bucket=bucket)["LocationConstraint"] or "us-east-1") == wanted[bucket]


def test_the_command_over_tls_with_stats_and_control() -> None:
    servers.require("fakes3")
    with servers.fakes3(7, tls="valid") as s:
        client = s.client()
        assert len(client.list_buckets(MaxBuckets=100)["Buckets"]) == 7
        client.head_bucket(Bucket="bucket-00001")
        stats = s.stats()
        assert (stats["reqs"], stats["lists"], stats["heads"], stats["locations"]) == (2, 1, 1, 0)
        assert s.control(faults=[{"kind": "throttle", "times": 1}])["faults"] == [{"kind": "throttle", "times": 1, "burst": 1}]
        with pytest.raises(client.exceptions.ClientError, match="SlowDown"):
            client.list_buckets()
        assert len(client.list_buckets()["Buckets"]) == 7
        with pytest.raises(RuntimeError, match="unknown fault kind"):
            s.control(faults=[{"kind": "none"}])


def test_the_command_ends_when_its_input_closes() -> None:
    servers.require("fakes3")
    with pytest.raises(RuntimeError, match="ended by itself with status 0"), servers.fakes3(1) as s:
        assert s.process.stdin
        s.process.stdin.close()
        s.process.wait(5)


def test_a_missing_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERSITYGW", "/no/such/versitygw")
    with pytest.raises(servers.Missing, match="VERSITYGW names /no/such/versitygw"):
        servers.find_versitygw()
    monkeypatch.setenv("GLOWPLUG_REQUIRE", "all")
    with pytest.raises(pytest.fail.Exception, match="GLOWPLUG_REQUIRE=all"):
        servers.require("versitygw")
    monkeypatch.delenv("GLOWPLUG_REQUIRE")
    with pytest.raises(pytest.skip.Exception, match="VERSITYGW"), pytest.warns(UserWarning, match="SKIPPED"):
        servers.require("versitygw")


def test_what_a_failing_server_said_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    servers.require("fakes3")
    with pytest.raises(RuntimeError, match="ended at its start"), servers.fakes3(1, quirks="none-such"):
        pass
    assert 'unknown quirk "none-such"' in capsys.readouterr().err


EMULATED = """
import json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as r:
        event, request = json.load(r), r.headers["Lambda-Runtime-Aws-Request-Id"]
    urllib.request.urlopen(api + request + "/response", json.dumps({"echo": event}).encode()).close()
"""


def test_the_lambda_emulator(tmp_path: Path) -> None:
    servers.require("rie")
    script = tmp_path / "runtime.py"
    script.write_text(EMULATED)
    with servers.lambda_rie([sys.executable, str(script)]) as s:
        for i in range(2):
            assert servers.invoke(s, {"n": i}) == {"echo": {"n": i}}
