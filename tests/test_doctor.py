"""``glowplug doctor`` in child interpreters: what it tells of each trouble, its exit codes, and that it tells no secret."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import json
import os
import platform
import select
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import glowplug
import pytest

import servers
import support

PROXY_SECRET = "canary-proxy-password"
LISTING = b'<?xml version="1.0"?><ListAllMyBucketsResult><Owner><ID>o</ID></Owner><Buckets></Buckets></ListAllMyBucketsResult>'

pytestmark = pytest.mark.usefixtures("environment")


class Told(NamedTuple):
    code: int
    out: str


def run(*arguments: str) -> Told:
    command = [sys.executable, "-I", "-m", "glowplug", "doctor", *arguments]
    done = subprocess.run(command, env=support.environ({"PYTHONUTF8": "1"}), capture_output=True, text=True, timeout=support.SPAWN)
    assert done.stderr == ""
    for secret in (support.CANARY, PROXY_SECRET):
        assert secret not in done.stdout
    return Told(done.returncode, done.stdout)


def report(*arguments: str, code: int = 0) -> dict[str, Any]:
    told = run("--json", *arguments)
    assert told.code == code, told.out
    answer: dict[str, Any] = json.loads(told.out)
    return answer


def found(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f["level"], f["code"]) for f in answer["findings"]]


def words(answer: dict[str, Any]) -> str:
    return "\n".join(f["text"] for f in answer["findings"])


@contextlib.contextmanager
def answering(respond: Callable[[http.server.BaseHTTPRequestHandler], None], wrap: Callable[[socket.socket], socket.socket] = lambda s: s) -> Generator[str, None, None]:
    """The host and port of a server whose GET is ``respond``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            respond(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = wrap(server.socket)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def reply(body: bytes, *, status: int = 200, content_type: str = "application/xml", ahead: float = 0) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """An answer of a server whose clock is ``ahead`` seconds off."""

    def respond(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response_only(status)
        handler.send_header("Date", handler.date_time_string(int(datetime.datetime.now().timestamp() + ahead)))
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def refusal(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def test_a_healthy_client_gets_a_line_for_each_fact_and_no_finding(fake: servers.Server) -> None:
    told = run("--region", "eu-west-1")
    assert told.code == 0
    facts = dict(line.split(None, 1) for line in told.out.splitlines()[:-2] if not line.startswith("trust store"))
    assert told.out.splitlines()[-2:] == ["", "All is well."]
    assert facts["glowplug"].startswith(f"{glowplug.__version__}, wheel cp310-abi3-")
    assert facts["go"] == support.info().go.removeprefix("go")
    assert facts["python"] == f"{platform.python_implementation()} {platform.python_version()}"
    assert facts["platform"].endswith(f"{platform.machine()}, {os.confstr('CS_GNU_LIBC_VERSION')}")
    assert facts["lambda"] == "no"
    assert facts["region"] == "eu-west-1 (the argument region)"
    assert facts["endpoint"] == f"{fake.url} (AWS_ENDPOINT_URL_S3)"
    assert facts["proxy"] == "none"
    assert facts["credentials"].startswith("the environment (AWS_ACCESS_KEY_ID), got in ")
    assert facts["request"].startswith("ListBuckets: HTTP 200 from 127.0.0.1:")
    assert facts["times"].startswith("TCP ")
    assert "tls" not in facts
    assert facts["clock"] in ("as the server's", "+1 s against the server's", "-1 s against the server's")


def test_the_json_has_the_same_and_one_request_was_sent(fake: servers.Server) -> None:
    answer = report()
    assert answer["findings"] == []
    assert answer["glowplug"] == glowplug.__version__
    assert answer["region"] == {"value": "us-east-1", "source": "the built-in region"}
    assert answer["request"]["operation"] == "ListBuckets"
    assert answer["request"]["status"] == 200
    assert answer["request"]["dns_ms"] is None, "an address needs no DNS"
    assert 0 < answer["request"]["tcp_ms"] < answer["request"]["total_ms"]
    assert fake.stats()["lists"] == 1


def test_in_a_lambda_its_name_and_memory_are_told(fake: servers.Server, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_LAMBDA_FUNCTION_NAME", "lister")
    environment.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
    answer = report()
    assert (answer["lambda"], answer["memory_mb"]) == ("lister", 128)


def test_a_name_is_looked_up(fake: servers.Server) -> None:
    answer = report("--endpoint-url", fake.url.replace("127.0.0.1", "localhost"))
    assert answer["request"]["dns_ms"] is not None


def test_tls_tells_protocol_and_certificate(environment: pytest.MonkeyPatch) -> None:
    servers.require("fakes3")
    with servers.fakes3(3, tls="valid") as s:
        for name, value in s.environ().items():
            environment.setenv(name, value)
        answer = report()
        assert answer["findings"] == []
        assert answer["trust"] == {"source": "AWS_CA_BUNDLE", "files": [str(s.ca)], "certificates": 1}
        assert answer["request"]["tls_ms"] > 0
        certificate = answer["request"]["certificate"]
        assert (certificate["tls"], certificate["subject"], certificate["issuer"]) == ("1.3", "CN=127.0.0.1", "CN=fakes3 intermediate")
        assert any(line.startswith("tls          1.3, certificate of CN=127.0.0.1, issued by CN=fakes3 intermediate, until 20") for line in run().out.splitlines())


@pytest.mark.parametrize(
    ("variant", "code", "text"),
    [
        ("untrusted", "CertificateNotTrusted", "issued by CN=fakes3 other intermediate, which the trust store ("),
        ("self-signed", "CertificateNotTrusted", "set AWS_CA_BUNDLE to a PEM file with its root"),
        ("expired", "CertificateExpired", "renew it, or correct this machine's clock"),
        ("wrong-host", "CertificateHostMismatch", "is for another host"),
        ("tls1.1", "TLSVersion", "offers no TLS 1.2 or later"),
    ],
)
def test_a_bad_certificate_is_named(environment: pytest.MonkeyPatch, variant: str, code: str, text: str) -> None:
    servers.require("fakes3")
    with servers.fakes3(3, tls=variant) as s:
        for name, value in s.environ().items():
            environment.setenv(name, value)
        answer = report(code=4)
        assert found(answer) == [("problem", code)]
        assert text in words(answer)
        assert (answer["request"]["certificate"] is None) == (code == "TLSVersion")


def test_a_refused_connection(environment: pytest.MonkeyPatch) -> None:
    answer = report("--endpoint-url", f"http://127.0.0.1:{servers.free_port()}", code=4)
    assert found(answer) == [("problem", "ConnectionRefused")]
    assert answer["request"]["tcp_ms"] is None


def test_a_server_that_is_silent(silent: str) -> None:
    answer = report("--endpoint-url", silent, code=4)
    assert found(answer) == [("problem", "AttemptTimeout")]
    assert answer["request"]["tcp_ms"] is not None
    assert answer["request"]["first_byte_ms"] is None


def test_a_host_that_does_not_exist() -> None:
    answer = report("--endpoint-url", "http://no-such-host.invalid", code=4)
    assert found(answer)[0][1] in ("HostNotFound", "HostLookupFailed", "ConnectTimeout")


def test_a_denial_names_the_action(fake: servers.Server) -> None:
    fake.control(faults=[{"kind": "deny"}])
    answer = report(code=3)
    assert found(answer) == [("problem", "AccessDenied")]
    assert 's3:ListAllMyBuckets on the resource "*"' in words(answer)


def test_a_wrong_secret_names_its_source(fake: servers.Server) -> None:
    fake.control(keys=[{"id": "AKIAIOSFODNN7EXAMPLE", "secret": "another"}])
    answer = report(code=3)
    assert found(answer) == [("problem", "SignatureDoesNotMatch")]
    assert "the credentials from the environment (AWS_ACCESS_KEY_ID)" in words(answer)


def test_without_credentials_the_places_are_told_and_the_connection_is_tried(fake: servers.Server, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("AWS_ACCESS_KEY_ID")
    environment.delenv("AWS_SECRET_ACCESS_KEY")
    answer = report(code=3)
    assert found(answer) == [("problem", "NoCredentials")]
    assert "EC2 metadata (switched off by AWS_EC2_METADATA_DISABLED)" in words(answer)
    assert answer["request"]["operation"] == ""
    assert answer["request"]["status"] > 0
    environment.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{servers.free_port()}")
    assert found(report(code=3)) == [("problem", "NoCredentials"), ("problem", "ConnectionRefused")]


@pytest.mark.parametrize(
    ("ahead", "body", "status", "code", "level", "text"),
    [
        (0, LISTING, 200, 0, None, ""),
        (30, LISTING, 200, 0, None, ""),
        (100, LISTING, 200, 0, "warning", "clock is 100 s behind the server's"),
        (960, refusal("RequestTimeTooSkewed"), 403, 3, "problem", "clock is 16 min behind the server's"),
        (-960, refusal("RequestTimeTooSkewed"), 403, 3, "problem", "clock is 16 min ahead of the server's"),
        (-10800, LISTING, 200, 0, "warning", "clock is 3.0 h ahead of the server's"),
    ],
)
def test_a_clock_that_is_off(ahead: float, body: bytes, status: int, code: int, level: str | None, text: str) -> None:
    with answering(reply(body, status=status, ahead=ahead)) as address:
        answer = report("--endpoint-url", f"http://{address}", code=code)
    assert found(answer) == ([(level, "ClockSkew")] if level else [])
    # The header's seconds are cut: one more or less.
    assert text in words(answer).replace("99 s", "100 s").replace("101 s", "100 s")
    assert abs(answer["request"]["clock_skew_s"] - ahead) < 2


@pytest.mark.parametrize("status", [200, 403, 502])
def test_an_endpoint_that_answers_html(status: int) -> None:
    page = b"<!doctype html><title>Sign in</title>"
    with answering(reply(page, status=status, content_type="text/html; charset=utf-8")) as address:
        answer = report("--endpoint-url", f"http://{address}", code=3 if status == 403 else 4)
    (finding,) = answer["findings"]
    assert finding["text"].startswith(f"http://{address} answers HTML (HTTP {status}) where S3 answers XML")


def test_a_bad_setting_ends_it_with_2(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_REGION", "Frankfurt!")
    answer = report(code=2)
    assert "AWS_REGION must be" in words(answer)
    assert answer["glowplug"] == glowplug.__version__
    told = run()
    assert told.code == 2
    assert told.out.splitlines()[-1].startswith("problem: AWS_REGION must be")


def test_a_profile_that_does_not_exist_ends_it_with_2() -> None:
    assert 'profile "nobody"' in words(report("--profile", "nobody", code=2))


def test_a_secret_in_the_endpoint_is_not_shown() -> None:
    answer = report("--endpoint-url", f"http://user:{PROXY_SECRET}@127.0.0.1:1", code=2)
    assert found(answer) == [("problem", "InvalidEndpoint")]


# TLS that a proxy intercepts: a CA of its own, with a certificate for AWS's host.


@pytest.fixture(scope="module")
def interceptor(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """The CA's file and the server's context."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("interceptor")
    now = datetime.datetime.now(datetime.timezone.utc)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, text)])

    def make(subject: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("Corp TLS inspection")).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=5))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(signer, hashes.SHA256())

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = make("Corp TLS inspection", ca_key, ca_key, x509.BasicConstraints(ca=True, path_length=None))
    leaf = make("s3", key, ca_key, x509.SubjectAlternativeName([x509.DNSName("s3.us-east-1.amazonaws.com")]))
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "chain.pem").write_bytes(
        leaf.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem")
    return folder / "ca.pem", context


@contextlib.contextmanager
def proxy(to: str) -> Generator[str, None, None]:
    """The address of a proxy that leads each CONNECT to one place."""

    class Tunnel(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            host, port = to.split(":")
            with socket.create_connection((host, int(port))) as up:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                other = {up: self.connection, self.connection: up}
                while True:
                    for ready in select.select(list(other), [], [])[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        other[ready].sendall(data)

        rbufsize = 0

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that refuses the certificate resets the tunnel

    with Server(("127.0.0.1", 0), Tunnel) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("trusted", [True, False])
def test_tls_that_a_proxy_intercepts_is_told(environment: pytest.MonkeyPatch, interceptor: tuple[Path, ssl.SSLContext], trusted: bool) -> None:
    ca, context = interceptor
    if trusted:
        environment.setenv("AWS_CA_BUNDLE", str(ca))
    with answering(reply(LISTING), lambda s: context.wrap_socket(s, server_side=True)) as address, proxy(address) as via:
        environment.setenv("HTTPS_PROXY", f"http://user:{PROXY_SECRET}@{via}")
        answer = report(code=0 if trusted else 4)
    assert answer["proxy"] == {"value": f"http://{via}", "source": "HTTPS_PROXY"}
    assert answer["endpoint"] == {"value": "https://s3.us-east-1.amazonaws.com", "source": ""}
    assert "TLS is intercepted: " in words(answer)
    assert "O=Corp TLS inspection, which AWS does not use" in words(answer)
    assert found(answer) == ([("warning", "TLSIntercepted"), ("warning", "CertificateEnds")] if trusted else [("problem", "CertificateNotTrusted")])
    assert not trusted or answer["request"]["tls_ms"] > 0
