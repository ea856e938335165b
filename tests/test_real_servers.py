"""The installed wheel beside boto3 on two real servers, from no bucket to 2,500.

moto has many regions and never tells one in a listing: every region is looked up. versitygw checks
signatures, pages, and tells its own region. boto3 is the oracle for names, dates, regions and errors.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import glowplug
import pytest

import servers

# botocore has no types.
ClientError: Any = importlib.import_module("botocore.exceptions").ClientError

COUNTS = (0, 1, 999, 1_000, 1_001, 2_500)
SAMPLE = 60  # buckets of moto that boto3 is asked about one by one
HOME = "eu-west-1"  # versitygw's region; not the default, which would hide a mistake
MISSING = "no-such-bucket-here"

Row = tuple[str, "datetime | None", "str | None"]


def rows(buckets: Iterable[glowplug.Bucket]) -> list[Row]:
    return [(b.name, b.created, b.region) for b in buckets]


@dataclass
class Account:
    """A server that grows, and what boto3 says of it."""

    server: servers.Server
    made: dict[str, str] = field(default_factory=dict[str, str])
    truth: list[Row] = field(default_factory=list[Row])

    def client(self, **options: Any) -> glowplug.S3:
        # moto answers 2,500 look-ups one after the other.
        given: dict[str, Any] = {
            "endpoint_url": self.server.url,
            "region": self.server.region,
            "access_key_id": self.server.access_key,
            "secret_access_key": self.server.secret_key,
            "timeout": 120.0,
            "attempt_timeout": 60.0,
            "preconnect": False,
        }
        given.update(options)
        return glowplug.S3(**given)

    def grow(self, n: int) -> None:
        assert len(self.made) <= n, "the counts ascend"
        self.made |= servers.fill(self.server, n - len(self.made), start=len(self.made))
        self.truth = self.on_moto() if self.server.kind == "moto" else self.on_versitygw()

    def on_moto(self) -> list[Row]:
        """boto3's one call, as moto gives no token; its HeadBucket and GetBucketLocation for a sample of the regions, creation's for the rest."""
        s3 = self.server.client()
        listed = s3.list_buckets()["Buckets"]
        names = [b["Name"] for b in listed]
        assert sorted(names) == sorted(self.made)
        sample = names[:: max(1, len(names) // SAMPLE)]

        def head(name: str) -> str:
            region: str = s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"]
            return region

        def location(name: str) -> str:
            return s3.get_bucket_location(Bucket=name)["LocationConstraint"] or "us-east-1"

        with ThreadPoolExecutor(4) as pool:
            heads, locations = list(pool.map(head, sample)), list(pool.map(location, sample))
        assert heads == locations == [self.made[name] for name in sample]
        return [(b["Name"], b["CreationDate"], self.made[b["Name"]]) for b in listed]

    def on_versitygw(self) -> list[Row]:
        pages = self.server.client().get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 400})
        return [(b["Name"], b["CreationDate"], b["BucketRegion"]) for page in pages for b in page.get("Buckets", [])]


@pytest.fixture(scope="module")
def account_of() -> Generator[dict[str, Account], None, None]:
    servers.require("moto", "versitygw")
    with servers.moto() as moto, servers.versitygw(HOME) as versitygw:
        yield {"moto": Account(moto), "versitygw": Account(versitygw)}


@pytest.fixture(scope="module", params=itertools.product(("moto", "versitygw"), COUNTS), ids=lambda p: f"{p[0]}-{p[1]}")
def account(request: pytest.FixtureRequest, account_of: dict[str, Account]) -> Account:
    kind, n = request.param
    found = account_of[kind]
    found.grow(n)
    return found


@pytest.fixture(scope="module")
def s3_of(account_of: dict[str, Account]) -> Generator[dict[str, glowplug.S3], None, None]:
    """A client per server that lives as long as it, as outside a handler: what is new is looked up, the rest remembered."""
    with account_of["moto"].client() as moto, account_of["versitygw"].client() as versitygw:
        yield {"moto": moto, "versitygw": versitygw}


@pytest.fixture
def s3(account: Account, s3_of: dict[str, glowplug.S3]) -> glowplug.S3:
    return s3_of[account.server.kind]


def test_a_listing_is_boto3s(account: Account, s3: glowplug.S3) -> None:
    found = s3.list_buckets()
    assert rows(found) == account.truth
    assert (len(found), found.truncated, found.errors) == (len(account.made), False, ())
    assert {name: [b.name for b in group] for name, group in found.by_region().items()} == {
        region: [name for name, _, own in account.truth if own == region] for region in dict.fromkeys(region for _, _, region in account.truth)
    }
    assert [(d["name"], d["created"], d["region"]) for d in found.to_dicts(native=True)] == account.truth
    assert [d["created"] for d in found.to_dicts()] == [created and created.isoformat() for _, created, _ in account.truth]


def test_an_iteration_is_boto3s(account: Account, s3: glowplug.S3) -> None:
    assert rows(s3.iter_buckets()) == account.truth


@pytest.mark.parametrize("prefix", ["bucket-0", "bucket-009", "bucket-00000", "none-such"])
def test_a_prefix_keeps_what_boto3s_keeps(account: Account, s3: glowplug.S3, prefix: str) -> None:
    kept = [b["Name"] for b in account.server.client().list_buckets(Prefix=prefix).get("Buckets", [])]
    found = s3.list_buckets(prefix=prefix)
    assert [b.name for b in found] == kept
    assert rows(found) == rows(s3.iter_buckets(prefix=prefix)) == [row for row in account.truth if row[0].startswith(prefix)]


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-1", "il-central-1"])
def test_a_region_keeps_its_buckets(account: Account, s3: glowplug.S3, region: str) -> None:
    want = [row for row in account.truth if row[2] == region]
    assert rows(s3.list_buckets(region=region)) == rows(s3.iter_buckets(region=region)) == want


@pytest.mark.parametrize("limit", [1, 7, 1_000, 2_499, 2_500, 2_501])
def test_a_limit_ends_the_listing(account: Account, s3: glowplug.S3, limit: int) -> None:
    found = s3.list_buckets(limit=limit)
    assert rows(found) == rows(s3.iter_buckets(limit=limit)) == account.truth[:limit]
    assert found.truncated is (limit < len(account.truth))


def test_prefix_region_and_limit_together(account: Account, s3: glowplug.S3) -> None:
    want = [row for row in account.truth if row[0].startswith("bucket-00") and row[2] == HOME]
    assert rows(s3.list_buckets(prefix="bucket-00", region=HOME, limit=20)) == want[:20]
    assert s3.list_buckets(prefix="bucket-00", region=HOME, limit=20).truncated is (len(want) > 20)


def test_regions_by_name_are_boto3s(account: Account) -> None:
    want = {name: region for name, _, region in account.truth[:: max(1, len(account.truth) // SAMPLE)]}
    with account.client() as fresh:
        assert fresh.bucket_regions(want) == want
        assert [fresh.bucket_region(name) for name in list(want)[:3]] == list(want.values())[:3]


def test_a_fresh_client_streams_what_boto3_lists(account_of: dict[str, Account]) -> None:
    for account in account_of.values():
        account.grow(COUNTS[-1])
        with account.client() as fresh:
            assert rows(fresh.iter_buckets()) == account.truth


def refusal(theirs: Any) -> tuple[str, int]:
    """Code and HTTP status of a ClientError."""
    return theirs.response["Error"]["Code"], theirs.response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(
    "given",
    [{"secret_access_key": "not-the-secret-of-this-key"}, {"access_key_id": "AKIAUNKNOWN", "secret_access_key": "a-secret-of-nobody"}],
    ids=["wrong secret", "unknown key"],
)
def test_credentials_that_versitygw_refuses(account_of: dict[str, Account], given: dict[str, str]) -> None:
    account = account_of["versitygw"]
    boto3_given = {f"aws_{name}": value for name, value in given.items()}
    with pytest.raises(ClientError) as theirs:
        account.server.client(**boto3_given).list_buckets()
    with account.client(**given) as s3:
        for ask in (s3.list_buckets, lambda: list(s3.iter_buckets())):
            with pytest.raises(glowplug.errors.CredentialsError) as ours:
                ask()
            assert (ours.value.code, ours.value.status) == refusal(theirs.value)
            assert ours.value.operation == "ListBuckets" and ours.value.request_id
            assert given["secret_access_key"] not in f"{ours.value!r} {ours.value} {s3!r}"


@pytest.mark.parametrize("kind", ["moto", "versitygw"])
def test_a_bucket_that_is_not_there(account_of: dict[str, Account], kind: str) -> None:
    account = account_of[kind]
    account.grow(max(1, len(account.made)))
    there = next(iter(account.made))
    with pytest.raises(ClientError) as theirs:
        account.server.client().get_bucket_location(Bucket=MISSING)
    with account.client() as s3:
        with pytest.raises(glowplug.errors.NotFoundError) as ours:
            s3.bucket_region(MISSING)
        assert (ours.value.code, ours.value.status) == refusal(theirs.value) == ("NoSuchBucket", 404)
        assert ours.value.bucket == MISSING
        found = s3.bucket_regions([there, MISSING])
        assert found[there] == account.made[there]
        assert isinstance(found[MISSING], glowplug.errors.NotFoundError)
        with pytest.raises(glowplug.errors.NotFoundError, match=MISSING):
            s3.bucket_regions([there, MISSING], on_error="raise")
