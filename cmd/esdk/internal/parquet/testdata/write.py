"""Writes the files in this directory with pyarrow (26.0.1): rows of an inventory, in the ways in which
Java's and C++'s writers differ from Go's."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq

schema = pa.schema([
    pa.field("bucket", pa.string(), nullable=False),
    pa.field("key", pa.string(), nullable=False),
    pa.field("version_id", pa.string()),
    pa.field("is_latest", pa.bool_()),
    pa.field("size", pa.int64()),
    pa.field("last_modified_date", pa.timestamp("ms", tz="UTC")),
])
rows = [{
    "bucket": "lake", "key": f"a b/{i % 7}/ö%2B+{i:04d}", "version_id": None if i % 5 == 0 else f"v{i % 3}",
    "is_latest": None if i % 11 == 0 else i % 4 != 0, "size": None if i % 13 == 0 else i * i, "last_modified_date": 1700000000000 + i,
} for i in range(300)]
table = pa.Table.from_pylist(rows, schema=schema)
for name, options in {
    "snappy-1.0": dict(compression="snappy", version="1.0", row_group_size=120, data_page_size=1000),
    "gzip-2.4": dict(compression="gzip", version="2.4", use_dictionary=False),
    "zstd-2.6": dict(compression="zstd", version="2.6", data_page_version="2.0", data_page_size=500),
    "delta": dict(compression="none", use_dictionary=False, data_page_version="2.0", column_encoding={
        "bucket": "DELTA_LENGTH_BYTE_ARRAY", "key": "DELTA_BYTE_ARRAY", "version_id": "DELTA_BYTE_ARRAY", "is_latest": "RLE",
        "size": "DELTA_BINARY_PACKED", "last_modified_date": "DELTA_BINARY_PACKED"}),
}.items():
    pq.write_table(table, f"{sys.argv[1]}/{name}.parquet", **options)
