"""glowplug.testing: the local S3 under the real client and under boto3, the pytest plugin in suites of its own, and docs/testing.md."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import glowplug
import pytest
from glowplug import errors
from glowplug.testing import Bucket, FakeS3, Request

import servers
import support

pytest_plugins = ["pytester"]

@pytest.fixture
def s3(environment: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    with FakeS3() as fake, fake.patch_environ():
        yield fake


def client_of(fake: FakeS3) -> glowplug.S3:
    return glowplug.S3(endpoint_url=fake.url, access_key_id=FakeS3.ACCESS_KEY, secret_access_key=FakeS3.SECRET_KEY)


def boto(fake: FakeS3, **options: Any) -> Any:
    config = importlib.import_module("botocore.config").Config(retries={"total_max_attempts": 1})
    given = {"aws_access_key_id": FakeS3.ACCESS_KEY, "aws_secret_access_key": FakeS3.SECRET_KEY, "region_name": "us-east-1"}
    return importlib.import_module("boto3").client("s3", endpoint_url=fake.url, config=config, **given | options)


# The server under glowplug.


def test_what_is_listed_is_what_the_fake_holds(s3: FakeS3) -> None:
    with glowplug.S3() as client:
        assert list(client.list_buckets()) == s3.buckets
        assert len(s3.buckets) == 100 and len({b.region for b in s3.buckets}) == 7
        assert s3.requests == [Request("GET", "/", {"max-buckets": "10000", "x-id": "ListBuckets"}, "ListBuckets", "")]
        s3.add_bucket("added", "eu-north-1")
        s3.delete_bucket("bucket-00000")
        assert list(client.list_buckets()) == s3.buckets
        assert s3.buckets[0].name == "added"
        assert (listed := client.list_buckets(prefix="bucket-0001", region="eu-west-1")) and {b.region for b in listed} == {"eu-west-1"}


def test_regions_that_are_not_told_are_asked_for(s3: FakeS3) -> None:
    s3.reset(tells_regions=False)
    with glowplug.S3() as client:
        assert list(client.list_buckets()) == s3.buckets
        assert sum(r.operation == "HeadBucket" for r in s3.requests) == 100


@pytest.mark.parametrize("n", [0, 1, 9, 10, 11, 20, 25])
def test_pages_end_with_the_last_bucket(s3: FakeS3, n: int) -> None:
    s3.reset(buckets=n, page_size=10)
    with glowplug.S3() as client:
        assert list(client.iter_buckets()) == s3.buckets
    assert len(s3.requests) == max(1, -(-n // 10))


def test_buckets_are_given_in_each_form(environment: pytest.MonkeyPatch) -> None:
    made = datetime(2021, 2, 3, 4, 5, 6, 789123, tzinfo=timezone(timedelta(hours=2)))
    with FakeS3(["ccc", ("bbb", "eu-west-1"), Bucket("aaa", "eu-west-2", made), Bucket("ddd", None)]) as fake, client_of(fake) as client:
        listed = list(client.list_buckets())
        assert [(b.name, b.region) for b in listed] == [("aaa", "eu-west-2"), ("bbb", "eu-west-1"), ("ccc", "us-east-1"), ("ddd", "us-east-1")]
        assert listed[0].created == made.replace(microsecond=789000)
        assert listed == fake.buckets


def test_buckets_that_are_foreign_old_or_gone(s3: FakeS3) -> None:
    s3.add_bucket("theirs", "sa-east-1", foreign=True)
    with glowplug.S3() as client:
        assert "theirs" not in [b.name for b in client.list_buckets()]
        assert client.bucket_region("theirs") == "sa-east-1"
        with pytest.raises(errors.NotFoundError):
            client.bucket_region("missing")
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    created = s3.add_bucket("new").created
    assert created and created > before


def test_names_are_ordered_and_filters_escaped_as_by_s3(s3: FakeS3) -> None:
    s3.reset(buckets=["bbb", "BBB", "aa.a", "aa-a", "aa_a", "aa0a"], page_size=1, owner="<&>")
    with glowplug.S3() as client:
        assert [b.name for b in client.list_buckets()] == ["BBB", "aa-a", "aa.a", "aa0a", "aa_a", "bbb"]
    for prefix in ("a&<>\"'\r\n", "ä\U0001f600", "\uffee"):
        assert "Buckets" not in boto(s3).list_buckets(Prefix=prefix) or not boto(s3).list_buckets(Prefix=prefix)["Buckets"]
        assert s3.requests[-1].query["prefix"] == prefix
    assert boto(s3).list_buckets()["Owner"]["ID"] == "<&>"


def test_more_buckets_than_one_unpaginated_answer_may_have(s3: FakeS3) -> None:
    s3.reset(buckets=10_001)
    with pytest.raises(Exception, match="Unpaginated ListBuckets requests are not supported"):
        boto(s3).list_buckets()
    with glowplug.S3() as client:
        assert len(client.list_buckets()) == 10_001


def test_signatures_are_verified_where_keys_are_given(s3: FakeS3) -> None:
    s3.reset(keys={"AKID": "right"})
    assert s3.environ["AWS_ACCESS_KEY_ID"] == "AKID" and s3.environ["AWS_SECRET_ACCESS_KEY"] == "right"
    for key, secret, token, code in (
        ("AKID", "right", None, None),
        ("AKID", "wrong", None, "SignatureDoesNotMatch"),
        ("OTHER", "right", None, "InvalidAccessKeyId"),
        ("AKID", "right", "t", "InvalidToken"),
    ):
        with glowplug.S3(access_key_id=key, secret_access_key=secret, session_token=token) as client:
            if code is None:
                assert len(client.list_buckets(prefix="bucket-0000")) == 10
                continue
            with pytest.raises(errors.CredentialsError) as refused:
                client.list_buckets()
            assert refused.value.code == code and refused.value.request_id


def test_an_endpoint_of_one_region(s3: FakeS3) -> None:
    s3.reset(region="eu-west-1", tells_regions=False)
    assert s3.environ["AWS_REGION"] == "eu-west-1"
    with glowplug.S3(region="eu-west-1") as client:
        assert list(client.list_buckets()) == s3.buckets
    with glowplug.S3(region="us-east-1") as client, pytest.raises(errors.GlowplugError, match="AuthorizationHeaderMalformed"):
        client.list_buckets()


def test_virtual_hosted_requests_below_localhost(s3: FakeS3) -> None:
    port = int(s3.url.rsplit(":", 1)[1])
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as conn:
        conn.request("HEAD", "/", headers={"Host": f"bucket-00002.localhost:{port}"})
        answer = conn.getresponse()
        assert (answer.status, answer.headers["x-amz-bucket-region"]) == (403, "eu-west-1")
    assert s3.requests[-1].bucket == "bucket-00002"


# Faults.


def test_a_throttle_that_ends_costs_a_retry(s3: FakeS3) -> None:
    s3.throttle(times=1)
    with glowplug.S3() as client:
        assert client.list_buckets().stats.retries == 1


def test_faults_raise_what_they_are_named_after(s3: FakeS3) -> None:
    with glowplug.S3(max_attempts=2) as client:
        for order, leaf in ((s3.throttle, errors.ThrottledError), (s3.deny, errors.AccessDeniedError), (s3.drop, errors.ConnectionError)):
            order()
            with pytest.raises(leaf):
                client.list_buckets()
            s3.reset_faults()
        s3.slow(30)
        with support.Stopwatch() as watch, pytest.raises(errors.TimeoutError):
            client.list_buckets(timeout=0.2)
        assert watch.seconds < 1
        s3.reset_faults()
        assert len(client.list_buckets()) == 100


def test_faults_strike_only_what_they_select(s3: FakeS3) -> None:
    s3.reset(buckets=["logs", "web"], tells_regions=False)
    with glowplug.S3(max_attempts=1, cache_ttl=0) as client:
        s3.deny(operation="GetBucketLocation")
        s3.drop(bucket="web")
        found = client.list_buckets()
        assert [(b.name, b.region) for b in found] == [("logs", "us-east-1"), ("web", None)]
        assert isinstance(found.errors[0].error, errors.ConnectionError)
        # S3 tells the region of a bucket that it denies.
        s3.reset_faults()
        s3.deny("web")
        assert client.list_buckets().errors == ()


def test_every_counts_what_is_selected(s3: FakeS3) -> None:
    s3.throttle(every=3, times=2, operation="HeadBucket")
    client = boto(s3)
    outcome: list[int] = []
    for _ in range(9):
        client.list_buckets()
        try:
            outcome.append(client.head_bucket(Bucket="bucket-00001")["ResponseMetadata"]["HTTPStatusCode"])
        except client.exceptions.ClientError as e:
            outcome.append(e.response["ResponseMetadata"]["HTTPStatusCode"])
    assert outcome == [200, 200, 503, 200, 200, 503, 200, 200, 200]


def test_a_slow_answer_holds_up_no_other(s3: FakeS3) -> None:
    s3.slow(0.3, operation="HeadBucket")
    with glowplug.S3() as client, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.bucket_region, "bucket-00001")
        support.wait_until(lambda: any(r.operation == "HeadBucket" for r in s3.requests), "the slow request came")
        with support.Stopwatch() as watch:
            client.list_buckets()
        assert watch.seconds < 0.25
        assert slow.result() == "us-west-2"


# Bad input.


def test_bad_options_are_refused() -> None:
    bad: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"buckets": -1}, ValueError, "0 or more"),
        ({"buckets": True}, TypeError, "give how many"),
        ({"buckets": "abc"}, TypeError, "give how many"),
        ({"buckets": ["abc", "abc"]}, ValueError, "already"),
        ({"buckets": ["ab/c"]}, ValueError, "no bucket's name"),
        ({"buckets": ["ab"]}, ValueError, "no bucket's name"),
        ({"buckets": ["abc\n"]}, ValueError, "no bucket's name"),
        ({"buckets": [""]}, ValueError, "no bucket's name"),
        ({"buckets": ["x" * 256]}, ValueError, "no bucket's name"),
        ({"buckets": [("abc", "Europe")]}, ValueError, "eu-west-1"),
        ({"region": ""}, ValueError, "eu-west-1"),
        ({"page_size": 0}, ValueError, "from 1 to 10,000"),
        ({"page_size": 10_001}, ValueError, "from 1 to 10,000"),
        ({"page_size": True}, TypeError, "give an int"),
        ({"colour": "red"}, TypeError, "colour"),
    ]
    for options, error, text in bad:
        with pytest.raises(error, match=text):
            FakeS3(**options)
    fake = FakeS3(1)
    with pytest.raises(RuntimeError, match="does not run"):
        _ = fake.url
    with pytest.raises(TypeError, match="colour"):
        fake.reset(colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="already"):
        fake.add_bucket("bucket-00000")
    with pytest.raises(ValueError, match="time zone"):
        fake.add_bucket("naive", created=datetime(2024, 1, 1))
    with pytest.raises(KeyError, match="missing"):
        fake.delete_bucket("missing")
    orders: list[tuple[Callable[[], None], type[Exception]]] = [
        (lambda: fake.throttle(times=0), ValueError),
        (lambda: fake.throttle(times=1.5), TypeError),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: fake.drop(every=0), ValueError),
        (lambda: fake.deny(operation="PutObject"), ValueError),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: fake.slow(-1), ValueError),
        (lambda: fake.slow(float("nan")), ValueError),
    ]
    for order, error in orders:
        with pytest.raises(error):
            order()
    assert len(fake.buckets) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"PUT /b HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET /" + b"x" * 70_000, 431),
        (b"GET / HTTP/1.0\r\n\r\n", 307),
        (b"HEAD /bucket-00000 HTTP/1.1\r\nConnection: close\r\n\r\n", 403),
        (b"\xff\xfe /\xc3\x28?%ff=%zz HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nAuthorization: Basic eA==\r\nConnection: close\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x\r\nConnection: close\r\n\r\n", 400),
        (b"GET /?continuation-token=%ff%00 HTTP/1.1\r\nConnection: close\r\n\r\n", 307),
    ],
)
def test_what_is_no_request_is_refused_and_harms_nothing(s3: FakeS3, sent: bytes, status: int) -> None:
    host, port = s3.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as conn:
        conn.sendall(sent)
        received = b""
        while part := conn.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 %d " % status), received
    with glowplug.S3() as client:
        assert len(client.list_buckets()) == 100


def test_pieces_pipelines_and_bodies(s3: FakeS3) -> None:
    host, port = s3.url.removeprefix("http://").split(":")
    request = b"HEAD /bucket-00001 HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((host, int(port)), 5) as conn:
        for byte in request:
            conn.sendall(bytes([byte]))
        conn.sendall(b"PUT /bucket-00001 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        time.sleep(0.05)
        conn.sendall(b"body" + request * 2 + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        received = b""
        while part := conn.recv(65536):
            received += part
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"403", b"100", b"403", b"403", b"403", b"403"]
    assert [r.method for r in s3.requests] == ["HEAD", "PUT", "HEAD", "HEAD", "HEAD"]


# Leaks.


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_behind(environment: pytest.MonkeyPatch) -> None:
    def round_() -> None:
        with FakeS3(5) as fake:
            fake.slow(60, operation="HeadBucket")
            held = [socket.create_connection(("127.0.0.1", int(fake.url.rsplit(":", 1)[1]))) for _ in range(5)]
            held[0].sendall(b"HEAD /bucket-00000 HTTP/1.1\r\n\r\n")
            held[1].sendall(b"HEAD /bucket-0")
            with client_of(fake) as client:
                assert len(client.list_buckets()) == 5
            support.wait_until(lambda: len(fake.requests) == 2, "the held request came")
        for sock in held:
            assert sock.recv(1) == b""
            sock.close()
        fake.close()

    round_()
    threads, fds = threading.active_count(), descriptors()
    for _ in range(20):
        round_()
    support.wait_until(lambda: (threading.active_count(), descriptors()) == (threads, fds), "threads and descriptors are as before")


def test_it_starts_again_after_its_end(environment: pytest.MonkeyPatch) -> None:
    fake = FakeS3(2)
    for _ in range(2):
        with fake, client_of(fake) as client:
            assert fake.start() is fake
            assert len(client.list_buckets()) == 2
    assert "not started" in repr(fake)


def test_a_forked_child_uses_the_server_and_leaves_it_running(s3: FakeS3) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        conn = http.client.HTTPConnection("127.0.0.1", int(s3.url.rsplit(":", 1)[1]), timeout=5)
        conn.request("GET", "/")
        os.write(write, b"%d" % conn.getresponse().status)
        s3.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 10) == b"307"
    os.close(read)
    os.close(write)
    with glowplug.S3() as client:
        assert len(client.list_buckets()) == 100


def test_many_threads_and_changes_at_once(s3: FakeS3) -> None:
    with glowplug.S3() as client, ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(client.list_buckets) for _ in range(200)]
        for i in range(200):
            s3.add_bucket(f"more-{i:03d}")
            s3.delete_bucket(f"more-{i:03d}")
        assert all(len(call.result()) in (100, 101) for call in calls)


def test_the_environment_is_as_before(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_PROFILE", "mine")
    environment.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    environment.setenv("NO_PROXY", "example.com")
    before = dict(os.environ)
    with FakeS3(1) as fake, fake.patch_environ() as same:
        assert same is fake
        assert "AWS_PROFILE" not in os.environ and os.environ["NO_PROXY"] == "example.com,127.0.0.1"
        assert fake.environ.items() <= os.environ.items()
        assert len(boto(fake).list_buckets()["Buckets"]) == 1
    assert dict(os.environ) == before


# boto3.


def test_boto3_sees_what_glowplug_sees(s3: FakeS3) -> None:
    client = importlib.import_module("boto3").client("s3")
    pages = client.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 30})
    theirs = [(b["Name"], b["BucketRegion"], b["CreationDate"]) for page in pages for b in page["Buckets"]]
    with glowplug.S3() as ours:
        assert [(b.name, b.region, b.created) for b in ours.list_buckets()] == theirs
    assert client.list_buckets()["Owner"]["ID"]
    with pytest.raises(client.exceptions.ClientError, match="NotImplemented.*moto"):
        client.put_object(Bucket="bucket-00000", Key="k", Body=b"x" * 10)
    with pytest.raises(client.exceptions.ClientError, match="NoSuchBucket|404"):
        client.create_bucket(Bucket="another")


# Offline.


AWS_ENV = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": support.CANARY}


@pytest.mark.parametrize(
    ("what", "env", "address"),
    [
        ("AWS's endpoint", AWS_ENV, "s3.us-east-1.amazonaws.com:443"),
        ("an endpoint elsewhere", AWS_ENV | {"AWS_ENDPOINT_URL_S3": "http://192.0.2.1:9000"}, "192.0.2.1:9000"),
        ("what a loopback proxy would pass on", AWS_ENV | {"HTTPS_PROXY": "http://127.0.0.1:3128"}, "s3.us-east-1.amazonaws.com:443"),
        ("instance metadata", {"AWS_EC2_METADATA_DISABLED": "false"}, "169.254.169.254:80"),
        ("the container endpoint", {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}, "169.254.170.2:80"),
        ("STS", {"AWS_WEB_IDENTITY_TOKEN_FILE": __file__, "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}, "sts.us-east-1.amazonaws.com:443"),
    ],
)
def test_offline_refuses(environment: pytest.MonkeyPatch, what: str, env: dict[str, str], address: str) -> None:
    for name in AWS_ENV:
        environment.delenv(name)
    for name, value in {**env, "GLOWPLUG_OFFLINE": "1"}.items():
        environment.setenv(name, value)
    with glowplug.S3() as client, support.Stopwatch() as watch, pytest.raises(errors.ConnectionError) as refused:
        client.list_buckets()
    e = refused.value
    assert (e.code, e.retryable) == ("Offline", False), what
    assert address in e.message and "glowplug_s3" in e.message and "AWS_ENDPOINT_URL_S3" in e.message and "moto" in e.message
    assert watch.seconds < 0.5


def test_offline_allows_this_machine(s3: FakeS3, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GLOWPLUG_OFFLINE", "1")
    for url in (s3.url, s3.url.replace("127.0.0.1", "localhost")):
        with glowplug.S3(endpoint_url=url) as client:
            assert len(client.list_buckets()) == 100


def test_offline_is_read_when_a_client_is_made(environment: pytest.MonkeyPatch) -> None:
    with glowplug.S3(endpoint_url="http://no-such-host.invalid", max_attempts=1, preconnect=False) as before:
        environment.setenv("GLOWPLUG_OFFLINE", "1")
        with pytest.raises(errors.ConnectionError) as failed:
            before.list_buckets(timeout=5)
        assert failed.value.code != "Offline"
    environment.setenv("GLOWPLUG_OFFLINE", "perhaps")
    with glowplug.S3() as client, pytest.raises(errors.InvalidArgumentError, match="GLOWPLUG_OFFLINE must be 1, 0, true or false"):
        client.list_buckets()


# The plugin, in suites of its own.


@pytest.fixture
def suite(pytester: pytest.Pytester, environment: pytest.MonkeyPatch) -> pytest.Pytester:
    # Made-up settings of AWS that no test may follow.
    for name, value in {"AWS_PROFILE": "nobody", "AWS_ENDPOINT_URL_S3": "http://192.0.2.1", "AWS_REGION": "mars-north-1"}.items():
        environment.setenv(name, value)
    return pytester


def run(suite: pytest.Pytester, *args: str, **outcomes: int) -> pytest.RunResult:
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", "--strict-markers", "--strict-config", *args, timeout=60)
    result.assert_outcomes(**outcomes)
    return result


HANDLER = """
    import glowplug

    s3 = glowplug.S3()

    def handler(event, context):
        return len(s3.list_buckets(context=context))
