"""The same through boto3. How to get the regions is the argument: "told", "loop" or "threads"."""

import sys

import boto3
from botocore.config import Config


def region(name):
    return s3.get_bucket_location(Bucket=name)["LocationConstraint"] or "us-east-1"


s3 = boto3.client("s3", config=Config(max_pool_connections=32))
buckets = [b for page in s3.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 1000}) for b in page["Buckets"]]
if sys.argv[1] == "told":
    regions = [b["BucketRegion"] for b in buckets]
elif sys.argv[1] == "loop":
    regions = [region(b["Name"]) for b in buckets]
else:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(32) as pool:
        regions = list(pool.map(region, [b["Name"] for b in buckets]))
for b, r in zip(buckets, regions):
    print(b["Name"], r, b["CreationDate"].isoformat(), sep="\t")
