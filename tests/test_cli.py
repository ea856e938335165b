"""The command line: its three formats, its exit codes, and what it shows to terminals and closed pipes."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import glowplug
import pytest

import servers
from support import CANARY, SPAWN, Client, Stopwatch, environ, wait_until

COMMAND = [sys.executable, "-I", "-m", "glowplug"]


def glow(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*COMMAND, *arguments], env=environ(env), capture_output=True, timeout=SPAWN)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def fails(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """Check for one line on standard error that says what to do, and the exit code."""
    assert done.returncode == code, done
    assert done.stderr.startswith("glowplug: ") and done.stderr.endswith("\n") and done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr
    assert CANARY not in done.stderr + done.stdout


# Output


def test_the_table_is_aligned(fake: servers.Server) -> None:
    fake.control(n=3)
    done = glow("ls")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "NAME          REGION     CREATED\n"
        "bucket-00000  us-east-1  2024-03-01T12:00:00+00:00\n"
        "bucket-00001  us-west-2  2024-03-01T12:00:00+00:00\n"
        "bucket-00002  eu-west-1  2024-03-01T12:00:00+00:00\n"
    )


def test_json_is_a_list_of_dicts(fake: servers.Server, client: Client) -> None:
    done = glow("ls", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == client().list_buckets().to_dicts()


def test_csv_has_a_heading_and_a_row_for_each_bucket(fake: servers.Server, client: Client) -> None:
    fake.control(n=2500)
    done = glow("ls", "--format", "csv")
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert rows == [{**d, "error": ""} for d in client().list_buckets().to_dicts()]


def test_no_buckets(fake: servers.Server) -> None:
    fake.control(n=0)
    assert [glow("ls", "--format", f).stdout for f in ("table", "json", "csv")] == ["NAME  REGION  CREATED\n", "[]\n", "name,region,created,error\n"]


def test_options_choose(fake: servers.Server) -> None:
    fake.control(n=100)

    def names(*arguments: str) -> list[str]:
        return [d["name"] for d in json.loads(glow("ls", "--format=json", *arguments).stdout)]

    assert names("--prefix", "bucket-0001") == [servers.name(i) for i in range(10, 20)]
    assert names("--region", "eu-west-1", "--limit", "2") == ["bucket-00002", "bucket-00009"]


def test_the_endpoint_and_the_profile_are_options(fake: servers.Server, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.delenv("AWS_ENDPOINT_URL_S3")
    assert glow("ls", "--endpoint-url", fake.url).returncode == 0
    config = tmp_path / "config"
    config.write_text(f"[profile here]\nendpoint_url = {fake.url}\naws_access_key_id = AKIAHERE\naws_secret_access_key = {CANARY}\n")
    fake.control(keys=[{"id": "AKIAHERE", "secret": CANARY}])
    environment.setenv("AWS_CONFIG_FILE", str(config))
    assert glow("ls", "--profile", "here").returncode == 0


def test_the_regions_of_names(fake: servers.Server) -> None:
    done = glow("region", "bucket-00002", "bucket-00000")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "NAME          REGION\nbucket-00002  eu-west-1\nbucket-00000  us-east-1\n"
    assert json.loads(glow("region", "--format=json", "bucket-00001").stdout) == [{"name": "bucket-00001", "region": "us-west-2"}]
    assert glow("region", "bucket-00001", "--format=csv").stdout == "name,region,error\nbucket-00001,us-west-2,\n"


def test_a_name_without_a_region_shows_its_error_in_every_format(fake: servers.Server) -> None:
    for form in ("table", "json", "csv"):
        done = glow("region", "bucket-00001", "no-such-bucket", "--format", form)
        assert (done.returncode, done.stderr) == (1, "")
        assert "us-west-2" in done.stdout and "NoSuchBucket" in done.stdout


def test_a_bucket_without_a_region_shows_its_error_in_every_format(fake: servers.Server) -> None:
    fake.control(n=3, quirks="never-tell", faults=[{"kind": "status", "status": 400, "bucket": "bucket-00001", "code": "NoIdea"}])
    for form in ("table", "json", "csv"):
        done = glow("ls", "--format", form)
        assert (done.returncode, done.stderr) == (1, "")
        assert "NoIdea" in done.stdout and "us-east-1" in done.stdout and "eu-west-1" in done.stdout
    assert "bucket-00001  -          2024-03-01T12:00:00+00:00  " in glow("ls").stdout


def test_the_entry_point_is_the_module(fake: servers.Server) -> None:
    script = Path(sys.executable).with_name("glowplug")
    assert subprocess.run([script, "ls"], env=environ({}), capture_output=True, text=True, check=True).stdout == glow("ls").stdout


def test_version_and_help() -> None:
    assert glow("--version").stdout == f"glowplug {glowplug.__version__}\n"
    for arguments in (["--help"], ["ls", "--help"], ["region", "--help"]):
        done = glow(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        for code in ("0", "1", "2", "3", "4", "5", "130", "141"):
            assert f"\n    {code}: " in done.stdout


# Errors and exit codes


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "COMMAND"),
        (["list"], "invalid choice: 'list'"),
        (["region"], "NAME"),
        (["ls", "--bogus"], "--bogus"),
        (["ls", "--lim", "1"], "--lim"),
        (["ls", "--limit", "few"], "--limit"),
        (["ls", "--limit", "0"], "limit=0: give a whole number"),
        (["ls", "--timeout", "nan"], "timeout=nan: give a positive"),
        (["ls", "--timeout", "-1"], "timeout=-1: give a positive"),
        (["ls", "--format", "xml"], "--format"),
        (["ls", "--endpoint-url", f"http://user:{CANARY}@host"], "give one like https://s3.example.com"),
        (["ls", "--profile", "no-such-profile"], "no-such-profile"),
        (["ls", "--prefix", "a\nb"], "remove it"),
        (["region", "a\x1b[31m"], "remove it"),
    ],
)
def test_what_can_not_be_used_is_2(fake: servers.Server, arguments: list[str], part: str) -> None:
    done = glow(*arguments)
    fails(done, 2, part)
    assert done.stdout == ""


def test_credentials_and_permissions_are_3(fake: servers.Server) -> None:
    fake.control(faults=[{"kind": "deny", "op": "list"}])
    fails(glow("ls"), 3, "AccessDenied", "allow s3:ListAllMyBuckets")
    fake.control(clear=True, keys=[{"id": "AKIAOTHER", "secret": "x"}])
    fails(glow("ls"), 3, "InvalidAccessKeyId", "check the access key id")
    fails(glow("ls", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""), 3, "set AWS_ACCESS_KEY_ID")


def test_network_and_service_are_4(fake: servers.Server) -> None:
    fails(glow("ls", "--endpoint-url", "http://127.0.0.1:1"), 4, "ConnectionRefused", "check that the endpoint is right")
    for fault in ({"kind": "throttle"}, {"kind": "status"}, {"kind": "garbage"}):
        fake.control(clear=True, faults=[fault])
        fails(glow("ls"), 4, "ListBuckets")
    fake.control(clear=True, faults=[{"kind": "black-hole"}])
    with Stopwatch() as watch:
        fails(glow("ls", "--timeout", "0.3"), 4, "time-out")
    assert watch.seconds < 2


def test_output_that_can_not_be_written_is_5(fake: servers.Server) -> None:
    for form in ("table", "json", "csv"):
        with open("/dev/full", "w") as full:
            done = subprocess.run([*COMMAND, "ls", "--format", form], env=environ({}), stdout=full, stderr=subprocess.PIPE, text=True, timeout=SPAWN)
        assert (done.returncode, done.stderr) == (5, "glowplug: the output can't be written: No space left on device\n")


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_reader_that_goes_away_is_141_and_silent(fake: servers.Server, form: str) -> None:
    fake.control(n=5000)
    process = subprocess.Popen([*COMMAND, "ls", "--format", form], env=environ({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr
    process.stdout.read(100)
    process.stdout.close()
    assert process.wait(SPAWN) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_closed_standard_streams_are_no_reason_to_fail(fake: servers.Server) -> None:
    for form in ("table", "csv", "json"):
        done = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *COMMAND, "ls", "--format", form], env=environ({}), timeout=SPAWN)
        assert done.returncode == 0
    fake.control(faults=[{"kind": "deny"}])
    assert subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *COMMAND, "ls", "--format=csv"], env=environ({}), timeout=SPAWN).returncode == 3


@pytest.mark.parametrize("form", ["table", "csv"])
def test_ctrl_c_is_130_and_silent(fake: servers.Server, form: str) -> None:
    fake.control(n=2500, faults=[{"kind": "black-hole", "op": "list", "after": 1}])
    process = subprocess.Popen([*COMMAND, "ls", "--format", form], env=environ({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: fake.stats()["faulted"] == 1, "the second page is asked for")
    if form == "csv":
        assert process.stdout and [process.stdout.readline() for _ in range(1001)]
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SPAWN)
    assert (process.returncode, err) == (130, "") and time.monotonic() - sent < 2


@pytest.mark.parametrize(("form", "rows"), [("table", 1000), ("csv", 1000), ("json", 0)])
def test_a_listing_that_fails_midway_shows_what_came_but_no_half_json(fake: servers.Server, form: str, rows: int) -> None:
    fake.control(n=2500, faults=[{"kind": "deny", "op": "list", "after": 1}])
    done = glow("ls", "--format", form)
    fails(done, 3, "AccessDenied")
    assert done.stdout.count("bucket-") == rows and bool(done.stdout) == bool(rows)


def test_csv_is_written_while_it_arrives(fake: servers.Server) -> None:
    fake.control(n=2500, faults=[{"kind": "black-hole", "op": "list", "after": 1}])
    process = subprocess.Popen([*COMMAND, "ls", "--format", "csv"], env=environ({}), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(1001)]
    assert process.poll() is None and lines[-1].startswith("bucket-00999,")
    process.kill()
    process.communicate()


# Terminals and locales


def on_terminal(*arguments: str, output_too: bool = False) -> tuple[str, str, int]:
    """Run with a terminal as standard error, and as standard output where wanted; return output, terminal, exit code."""
    master, slave = pty.openpty()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*COMMAND, *arguments], env=environ({}), stdin=subprocess.DEVNULL, stdout=slave if output_too else output, stderr=slave)
        os.close(slave)
        seen = b""
        # Linux ends with an error, others with nothing, when the other side is closed.
        with contextlib.suppress(OSError):
            while read := os.read(master, 65536):
                seen += read
        os.close(master)
        code = process.wait(SPAWN)
        output.seek(0)
        return output.read().decode(), seen.decode(), code


def screen(text: str) -> list[str]:
    """What a terminal shows in the end: carriage returns write over."""
    shown: list[str] = []
    for line in text.split("\n"):
        cells: list[str] = []
        for part in line.split("\r"):
            cells[: len(part)] = part
        shown.append("".join(cells).rstrip())
    return shown


def test_a_counter_runs_on_a_terminal_and_is_cleared(fake: servers.Server) -> None:
    fake.control(n=2500)
    out, terminal, code = on_terminal("ls")
    assert code == 0 and out.count("bucket-") == 2500
    assert "buckets ..." in terminal and "\n" not in terminal
    assert screen(terminal) == [""] and terminal.endswith("\r")


def test_the_counter_is_cleared_before_an_error(fake: servers.Server) -> None:
    fake.control(n=2500, faults=[{"kind": "deny", "op": "list", "after": 1}])
    _, terminal, code = on_terminal("ls")
    assert code == 3
    assert screen(terminal)[0].startswith("glowplug: ListBuckets: AccessDenied") and "buckets ..." not in screen(terminal)[0]


def test_table_and_counter_share_a_terminal(fake: servers.Server) -> None:
    fake.control(n=2)
    _, terminal, code = on_terminal("ls", output_too=True)
    assert code == 0 and screen(terminal) == ["NAME          REGION     CREATED", *(f"bucket-0000{i}  {r}  2024-03-01T12:00:00+00:00" for i, r in enumerate(("us-east-1", "us-west-2"))), ""]


def test_rows_that_stream_to_the_terminal_have_no_counter(fake: servers.Server) -> None:
    _, terminal, code = on_terminal("ls", "--format", "csv", output_too=True)
    assert code == 0 and "..." not in terminal


EVIL = "\x9b31m\x7f\u202e\x85\r\n\t\u2028evil"


def test_names_of_the_server_do_not_steer_the_terminal(fake: servers.Server) -> None:
    fake.control(buckets=[{"name": EVIL, "region": "eu-west-1"}])
    for arguments, output_too in ((["ls"], False), (["ls", "--format=csv"], True), (["ls", "--format=json"], False)):
        out, terminal, code = on_terminal(*arguments, output_too=output_too)
        shown = terminal if output_too else out
        assert code == 0 and "evil" in shown
        assert all(c.isprintable() or c == "\n" for c in shown.replace("\r\n", "\n")), repr(shown)
    assert "\\x9b31m\\x7f\\u202e\\x85\\n\\t\\u2028evil" in glow("ls").stdout or "\\x9b31m\\x7f\\u202e\\x85\\r\\n\\t\\u2028evil" in glow("ls").stdout


def test_csv_in_a_pipe_has_names_as_they_are(fake: servers.Server) -> None:
    names = sorted(['a,"b"', "é漢😀", "\x9bx"], key=str.encode)
    fake.control(buckets=[{"name": name, "region": "eu-west-1"} for name in names])
    for locale in ("C", "POSIX", "en_US.ISO-8859-1"):
        done = glow("ls", "--format=csv", LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
        assert [row["name"] for row in csv.DictReader(io.StringIO(done.stdout))] == names


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_locale_without_the_character_gets_its_escape(fake: servers.Server, form: str) -> None:
    fake.control(buckets=[{"name": "é漢", "region": "eu-west-1"}])
    # Not COMMAND: an isolated interpreter ignores PYTHONIOENCODING.
    done = subprocess.run([sys.executable, "-m", "glowplug", "ls", "--format", form], env=environ({"PYTHONIOENCODING": "ascii"}), cwd="/", capture_output=True, timeout=SPAWN)
    assert (done.returncode, done.stderr) == (0, b"") and b"\\u6f22" in done.stdout


def test_an_error_of_the_server_does_not_steer_the_terminal(fake: servers.Server) -> None:
    fake.control(faults=[{"kind": "status", "status": 400, "code": "\x9b31mEvil\u202e"}])
    done = glow("ls")
    fails(done, 4)
    assert done.stderr.rstrip("\n").isprintable(), repr(done.stderr)


def test_the_command_line_is_no_part_of_the_import() -> None:
    out = subprocess.run([sys.executable, "-I", "-c", "import sys, glowplug; print('argparse' in sys.modules, 'glowplug.__main__' in sys.modules)"], capture_output=True, text=True, check=True)
    assert out.stdout == "False False\n"
