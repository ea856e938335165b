"""The command line: ``glowplug ls``, ``glowplug region NAME...`` and ``glowplug doctor``, also as ``python -m glowplug``.

The answer goes to standard output, all else to standard error: an error as one line
that begins with ``glowplug:`` and says what to do, a live counter while ``ls`` runs
where standard error is a terminal.

Exit codes:
    0: done.
    1: done, but the region of some bucket or name could not be had; its error stands in its place.
    2: the command, an argument or a setting can't be used.
    3: no credentials, or the service refuses them or the action.
    4: no connection, a time-out, throttling, or the service failed in another way.
    5: the output could not be written, or a defect of glowplug.
    130: Ctrl-C.
    141: the reader of the output has gone, as head does.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from itertools import chain
from time import monotonic

from . import S3, __version__, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from typing import Any, NoReturn, TextIO

    from . import Bucket

COUNTER_INTERVAL = 0.1  # seconds between two updates of the counter


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code, as the module's description lists them.

    Args:
        argv: the arguments, by default those of the process.

    Raises:
        SystemExit: after ``--help``, ``--version`` and for arguments that can't be used (2).
    """
    # A stream that is closed is None.
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")
    # A locale that lacks a character gets its escape, and no UnicodeEncodeError.
    _reconfigure(sys.stdout, errors="backslashreplace")
    _reconfigure(sys.stderr, errors="backslashreplace")
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _discard_output()
        return 141
    except OSError as e:
        _discard_output()
        return _fail(f"the output can't be written: {e.strerror}", 5)


def _run(argv: list[str] | None) -> int:
    try:
        options = _parser().parse_args(argv)
        code: int = options.run(options)
        return code
    except errors.GlowplugError as e:
        return _fail(str(e), _exit_code(e))
    except KeyboardInterrupt:
        return 130


def _reconfigure(stream: TextIO, **options: Any) -> None:
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(**options)