"""


def test_a_handler_test_in_a_few_lines(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        app=HANDLER,
        test_app="""
            import os

            def test_one(glowplug_s3):
                from app import handler
                assert handler({}, None) == 100
                assert "AWS_PROFILE" not in os.environ

            def test_two_has_the_module_of_one_and_a_fresh_account(glowplug_s3):
                from app import handler
                glowplug_s3.add_bucket("more")
                glowplug_s3.throttle(times=1)
                assert handler({}, None) == 101
                assert len(glowplug_s3.requests) == 2

            def test_three_is_as_one(glowplug_s3):
                from app import handler
                assert handler({}, None) == 100
                assert len(glowplug_s3.requests) == 1

            def test_without_the_fixture_the_environment_is_the_users():
                assert os.environ["AWS_PROFILE"] == "nobody" and os.environ["AWS_ENDPOINT_URL_S3"] == "http://192.0.2.1"
                assert os.environ["GLOWPLUG_OFFLINE"] == "1"
        """,
    )
    run(suite, passed=4)


@pytest.mark.parametrize("by", ["ini", "environment"])
def test_autouse_is_there_before_every_import(suite: pytest.Pytester, environment: pytest.MonkeyPatch, by: str) -> None:
    if by == "ini":
        suite.makeini("[pytest]\nglowplug_autouse = true")
    else:
        environment.setenv("GLOWPLUG_AUTOUSE", "1")
    suite.makepyfile(
        app=HANDLER,
        conftest="import app",
        test_app="""
            import os
            import unittest
            from app import handler

            at_import = os.environ["AWS_ENDPOINT_URL_S3"]

            def test_without_a_word():
                assert handler({}, None) == 100

            def test_with_the_fixture(glowplug_s3):
                assert glowplug_s3.url == at_import
                glowplug_s3.reset(buckets=3)
                assert handler({}, None) == 3

            def test_with_the_session(glowplug_s3_session):
                assert handler({}, None) == 100
                assert glowplug_s3_session.url == at_import

            class OfUnittest(unittest.TestCase):
                def test_handler(self):
                    self.assertEqual(handler({}, None), 100)
        """,
    )
    run(suite, passed=4)


def test_the_marker_gives_options(suite: pytest.Pytester) -> None:
    suite.makepyfile("""
        import glowplug, pytest

        pytestmark = pytest.mark.glowplug_s3(buckets=7, tells_regions=False)

        def test_of_the_module(glowplug_s3):
            with glowplug.S3() as s3:
                assert len(s3.list_buckets()) == 7
            assert len(glowplug_s3.requests) == 8

        @pytest.mark.glowplug_s3(buckets=[("web", "eu-west-1")])
        def test_of_its_own(glowplug_s3):
            with glowplug.S3() as s3:
                assert [(b.name, b.region) for b in s3.list_buckets()] == [("web", "eu-west-1")]
            assert len(glowplug_s3.requests) == 2

        @pytest.mark.glowplug_s3(5)
        def test_bad(glowplug_s3):
            pass

        @pytest.mark.glowplug_s3(colour="red")
        def test_unknown(glowplug_s3):
            pass
    """)
    run(suite, passed=2, errors=2).stdout.fnmatch_lines(["*takes keywords only*", "*colour*"])


def test_the_session_fixture_serves_fixtures_of_a_wider_scope(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        app=HANDLER,
        test_app="""
            import importlib, os, pytest

            @pytest.fixture(scope="module")
            def app(glowplug_s3_session):
                return importlib.import_module("app")

            def test_one(app):
                assert app.handler({}, None) == 100

            def test_two(app, glowplug_s3):
                glowplug_s3.delete_bucket("bucket-00000")
                assert app.handler({}, None) == 99

            def test_three(app, glowplug_s3_session):
                assert app.handler({}, None) == 100
        """,
    )
    run(suite, passed=3)


def test_a_client_of_an_earlier_import_is_refused_and_told_what_to_do(suite: pytest.Pytester, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_PROFILE")
    environment.setenv("AWS_REGION", "eu-west-1")
    suite.makepyfile(
        app=HANDLER,
        test_app="""
            import app, pytest
            from glowplug import errors

            def test_it(glowplug_s3):
                with pytest.raises(errors.ConnectionError, match="glowplug_autouse = true where the client is made on import"):
                    app.handler({}, None)
        """,
    )
    run(suite, passed=1)


@pytest.mark.parametrize(
    ("ini", "env", "flag", "expected"),
    [
        ("", {}, [], "1"),
        ("glowplug_offline = true", {}, [], "1"),
        ("glowplug_offline = false", {}, [], None),
        ("", {"GLOWPLUG_OFFLINE": "0"}, [], "0"),
        ("", {"GLOWPLUG_OFFLINE": ""}, [], "1"),
        ("glowplug_offline = false", {"GLOWPLUG_OFFLINE": "1"}, [], "1"),
        ("", {}, ["-p", "no:glowplug"], None),
    ],
)
def test_a_session_is_offline_unless_somebody_says_otherwise(
    suite: pytest.Pytester, environment: pytest.MonkeyPatch, ini: str, env: dict[str, str], flag: list[str], expected: str | None
) -> None:
    for name, value in env.items():
        environment.setenv(name, value)
    suite.makeini(f"[pytest]\n{ini}" if "no:glowplug" not in flag else "[pytest]\n")
    suite.makepyfile(
        conftest=f"import os\nassert os.environ.get('GLOWPLUG_OFFLINE') == {expected!r}",
        test_it=f"import os\n\ndef test_it():\n    assert os.environ.get('GLOWPLUG_OFFLINE') == {expected!r}",
    )
    run(suite, *flag, passed=1)


def test_a_setting_that_is_no_boolean(suite: pytest.Pytester, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GLOWPLUG_AUTOUSE", "perhaps")
    result = suite.runpytest_subprocess(timeout=60)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*GLOWPLUG_AUTOUSE must be 1, 0, true or false*"])


def test_a_session_leaves_its_process_as_it_was(suite: pytest.Pytester) -> None:
    """pytest.main inside another program, also where a conftest.py fails."""
    suite.makeini("[pytest]\nglowplug_autouse = true")
    suite.makepyfile(test_it="def test_it(glowplug_s3):\n    assert glowplug_s3.url")
    for conftest, status in (("", 0), ("1 / 0", 4)):
        suite.makeconftest(conftest)
        script = f"""
            import os, threading, pytest
            before, fds = dict(os.environ), len(os.listdir("/proc/self/fd"))
            assert pytest.main(["-p", "no:cacheprovider"]) == {status}
            assert {{k: v for k, v in os.environ.items() if k.startswith(("AWS_", "GLOWPLUG_"))}} == {{k: v for k, v in before.items() if k.startswith(("AWS_", "GLOWPLUG_"))}}
            assert threading.active_count() == 1
            assert len(os.listdir("/proc/self/fd")) == fds
            print("as it was")
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=suite.path, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout.endswith("as it was\n")) == (0, True), done.stdout + done.stderr


