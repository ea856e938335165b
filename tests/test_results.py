"""What a call gives back: buckets, lists of them, and exceptions."""

from __future__ import annotations

import copy
import json
import pickle
import sys
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import glowplug
import pytest
from glowplug import Bucket, BucketList, errors

import servers
from support import CANARY

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
CREATED = datetime(2020, 1, 2, 3, 4, 5, 60_000, tzinfo=timezone.utc)
DENIED = errors.AccessDeniedError("no", code="AccessDenied", status=403, request_id="r1", operation="HeadBucket", bucket="denied")

LEAVES: list[type[errors.GlowplugError]] = [leaf for leaf in vars(errors).values() if isinstance(leaf, type) and issubclass(leaf, errors.GlowplugError)]


@pytest.fixture
def listing(fake: servers.Server, s3: glowplug.S3) -> BucketList:
    """Three buckets as they come from the server; the one in the middle has no region but an error."""
    fake.control(
        buckets=[
            {"name": "aaa", "region": "eu-west-1", "created": "2020-01-02T03:04:05.060Z"},
            {"name": "denied"},
            {"name": "zzz", "region": "us-west-2"},
        ],
        quirks="never-tell",
        faults=[{"kind": "status", "status": 400, "bucket": "denied", "code": "NoIdea"}],
    )
    return s3.list_buckets()


