"""Real servers for tests, demo and bench: each helper is a context manager that starts a process
on a free port of this machine, waits until it answers, and ends it by its pid.

    with servers.moto() as s3:
        servers.fill(s3, 2500)
        s3.client("eu-west-1").list_buckets()

What a server prints goes to a file; its end is shown when the server or the block fails. A part
that is not installed raises ``Missing``, whose text says where it is looked for and how to get it.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2", "sa-east-1", "af-south-1")
READY = 30.0  # seconds that a server may take to answer
LOG_TAIL = 4000  # characters of log shown


class Missing(Exception):
    """A part that is not on this machine; the text says how to get it."""


@dataclass
class Server:
    """A server under way."""

    kind: str
    url: str
    region: str = "us-east-1"
    access_key: str = "AKIAIOSFODNN7EXAMPLE"
    secret_key: str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    ca: Path | None = None
    root: Path | None = None
    log: Path | None = None
    started: subprocess.Popen[bytes] | None = field(repr=False, default=None)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self.started, f"{self.kind} is not started"
        return self.started

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.split("//")[1].split(":")
        return host, int(port)

    def environ(self) -> dict[str, str]:
        """The variables that make an AWS client use this server."""
        env = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        return env | ({"AWS_CA_BUNDLE": str(self.ca)} if self.ca else {})

    def client(self, region: str | None = None, **options: Any) -> Any:
        """A boto3 S3 client of this server: one attempt, path-style, 32 connections."""
        boto3: Any = importlib.import_module("boto3")
        config = importlib.import_module("botocore.config").Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, max_pool_connections=32, connect_timeout=5, read_timeout=60)
        options.setdefault("aws_access_key_id", self.access_key)
        options.setdefault("aws_secret_access_key", self.secret_key)
        options.setdefault("verify", str(self.ca) if self.ca else None)
        return boto3.client("s3", endpoint_url=self.url, region_name=region or self.region, config=config, **options)

    def get(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """The JSON answer of the server's own, unsigned paths."""
        conn = http.client.HTTPConnection(*self.address, timeout=30)
        if self.url.startswith("https"):
            # Not verified: servers with bad certificates are controlled as well.
            trusting = ssl.create_default_context()
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            conn = http.client.HTTPSConnection(*self.address, timeout=30, context=trusting)
        with contextlib.closing(conn):
            conn.request(method or ("GET" if body is None else "POST"), path, None if body is None else json.dumps(body))
            answer = conn.getresponse()
            text = answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{path}: {answer.status} {text.decode(errors='replace')}")
            return json.loads(text or b"null")

    def stats(self) -> dict[str, int]:
        """fakes3: its counters."""
        counters: dict[str, int] = self.get("/-/stats")
        return counters

    def control(self, **order: Any) -> dict[str, Any]:
        """fakes3: an order as package fakes3/control reads it, such as ``faults=[{"kind": "throttle"}]``."""
        status: dict[str, Any] = self.get("/-/control", order)
        return status

    def alive(self) -> bool:
        return self.process.poll() is None


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def clean_environ() -> dict[str, str]:
    """This environment without settings of AWS, of proxies and of the servers themselves."""
    drop = ("AWS_", "VGW_", "MOTO_", "ROOT_")
    return {k: v for k, v in os.environ.items() if not k.startswith(drop) and not k.lower().endswith("_proxy")}


def _find(variable: str, name: str, places: Sequence[Path], how: str) -> str:
    given = os.environ.get(variable)
    if given:
        if os.access(given, os.X_OK):
            return given
        raise Missing(f"{variable} names {given}, which can't be executed")
    for place in places:
        if os.access(place, os.X_OK):
            return str(place)
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is missing: looked at {variable}, {', '.join(map(str, places))} and PATH. {how}")
    return found


def find_versitygw() -> str:
    return _find("VERSITYGW", "versitygw", [REPO / "build/tools/versitygw"], "Get it with `GOBIN=$PWD/build/tools go install github.com/versity/versitygw/cmd/versitygw@v1.8.0`.")


def find_fakes3() -> str:
    return _find("GLOWPLUG_FAKES3", "fakes3", [REPO / "build/tools/fakes3"], "Get it with `cd gomod && go build -o ../build/tools/fakes3 ./cmd/fakes3`.")


