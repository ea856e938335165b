"""A stand-in of Lambda's Runtime API, for machines without AWS's emulator.

From outside it looks like ``servers.lambda_rie``: ``servers.invoke`` invokes the function. It knows
one function, one invocation at a time and no extensions, starts the runtime at once (INIT comes before
the first invocation, as in Lambda) and, unlike Lambda, starts none again after a time-out or an exit.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import contextlib
import http.server
import json
import queue
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import cast

import servers

INVOKE = "/2015-03-31/functions/function/invocations"
RUNTIME = "/2018-06-01/runtime/"
STATE = "/-/state"  # our own: whether INIT is over
DEFAULT_TIMEOUT = 300.0  # seconds of one invocation, as in AWS's emulator


class RuntimeAPI(http.server.ThreadingHTTPServer):
    """The API's state: what waits for the runtime, and what it answered."""

    daemon_threads = True

    def __init__(self, timeout: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.timeout_s = timeout
        self.events: queue.Queue[tuple[str, bytes, float]] = queue.Queue()
        self.answers: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.initialised = threading.Event()  # the runtime has asked for its first event, or failed
        self.init_error: bytes | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.one_at_a_time = threading.Lock()

    def invoke(self, event: bytes) -> tuple[int, bytes]:
        """Status and body as AWS's emulator answers them."""
        with self.one_at_a_time:
            request = str(uuid.uuid4())
            while not self.initialised.wait(0.02):
                if (code := self.exit_code()) is not None:
                    return _exited(request, code)
            if self.init_error is not None:
                return 502, self.init_error
            deadline = time.time() + self.timeout_s
            self.events.put((request, event, deadline))
            while time.time() < deadline:
                with contextlib.suppress(queue.Empty):
                    answered, answer = self.answers.get(timeout=0.02)
                    # A late answer to an invocation that timed out is nobody's.
                    if answered == request:
                        return 200, answer
                if (code := self.exit_code()) is not None:
                    return _exited(request, code)
            return 200, f"Task timed out after {self.timeout_s:.2f} seconds".encode()

    def exit_code(self) -> int | None:
        return None if self.process is None else self.process.poll()


def _exited(request: str, code: int) -> tuple[int, bytes]:
    error = {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {request} Error: Runtime exited with error: exit status {code}"}
    return 502, json.dumps(error).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def api(self) -> RuntimeAPI:
        return cast(RuntimeAPI, self.server)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == STATE:
            return self.answer(200, json.dumps({"initialised": self.api.initialised.is_set()}).encode())
        if self.path != f"{RUNTIME}invocation/next":
            return self.answer(404)
        self.api.initialised.set()
        request, event, deadline = self.api.events.get()
        return self.answer(
            200,
            event,
            Lambda_Runtime_Aws_Request_Id=request,
            Lambda_Runtime_Deadline_Ms=str(int(deadline * 1000)),
            Lambda_Runtime_Invoked_Function_Arn="arn:aws:lambda:us-east-1:012345678912:function:function",
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == INVOKE:
            return self.answer(*self.api.invoke(body))
        if self.path == f"{RUNTIME}init/error":
            self.api.init_error = body
            self.api.initialised.set()
            return self.answer(202)
        request, _, kind = self.path.removeprefix(f"{RUNTIME}invocation/").partition("/")
        if kind not in ("response", "error"):
            return self.answer(404)
        self.api.answers.put((request, body))
        return self.answer(202)


@contextlib.contextmanager
def emulated(command: Sequence[str], *, env: dict[str, str] | None = None, cwd: str | None = None) -> Generator[servers.Server, None, None]:
    """The stand-in around ``command``, with the arguments and the result of ``servers.lambda_rie``."""
    given = env or {}
    api = RuntimeAPI(float(given.get("AWS_LAMBDA_FUNCTION_TIMEOUT", DEFAULT_TIMEOUT)))
    thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    with api, tempfile.TemporaryDirectory(prefix="glowplug-runtime-api-") as d:
        server = servers.Server("runtime api", f"http://127.0.0.1:{api.server_port}", log=Path(d, "log"))
        settings = {"AWS_LAMBDA_FUNCTION_NAME": "function", "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}"}
        with Path(d, "log").open("wb") as log:
            api.process = server.started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=servers.clean_environ() | settings | given, cwd=cwd)
        try:
            yield server
        finally:
            api.process.kill()
            api.process.wait()
            api.shutdown()
            thread.join()


def wait_for_init(server: servers.Server, seconds: float = 30.0) -> None:
    """Wait until the runtime sleeps in its first request for an event: INIT is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.get(STATE)["initialised"]:
            return
        time.sleep(0.01)
    raise TimeoutError(f"INIT was not over within {seconds:g} s")