def test_a_bucket_has_its_four_fields(listing: BucketList) -> None:
    first, failed, last = listing
    assert (first.name, first.region, first.created, first.error) == ("aaa", "eu-west-1", CREATED, None)
    assert first.created is not None and first.created.utcoffset() == timedelta(0)
    assert (failed.name, failed.region) == ("denied", None)
    assert isinstance(failed.error, errors.GlowplugError) and failed.error.bucket == "denied"
    assert last.created == datetime(2024, 3, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize("name", ["name", "region", "created", "error", "_created", "other"])
def test_a_bucket_can_not_be_changed(name: str) -> None:
    bucket = Bucket("aaa", "eu-west-1", CREATED)
    with pytest.raises(AttributeError):
        setattr(bucket, name, "x")
    with pytest.raises(AttributeError):
        delattr(bucket, name)
    assert bucket == Bucket("aaa", "eu-west-1", CREATED)


@pytest.mark.parametrize("name", ["truncated", "errors", "_items", "_raw", "other"])
def test_a_list_can_not_be_changed(listing: BucketList, name: str) -> None:
    before = list(listing)
    with pytest.raises(AttributeError):
        setattr(listing, name, True)
    with pytest.raises(AttributeError):
        delattr(listing, name)
    with pytest.raises(TypeError):
        listing[0] = before[1]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    assert list(listing) == before and not listing.truncated


def test_a_list_is_a_sequence(listing: BucketList) -> None:
    first, failed, last = listing
    assert isinstance(listing, Sequence) and len(listing) == 3
    assert listing[0] is first and listing[-1] is last
    assert list(reversed(listing)) == [last, failed, first]
    assert failed in listing and Bucket("aaa", "eu-west-1") not in listing
    assert (listing.index(last), listing.count(first)) == (2, 1)
    with pytest.raises(IndexError):
        listing[3]
    with pytest.raises(ValueError):
        listing.index(Bucket("none", "eu-west-1"))


def test_a_slice_is_a_list_too(listing: BucketList) -> None:
    assert isinstance(listing[1:], BucketList)
    assert list(listing[1:]) == list(listing)[1:]
    assert list(listing[::-1]) == list(reversed(listing))
    assert len(listing[5:]) == 0 and not listing[5:]


def test_an_empty_account_gives_an_empty_list(fake: servers.Server, s3: glowplug.S3) -> None:
    fake.control(n=0)
    found = s3.list_buckets()
    assert not found and len(found) == 0 and found == BucketList()
    assert (found.to_dicts(), found.errors, found.by_region(), found.truncated) == ([], (), {}, False)
    assert list(s3.iter_buckets()) == []


def test_match_statements_take_results_apart(listing: BucketList) -> None:
    match listing:
        case [Bucket(name, region), Bucket(error=errors.GlowplugError(code=code)), *rest]:
            assert (name, region, code, len(rest)) == ("aaa", "eu-west-1", "NoIdea", 1)
        case _:
            pytest.fail("no case matches")


def test_equality_looks_at_everything(listing: BucketList) -> None:
    same = BucketList(listing)
    assert listing == same and hash(listing) == hash(same) and len({listing, same}) == 1
    assert listing != BucketList(listing, truncated=True) and listing != listing[:2]
    assert listing != list(listing), "a list of buckets is another type"
    bucket = Bucket("a", "r", CREATED, DENIED)
    assert bucket == Bucket("a", "r", CREATED.astimezone(timezone(timedelta(hours=5))), copy.copy(DENIED))
    assert hash(bucket) == hash(Bucket("a", "r", CREATED, DENIED))
    for other in (Bucket("b", "r", CREATED, DENIED), Bucket("a", "s", CREATED, DENIED), Bucket("a", "r", None, DENIED), Bucket("a", "r", CREATED), "a"):
        assert bucket != other


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_results_pickle(listing: BucketList, s3: glowplug.S3, protocol: int) -> None:
    untouched = s3.list_buckets()
    for result in (untouched, listing, listing[1], Bucket("a", None, CREATED, DENIED), BucketList(truncated=True)):
        back = pickle.loads(pickle.dumps(result, protocol))
        assert type(back) is type(result) and back == result and hash(back) == hash(result)


def test_results_copy(listing: BucketList) -> None:
    for result in (listing, listing[1]):
        assert copy.copy(result) == copy.deepcopy(result) == result


def test_dicts_are_json(fake: servers.Server, listing: BucketList, s3: glowplug.S3) -> None:
    found = listing.to_dicts()
    assert json.loads(json.dumps(found)) == found
    assert found[0] == {"name": "aaa", "region": "eu-west-1", "created": "2020-01-02T03:04:05.060000+00:00"}
    assert found[1]["region"] is None and "error" in found[1]
    error = found[1]["error"]
    assert set(error) == {"kind", "code", "message"} and error["code"] == "NoIdea" and "denied" in error["message"]
    assert found == [b.to_dict() for b in listing]
    fake.control(quirks="", clear=True)
    whole = s3.list_buckets()
    assert whole.to_dicts() == [b.to_dict() for b in whole], "also of a list whose buckets were never made"
    assert CREATED.isoformat() == found[0]["created"]


def test_native_dicts_keep_datetimes(listing: BucketList) -> None:
    for d, bucket in zip(listing.to_dicts(native=True), listing, strict=True):
        assert d["created"] == bucket.created and isinstance(d["created"], datetime)
        assert ("error" in d) == (bucket.error is not None)


def test_by_region_groups_in_order(s3: glowplug.S3, listing: BucketList) -> None:
    assert {region: [b.name for b in group] for region, group in listing.by_region().items()} == {"eu-west-1": ["aaa"], None: ["denied"], "us-west-2": ["zzz"]}


def test_errors_holds_the_buckets_without_a_region(listing: BucketList) -> None:
    assert [b.name for b in listing.errors] == ["denied"]


def test_a_list_knows_whether_it_is_truncated(fake: servers.Server, s3: glowplug.S3) -> None:
    assert [s3.list_buckets(limit=n).truncated for n in (1, 9, 10, 11)] == [True, True, False, False]
    cut = s3.list_buckets(limit=3)
    assert len(cut) == 3 and cut[:1].truncated


def test_on_error_raise_raises_the_first_failure(listing: BucketList, s3: glowplug.S3) -> None:
    assert listing.errors[0].error is not None
    with pytest.raises(errors.GlowplugError) as caught:
        s3.list_buckets(on_error="raise")
    assert caught.value.code == "NoIdea"
    with pytest.raises(errors.GlowplugError, match="NoIdea"):
        s3.bucket_regions(["aaa", "denied"], on_error="raise")
    seen: list[str] = []
    with pytest.raises(errors.GlowplugError, match="NoIdea"):
        for bucket in s3.iter_buckets(on_error="raise"):
            seen.append(bucket.name)
    assert seen == ["aaa"], "what comes before the failure is yielded"


def test_repr_shows_what_it_is(listing: BucketList) -> None:
    assert repr(listing[0]) == f"Bucket(name='aaa', region='eu-west-1', created={CREATED!r})"
    assert "region=None" in repr(listing[1]) and "error=ServiceError(" in repr(listing[1])
    assert repr(BucketList(list(listing) * 2)).endswith("... 3 more], truncated=False)")


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(errors.InvalidArgumentError, match="aware"):
        Bucket("a", "r", datetime(2020, 1, 1))


def test_many_threads_may_read_a_fresh_list(fake: servers.Server, s3: glowplug.S3) -> None:
    # The buckets are made by whoever asks first; none may find the list empty meanwhile.
    fake.control(n=300)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            found = s3.list_buckets()
            lengths: list[int] = []
            start = threading.Barrier(4)

            def read(found: BucketList = found, lengths: list[int] = lengths, start: threading.Barrier = start) -> None:
                start.wait()
                lengths.extend((len(found), len(list(found)), len(found.to_dicts()), len(found)))

            threads = [threading.Thread(target=read) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert lengths == [300] * 16
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_an_exception_pickles_copies_and_compares(leaf: type[errors.GlowplugError]) -> None:
    fields: dict[str, Any] = {"code": "C", "status": 418, "request_id": "r", "operation": "O", "bucket": "b", "retryable": True}
    error = leaf("a message", **fields)
    copies = [copy.copy(error), copy.deepcopy(error), *(pickle.loads(pickle.dumps(error, p)) for p in PROTOCOLS)]
    for other in copies:
        assert type(other) is leaf and other == error and hash(other) == hash(error)
        assert (str(other), other.args, other.message) == ('O "b": C (HTTP 418): a message', ("a message",), "a message")
        assert {name: getattr(other, name) for name in fields} == fields
    for name, value in fields.items():
        assert leaf("a message", **{**fields, name: type(value)()}) != error, f"{name} counts"
    assert leaf("another", **fields) != error


@pytest.mark.parametrize(
    ("leaf", "builtin", "kind"),
    [
        (errors.InvalidArgumentError, ValueError, "invalid"),
        (errors.ArgumentTypeError, TypeError, "invalid"),
        (errors.CredentialsError, PermissionError, "credentials"),
        (errors.AccessDeniedError, PermissionError, "denied"),
        (errors.NotFoundError, LookupError, "not_found"),
        (errors.ThrottledError, Exception, "throttled"),
        (errors.TimeoutError, TimeoutError, "timeout"),
        (errors.CancelledError, Exception, "cancelled"),
        (errors.ConnectionError, ConnectionError, "connection"),
        (errors.ServiceError, Exception, "service"),
        (errors.ResponseError, Exception, "response"),
        (errors.ForkError, RuntimeError, "fork"),
        (errors.InternalError, RuntimeError, "internal"),
    ],
)
def test_a_leaf_is_the_builtin_that_fits(leaf: type[errors.GlowplugError], builtin: type[Exception], kind: str) -> None:
    assert issubclass(leaf, builtin) and issubclass(leaf, errors.GlowplugError)
    assert leaf.kind == leaf("x").kind == kind


def test_every_leaf_is_exported() -> None:
    assert sorted(leaf.__name__ for leaf in LEAVES) == sorted(errors.__all__)


def test_a_client_shows_no_secret_and_does_not_pickle(s3: glowplug.S3) -> None:
    secretive = glowplug.S3(access_key_id="AKIAEXAMPLE", secret_access_key=CANARY, session_token=CANARY, region="eu-west-1", preconnect=False)
    assert "eu-west-1" in repr(secretive)
    for text in (repr(secretive), str(secretive)):
        assert CANARY not in text
    for protocol in PROTOCOLS:
        with pytest.raises(TypeError, match="can't be pickled"):
            pickle.dumps(secretive, protocol)
    with pytest.raises(TypeError):
        copy.copy(secretive)