def find_rie() -> str:
    return _find("AWS_LAMBDA_RIE", "aws-lambda-rie", [REPO / "../shared/tools/aws-lambda-rie"], "It is on the releases page of aws/aws-lambda-runtime-interface-emulator.")


def find_moto() -> str:
    for module in ("moto", "flask", "flask_cors"):
        if importlib.util.find_spec(module) is None:
            raise Missing(f"moto's server is missing (no module {module}). Get it with `pip install 'moto[server]'`.")
    return sys.executable


FINDERS: dict[str, Callable[[], str]] = {"moto": find_moto, "versitygw": find_versitygw, "fakes3": find_fakes3, "rie": find_rie}


def require(*what: str) -> None:
    """Skip the test loudly where a part is missing; under GLOWPLUG_REQUIRE=all fail it.

    ``what`` are keys of ``FINDERS``: moto, versitygw, fakes3, rie.
    """
    import pytest

    for part in what:
        try:
            FINDERS[part]()
        except Missing as e:
            if os.environ.get("GLOWPLUG_REQUIRE") == "all":
                pytest.fail(f"GLOWPLUG_REQUIRE=all, but {e}", pytrace=False)
            warnings.warn(f"SKIPPED: {e}", stacklevel=2)
            pytest.skip(str(e))


@contextlib.contextmanager
def _running(server: Server, command: Sequence[str], *, ready: Callable[[Server], bool], env: dict[str, str] | None = None, stdout: int | None = None, cwd: str | None = None) -> Generator[Server, None, None]:
    handle, name = tempfile.mkstemp(prefix=f"glowplug-{server.kind}-", suffix=".log")
    server.log = Path(name)
    try:
        with open(handle, "wb") as log:
            server.started = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=stdout or log, stderr=log, env=clean_environ() | (env or {}), cwd=cwd, start_new_session=True
            )
        try:
            _wait(server, ready)
            yield server
            if not server.alive():
                raise RuntimeError(f"{server.kind} ended by itself with status {server.process.returncode}")
        except BaseException:
            sys.stderr.write(f"--- {server.kind} said:\n{server.log.read_text(errors='replace')[-LOG_TAIL:]}\n---\n")
            raise
        finally:
            _end(server.process)
    finally:
        server.log.unlink()


def _wait(server: Server, ready: Callable[[Server], bool]) -> None:
    deadline = time.monotonic() + READY
    while not ready(server):
        if not server.alive():
            raise RuntimeError(f"{server.kind} ended at its start with status {server.process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{server.kind} did not answer within {READY:g} s")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads its own session, and what it started."""
    for sig, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sig)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        # Children of a leader that is gone keep its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        break
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def _listens(server: Server) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(server.address, 1):
        return True
    return False


def _moto_answers(server: Server) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        conn = http.client.HTTPConnection(*server.address, timeout=5)
        conn.request("GET", "/moto-api/config")
        return conn.getresponse().status < 400
    return False


@contextlib.contextmanager
def moto(**env: str) -> Generator[Server, None, None]:
    """moto's server: multi-region, checks no signature, never tells a region (PyPI ``moto[server]``)."""
    port = free_port()
    server = Server("moto", f"http://127.0.0.1:{port}")
    command = [find_moto(), "-c", "import sys; from moto.server import main; main(sys.argv[1:])", "-H", "127.0.0.1", "-p", str(port)]
    with _running(server, command, ready=_moto_answers, env=env) as s:
        yield s


@contextlib.contextmanager
def versitygw(region: str = "us-east-1", *options: str) -> Generator[Server, None, None]:
    """versitygw over a directory: checks SigV4, pages, always says its own region. ``options`` go before ``posix``."""
    with tempfile.TemporaryDirectory(prefix="glowplug-vgw-") as d:
        root = Path(d, "buckets")
        root.mkdir()
        port = free_port()
        server = Server("versitygw", f"http://127.0.0.1:{port}", region=region, root=root)
        env = {"ROOT_ACCESS_KEY": server.access_key, "ROOT_SECRET_KEY": server.secret_key}
        command = [find_versitygw(), "--port", f"127.0.0.1:{port}", "--region", region, "--keep-alive", "--quiet", *options, "posix", str(root)]
        # It can leave files where it is started.
        with _running(server, command, ready=_listens, env=env, cwd=d) as s:
            yield s


