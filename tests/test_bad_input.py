"""What bad input gets: each time a typed error that says what to do, no secret in it, and a client that works afterwards."""

from __future__ import annotations

import copy
import io
import logging
import pickle
import resource
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import glowplug
import pytest
from glowplug import errors

import servers
from support import CANARY, TOKEN, Client, Stopwatch, info

Fault = dict[str, Any]

# Quick to give up: the defaults are the business of test_s3.py.
QUICK: dict[str, Any] = {"attempt_timeout": 0.2, "connect_timeout": 0.2, "max_attempts": 2, "timeout": 3}


# Bad input is what the types refuse.
S3: Any = glowplug.S3


def texts(error: BaseException) -> str:
    """All that an exception shows, in logs and to whom it is sent."""
    log = io.StringIO()
    logger = logging.Logger("t")
    logger.addHandler(logging.StreamHandler(log))
    logger.error("failed", exc_info=error)
    shown = [str(error), repr(error), repr(error.args), repr(vars(error)), "".join(traceback.format_exception(error)), log.getvalue()]
    shown += [repr(pickle.dumps(error, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
    context = error.__context__
    return "\n".join(shown) + (texts(context) if context is not None else "")


def without_secrets(error: BaseException, *more: str) -> None:
    shown = texts(error)
    for secret in (CANARY, TOKEN, "canary", *more):
        assert secret not in shown, shown


def fails(call: Callable[[], object], leaf: type[errors.GlowplugError], code: str, advice: str) -> errors.GlowplugError:
    """Check that the call raises exactly this error, with this advice."""
    with pytest.raises(errors.GlowplugError) as caught:
        call()
    error = caught.value
    assert (type(error), error.code) == (leaf, code), repr(error)
    assert advice in str(error)
    without_secrets(error)
    assert copy.copy(error) == error
    return error


@pytest.fixture(autouse=True)
def no_call_is_left() -> Iterator[None]:
    yield
    assert info().calls == 0


# Credentials and permissions


def test_no_credentials(fake: servers.Server, client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    s3 = client()
    error = fails(s3.list_buckets, errors.CredentialsError, "NoCredentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    assert isinstance(error, PermissionError)
    fails(lambda: s3.bucket_region("bucket-00001"), errors.CredentialsError, "NoCredentials", "give them as arguments")
    fails(lambda: next(s3.iter_buckets()), errors.CredentialsError, "NoCredentials", "name a profile")
    assert fake.stats()["reqs"] == 0


def test_half_a_pair_in_the_environment(fake: servers.Server, client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(errors.GlowplugError, match="AWS_ACCESS_KEY_ID") as caught:
        client().list_buckets()
    assert isinstance(caught.value, (errors.CredentialsError, errors.InvalidArgumentError))
    without_secrets(caught.value)


@pytest.mark.parametrize(
    ("key", "code", "advice"),
    [
        ({"access_key_id": "AKIAKNOWN", "secret_access_key": CANARY, "session_token": TOKEN}, "SignatureDoesNotMatch", "check the secret access key"),
        ({"access_key_id": "AKIAUNKNOWN", "secret_access_key": CANARY}, "InvalidAccessKeyId", "check the access key id"),
        ({"access_key_id": "AKIAEXPIRED", "secret_access_key": CANARY, "session_token": TOKEN}, "ExpiredToken", "get fresh credentials"),
    ],
)
def test_credentials_that_the_service_refuses(fake: servers.Server, client: Client, key: dict[str, str], code: str, advice: str) -> None:
    known = {"id": "AKIAKNOWN", "secret": "another", "token": TOKEN}
    expired = {"id": "AKIAEXPIRED", "secret": CANARY, "token": TOKEN, "expires": "2020-01-01T00:00:00Z"}
    fake.control(keys=[known, expired])
    s3 = client(**key)
    for call in (s3.list_buckets, lambda: list(s3.iter_buckets())):
        assert fails(call, errors.CredentialsError, code, advice).operation == "ListBuckets"
    fake.control(keys=[])
    assert len(s3.list_buckets()) == 10


def test_access_denied(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(faults=[{"kind": "deny", "op": "list"}])
    error = fails(s3.list_buckets, errors.AccessDeniedError, "AccessDenied", "allow s3:ListAllMyBuckets")
    assert (error.status, error.operation, error.retryable) == (403, "ListBuckets", False) and error.request_id
    assert isinstance(error, PermissionError)
    fake.control(clear=True)
    assert len(s3.list_buckets()) == 10


def test_credentials_come_in_pairs(environment: pytest.MonkeyPatch) -> None:
    pairs: list[dict[str, Any]] = [{"access_key_id": "A"}, {"secret_access_key": CANARY}, {"session_token": TOKEN}, {"access_key_id": "A", "session_token": TOKEN}, {"secret_access_key": CANARY, "session_token": TOKEN}]
    for pair in pairs:
        fails(lambda pair=pair: S3(**pair), errors.InvalidArgumentError, "PartialCredentials", "go together")


@pytest.mark.parametrize("name", ["access_key_id", "secret_access_key", "session_token"])
def test_a_secret_that_can_not_be_used_is_not_shown(environment: pytest.MonkeyPatch, name: str) -> None:
    key: dict[str, Any] = {"access_key_id": "A", "secret_access_key": "B", "session_token": "C"}
    wrongs: list[Any] = [f"{CANARY}\n", f"{CANARY}\x00", f"{CANARY}\udc80", CANARY.encode(), [CANARY]]
    for wrong in wrongs:
        with pytest.raises(errors.InvalidArgumentError, match=name) as caught:
            S3(**{**key, name: wrong})
        without_secrets(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL_S3", f"http://user:{CANARY}@127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:1/?token={CANARY}"),
        ("AWS_ENDPOINT_URL_S3", f"{CANARY}://x"),
        ("AWS_MAX_ATTEMPTS", CANARY),
        ("http_proxy", f"http://user:{CANARY}@127.0.0.1:1"),
        ("http_proxy", f"socks9://user:{CANARY}@127.0.0.1:1"),
        ("http_proxy", f"user:{CANARY}@@:x:"),
        ("AWS_CA_BUNDLE", "/no/such/file"),
        ("AWS_USE_FIPS_ENDPOINT", "perhaps"),
        ("AWS_PROFILE", "no-such-profile"),
    ],
)
def test_a_setting_of_the_environment_that_can_not_be_used(client: Client, environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example.invalid")
    environment.setenv(name, value)
    with pytest.raises(errors.GlowplugError) as caught:
        client(max_attempts=None if name == "AWS_MAX_ATTEMPTS" else 1).list_buckets()
    assert isinstance(caught.value, (errors.InvalidArgumentError, errors.ConnectionError)), repr(caught.value)
    without_secrets(caught.value)


def test_a_broken_profile_file(client: Client, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"[profile p\naws_secret_access_key = " + CANARY.encode() + b"\n\xff\xfe = = [\n")
    environment.setenv("AWS_CONFIG_FILE", str(path))
    with pytest.raises(errors.GlowplugError, match="config") as caught:
        client(profile="p").list_buckets()
    without_secrets(caught.value)


def test_variables_that_no_string_can_carry_are_left_out(fake: servers.Server, client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("\udcff\udcfe", "x")
    environment.setenv("BINARY", "\udcff")
    environment.setenv("SEPARATOR", "a\x1fendpoint_url=http://127.0.0.1:1")
    environment.setenv("SEPARATOR\x1fregion", "nowhere")
    assert len(client().list_buckets()) == 10


# The network


@pytest.mark.parametrize(
    ("endpoint", "code", "advice"),
    [
        ("http://127.0.0.1:1", "ConnectionRefused", "check that the endpoint is right"),
        ("http://no-such-host.invalid", "HostNotFound", "correct region or endpoint"),
        ("https://no-such-host.invalid:9000", "HostNotFound", "correct region or endpoint"),
    ],
)
def test_a_server_that_is_not_there(environment: pytest.MonkeyPatch, client: Client, endpoint: str, code: str, advice: str) -> None:
    s3 = client(**QUICK, endpoint_url=endpoint)
    for _ in range(2):
        error = fails(s3.list_buckets, errors.ConnectionError, code, advice)
        assert isinstance(error, ConnectionError)


def test_the_same_client_works_once_the_server_is_there(environment: pytest.MonkeyPatch, client: Client) -> None:
    port = servers.free_port()
    s3 = client(**QUICK, endpoint_url=f"http://127.0.0.1:{port}")
    fails(s3.list_buckets, errors.ConnectionError, "ConnectionRefused", "its server runs")
    with servers.fakes3(3, addr=f"127.0.0.1:{port}"):
        assert len(s3.list_buckets()) == 3
    fails(s3.list_buckets, errors.ConnectionError, "ConnectionRefused", "its server runs")
    with servers.fakes3(4, addr=f"127.0.0.1:{port}"):
        assert len(s3.list_buckets()) == 4


@pytest.fixture(scope="module", params=["valid", "expired", "wrong-host", "self-signed", "untrusted", "tls1.1"])
def tls(request: pytest.FixtureRequest) -> Iterator[tuple[str, servers.Server]]:
    with servers.fakes3(10, tls=request.param) as server:
        yield request.param, server


TLS_ERRORS = {
    "expired": ("CertificateExpired", "correct this machine's clock"),
    "wrong-host": ("CertificateHostMismatch", "correct the endpoint"),
    "self-signed": ("CertificateNotTrusted", "set ca_bundle"),
    "untrusted": ("CertificateNotTrusted", "set ca_bundle"),
    "tls1.1": ("TLSVersion", "upgrade it"),
}


def test_tls_is_verified(environment: pytest.MonkeyPatch, client: Client, tls: tuple[str, servers.Server]) -> None:
    variant, server = tls
    trusting = client(endpoint_url=server.url, ca_bundle=server.ca)
    if variant == "valid":
        assert len(trusting.list_buckets()) == 10
        environment.setenv("AWS_CA_BUNDLE", str(server.ca))
        assert len(client(endpoint_url=server.url).list_buckets()) == 10
        environment.delenv("AWS_CA_BUNDLE")
        fails(client(endpoint_url=server.url).list_buckets, errors.ConnectionError, "CertificateNotTrusted", "set ca_bundle")
    else:
        code, advice = TLS_ERRORS[variant]
        for _ in range(2):
            fails(trusting.list_buckets, errors.ConnectionError, code, advice)


def test_plain_http_where_tls_is_spoken_and_the_other_way_round(fake: servers.Server, client: Client) -> None:
    fails(client(endpoint_url=fake.url.replace("http:", "https:")).list_buckets, errors.ConnectionError, "NotTLS", "use http://")
    with servers.fakes3(1, tls="valid") as server, pytest.raises(errors.GlowplugError) as caught:
        client(endpoint_url=server.url.replace("https:", "http:"), **QUICK).list_buckets()
    # The server may say why before it hangs up.
    assert isinstance(caught.value, (errors.ConnectionError, errors.ResponseError, errors.ServiceError)), repr(caught.value)
    without_secrets(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"], ids=["missing", "empty", "text", "broken"])
def test_a_ca_bundle_that_can_not_be_used(environment: pytest.MonkeyPatch, client: Client, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.GlowplugError, match=r"ca\.pem|ca_bundle") as caught:
        client(endpoint_url="https://127.0.0.1:1", ca_bundle=path, **QUICK).list_buckets()
    assert isinstance(caught.value, errors.InvalidArgumentError), repr(caught.value)


def test_a_server_that_never_answers(environment: pytest.MonkeyPatch, client: Client, silent: str) -> None:
    for endpoint in (silent, silent.replace("http:", "https:")):
        with Stopwatch() as watch:
            error = fails(client(endpoint_url=endpoint, **QUICK).list_buckets, errors.TimeoutError, "AttemptTimeout", "raise attempt_timeout") if endpoint == silent else None
            if error is None:
                with pytest.raises(errors.TimeoutError):
                    client(endpoint_url=endpoint, **QUICK).list_buckets()
        assert watch.seconds < 1.5
    with Stopwatch() as watch:
        fails(client(endpoint_url=silent, timeout=0.2).list_buckets, errors.TimeoutError, "DeadlineExceeded", "time-out")
    assert watch.seconds < 0.6


@pytest.mark.parametrize(
    ("fault", "leaf", "code", "advice"),
    [
        ({"kind": "black-hole"}, errors.TimeoutError, "AttemptTimeout", "raise attempt_timeout"),
        ({"kind": "slow-body", "delay": 0.5, "bytes": 64}, errors.TimeoutError, "AttemptTimeout", "raise attempt_timeout"),
        ({"kind": "slow-body", "delay": 0.05, "bytes": 16}, errors.TimeoutError, "DeadlineExceeded", "time-out"),
        ({"kind": "drop"}, errors.ConnectionError, "EOF", "call again"),
        ({"kind": "reset"}, errors.ConnectionError, "ConnectionReset", "call again"),
        ({"kind": "cut"}, errors.ConnectionError, "EOF", "call again"),
        ({"kind": "garbage"}, errors.ResponseError, "MalformedResponse", "is the endpoint an S3 endpoint?"),
        ({"kind": "deep-xml"}, errors.ResponseError, "MalformedResponse", "is the endpoint an S3 endpoint?"),
        ({"kind": "entities"}, errors.ResponseError, "MalformedResponse", "is the endpoint an S3 endpoint?"),
        ({"kind": "invalid-utf8"}, errors.ResponseError, "MalformedResponse", "is the endpoint an S3 endpoint?"),
        ({"kind": "gzip-bomb"}, errors.ResponseError, "MalformedResponse", "is the endpoint an S3 endpoint?"),
        ({"kind": "big"}, errors.ResponseError, "ResponseTooLarge", "larger than the bound"),
        ({"kind": "endless"}, errors.ResponseError, "ResponseTooLarge", "larger than the bound"),
        ({"kind": "status", "status": 500}, errors.ServiceError, "InternalError", "try again"),
        ({"kind": "status", "status": 503, "code": "ServiceUnavailable"}, errors.ThrottledError, "ServiceUnavailable", ""),
        ({"kind": "throttle"}, errors.ThrottledError, "SlowDown", "reduce your request rate"),
        ({"kind": "status", "status": 400, "code": "Strange"}, errors.ServiceError, "Strange", ""),
        ({"kind": "redirect", "location": "http://127.0.0.1:1"}, errors.ServiceError, "TemporaryRedirect", "use the endpoint and the region"),
    ],
    ids=lambda value: "-".join(map(str, cast("Fault", value).values())) if isinstance(value, dict) else "",
)
def test_a_listing_that_goes_wrong(fake: servers.Server, client: Client, fault: Fault, leaf: type[errors.GlowplugError], code: str, advice: str) -> None:
    s3 = client(**{**QUICK, "timeout": 1.2})
    fake.control(faults=[{**fault, "op": "list"}])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for call in (s3.list_buckets, lambda: list(s3.iter_buckets())):
        with Stopwatch() as watch:
            assert fails(call, leaf, code, advice).operation == "ListBuckets"
        assert watch.seconds < 1.6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 300 * 1024, "of 200 MB and more, not everything is kept"
    fake.control(clear=True)
    assert len(s3.list_buckets()) == 10


@pytest.mark.parametrize("fault", [{"kind": "throttle"}, {"kind": "status"}, {"kind": "drop"}, {"kind": "reset"}, {"kind": "cut"}], ids=lambda f: f["kind"])
def test_what_passes_is_tried_again_unnoticed(fake: servers.Server, client: Client, fault: Fault) -> None:
    fake.control(faults=[{**fault, "times": 1}])
    assert len(client().list_buckets()) == 10
    assert fake.stats()["faulted"] == 1


@pytest.mark.parametrize("fault", [{"kind": "status"}, {"kind": "black-hole"}, {"kind": "drop"}], ids=lambda f: f["kind"])
def test_a_look_up_that_goes_wrong_is_the_buckets_own_error(fake: servers.Server, client: Client, fault: Fault) -> None:
    s3 = client(**{**QUICK, "cache_ttl": 0})
    fake.control(quirks="never-tell", faults=[{**fault, "bucket": "bucket-00004"}])
    found = s3.list_buckets()
    assert [b.name for b in found.errors] == ["bucket-00004"] and len(found) == 10
    error = found[4].error
    assert error is not None and error.bucket == "bucket-00004"
    without_secrets(error)
    fake.control(clear=True)
    assert not s3.list_buckets().errors


def test_a_page_that_comes_again_for_ever_ends(fake: servers.Server, s3: glowplug.S3) -> None:
    for quirk in ("repeat-token", "endless-tokens"):
        fake.control(n=2000, quirks=quirk)
        with Stopwatch() as watch:
            try:
                found = s3.list_buckets()
            except errors.ResponseError as e:
                assert e.code == "EndlessListing"
            else:
                assert len(found) == len({b.name for b in found})
        assert watch.seconds < 5


def test_names_of_the_server_arrive_as_they_are(fake: servers.Server, s3: glowplug.S3) -> None:
    names = sorted(["a,b", "&<>\"'", "\x9b31m", "\u202eevil", "é漢😀", "a\x7fb", "{\"kind\"", " x ", "$HOME=x", "a\nb"], key=str.encode)
    fake.control(buckets=[{"name": name, "region": "eu-west-1"} for name in names])
    assert [b.name for b in s3.list_buckets()] == names
    assert {b.region for b in s3.list_buckets()} == {"eu-west-1"}


@pytest.mark.parametrize("name", ["a\x00b", "a\x1fb", "a\x1eb", "a\x1bb"])
def test_names_of_the_server_that_no_xml_can_hold_are_refused(fake: servers.Server, s3: glowplug.S3, name: str) -> None:
    # The separators of our own answers are among them.
    fake.control(buckets=[{"name": name, "region": "eu-west-1"}])
    fails(s3.list_buckets, errors.ResponseError, "MalformedResponse", "control character")
    fake.control(n=10)
    assert len(s3.list_buckets()) == 10


@pytest.mark.parametrize("message", [f"HTTP/1.1 200 OK\r\nx: {'y' * 5_000_000}\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 999 \x1b[31m\r\nContent-Length: 0\r\n\r\n", "\x00" * 100], ids=["huge head", "ssh", "999", "NUL"])
def test_a_server_that_speaks_something_else(environment: pytest.MonkeyPatch, client: Client, message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    try:
                        connection.sendall(message.encode("latin-1"))
                    except OSError:
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(errors.GlowplugError) as caught:
            client(endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}", **QUICK).list_buckets()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert isinstance(caught.value, (errors.ResponseError, errors.ConnectionError, errors.ServiceError)), repr(caught.value)
    without_secrets(caught.value)


# Strings

TEXT_OPTIONS = ("region", "endpoint_url", "profile", "access_key_id", "secret_access_key", "session_token", "addressing_style", "ca_bundle")
BAD_TEXTS = {"NUL": "a\x00b", "separator": "a\x1fb", "newline": "a\nb", "DEL": "a\x7fb", "surrogate": "a\ud800b", "half a pair": "\udc00"}
NO_TEXTS: list[Any] = [1, 1.5, True, b"bytes", ["list"], {"d": 1}, object()]


def s3_with(name: str, value: Any) -> Any:
    pair: dict[str, Any] = {"access_key_id": "A", "secret_access_key": "B"} if name in ("access_key_id", "secret_access_key", "session_token") else {}
    return S3(**{**pair, "preconnect": False, name: value})


@pytest.mark.parametrize("name", TEXT_OPTIONS)
def test_strings_of_the_client_are_checked_when_it_is_made(environment: pytest.MonkeyPatch, name: str) -> None:
    for wrong in BAD_TEXTS.values():
        with pytest.raises(errors.InvalidArgumentError, match=name):
            s3_with(name, wrong)
    for wrong in NO_TEXTS:
        with pytest.raises(errors.ArgumentTypeError, match=f"{name} is .*: give a str") as caught:
            s3_with(name, wrong)
        assert isinstance(caught.value, TypeError) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize("what", BAD_TEXTS)
def test_strings_of_a_call_are_checked(s3: glowplug.S3, fake: servers.Server, what: str) -> None:
    wrong = BAD_TEXTS[what]
    for call in (
        lambda: s3.list_buckets(prefix=wrong),
        lambda: s3.list_buckets(region=wrong),
        lambda: s3.iter_buckets(prefix=wrong),
        lambda: s3.bucket_region(wrong),
        lambda: s3.bucket_regions(["bucket-00001", wrong]),
    ):
        fails(call, errors.InvalidArgumentError, "InvalidText", "correct its encoding" if "surrogate" in what or "pair" in what else "remove it")
    assert fake.stats()["reqs"] == 0
    assert s3.bucket_region("bucket-00001") == "us-west-2"


def test_what_is_no_string(s3: glowplug.S3, fake: servers.Server) -> None:
    for wrong in NO_TEXTS:
        for call in (
            lambda wrong=wrong: s3.list_buckets(prefix=wrong),
            lambda wrong=wrong: s3.list_buckets(region=wrong),
            lambda wrong=wrong: s3.iter_buckets(prefix=wrong),
            lambda wrong=wrong: s3.bucket_region(wrong),
            lambda wrong=wrong: s3.bucket_regions(["bucket-00001", wrong]),
        ):
            with pytest.raises(errors.ArgumentTypeError, match="give a str"):
                call()
    for names in ("bucket-00001", b"bucket-00001"):
        with pytest.raises(errors.ArgumentTypeError, match="give a list of names"):
            s3.bucket_regions(names)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError):
        s3.bucket_regions(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert fake.stats()["reqs"] == 0


@pytest.mark.parametrize("name", ["", "a", "ab", "a" * 300, "UPPER", "under_score", "a/b", "../x", "a b", "arn:aws:s3:::bucket", "https://bucket", "é漢", "a?x=1", "a%2e", "a..b", "-a-", "192.168.0.1"])
def test_a_name_that_no_bucket_can_have(s3: glowplug.S3, fake: servers.Server, name: str) -> None:
    try:
        region = s3.bucket_region(name)
    except errors.InvalidArgumentError as e:
        assert e.code == "InvalidBucketName" and "3 to 63" in str(e)
        assert fake.stats()["reqs"] == 0
    except errors.NotFoundError as e:
        assert name not in ("", "a", "a/b", "../x", "a?x=1", "a b"), e
    else:
        pytest.fail(f"{name!r} has region {region}")
    assert s3.bucket_region("bucket-00001") == "us-west-2"


@pytest.mark.parametrize(
    "endpoint",
    ["", "s3.example.com", "ftp://s3.example.com", "http://", "http:///", "http://a b", f"http://user:{CANARY}@host", f"https://{CANARY}@host", "file:///etc/passwd", "http://host/?a=b", "http://host/#f"],
)
def test_an_endpoint_that_is_no_url_is_refused_at_once(environment: pytest.MonkeyPatch, endpoint: str) -> None:
    fails(lambda: glowplug.S3(endpoint_url=endpoint), errors.InvalidArgumentError, "InvalidEndpoint", "give one like https://s3.example.com")


@pytest.mark.parametrize("endpoint", ["http://:80", "http://[::1", "http://a:99999", "http://a:port", "http://a:-1"])
def test_an_endpoint_that_only_looks_like_a_url_is_refused_by_the_call(client: Client, endpoint: str) -> None:
    fails(client(endpoint_url=endpoint).list_buckets, errors.InvalidArgumentError, "InvalidSetting", "endpoint_url")


# Numbers


class Loud:
    """A number that fails to be one."""

    def __float__(self) -> float:
        raise ValueError("no")


NO_SECONDS: list[Any] = [-1, -0.5, 0, 0.0, -0.0, float("nan"), float("inf"), float("-inf"), 10**400, -(10**400), Decimal("NaN"), Decimal("Infinity"), Loud()]
NO_NUMBERS: list[Any] = ["5", b"5", True, False, [5], object(), 5j]
HUGE: list[Any] = [1e308, 10**300, 2**63, Decimal("1e200"), Fraction(10**100)]
TINY: list[Any] = [5e-324, 1e-9]


@pytest.mark.parametrize("name", ["timeout", "connect_timeout", "attempt_timeout", "cache_ttl"])
def test_seconds_of_the_client(fake: servers.Server, client: Client, name: str) -> None:
    for wrong in NO_SECONDS:
        if name == "cache_ttl" and wrong == 0:
            continue  # "not at all"
        fails(lambda wrong=wrong: S3(**{name: wrong}), errors.InvalidArgumentError, "InvalidNumber", f"{name}=")
    for wrong in NO_NUMBERS:
        with pytest.raises(errors.ArgumentTypeError, match=f"{name} is .*: give a number of seconds"):
            S3(**{name: wrong})
    for large in HUGE:
        assert len(client(**{name: large}).list_buckets()) == 10, large
    for tiny in TINY:
        try:
            client(**{name: tiny}).list_buckets()
        except errors.GlowplugError as e:
            assert isinstance(e, errors.TimeoutError), repr(e)


@pytest.mark.parametrize("name", ["timeout", "reserve"])
def test_seconds_of_a_call(fake: servers.Server, s3: glowplug.S3, name: str) -> None:
    calls: list[Callable[..., Any]] = [s3.list_buckets, s3.iter_buckets, partial(s3.bucket_region, "bucket-00001"), partial(s3.bucket_regions, ["bucket-00001"])]
    calls += [s3.wait_ready] if name == "timeout" else []
    for call in calls:
        for wrong in NO_SECONDS:
            if name == "reserve" and wrong == 0:
                continue
            fails(lambda call=call, wrong=wrong: call(**{name: wrong}), errors.InvalidArgumentError, "InvalidNumber", f"{name}=")
        for wrong in NO_NUMBERS:
            with pytest.raises(errors.ArgumentTypeError, match=f"{name} is .*: give a number of seconds"):
                call(**{name: wrong})
    assert fake.stats()["reqs"] == 0
    for large in HUGE:
        assert len(s3.list_buckets(**{name: large})) == len(list(s3.iter_buckets(**{name: large}))) == 10
    if name == "timeout":
        for tiny in TINY:
            # A server so near may be as quick.
            try:
                s3.list_buckets(timeout=tiny)
            except errors.GlowplugError as e:
                assert isinstance(e, errors.TimeoutError), repr(e)
    assert len(s3.list_buckets()) == 10


@pytest.mark.parametrize(("name", "most"), [("max_attempts", 100), ("max_concurrency", 1024)])
def test_counts_of_the_client(fake: servers.Server, client: Client, name: str, most: int) -> None:
    for wrong in (0, -1, most + 1, 2**31, 2**64, 10**400, -(10**400)):
        fails(lambda wrong=wrong: S3(**{name: wrong}), errors.InvalidArgumentError, "InvalidNumber", f"give a whole number from 1 to {most:,}")
    for wrong in (1.0, 1e308, float("nan"), float("inf"), "3", True, False, Decimal(3), [1]):
        with pytest.raises(errors.ArgumentTypeError, match=f"{name} is .*: give an int"):
            S3(**{name: wrong})
    for right in (1, most):
        assert len(client(**{name: right}).list_buckets()) == 10


def test_the_limit_of_a_listing(fake: servers.Server, s3: glowplug.S3) -> None:
    calls: list[Callable[..., Any]] = [s3.list_buckets, s3.iter_buckets]
    for call in calls:
        for wrong in (0, -1, 2**31, 10**400, -(10**400)):
            fails(lambda call=call, wrong=wrong: call(limit=wrong), errors.InvalidArgumentError, "InvalidNumber", "give a whole number from 1")
        for wrong in cast("list[Any]", [1.0, float("nan"), float("inf"), "3", True, [1]]):
            with pytest.raises(errors.ArgumentTypeError, match="limit is .*: give an int"):
                call(limit=wrong)
    assert fake.stats()["reqs"] == 0
    assert len(s3.list_buckets(limit=2**31 - 1)) == 10


# Other options


@pytest.mark.parametrize("name", ["use_fips", "use_dualstack"])
def test_flags_are_bools(environment: pytest.MonkeyPatch, name: str) -> None:
    for wrong in cast("list[Any]", [0, 1, "true", "", [], 1.0]):
        with pytest.raises(errors.ArgumentTypeError, match=f"{name} is .*: give True, False or None"):
            S3(**{name: wrong})


def test_choices_are_checked(fake: servers.Server, s3: glowplug.S3) -> None:
    for wrong in ("", "Path", "virtual "):
        with pytest.raises(errors.InvalidArgumentError, match="give 'auto', 'path' or 'virtual'"):
            S3(addressing_style=wrong)
    for wrong in cast("list[Any]", ["yes", None, 2, [], "AUTO"]):
        with pytest.raises(errors.InvalidArgumentError, match="preconnect is neither 'auto' nor a bool"):
            S3(preconnect=wrong)
    calls: list[Callable[..., Any]] = [s3.list_buckets, s3.iter_buckets, partial(s3.bucket_regions, ["bucket-00001"])]
    for call in calls:
        for wrong in cast("list[Any]", ["", "Raise", None, 1, ["collect"]]):
            with pytest.raises(errors.InvalidArgumentError, match="give 'collect' or 'raise'"):
                call(on_error=wrong)
    assert fake.stats()["reqs"] == 0


def test_unknown_and_positional_arguments_are_type_errors(s3: glowplug.S3) -> None:
    calls: list[Callable[..., Any]] = [glowplug.S3, s3.list_buckets, s3.iter_buckets, s3.bucket_region, s3.bucket_regions, s3.wait_ready, s3.close]
    for call in calls:
        with pytest.raises(TypeError, match="bogus"):
            call(bogus=1)
    for call in calls[:3]:
        with pytest.raises(TypeError, match="positional"):
            call("eu-west-1")


@pytest.mark.parametrize("context", [object(), {}, 5, "x", SimpleNamespace(get_remaining_time_in_millis=3), SimpleNamespace(get_remaining_time_in_millis=lambda: "soon")])
def test_a_context_that_is_none(fake: servers.Server, s3: glowplug.S3, context: Any) -> None:
    with pytest.raises(errors.ArgumentTypeError, match="give the context of the Lambda's handler"):
        s3.list_buckets(context=context)
    assert fake.stats()["reqs"] == 0


def test_use_after_close(s3: glowplug.S3) -> None:
    assert len(s3.list_buckets()) == 10
    s3.close()
    fails(s3.list_buckets, errors.InvalidArgumentError, "ClientClosed", "make another")


def test_the_canary_would_be_found() -> None:
    with pytest.raises(AssertionError):
        without_secrets(errors.ServiceError(f"with {CANARY}"))
    chained = errors.ServiceError("hidden")
    chained.__context__ = RuntimeError(CANARY)
    with pytest.raises(AssertionError):
        without_secrets(chained)