def test_the_plugin_costs_a_start_next_to_nothing(suite: pytest.Pytester) -> None:
    """It loads no server, no client in Go, and no module that pytest has not."""
    suite.makepyfile("""
        import sys

        def test_it():
            assert "glowplug.testing.plugin" in sys.modules
            ours = {name for name in sys.modules if name.split(".")[0] == "glowplug"}
            assert ours == {"glowplug", "glowplug._runtime", "glowplug._s3", "glowplug._version", "glowplug.errors", "glowplug.testing", "glowplug.testing.plugin"}
    """)
    run(suite, passed=1)


def test_importing_glowplug_does_not_import_testing() -> None:
    assert support.run("import sys, glowplug; print([m for m in sys.modules if 'testing' in m or m == 'pytest'])") == "[]\n"


# docs/testing.md.

PAGE = (servers.REPO / "docs/testing.md").read_text(encoding="utf-8")


def projects() -> dict[str, dict[str, str]]:
    """The files of each section, by their names in the first line of a block."""
    found: dict[str, dict[str, str]] = {}
    for section in re.split(r"^## ", PAGE, flags=re.M)[1:]:
        files = dict(re.findall(r"^```\w+\n# (\S+\.(?:py|toml))\n(.*?)^```$", section, re.M | re.S))
        if files:
            found[section.splitlines()[0]] = files
    return found


