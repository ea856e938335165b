"""What calls tell of themselves: statistics, logging, and the trace header that goes along."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import http.server
import logging
import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import glowplug
import pytest
from conftest import Client
from glowplug import aio, errors

import servers
from support import CANARY, TOKEN, run

EMPTY = (
    b'<?xml version="1.0" encoding="UTF-8"?><ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Owner><ID>o</ID></Owner><Buckets></Buckets></ListAllMyBucketsResult>"
)


# Statistics


def test_a_list_tells_what_its_call_did(fake: servers.Server, client: Client) -> None:
    s3 = client()
    found = s3.list_buckets()
    first = found.stats
    assert (first.requests, first.retries, first.connections, first.cache_hits) == (1, 0, 1, 0)
    assert first.bytes > 1000 and first.first_byte is not None and 0 < first.first_byte < 5
    again = s3.list_buckets().stats
    assert (again.requests, again.connections, again.bytes) == (1, 0, first.bytes), "the connection is taken again"


def test_retries_connections_and_the_first_byte_count(fake: servers.Server, client: Client) -> None:
    fake.control(faults=[{"kind": "status", "times": 2}], delay="30ms")
    stats = client().list_buckets().stats
    assert (stats.requests, stats.retries) == (3, 2)
    assert stats.first_byte and 0.03 <= stats.first_byte < 0.5, "of the first answer, which was an error"
    fake.control(clear=True, faults=[{"kind": "drop", "times": 1}], delay="0s")
    stats = client().list_buckets().stats
    assert stats.retries == 1 and stats.connections == 2


def test_regions_that_are_remembered_are_cache_hits(fake: servers.Server, client: Client) -> None:
    fake.control(quirks="never-tell")
    s3 = client()
    assert [(s.requests, s.cache_hits) for s in (s3.list_buckets().stats, s3.list_buckets().stats)] == [(11, 0), (1, 10)]
    s3.bucket_regions(["bucket-00001", "bucket-00002"])
    before = s3.stats
    s3.bucket_regions(["bucket-00001", "bucket-00002", "bucket-00003"])
    assert (s3.stats.cache_hits - before.cache_hits, s3.stats.requests - before.requests) == (2, 1)


def test_the_client_counts_all_calls_that_ended_also_those_that_failed(fake: servers.Server, client: Client) -> None:
    s3 = client(max_attempts=2)
    assert s3.stats == glowplug.S3(preconnect=False).stats
    assert (s3.stats.requests, s3.stats.first_byte) == (0, None)
    one = s3.list_buckets().stats
    assert s3.stats == one
    list(s3.iter_buckets())
    s3.bucket_region("bucket-00001")
    assert s3.stats.requests == 3
    fake.control(faults=[{"kind": "status"}])
    with pytest.raises(errors.ServiceError):
        s3.list_buckets()
    assert (s3.stats.requests, s3.stats.retries) == (5, 1)
    fake.control(clear=True)
    assert fake.stats()["reqs"] == s3.stats.requests
    total = s3.stats
    s3.close()
    assert s3.stats == total, "also once it is closed"
    s3.close()
    assert s3.stats == total


def test_the_counts_of_many_threads_add_up(fake: servers.Server, client: Client) -> None:
    s3 = client()
    fake.control(n=50)
    with ThreadPoolExecutor(64) as pool:
        looks = [pool.submit(lambda: s3.stats.requests) for _ in range(64)]
        lists = [call.result() for call in [pool.submit(s3.list_buckets) for _ in range(256)]]
        assert all(0 <= look.result() <= 256 for look in looks)
    assert s3.stats.requests == sum(found.stats.requests for found in lists) == 256
    assert s3.stats.bytes == sum(found.stats.bytes for found in lists)
    assert s3.stats.connections == sum(found.stats.connections for found in lists)
    # One that was dialled for a call which another's then served is nobody's.
    assert 0 < s3.stats.connections <= fake.stats()["conns"] - 2


def test_the_asyncio_client_counts_too(fake: servers.Server) -> None:
    async def main() -> None:
        async with aio.S3(preconnect=False) as s3:
            found = await asyncio.gather(*(s3.list_buckets() for _ in range(50)))
            assert s3.stats.requests == sum(f.stats.requests for f in found) == 50

    asyncio.run(main())


def test_a_connection_that_was_opened_ahead_is_not_the_calls(fake: servers.Server) -> None:
    with glowplug.S3(preconnect=True) as s3:
        stats = s3.list_buckets().stats
    assert (stats.requests, stats.connections) == (1, 0)


def test_statistics_are_values(fake: servers.Server, client: Client) -> None:
    stats = client().list_buckets().stats
    for twin in (copy.copy(stats), copy.deepcopy(stats), pickle.loads(pickle.dumps(stats))):
        assert twin == stats and hash(twin) == hash(stats) and repr(twin) == repr(stats)
    assert stats != client().stats and stats != object()
    assert repr(stats).startswith("Stats(bytes=") and "requests=1" in repr(stats)
    with pytest.raises(AttributeError, match="can't be changed"):
        stats.requests = 5
    with pytest.raises(AttributeError, match="can't be changed"):
        del stats.requests
    assert glowplug.BucketList().stats.requests == 0


# Logging


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the logger of glowplug says at DEBUG."""
    said: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert (record.name, record.levelno) == ("glowplug", logging.DEBUG)
            said.append(self.format(record))

    logger, handler = logging.getLogger("glowplug"), Handler()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield said
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


