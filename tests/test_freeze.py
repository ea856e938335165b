"""Freeze and thaw: connections that died unnoticed, with FIN, with RST and in silence; processes that stood still."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from conftest import Client
from glowplug import errors

import servers
from support import Stopwatch, command, environ, wait_until

ATTEMPT = 0.4  # seconds that a server may be silent
MARGIN = 0.5  # seconds for all else


class Relay:
    """Forwards TCP connections to a server, and lets those that are open die."""

    def __init__(self, to: tuple[str, int]) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: list[Pair] = []
        self.opened = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._lock:
                    self.opened += 1
                    self._open.append(Pair(client, socket.create_connection(self._to)))

    def kill(self, how: str) -> None:
        """Let the open connections die: "fin", "rst" or "silence"."""
        with self._lock:
            pairs, self._open = self._open, []
        for pair in pairs:
            pair.kill(how)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.kill("fin")


class Pair:
    """A connection, and the one to the server that stands for it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client, self._server = client, server
        self._dead = False
        self._pumps = [threading.Thread(target=self._pump, args=way, daemon=True) for way in ((client, server), (server, client))]
        for pump in self._pumps:
            pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self._dead:
                    sink.sendall(data)
            if not self._dead:
                sink.shutdown(socket.SHUT_WR)

    def kill(self, how: str) -> None:
        self._dead = True
        if how == "silence":
            return
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            # It wakes the thread that reads, which keeps the socket open, and sends nothing.
            self._client.shutdown(socket.SHUT_RD)
        for pump in self._pumps:
            pump.join()
        if how == "rst":
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.close()
        self._server.close()


@pytest.fixture
def relay(fake: servers.Server, environment: pytest.MonkeyPatch) -> Iterator[Relay]:
    """Between the client and the fake."""
    between = Relay(fake.address)
    environment.setenv("AWS_ENDPOINT_URL_S3", between.url)
    yield between
    between.close()


def test_the_relay_kills_as_it_says(relay: Relay) -> None:
    address = relay.url.rpartition("/")[2].split(":")
    for how, answer in (("fin", b""), ("rst", ConnectionResetError), ("silence", TimeoutError)):
        opened = relay.opened
        with socket.create_connection((address[0], int(address[1])), timeout=0.2) as s:
            wait_until(lambda opened=opened: relay.opened > opened, "it is open")  # type: ignore[misc]
            relay.kill(how)
            try:
                s.sendall(b"GET / HTTP/1.1\r\n\r\n") if how == "silence" else None
                assert s.recv(1) == answer
            except OSError as e:
                assert type(e) is answer


# Connections that died while nobody looked


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_connection_that_was_closed_meanwhile_costs_nothing_but_another(relay: Relay, client: Client, how: str, attempts: int) -> None:
    s3 = client(max_attempts=attempts)
    for _ in range(10):
        assert len(s3.list_buckets()) == 10
        relay.kill(how)
        # At once: whether the client has noticed is open.
        found = s3.list_buckets()
        assert (len(found), found.stats.retries, found.stats.requests) == (10, 0, 1), found.stats
    assert relay.opened <= 11


@pytest.mark.parametrize("preconnect", [True, "auto"])
@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
def test_a_connection_that_died_before_its_first_use_is_no_error(relay: Relay, client: Client, how: str, preconnect: bool | str) -> None:
    s3 = client(preconnect=preconnect, attempt_timeout=ATTEMPT)
    assert s3.wait_ready(5)
    wait_until(lambda: relay.opened == 1, "the relay has it")
    relay.kill(how)
    with Stopwatch() as watch:
        assert len(s3.list_buckets()) == 10
    assert watch.seconds < (ATTEMPT if how == "silence" else 0) + MARGIN
    assert relay.opened == 2


@pytest.mark.parametrize("how", ["fin", "rst", "silence"])
def test_all_connections_of_a_fan_out_may_die(fake: servers.Server, relay: Relay, client: Client, how: str) -> None:
    fake.control(n=60, quirks="never-tell", delay="20ms")
    s3 = client(cache_ttl=0, attempt_timeout=ATTEMPT)
    for _ in range(2):
        assert len(s3.list_buckets().by_region()) == 7
        assert relay.opened >= 30
        relay.kill(how)
        with Stopwatch() as watch:
            found = s3.list_buckets()
        assert len(found.by_region()) == 7 and not found.errors
        assert watch.seconds < (ATTEMPT if how == "silence" else 0) + 2 * MARGIN


def test_silence_costs_one_attempt_and_says_so_in_the_counts(relay: Relay, client: Client) -> None:
    s3 = client(attempt_timeout=ATTEMPT)
    expected = s3.list_buckets()
    relay.kill("silence")
    with Stopwatch() as watch:
        found = s3.list_buckets()
    assert found == expected
    assert ATTEMPT * 0.9 < watch.seconds < ATTEMPT + MARGIN
    assert (found.stats.requests, found.stats.retries, found.stats.connections) == (2, 1, 1)
    assert s3.list_buckets().stats.retries == 0, "the next has a live one"