@pytest.mark.parametrize("title", projects())
def test_the_page_does_what_it_says(pytester: pytest.Pytester, environment: pytest.MonkeyPatch, title: str) -> None:
    if title == "With moto":
        servers.require("moto")
    for name, text in projects()[title].items():
        (pytester.path / name).write_text(text, encoding="utf-8")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=90)
    assert result.ret == 0
    assert result.parseoutcomes().keys() <= {"passed", "warnings", "warning"}


def test_each_section_with_a_test_is_run() -> None:
    assert list(projects()) == ["In a few lines", "Without autouse", "Faults to order", "Without pytest", "Beside boto3", "With moto", "Offline"]
    assert all(any(name.startswith("test_") for name in files) for files in projects().values())


@pytest.mark.parametrize("tool", ["mock_aws", "socket"])
def test_mocks_of_python_do_not_reach_glowplug(s3: FakeS3, environment: pytest.MonkeyPatch, tool: str) -> None:
    with contextlib.ExitStack() as mocked:
        if tool == "mock_aws":
            servers.require("moto")
            mocked.enter_context(importlib.import_module("moto").mock_aws())
            for name, value in s3.environ.items():
                environment.setenv(name, value)
        else:
            # As pytest-socket does.
            environment.setattr(socket, "socket", None)
        with glowplug.S3() as client:
            assert len(client.list_buckets()) == 100
