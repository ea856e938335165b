"""SnapStart: what the hooks do before a snapshot and after a restore, with a stand-in for and with AWS's ``snapshot_restore_py``."""

from __future__ import annotations

from pathlib import Path

import pytest

import servers
from support import CANARY, run

# The functions of snapshot_restore_py 1.0 that Lambda's runtime calls, in its order: before_snapshot is last in, first out.
HOOKS = '''
_before, _after = [], []
def register_before_snapshot(func, *args, **kwargs): _before.append((func, args, kwargs))
def register_after_restore(func, *args, **kwargs): _after.append((func, args, kwargs))
def get_before_snapshot(): return _before
def get_after_restore(): return _after
'''

START = '''
import gc, os, sys
import snapshot_restore_py as snapstart
import glowplug
from glowplug import aio, errors

def snapshot():
    while snapstart.get_before_snapshot():
        f, args, kwargs = snapstart.get_before_snapshot().pop()
        f(*args, **kwargs)

def restore():
    while snapstart.get_after_restore():
        f, args, kwargs = snapstart.get_after_restore().pop(0)
        f(*args, **kwargs)

def hooks(): return len(snapstart.get_before_snapshot()), len(snapstart.get_after_restore())

def connected():
    """Connections of this process to the server."""
    port = int(os.environ['AWS_ENDPOINT_URL_S3'].rpartition(':')[2])
    own = {os.readlink(f'/proc/self/fd/{fd}') for fd in os.listdir('/proc/self/fd') if os.path.lexists(f'/proc/self/fd/{fd}')}
    rows = [line.split() for line in open('/proc/net/tcp').readlines()[1:]]
    return sum(int(r[2].rpartition(':')[2], 16) == port and f'socket:[{r[9]}]' in own for r in rows)
'''

LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "snapshot_restore_py.py").write_text(HOOKS)
    return tmp_path


def test_the_client_is_ready_before_the_snapshot_and_has_no_connection_in_it(fake: servers.Server, site: Path) -> None:
    out = run(
        START + "s3 = glowplug.S3()\n"
        "assert (hooks(), connected()) == ((1, 1), 1)\n"
        "snapshot()\n"
        "assert connected() == 0, 'no connection lies in the snapshot'\n"
        "restore()\n"
        "assert connected() == 1, 'it is open when the hook returns'\n"
        "found = s3.list_buckets()\n"
        "assert (len(found), found.stats.connections, s3.stats.requests) == (10, 0, 1)\n"
        "print('well')\n",
        env=LAMBDA,
        site=site,
    )
    assert out == "well\n"


def test_the_restored_client_uses_the_credentials_of_the_restored_environment(fake: servers.Server, site: Path) -> None:
    fake.control(keys=[{"id": "AKIARESTORED", "secret": CANARY, "token": "fresh"}])
    out = run(
        START + "s3 = glowplug.S3()\n"
        "try: s3.list_buckets()\n"
        "except errors.CredentialsError: print('refused')\n"
        "snapshot()\n"
        "os.environ.update(AWS_ACCESS_KEY_ID='AKIARESTORED', AWS_SESSION_TOKEN='fresh')\n"
        "restore()\n"
        "print(len(s3.list_buckets()))\n",
        env=LAMBDA,
        site=site,
    )
    assert out == "refused\n10\n"


def test_the_credentials_of_the_container_are_fetched_anew(fake: servers.Server, site: Path) -> None:
    # As Lambda does it: AWS_CONTAINER_CREDENTIALS_FULL_URI comes with the restore.
    fake.control(keys=[{"id": "AKIACONTAINER", "secret": CANARY, "token": "container"}])
    out = run(
        START + "import http.server, json, threading\n"
        "class Agent(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        f"        body = json.dumps({{'AccessKeyId': 'AKIACONTAINER', 'SecretAccessKey': {CANARY!r}, 'Token': 'container', 'Expiration': '2099-01-01T00:00:00Z'}}).encode()\n"
        "        asked.append(self.headers['Authorization'])\n"
        "        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)\n"
        "    def log_message(self, *_): pass\n"
        "asked = []\n"
        "agent = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Agent)\n"
        "threading.Thread(target=agent.serve_forever, daemon=True).start()\n"
        "s3 = glowplug.S3()\n"
        "snapshot()\n"
        "assert not asked\n"
        "del os.environ['AWS_ACCESS_KEY_ID'], os.environ['AWS_SECRET_ACCESS_KEY']\n"
        "os.environ.update(AWS_CONTAINER_CREDENTIALS_FULL_URI=f'http://127.0.0.1:{agent.server_port}/creds', AWS_CONTAINER_AUTHORIZATION_TOKEN='let-me')\n"
        "restore()\n"
        "assert asked == ['let-me'], 'before the first invocation'\n"
        "print(len(s3.list_buckets()), len(asked))\n",
        env=LAMBDA,
        site=site,
    )
    assert out == "10 1\n"


