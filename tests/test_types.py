"""The public API as users write it. pyright checks this file in strict mode (`make lint`): each assert_type is a
test of the types, and each ``pyright: ignore`` one of what is refused, as an ignore without an error is an error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import glowplug
import pytest
from glowplug import S3, Bucket, BucketList, errors
from typing_extensions import assert_type

import servers

if TYPE_CHECKING:
    from glowplug.types import BucketDict, NativeBucketDict


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 3_000


def handler(event: dict[str, Any], context: Context, s3: S3) -> list[BucketDict]:
    """The handler of the README."""
    return s3.list_buckets(context=context).to_dicts()


def test_calls_give_what_their_types_say(fake: servers.Server) -> None:
    with S3(region="eu-west-1", timeout=5, max_attempts=2, use_fips=None, ca_bundle=None, preconnect="auto") as s3:
        assert_type(s3, S3)
        found = assert_type(s3.list_buckets(prefix="bucket", region=None, limit=5, timeout=1, on_error="raise"), BucketList)
        assert isinstance(found, Sequence)
        assert isinstance(assert_type(found[0], Bucket), Bucket)
        assert isinstance(assert_type(found[1:], BucketList), BucketList)
        assert len(assert_type(found.errors, "tuple[Bucket, ...]")) == 0
        assert assert_type(found.truncated, bool)
        assert len(assert_type(found.by_region(), "dict[str | None, list[Bucket]]")) == 5
        assert assert_type(found.to_dicts()[0]["created"], "str | None")
        assert isinstance(assert_type(found.to_dicts(native=True)[0]["created"], "datetime | None"), datetime)
        assert isinstance(assert_type(s3.iter_buckets(), Iterator[Bucket]), Iterator)
        assert isinstance(assert_type(s3.bucket_region("bucket-00001"), str), str)
        for region in assert_type(s3.bucket_regions(["bucket-00001"]), "dict[str, str | errors.GlowplugError]").values():
            assert isinstance(region, str)
        assert assert_type(s3.wait_ready(5.0), bool)
        assert handler({}, Context(), s3)[0] == {"name": "bucket-00000", "region": "us-east-1", "created": "2024-03-01T12:00:00+00:00"}
    assert_type(s3.close(), None)


def test_a_bucket_has_the_types_it_says() -> None:
    bucket = Bucket("a", None, datetime.fromisoformat("2020-01-01T00:00:00+00:00"), errors.ThrottledError("slow", status=503))
    assert_type(bucket.name, str)
    assert assert_type(bucket.region, "str | None") is None
    assert assert_type(bucket.created, "datetime | None") is not None
    error = assert_type(bucket.error, "errors.GlowplugError | None")
    assert error is not None
    assert (assert_type(error.kind, str), assert_type(error.status, int), assert_type(error.retryable, bool)) == ("throttled", 503, False)
    assert_type(bucket.to_dict(), "BucketDict")
    assert_type(BucketList([bucket]).to_dicts(native=True), "list[NativeBucketDict]")


def test_what_the_types_refuse_is_refused_at_run_time(fake: servers.Server) -> None:
    with S3(preconnect=False) as s3:
        with pytest.raises(TypeError):
            s3.list_buckets("prefix")  # type: ignore[misc]  # pyright: ignore[reportCallIssue]
        with pytest.raises(ValueError):
            s3.list_buckets(on_error="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(TypeError):
            s3.list_buckets(limit="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(TypeError):
            s3.list_buckets(context=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(TypeError):
            s3.bucket_regions("bucket-00001") if not TYPE_CHECKING else None  # a str is an Iterable[str]: no type can refuse it
        with pytest.raises(AttributeError):
            s3.list_buckets()[0].name = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_everything_public_is_typed() -> None:
    # pyright looks for packages where the first python on PATH does.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run([sys.executable, "-m", "pyright", "--verifytypes", "glowplug", "--ignoreexternal"], env=os.environ | {"PATH": path}, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0 and "Type completeness score: 100%" in done.stdout, done.stdout + done.stderr


def test_the_stub_of_the_native_module_matches_it() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy.stubtest", "glowplug._native", "--mypy-config-file", str(servers.REPO / "pyproject.toml")], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_are_shipped() -> None:
    package = Path(glowplug.__file__).parent
    assert (package / "py.typed").is_file() and (package / "_native.pyi").is_file()