def some(lines: list[str], *parts: str) -> list[str]:
    return [line for line in lines if all(part in line for part in parts)]


def test_nothing_is_imported_for_logging_and_nothing_said_unless_asked(fake: servers.Server) -> None:
    out = run("import sys, glowplug\ns3 = glowplug.S3()\ns3.list_buckets()\nlist(s3.iter_buckets())\nprint('logging' in sys.modules, s3.list_buckets().stats.requests)\n")
    assert out == "False 1\n"
    assert run("import logging, glowplug\nlogging.basicConfig(level='INFO')\nglowplug.S3().list_buckets()\n") == ""


def test_what_is_logged_through_the_root_logger(fake: servers.Server) -> None:
    out = run("import logging, sys, glowplug\nlogging.basicConfig(level='DEBUG', stream=sys.stdout)\nglowplug.S3(preconnect=False).list_buckets()\n")
    assert out.startswith("DEBUG:glowplug:GET 127.0.0.1:") and len(out.splitlines()) >= 2


def test_requests_and_where_regions_came_from_are_logged(fake: servers.Server, client: Client, lines: list[str]) -> None:
    s3 = client()
    s3.list_buckets()
    assert some(lines, "GET", fake.url.rpartition("/")[2], "answered 200", "request id"), lines
    assert some(lines, "page of 10 buckets: 10 regions told, 0 remembered, 0 to look up")
    fake.control(quirks="never-tell")
    for expected in ("0 remembered, 10 to look up", "10 remembered, 0 to look up"):
        lines.clear()
        s3.list_buckets()
        assert some(lines, expected), lines
        assert len(some(lines, "HEAD", "answered 200")) == len(some(lines, 'region of "bucket-0000', " from ")) == (10 if expected[0] == "0" else 0)
    s3.bucket_region("bucket-00003")
    lines.clear()
    s3.bucket_region("bucket-00003")
    assert some(lines, 'region of "bucket-00003" is eu-central-1, remembered'), lines


def test_retries_and_failures_are_logged(fake: servers.Server, client: Client, lines: list[str]) -> None:
    fake.control(faults=[{"kind": "throttle", "times": 1}])
    client().list_buckets()
    assert some(lines, "answered 503") and some(lines, "retrying after", "SlowDown") and some(lines, "answered 200"), lines
    lines.clear()
    fake.control(faults=[{"kind": "deny"}])
    with pytest.raises(errors.AccessDeniedError):
        client().list_buckets()
    assert some(lines, "answered 403") and some(lines, "failed: ListBuckets: AccessDenied"), lines
    lines.clear()
    with pytest.raises(errors.AccessDeniedError):
        list(client().iter_buckets())
    assert some(lines, "failed: ListBuckets: AccessDenied"), lines
    lines.clear()
    with pytest.raises(errors.ConnectionError):
        client(endpoint_url="http://127.0.0.1:1", max_attempts=2).list_buckets()
    assert len(some(lines, "127.0.0.1:1", "failed after", "refused")) == 2 and some(lines, "retrying after"), lines