def _discard_output() -> None:
    """Let the interpreter's last flush go nowhere: it would fail as this one did."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit_code(error: errors.GlowplugError) -> int:
    if isinstance(error, errors.InvalidArgumentError):
        return 2
    if isinstance(error, (errors.CredentialsError, errors.AccessDeniedError)):
        return 3
    if isinstance(error, (errors.InternalError, errors.ForkError)):
        return 5
    return 4


def _fail(message: str, code: int) -> int:
    # A defect has a stack below its first line, which the report needs.
    lines = message.splitlines() if code == 5 else [message]
    print("glowplug:", "\n".join(map(_visible, lines)), file=sys.stderr)
    return code


def _visible(text: str) -> str:
    """Return text with its control characters escaped: a server may not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _parser() -> ArgumentParser:
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            self.exit(2, f"glowplug: {_visible(message)}: see {self.prog} --help\n")

    _, found, table = (__doc__ or "").partition("\n\nExit codes:\n")
    codes = "exit codes:\n" + table if found else None  # python -OO has no docstring

    reach = Parser(add_help=False, allow_abbrev=False)
    reach.add_argument("--endpoint-url", metavar="URL", help="used in place of AWS's endpoints")
    reach.add_argument("--profile", metavar="NAME", help="section of the AWS config files")
    common = Parser(add_help=False, allow_abbrev=False, parents=[reach])
    common.add_argument("--timeout", metavar="SECONDS", type=float, help="bounds the whole command (default: 10 s, in ls for each page)")
    common.add_argument("--format", choices=("table", "json", "csv"), default="table", help="csv is written while it arrives (default: table)")

    parser = Parser(
        prog="glowplug",
        description="List the S3 buckets of an account with their regions.",
        epilog=codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"glowplug {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, summary: str, parent: Parser = common) -> Parser:
        return commands.add_parser(
            name,
            parents=[parent],
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=codes,
            formatter_class=parser.formatter_class,
            allow_abbrev=False,
        )

    ls = command("ls", "list all buckets with their regions")
    ls.add_argument("--prefix", metavar="TEXT", help="only buckets whose name begins so")
    ls.add_argument("--region", metavar="REGION", help="only buckets of this region, and those whose region can't be had")
    ls.add_argument("--limit", metavar="N", type=int, help="at most so many, counted after filtering")
    ls.set_defaults(run=_ls)
    region = command("region", "tell the regions of buckets, of any account")
    region.add_argument("names", metavar="NAME", nargs="+", help="a bucket")
    region.set_defaults(run=_region)
    doctor = command("doctor", "tell versions, settings and times of one request, and what is wrong", reach)
    doctor.add_argument("--region", metavar="REGION", help="signs the request and chooses AWS's endpoint")
    doctor.add_argument("--json", action="store_true", help="the same for programs")
    doctor.set_defaults(run=_doctor)
    return parser


def _client(options: Namespace) -> S3:
    # The call follows at once: to connect beside it would only cost.
    return S3(endpoint_url=options.endpoint_url, profile=options.profile, preconnect=False)


def _ls(options: Namespace) -> int:
    with _client(options) as s3:
        buckets = s3.iter_buckets(prefix=options.prefix, region=options.region, limit=options.limit, timeout=options.timeout)
        failed = False

        def rows() -> Iterator[dict[str, str | None]]:
            nonlocal failed
            for bucket in _counted(buckets, options.format):
                failed |= bucket.error is not None
                yield {"name": bucket.name, "region": bucket.region, "created": bucket.to_dict()["created"], "error": _reason(bucket.error)}

        _write(rows(), ("name", "region", "created"), options.format)
    return 1 if failed else 0


def _region(options: Namespace) -> int:
    with _client(options) as s3:
        found = s3.bucket_regions(options.names, timeout=options.timeout)
    failed = {name: region for name, region in found.items() if isinstance(region, errors.GlowplugError)}
    rows = ({"name": name, "region": None if name in failed else str(region), "error": _reason(failed.get(name))} for name, region in found.items())
    _write(rows, ("name", "region"), options.format)
    return 1 if failed else 0


def _doctor(options: Namespace) -> int:
    from . import _doctor as doctor

    report, error = doctor.examine(region=options.region, endpoint_url=options.endpoint_url, profile=options.profile)
    doctor.show(report, as_json=options.json)
    return 0 if error is None else _exit_code(error)


def _reason(error: errors.GlowplugError | None) -> str | None:
    return None if error is None else str(error)


def _counted(buckets: Iterator[Bucket], form: str) -> Iterator[Bucket]:
    """Yield the buckets; beside it count them on a terminal that the rows do not run over."""
    if not sys.stderr.isatty() or (form == "csv" and sys.stdout.isatty()):
        yield from buckets
        return
    seen, due, shown = 0, 0.0, ""

    def show(text: str) -> str:
        sys.stderr.write(f"\r{text.ljust(len(shown))}" if text else f"\r{' ' * len(shown)}\r")
        sys.stderr.flush()
        return text

    try:
        shown = show("listing ...")
        for bucket in buckets:
            seen += 1
            if monotonic() >= due:
                shown = show(f"{seen:,} buckets ...")
                due = monotonic() + COUNTER_INTERVAL
            yield bucket
    finally:
        show("")


def _write(rows: Iterator[dict[str, str | None]], columns: tuple[str, ...], form: str) -> None:
    if form == "json":
        import json

        # Nothing is written of a listing that fails midway: half a list would look whole.
        whole = [{k: v for k, v in row.items() if k != "error" or v is not None} for row in rows]
        print(json.dumps(whole, indent=2))
    elif form == "csv":
        _write_csv(rows, (*columns, "error"))
    else:
        _write_table(rows, columns)


def _write_csv(rows: Iterator[dict[str, str | None]], columns: tuple[str, ...]) -> None:
    import csv

    shown = sys.stdout.isatty()
    cell = _visible if shown else str
    # A program reads it: in every locale the same bytes, each row when it arrives.
    _reconfigure(sys.stdout, encoding=None if shown else "utf-8", line_buffering=True)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    # Asked for ahead of the heading: a listing that fails at once leaves the output empty.
    first = next(rows, None)
    writer.writerow(columns)
    for row in () if first is None else chain((first,), rows):
        writer.writerow([cell(row[c] or "") for c in columns])


def _write_table(rows: Iterator[dict[str, str | None]], columns: tuple[str, ...]) -> None:
    lines = [[c.upper() for c in columns]]
    failure = None
    try:
        for row in rows:
            cells = [_visible(row[c] or "-") for c in columns]
            lines.append([*cells, _visible(row["error"])] if row["error"] else cells)
    except (errors.GlowplugError, KeyboardInterrupt) as e:
        failure = e
    # What came before a failure is shown too.
    if failure is None or len(lines) > 1:
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        for line in lines:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, [*widths, 0])).rstrip())
    if failure is not None:
        raise failure


if __name__ == "__main__":
    sys.exit(main())