def test_a_black_hole_for_old_connections_is_left_with_the_next_attempt(fake: servers.Server, client: Client) -> None:
    # The defaults: an attempt may take 2 s, the call 10.
    s3 = client()
    expected = s3.list_buckets()
    fake.control(faults=[{"kind": "black-hole", "old_conns": True}])
    with Stopwatch() as watch:
        found = s3.list_buckets()
    assert found == expected and found.stats.retries == 1
    assert 1.8 < watch.seconds < 2 + MARGIN


def test_silence_with_one_attempt_is_a_time_out_and_the_next_call_is_well(relay: Relay, client: Client) -> None:
    s3 = client(attempt_timeout=ATTEMPT, max_attempts=1)
    s3.list_buckets()
    relay.kill("silence")
    with Stopwatch() as watch, pytest.raises(errors.TimeoutError) as caught:
        s3.list_buckets()
    assert watch.seconds < ATTEMPT + MARGIN and caught.value.retryable and caught.value.code == "AttemptTimeout"
    with Stopwatch() as watch:
        assert len(s3.list_buckets()) == 10
    assert watch.seconds < MARGIN


def test_an_iteration_outlives_the_death_of_its_connection(fake: servers.Server, relay: Relay, client: Client) -> None:
    fake.control(n=3500)
    for how in ("fin", "rst", "silence"):
        seen: list[str] = []
        for bucket in client(attempt_timeout=ATTEMPT).iter_buckets():
            seen.append(bucket.name)
            if len(seen) % 1000 == 1:
                relay.kill(how)
        assert seen == [servers.name(i) for i in range(3500)], how


# A process that stands still


class Sleeper:
    """A child interpreter with a client, for which each line that it reads is an expression to print."""

    def __init__(self, options: str) -> None:
        script = (
            "import sys, time, glowplug\n"
            f"s3 = glowplug.S3({options})\n"
            "def call():\n"
            "    began = time.monotonic()\n"
            "    try: found = s3.list_buckets()\n"
            "    except glowplug.errors.GlowplugError as e: return type(e).__name__, round(time.monotonic() - began, 3)\n"
            "    return len(found), found.stats.retries, round(time.monotonic() - began, 3)\n"
            "for line in sys.stdin: print(repr(eval(line)), flush=True)\n"
        )
        self._process = subprocess.Popen(command(script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ({}), text=True, bufsize=1)

    def begin(self, expression: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{expression}\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout
        return eval(self._process.stdout.readline())

    def ask(self, expression: str) -> Any:
        self.begin(expression)
        return self.answer()

    @contextlib.contextmanager
    def frozen(self) -> Generator[None, None, None]:
        os.kill(self._process.pid, signal.SIGSTOP)
        wait_until(lambda: open(f"/proc/{self._process.pid}/stat").read().rpartition(")")[2].split()[0] == "T", "it stands still")
        yield
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def sleeper(relay: Relay) -> Iterator[Callable[..., Sleeper]]:
    with contextlib.ExitStack() as stack:

        def make(options: str = "preconnect=False") -> Sleeper:
            made = Sleeper(options)
            stack.callback(made.close)
            return made

        yield make


@pytest.mark.parametrize("options", ["preconnect=False", "preconnect=True", "preconnect=False, max_attempts=1"])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_call_right_after_the_thaw_is_well(relay: Relay, sleeper: Callable[..., Sleeper], how: str, options: str) -> None:
    child = sleeper(options)
    if "True" not in options:
        assert child.ask("call()")[:2] == (10, 0)
    else:
        assert child.ask("s3.wait_ready(5)")
    for _ in range(3):
        with child.frozen():
            relay.kill(how)
            # It is asked for before it moves again: the call meets a connection that Go has not looked at.
            child.begin("call()")
            time.sleep(0.1)
        found, retries, seconds = child.answer()
        assert (found, retries) == (10, 0) and seconds < MARGIN


def test_a_long_freeze_with_silence_costs_one_attempt(relay: Relay, sleeper: Callable[..., Sleeper]) -> None:
    child = sleeper(f"preconnect=False, attempt_timeout={ATTEMPT}")
    child.ask("call()")
    with child.frozen():
        relay.kill("silence")
        time.sleep(2)
    found, retries, seconds = child.ask("call()")
    assert (found, retries) == (10, 1) and seconds < ATTEMPT + MARGIN


def test_a_deadline_that_passes_in_a_freeze_is_noticed_after_it(fake: servers.Server, relay: Relay, sleeper: Callable[..., Sleeper]) -> None:
    fake.control(faults=[{"kind": "black-hole", "times": 1}])
    child = sleeper("preconnect=False, timeout=1")
    child.begin("call()")
    wait_until(lambda: fake.stats()["lists"] == 1, "the call is under way")
    with child.frozen():
        time.sleep(1.5)
    with Stopwatch() as watch:
        failure, _ = child.answer()
    assert failure == "TimeoutError" and watch.seconds < MARGIN
    assert child.ask("call()")[:2] == (10, 0)


def test_an_attempt_that_was_frozen_is_sent_again(fake: servers.Server, relay: Relay, sleeper: Callable[..., Sleeper]) -> None:
    fake.control(faults=[{"kind": "black-hole", "times": 1}])
    child = sleeper("preconnect=False")
    child.begin("call()")
    wait_until(lambda: fake.stats()["lists"] == 1, "the call is under way")
    with child.frozen():
        time.sleep(2.5)
    found, retries, _ = child.answer()
    assert (found, retries) == (10, 1)