@contextlib.contextmanager
def fakes3(n: int = 100, *, tls: str = "", verify: bool = False, **flags: Any) -> Generator[Server, None, None]:
    """Our own server. ``flags`` are those of the command (``delay="20ms"``, ``regions=False``, ``bad_region=400``);
    ``tls`` is a variant such as "valid"; ``verify`` checks signatures against the server's key."""
    with tempfile.TemporaryDirectory(prefix="glowplug-fakes3-") as d:
        server = Server("fakes3", "")
        command = [find_fakes3(), "-stdin", "-addr", "127.0.0.1:0", "-n", str(n), "-certs", d]
        if tls:
            command.append(f"-tls-variant={tls}")
            server.ca = Path(d, "ca.pem")
        if verify:
            command.append(f"-key={server.access_key}:{server.secret_key}")
        for name, value in flags.items():
            command.append(f"-{name.replace('_', '-')}={str(value).lower() if isinstance(value, bool) else value}")

        def said_its_url(s: Server) -> bool:
            assert s.process.stdout
            s.url = s.process.stdout.readline().decode().strip()
            return bool(s.url)

        with _running(server, command, ready=said_its_url, stdout=subprocess.PIPE) as s:
            if flags.get("region") not in (None, "signed"):
                s.region = str(flags["region"])
            yield s


@contextlib.contextmanager
def lambda_rie(command: Sequence[str], *, env: dict[str, str] | None = None, cwd: str | None = None, function: str = "function") -> Generator[Server, None, None]:
    """AWS's Lambda runtime emulator around ``command``, such as ``[python, "-m", "awslambdaric", "app.handler"]``."""
    port, api = free_port(), free_port()
    server = Server("rie", f"http://127.0.0.1:{port}")
    emulator = [find_rie(), "--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address", f"127.0.0.1:{api}", *command]
    given = {"AWS_LAMBDA_FUNCTION_NAME": function, "AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key} | (env or {})
    with _running(server, emulator, ready=_listens, env=given, cwd=cwd) as s:
        yield s


def invoke(server: Server, event: Any = None) -> Any:
    """One invocation of the function inside ``lambda_rie``; the first one does its INIT."""
    return server.get("/2015-03-31/functions/function/invocations", {} if event is None else event)


def name(i: int) -> str:
    return f"bucket-{i:05d}"


def fill(server: Server, n: int, *, start: int = 0, regions: Sequence[str] = REGIONS) -> dict[str, str]:
    """Create ``n`` buckets named as fakes3's and return their regions by name.

    moto spreads them over ``regions``; versitygw knows its own only.
    """
    if server.kind == "moto":
        wanted = {name(i): regions[i % len(regions)] for i in range(start, start + n)}
        # More threads are slower: the server is one interpreter.
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(_create_on_moto, [server] * n, wanted, wanted.values()))
        return wanted
    if server.kind == "versitygw":
        names = [name(i) for i in range(start, start + n)]
        _create_on_versitygw(server, names)
        return dict.fromkeys(names, server.region)
    raise ValueError(f"{server.kind} takes its buckets at its start")


def _create_on_moto(server: Server, bucket: str, region: str) -> None:
    # moto reads the region from the signature's scope and checks no signature: a boto3 call costs more than the server's work.
    scope = f"{server.access_key}/20260101/{region}/s3/aws4_request"
    body = "" if region == "us-east-1" else f"<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    with contextlib.closing(http.client.HTTPConnection(*server.address, timeout=60)) as conn:
        conn.request("PUT", f"/{bucket}", body, {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"})
        answer = conn.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"creating {bucket} in {region}: {answer.status} {text!r}")


def _create_on_versitygw(server: Server, names: Sequence[str]) -> None:
    """One real bucket, then directories with its attributes: twenty times quicker than as many requests."""
    assert server.root
    if not names:
        return
    first, rest = server.root / names[0], names[1:]
    location = {} if server.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": server.region}}
    s3 = server.client()
    s3.create_bucket(Bucket=names[0], **location)
    try:
        attributes = [(a, os.getxattr(first, a)) for a in os.listxattr(first)]
    except OSError:
        attributes = []
    if not attributes:

        def create(bucket: str) -> None:
            s3.create_bucket(Bucket=bucket, **location)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(create, rest))
        return
    for bucket in rest:
        path = server.root / bucket
        path.mkdir()
        for attribute, value in attributes:
            os.setxattr(path, attribute, value)
