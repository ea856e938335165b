"""One cold start: import, client, every bucket with its region."""

import glowplug

for bucket in glowplug.S3().list_buckets():
    print(bucket.name, bucket.region, bucket.created.isoformat(), sep="\t")
