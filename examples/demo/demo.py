"""`make demo`: list the buckets of a simulated S3 account through the installed wheel, beside boto3.

No AWS account and no network: the server is fakes3, of this repository, on this machine. Everything
it is told and every run is printed; nothing is chosen by hand.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
FAKES3 = Path(os.environ.get("GLOWPLUG_FAKES3") or HERE.parent.parent / "build/tools/fakes3")
DELAY_MS = 20

GLOWPLUG = ("glowplug", ["list_glowplug.py"])
# server's behaviour -> what is started there
WORK = {
    "the listing tells the regions, as AWS does: one request": [GLOWPLUG, ("boto3", ["list_boto3.py", "told"])],
    "the listing tells none, as moto and others: a look-up per bucket": [
        GLOWPLUG,
        ("boto3, 32 threads", ["list_boto3.py", "threads"]),
        ("boto3, one by one", ["list_boto3.py", "loop"]),
    ],
}


@contextlib.contextmanager
def server(buckets: int, told: bool) -> Iterator[str]:
    """A simulated account; yields its URL and ends the process when done."""
    command = [str(FAKES3), "-stdin", "-addr", "127.0.0.1:0", "-n", str(buckets), f"-delay={DELAY_MS}ms", f"-regions={str(told).lower()}"]
    # With its input the server ends too, should this process be killed.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdin and process.stdout
    try:
        url = process.stdout.readline().strip()
        if not url:
            sys.exit(f"{FAKES3} did not start: status {process.wait()}")
        yield url
    finally:
        process.terminate()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def environment(url: str) -> dict[str, str]:
    mine = {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and not k.lower().endswith("_proxy")}
    # Made up: the server accepts any key. No file of the user's is read.
    return mine | {
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def run(arguments: list[str], url: str) -> tuple[str, float, float]:
    """Start one interpreter: what it printed, milliseconds from start to end, milliseconds of CPU."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=HERE, env=environment(url), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout:
        printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(arguments)} failed with status {process.returncode}")
    return printed, took * 1e3, (used.ru_utime + used.ru_stime) * 1e3


def table(printed: str) -> None:
    lines = [line.split("\t") for line in printed.splitlines()]
    shown = lines if len(lines) <= 9 else [*lines[:7], ["...", "", ""], lines[-1]]
    for name, region, created in [["bucket", "region", "created"], *shown]:
        print(f"  {name:<14}{region:<16}{created}".rstrip())
    print(f"  {len(lines)} buckets in {len({line[1] for line in lines})} regions")


def summary(samples: list[float]) -> str:
    return f"{statistics.median(samples):7.0f} ({min(samples):.0f}-{max(samples):.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="List the buckets of a simulated S3 account through glowplug, beside boto3.")
    parser.add_argument("--runs", type=int, default=9, help="cold starts of each (default 9)")
    parser.add_argument("--buckets", type=int, default=25, help="buckets of the account (default 25)")
    args = parser.parse_args()
    if not os.access(FAKES3, os.X_OK):
        sys.exit(f"{FAKES3} is missing: `make demo` builds it")
    versions = {name: importlib.metadata.version(name) for name in ("glowplug", "boto3")}

    print(f"A simulated S3 (fakes3, plain HTTP on this machine): {args.buckets} buckets, each request delayed by {DELAY_MS} ms; no AWS, no TLS.\n")
    with server(args.buckets, True) as told, server(args.buckets, False) as untold:
        expected = run(GLOWPLUG[1], told)[0]
        table(expected)
        print(f"\n{args.runs} cold starts of each, in turn: interpreter, import, client, listing, exit; median (lowest-highest) in ms")
        for url, (behaviour, contenders) in zip((told, untold), WORK.items()):
            contenders = [*contenders, ("python alone", ["-c", "pass"])]
            took: dict[str, list[float]] = {name: [] for name, _ in contenders}
            cpu: dict[str, list[float]] = {name: [] for name, _ in contenders}
            # The first round fills the disk's cache and is not counted.
            for i in range(args.runs + 1):
                for name, arguments in contenders:
                    printed, milliseconds, used = run(arguments, url)
                    if arguments[0] != "-c" and printed != expected:
                        sys.exit(f"{name} lists something else:\n{printed}")
                    if i:
                        took[name].append(milliseconds)
                        cpu[name].append(used)
            print(f"\n{behaviour}\n  {'':<20}{'time':>17}{'CPU':>19}")
            for name, _ in contenders:
                print(f"  {name:<20}{summary(took[name]):>17}{summary(cpu[name]):>19}")
    print("\nAll listings were equal: names, regions and dates.")
    names = " ".join(f"{name} {version}" for name, version in versions.items())
    print(f"{names}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