def test_the_asyncio_client_logs_too(fake: servers.Server, lines: list[str]) -> None:
    async def main() -> None:
        async with aio.S3(preconnect=False) as s3:
            await s3.list_buckets()
            assert some(lines, "answered 200")
            fake.control(faults=[{"kind": "deny"}])
            with pytest.raises(errors.AccessDeniedError):
                await s3.list_buckets()
            assert some(lines, "failed:", "AccessDenied")

    asyncio.run(main())


def test_a_server_can_not_forge_lines(client: Client, fake: servers.Server, lines: list[str]) -> None:
    fake.control(buckets=[{"name": "odd\u0085FORGED \u009b[31m\u2028", "region": "eu-west-1"}], quirks="never-tell")
    client().list_buckets()
    fake.control(faults=[{"kind": "status", "code": "Odd\nFORGED \u009b[31m\u2028\x7f"}])
    with pytest.raises(errors.ServiceError):
        client(max_attempts=2).list_buckets()
    assert some(lines, "FORGED") and all(line.isprintable() for line in lines)


def test_no_line_holds_a_secret(fake: servers.Server, client: Client, lines: list[str], environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_SESSION_TOKEN", TOKEN)
    secrets = (CANARY, TOKEN, "Authorization", "AWS4-HMAC", "Signature=", "X-Amz-Security-Token")

    def call(s3: glowplug.S3) -> None:
        for work in (s3.list_buckets, lambda: list(s3.iter_buckets()), lambda: s3.bucket_regions(["bucket-00001", "none"]), s3.wait_ready):
            with contextlib.suppress(errors.GlowplugError):
                work()
        s3.close()

    for faults in ([], [{"kind": "deny"}], [{"kind": "throttle", "times": 2}], [{"kind": "drop"}], [{"kind": "garbage"}], [{"kind": "cut"}]):
        fake.control(clear=True, faults=faults)
        call(client())
    fake.control(clear=True, keys=[{"id": "ANOTHER", "secret": "x"}])
    call(client())
    call(client(access_key_id="AKIA", secret_access_key=CANARY, session_token=TOKEN))
    environment.setenv("http_proxy", f"http://user:{CANARY}@127.0.0.1:1")
    call(client(endpoint_url="http://s3.example.invalid"))
    assert len(lines) > 30
    assert not [line for line in lines if any(secret.lower() in line.lower() for secret in secrets)]


# The trace header


class Recorder(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    traces: list[str | None]

    def do_GET(self) -> None:
        self.traces.append(self.headers["X-Amzn-Trace-Id"])
        self.send_response(200)
        self.send_header("Content-Length", str(len(EMPTY)))
        self.end_headers()
        self.wfile.write(EMPTY)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def traces(environment: pytest.MonkeyPatch) -> Iterator[list[str | None]]:
    """The trace headers of the requests that a server got."""
    seen: list[str | None] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Recorder,), {"traces": seen}))
    environment.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield seen
    server.shutdown()
    thread.join()
    server.server_close()


TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def test_the_trace_header_of_each_invocation_goes_along(traces: list[str | None], client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    s3 = client()
    s3.list_buckets()
    for trace in (TRACE, TRACE.replace("Sampled=1", "Sampled=0;Lineage=1:a:0")):
        environment.setenv("_X_AMZN_TRACE_ID", trace)
        s3.list_buckets()
        list(s3.iter_buckets())

        async def main() -> None:
            async with aio.S3(preconnect=False) as other:
                await other.list_buckets()

        asyncio.run(main())
        assert traces[-3:] == [trace] * 3
    environment.delenv("_X_AMZN_TRACE_ID")
    s3.list_buckets()
    assert (traces[0], traces[-1]) == (None, None)


def test_outside_of_lambda_no_trace_goes_along(traces: list[str | None], client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("_X_AMZN_TRACE_ID", TRACE)
    client().list_buckets()
    assert traces == [None]


@pytest.mark.parametrize("trace", ["two\nlines", "a\rb", "unit\x1fseparated", "\udcff", "ünï", ""])
def test_a_trace_that_no_header_can_carry_is_left_out(traces: list[str | None], client: Client, environment: pytest.MonkeyPatch, trace: str) -> None:
    environment.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    environment.setenv("_X_AMZN_TRACE_ID", trace)
    assert os.environ["_X_AMZN_TRACE_ID"] == trace
    assert len(client().list_buckets()) == 0
    assert traces == [None]