def test_several_clients_of_both_kinds_are_restored(fake: servers.Server, site: Path) -> None:
    out = run(
        START + "import asyncio\n"
        "clients = [glowplug.S3(), glowplug.S3(), aio.S3()]\n"
        "assert connected() == 3\n"
        "snapshot()\n"
        "assert connected() == 0\n"
        "restore()\n"
        "assert connected() == 3\n"
        "print([len(s3.list_buckets()) for s3 in clients[:2]], len(asyncio.run(clients[2].list_buckets())))\n",
        env=LAMBDA,
        site=site,
    )
    assert out == "[10, 10] 10\n"


def test_the_hooks_of_a_client_that_is_closed_or_gone_do_nothing(fake: servers.Server, site: Path) -> None:
    out = run(
        START + "closed, gone, late = glowplug.S3(), glowplug.S3(), glowplug.S3()\n"
        "closed.close()\n"
        "del gone; gc.collect()\n"
        "assert (hooks(), connected()) == ((3, 3), 1)\n"
        "snapshot()\n"
        "late.close()\n"
        "restore()\n"
        "assert connected() == 0\n"
        "for s3 in (closed, late):\n"
        "    try: s3.list_buckets()\n"
        "    except errors.InvalidArgumentError as e: print(e.code)\n",
        env=LAMBDA,
        site=site,
    )
    assert out == "ClientClosed\nClientClosed\n"


def test_a_client_that_shall_not_connect_ahead_does_not(fake: servers.Server, site: Path) -> None:
    out = run(
        START + "s3 = glowplug.S3(preconnect=False)\n"
        "used = glowplug.S3(preconnect=False)\n"
        "used.list_buckets()\n"
        "snapshot()\n"
        "assert connected() == 0\n"
        "restore()\n"
        "assert connected() == 0\n"
        "print(len(s3.list_buckets()), len(used.list_buckets()))\n",
        env=LAMBDA,
        site=site,
    )
    assert out == "10 10\n"


def test_a_server_out_of_reach_fails_no_hook(environment: pytest.MonkeyPatch, site: Path) -> None:
    out = run(
        START + "import time\n"
        "for endpoint in ('http://127.0.0.1:1', 'https://192.0.2.1'):\n"
        "    s3 = glowplug.S3(endpoint_url=endpoint, timeout=1)\n"
        "    began = time.monotonic()\n"
        "    snapshot(); restore()\n"
        "    assert time.monotonic() - began < 1.5\n"
        "print('well')\n",
        env=LAMBDA,
        site=site,
    )
    assert out == "well\n"


@pytest.mark.parametrize("env", [{}, {**LAMBDA, "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}, {**LAMBDA, "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}], ids=["no Lambda", "on demand", "provisioned"])
def test_elsewhere_no_hook_is_registered(fake: servers.Server, site: Path, env: dict[str, str]) -> None:
    assert run(START + "s3 = glowplug.S3()\nprint(hooks(), len(s3.list_buckets()))\n", env=env, site=site) == "(0, 0) 10\n"


def test_without_aws_module_the_client_works(fake: servers.Server) -> None:
    out = run("import sys\nsys.modules['snapshot_restore_py'] = None\nimport glowplug\nprint(len(glowplug.S3().list_buckets()))\n", env=LAMBDA)
    assert out == "10\n"


def test_the_module_of_aws_takes_the_hooks(fake: servers.Server) -> None:
    out = run(
        START + "s3 = glowplug.S3()\n"
        "assert (hooks(), connected()) == ((1, 1), 1)\n"
        "snapshot()\n"
        "assert connected() == 0\n"
        "restore()\n"
        "assert connected() == 1\n"
        "print(len(s3.list_buckets()))\n",
        env=LAMBDA,
    )
    assert out == "10\n"
