"""The client on the fake: calls, streams, deadlines, settings, connecting ahead, closing, threads."""

from __future__ import annotations

import gc
import json
import signal
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import glowplug
import pytest
from glowplug import errors

import servers
from support import CANARY, Client, Stopwatch, info, run, wait_until

BLOCKED: dict[str, Any] = {"kind": "black-hole"}


@dataclass
class Context:
    """The part of a Lambda's context that glowplug reads."""

    seconds: float

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


# Calls


def test_a_listing_has_all_buckets_in_order_with_their_regions(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(n=2500)
    found = s3.list_buckets()
    assert [(b.name, b.region) for b in found] == [(servers.name(i), servers.REGIONS[i % 7]) for i in range(2500)]
    assert list(s3.iter_buckets()) == list(found)


def test_prefix_region_and_limit_combine(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(n=100)
    assert [b.name for b in s3.list_buckets(prefix="bucket-0001")] == [servers.name(i) for i in range(10, 20)]
    assert [b.name for b in s3.list_buckets(prefix="bucket-0001", region="eu-west-1")] == [servers.name(16)]
    assert [b.name for b in s3.iter_buckets(region="eu-west-1", limit=3)] == [servers.name(i) for i in (2, 9, 16)]
    assert not s3.list_buckets(prefix="nothing")


def test_one_name_gives_its_region(s3: glowplug.S3) -> None:
    assert s3.bucket_region("bucket-00003") == "eu-central-1"
    with pytest.raises(errors.NotFoundError) as caught:
        s3.bucket_region("no-such-bucket")
    assert caught.value.bucket == "no-such-bucket" and isinstance(caught.value, LookupError)


def test_many_names_give_regions_or_errors(s3: glowplug.S3) -> None:
    found = s3.bucket_regions(iter(["bucket-00002", "no-such-bucket", "Not A Name", "bucket-00000", "bucket-00002"]))
    assert list(found) == ["bucket-00002", "no-such-bucket", "Not A Name", "bucket-00000"]
    assert (found["bucket-00002"], found["bucket-00000"]) == ("eu-west-1", "us-east-1")
    assert isinstance(found["no-such-bucket"], errors.NotFoundError)
    assert isinstance(found["Not A Name"], errors.InvalidArgumentError)
    with pytest.raises(errors.NotFoundError):
        s3.bucket_regions(["bucket-00002", "no-such-bucket"], on_error="raise")


def test_no_names_send_no_request(fake: servers.Server, s3: glowplug.S3) -> None:
    assert s3.bucket_regions([]) == {}
    assert fake.stats()["reqs"] == 0


def test_regions_are_remembered_unless_told_otherwise(fake: servers.Server, client: Client) -> None:
    fake.control(quirks="never-tell")
    for options, requests in (({}, 1), ({"cache_ttl": 0}, 11), ({"cache_ttl": -0.0}, 11)):
        s3 = client(**options)
        assert len(s3.list_buckets().by_region()) == 7
        fake.control(reset_stats=True)
        assert len(s3.list_buckets().by_region()) == 7
        assert fake.stats()["reqs"] == requests, options


# Streams


def test_the_first_bucket_comes_while_the_next_page_is_blocked(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(n=2500, faults=[{**BLOCKED, "op": "list", "after": 1}])
    buckets = s3.iter_buckets()
    with Stopwatch() as first:
        assert next(buckets).name == "bucket-00000"
    assert first.seconds < 1
    wait_until(lambda: fake.stats()["lists"] == 2, "the second page is asked for")
    assert info().calls == 1
    buckets.close()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert info().calls == 0


@pytest.mark.parametrize("how", ["close", "forget", "break"])
def test_a_stream_that_is_abandoned_leaves_nothing(fake: servers.Server, s3: glowplug.S3, how: str) -> None:
    fake.control(n=5000)
    s3.list_buckets(limit=1)
    before = info()
    buckets = s3.iter_buckets()
    for _ in buckets:
        break
    if how == "close":
        buckets.close()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    elif how == "forget":
        del buckets
        gc.collect()
    else:
        s3.close()
        assert next(buckets).name == "bucket-00001", "of the page that has come"
        with pytest.raises(errors.CancelledError, match="closed"):
            list(buckets)
    wait_until(lambda: info().calls == 0 and info().goroutines <= before.goroutines, f"no call is left: {before} {info()}")


def test_a_stream_that_fails_midway_raises_after_what_it_yielded(fake: servers.Server, client: Client) -> None:
    fake.control(n=2500, faults=[{"kind": "deny", "op": "list", "after": 2}])
    seen: list[str] = []
    with pytest.raises(errors.AccessDeniedError):
        for bucket in client().iter_buckets():
            seen.append(bucket.name)
    assert seen == [servers.name(i) for i in range(2000)]
    assert info().calls == 0


def test_a_stream_without_a_deadline_bounds_each_page(fake: servers.Server, client: Client) -> None:
    fake.control(n=2500, faults=[{**BLOCKED, "op": "list", "after": 1}])
    seen: list[str] = []
    with Stopwatch() as watch, pytest.raises(errors.TimeoutError):
        for bucket in client(timeout=0.3).iter_buckets():
            seen.append(bucket.name)
    assert len(seen) == 1000 and 0.25 < watch.seconds < 1.5


def test_the_time_that_the_reader_takes_is_not_the_pages(fake: servers.Server, client: Client) -> None:
    fake.control(n=3000)
    s3 = client(timeout=0.3)
    seen = 0
    for _ in s3.iter_buckets():
        if seen % 1000 == 0:
            time.sleep(0.2)
        seen += 1
    assert seen == 3000


@pytest.mark.parametrize("bound", [{"timeout": 0.3}, {"context": Context(0.55)}], ids=["timeout", "context"])
def test_a_bounded_stream_ends_in_time(fake: servers.Server, s3: glowplug.S3, bound: dict[str, Any]) -> None:
    fake.control(n=2500, faults=[{**BLOCKED, "op": "list", "after": 1}])
    seen: list[str] = []
    with Stopwatch() as watch, pytest.raises(errors.TimeoutError):
        for bucket in s3.iter_buckets(**bound):
            seen.append(bucket.name)
    assert len(seen) == 1000 and watch.seconds < 1


# Deadlines


def blocked_calls(s3: glowplug.S3, **bound: Any) -> Iterator[Any]:
    yield lambda: s3.list_buckets(**bound)
    yield lambda: list(s3.iter_buckets(**bound))
    yield lambda: s3.bucket_region("bucket-00001", **bound)
    yield lambda: s3.bucket_regions(["bucket-00001"], **bound)


def test_the_timeout_of_a_call_holds(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(faults=[BLOCKED])
    for call in blocked_calls(s3, timeout=0.2):
        with Stopwatch() as watch, pytest.raises(TimeoutError) as caught:
            call()
        assert isinstance(caught.value, errors.TimeoutError) and caught.value.retryable
        assert 0.15 < watch.seconds < 0.6


def test_the_timeout_of_the_client_holds(fake: servers.Server, client: Client) -> None:
    fake.control(faults=[BLOCKED])
    with Stopwatch() as watch, pytest.raises(errors.TimeoutError):
        client(timeout=0.2).list_buckets()
    assert 0.15 < watch.seconds < 0.6


def test_the_context_bounds_a_call_less_the_reserve(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(faults=[BLOCKED])
    for context, reserve in ((0.45, {}), (0.3, {"reserve": 0.1}), (0.2, {"reserve": 0})):
        for call in blocked_calls(s3, context=Context(context), **reserve):
            with Stopwatch() as watch, pytest.raises(errors.TimeoutError):
                call()
            assert 0.15 < watch.seconds < 0.6


def test_the_lesser_of_timeout_and_context_counts(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(faults=[BLOCKED])
    for context, timeout in ((60, 0.2), (0.45, 60)):
        with Stopwatch() as watch, pytest.raises(errors.TimeoutError):
            s3.list_buckets(context=Context(context), timeout=timeout)
        assert 0.15 < watch.seconds < 0.6


@pytest.mark.parametrize(("seconds", "reserve"), [(0.299, {}), (0.25, {}), (0.0, {}), (-3.0, {}), (0.04, {"reserve": 0}), (900.0, {"reserve": 899.96})])
def test_a_call_that_would_have_no_time_does_not_begin(fake: servers.Server, s3: glowplug.S3, seconds: float, reserve: dict[str, float]) -> None:
    for call in blocked_calls(s3, context=Context(seconds), **reserve):
        with Stopwatch() as watch, pytest.raises(errors.TimeoutError, match="no time for the call") as caught:
            call()
        assert watch.seconds < 0.05 and caught.value.code == "DeadlineExceeded"
    assert fake.stats()["reqs"] == 0


def test_a_context_with_time_lets_the_call_through(s3: glowplug.S3) -> None:
    assert len(s3.list_buckets(context=Context(5))) == 10
    assert len(s3.list_buckets(context=Context(1), reserve=0.9)) == 10, "100 ms are enough to begin"


# Settings


def test_settings_made_by_python_after_its_start_count(fake: servers.Server, client: Client, environment: pytest.MonkeyPatch) -> None:
    fake.control(region="eu-west-1", keys=[{"id": "AKIALATE", "secret": CANARY}])
    environment.setenv("AWS_ACCESS_KEY_ID", "AKIALATE")
    environment.setenv("AWS_REGION", "eu-west-1")
    assert len(client().list_buckets()) == 10
    environment.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(errors.CredentialsError):
        client().list_buckets()
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    environment.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(errors.CredentialsError, match="NoCredentials"):
        client().list_buckets()


def test_the_environment_is_that_of_the_making(fake: servers.Server, client: Client, environment: pytest.MonkeyPatch) -> None:
    s3 = client()
    environment.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    assert len(s3.list_buckets()) == 10


@pytest.mark.parametrize(("variable", "value", "attempts"), [(None, None, 3), ("AWS_MAX_ATTEMPTS", "1", 1), ("AWS_MAX_ATTEMPTS", "2", 2)])
def test_attempts_come_from_the_environment(
    fake: servers.Server, client: Client, environment: pytest.MonkeyPatch, variable: str | None, value: str | None, attempts: int
) -> None:
    if variable and value:
        environment.setenv(variable, value)
    fake.control(faults=[{"kind": "status"}])
    with pytest.raises(errors.ServiceError):
        client().list_buckets()
    assert fake.stats()["lists"] == attempts
    fake.control(reset_stats=True)
    with pytest.raises(errors.ServiceError):
        client(max_attempts=4).list_buckets()
    assert fake.stats()["lists"] == 4, "the argument comes first"


def test_a_proxy_of_the_environment_is_used(fake: servers.Server, client: Client, environment: pytest.MonkeyPatch) -> None:
    # The fake answers a proxy's absolute request as its own.
    environment.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example.invalid")
    with pytest.raises(errors.ConnectionError, match="s3.example.invalid"):
        client().list_buckets()
    environment.setenv("http_proxy", fake.url)
    assert len(client().list_buckets()) == 10
    environment.setenv("no_proxy", "example.invalid")
    with pytest.raises(errors.ConnectionError):
        client().list_buckets()


def test_the_endpoint_of_s3_comes_before_that_of_all_services(fake: servers.Server, client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert len(client().list_buckets()) == 10
    environment.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    environment.setenv("AWS_ENDPOINT_URL", fake.url)
    with pytest.raises(errors.ConnectionError):
        client().list_buckets()
    environment.delenv("AWS_ENDPOINT_URL_S3")
    assert len(client().list_buckets()) == 10
    environment.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert len(client(endpoint_url=fake.url).list_buckets()) == 10


@pytest.fixture
def profiles(fake: servers.Server, environment: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Profiles for the fake, which is strict about region and keys; the environment has no settings."""
    config, credentials = tmp_path / "config", tmp_path / "credentials"
    config.write_text(
        f"[default]\nregion = us-east-1\nendpoint_url = {fake.url}\n"
        f"[profile right]\nregion = eu-west-1\nservices = here\nmax_attempts = 2\n[services here]\ns3 =\n  endpoint_url = {fake.url}\n"
        f"[profile lost]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:1\n"
    )
    credentials.write_text("[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = x\n" + "".join(f"[{p}]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = {CANARY}\n" for p in ("right", "lost")))
    for name, value in {"AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": credentials}.items():
        environment.setenv(name, str(value))
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.delenv(name)
    fake.control(region="eu-west-1", keys=[{"id": "AKIAPROFILE", "secret": CANARY}])
    return environment


def test_a_profile_gives_region_endpoint_credentials_and_attempts(fake: servers.Server, profiles: pytest.MonkeyPatch, client: Client) -> None:
    assert len(client(profile="right").list_buckets()) == 10
    profiles.setenv("AWS_PROFILE", "right")
    s3 = client()
    assert len(s3.list_buckets()) == 10
    fake.control(reset_stats=True, faults=[{"kind": "status"}])
    with pytest.raises(errors.ServiceError):
        s3.list_buckets()
    assert fake.stats()["lists"] == 2


def test_the_environment_comes_before_the_profile_and_arguments_before_both(fake: servers.Server, profiles: pytest.MonkeyPatch, client: Client) -> None:
    profiles.setenv("AWS_PROFILE", "lost")
    with pytest.raises(errors.ConnectionError, match="127.0.0.1:1 "):
        client().list_buckets()
    profiles.setenv("AWS_ENDPOINT_URL_S3", fake.url)
    assert len(client().list_buckets()) == 10
    profiles.setenv("AWS_REGION", "us-east-1")
    assert len(client(region="eu-west-1").list_buckets()) == 10
    profiles.setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRON")
    profiles.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises(errors.CredentialsError, match="InvalidAccessKeyId"):
        client(region="eu-west-1").list_buckets()
    assert len(client(region="eu-west-1", access_key_id="AKIAPROFILE", secret_access_key=CANARY).list_buckets()) == 10
    assert len(client(region="eu-west-1", profile="right").list_buckets()) == 10, "a profile named as argument comes before the environment's credentials"


def test_a_session_token_is_sent(fake: servers.Server, client: Client) -> None:
    fake.control(keys=[{"id": "AKIATOKEN", "secret": CANARY, "token": "the-token"}])
    assert len(client(access_key_id="AKIATOKEN", secret_access_key=CANARY, session_token="the-token").list_buckets()) == 10
    with pytest.raises(errors.CredentialsError):
        client(access_key_id="AKIATOKEN", secret_access_key=CANARY).list_buckets()


# Connecting ahead


def connections(fake: servers.Server) -> int:
    """Connections since the reset, less the one that asks."""
    return fake.stats()["conns"] - 1


@pytest.mark.parametrize("options", [{"preconnect": True}, {}], ids=["True", "auto in Lambda"])
def test_inside_lambda_the_connection_is_open_when_s3_returns(fake: servers.Server, environment: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    if not options:
        environment.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    fake.control(reset_stats=True)
    with glowplug.S3(**options) as s3:
        stats = fake.stats()
        assert (stats["conns"] - 1, stats["reqs"]) == (1, 0)
        assert len(s3.list_buckets()) == 10
        assert fake.stats()["conns"] - 2 == 1, "the call takes that connection"


@pytest.mark.parametrize("options", [{"preconnect": True}, {}], ids=["True", "auto in Lambda"])
def test_a_server_that_is_out_of_reach_does_not_hold_up_s3(environment: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    if not options:
        environment.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    # TEST-NET-1 (RFC 5737): nobody answers, or the network says so at once.
    for endpoint in ("https://192.0.2.1", "http://127.0.0.1:1", "http://nobody.invalid"):
        with Stopwatch() as watch, glowplug.S3(endpoint_url=endpoint, timeout=1, **options):
            pass
        assert watch.seconds < 0.8, endpoint


def test_a_handshake_without_an_end_does_not_hold_up_s3(environment: pytest.MonkeyPatch, silent: str) -> None:
    environment.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    with Stopwatch() as watch:
        s3 = glowplug.S3(endpoint_url=silent.replace("http:", "https:"), timeout=1)
    assert 0.4 < watch.seconds < 0.8
    s3.close()


def test_a_failure_of_connecting_ahead_is_left_to_the_first_call(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    with glowplug.S3(endpoint_url="http://127.0.0.1:1") as s3, pytest.raises(errors.ConnectionError):
        s3.list_buckets()
    environment.setenv("AWS_MAX_ATTEMPTS", "many")
    with glowplug.S3() as s3, pytest.raises(errors.InvalidArgumentError, match="AWS_MAX_ATTEMPTS"):
        s3.list_buckets()


def test_elsewhere_s3_connects_in_the_background(fake: servers.Server, silent: str) -> None:
    with Stopwatch() as watch, glowplug.S3(endpoint_url=silent.replace("http:", "https:")):
        pass
    assert watch.seconds < 0.2
    fake.control(reset_stats=True)
    with glowplug.S3() as s3:
        # Each look is a connection too.
        looks = 0

        def connected() -> bool:
            nonlocal looks
            looks += 1
            return fake.stats()["conns"] - looks == 1

        wait_until(connected, "a connection is open")
        assert fake.stats()["reqs"] == 0 and s3.wait_ready(5)


def test_without_preconnect_nothing_is_sent_before_the_first_call(fake: servers.Server) -> None:
    fake.control(reset_stats=True)
    with glowplug.S3(preconnect=False) as s3:
        assert (connections(fake), info().clients) == (0, 0)
        assert len(s3.list_buckets()) == 10


def test_wait_ready_connects_and_tells(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(reset_stats=True)
    assert s3.wait_ready() is True
    stats = fake.stats()
    assert (stats["conns"] - 1, stats["reqs"]) == (1, 0)
    assert s3.wait_ready(0.001) is True, "it is ready"


def test_wait_ready_gives_up_after_its_timeout(client: Client, silent: str) -> None:
    s3 = client(endpoint_url=silent.replace("http:", "https:"))
    with Stopwatch() as watch:
        assert s3.wait_ready(0.15) is False
    assert 0.1 < watch.seconds < 0.5


def test_wait_ready_raises_why_it_can_not_connect(client: Client, environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.ConnectionError, match="refused"):
        client(endpoint_url="http://127.0.0.1:1").wait_ready(3)
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    environment.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(errors.CredentialsError):
        client().wait_ready(3)


# Closing


def test_a_closed_client_says_so(fake: servers.Server) -> None:
    for opened in (True, False):
        with glowplug.S3(preconnect=False) as s3:
            if opened:
                s3.list_buckets()
            s3.close()
            s3.close()
        stream = s3.iter_buckets()
        for call in (s3.list_buckets, lambda: next(stream), lambda: s3.bucket_region("bucket-00001"), s3.wait_ready, lambda: s3.bucket_regions(["bucket-00001"])):
            with pytest.raises(errors.InvalidArgumentError, match="closed: make another") as caught:
                call()
            assert caught.value.code == "ClientClosed" and isinstance(caught.value, ValueError)
        assert "S3(" in repr(s3)


def test_close_ends_the_calls_of_other_threads(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(faults=[BLOCKED])
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(s3.list_buckets) for _ in range(8)]
        wait_until(lambda: fake.stats()["lists"] == 8, "all calls are under way")
        with Stopwatch() as watch:
            s3.close()
            failures = [call.exception(5) for call in calls]
    assert watch.seconds < 1
    assert {(type(e), getattr(e, "code", "")) for e in failures} == {(errors.CancelledError, "ClientClosed")}
    assert info().calls == 0


def test_closing_and_forgetting_leave_nothing_in_go(fake: servers.Server) -> None:
    gc.collect()
    wait_until(lambda: info().clients == 0, f"no client is left of other tests: {info()}")
    before = info()
    closed = [glowplug.S3() for _ in range(5)]
    forgotten = [glowplug.S3() for _ in range(5)]
    assert [len(s3.list_buckets()) for s3 in closed + forgotten] == [10] * 10
    assert info().clients == 10
    for s3 in closed:
        s3.close()
    assert info().clients == 5
    refs = [weakref.ref(s3) for s3 in forgotten]
    del forgotten
    gc.collect()
    assert not any(ref() for ref in refs)
    wait_until(lambda: info()[2:] == before[2:], f"all is as before: {before} {info()}")


def test_an_object_that_was_never_initialised_dies_quietly() -> None:
    # The exception of a failing __del__ would be shown.
    out = run(
        "import glowplug\n"
        "try: glowplug.S3(bogus=1)\n"
        "except TypeError as e: print(e)\n"
        "try: glowplug.S3(timeout=-1)\n"
        "except ValueError as e: print(e)\n"
        "glowplug.S3.__new__(glowplug.S3)\n"
    )
    assert "bogus" in out and "timeout" in out


# Threads


def test_sixty_four_threads_share_a_client(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(n=1500)
    expected = s3.list_buckets()
    start = threading.Barrier(64)

    def work(i: int) -> bool:
        start.wait()
        if i % 3 == 0:
            return list(s3.iter_buckets()) == list(expected)
        if i % 3 == 1:
            return s3.bucket_region(servers.name(i)) == servers.REGIONS[i % 7]
        return s3.list_buckets() == expected

    with ThreadPoolExecutor(64) as pool:
        assert Counter(pool.map(work, range(64))) == {True: 64}
    assert info().calls == 0


def test_threads_may_make_and_close_clients_at_once(fake: servers.Server) -> None:
    def work(_: int) -> int:
        with glowplug.S3() as s3:
            return len(s3.list_buckets())

    with ThreadPoolExecutor(16) as pool:
        assert Counter(pool.map(work, range(64))) == {10: 64}


def test_a_call_lets_other_threads_run(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(faults=[BLOCKED])
    ticks = 0
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(s3.list_buckets, timeout=0.3)
        while not call.done():
            ticks += 1
            time.sleep(0.001)
    assert ticks > 50 and isinstance(call.exception(), errors.TimeoutError)


def test_signal_handlers_run_during_a_call(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(faults=[BLOCKED])
    late: list[float] = []
    due = 0.0

    def handler(*_: object) -> None:
        late.append(time.monotonic() - due)
        # A handler may call glowplug itself.
        fake.control(clear=True)
        assert len(s3.list_buckets()) == 10

    before = signal.signal(signal.SIGALRM, handler)
    try:
        due = time.monotonic() + 0.1
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(errors.TimeoutError):
            s3.list_buckets(timeout=0.5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(late) == 1 and late[0] < 0.1


def test_to_dicts_is_what_a_handler_can_return(s3: glowplug.S3) -> None:
    assert json.loads(json.dumps(s3.list_buckets(context=Context(30)).to_dicts()))[0] == {"name": "bucket-00000", "region": "us-east-1", "created": "2024-03-01T12:00:00+00:00"}
