"""Encrypts messages in S3 again under another key:

    spark-submit rotate.py NAMES REPORT PARTITIONS --from-key @old -k @new

NAMES has a name a line, or is an S3 Inventory in Parquet. The exit status is 3 if some inputs failed: REPORT/result=failed.
"""
import json, subprocess, sys, tempfile, threading
from pyspark import TaskContext
from pyspark.sql import SparkSession

ROW = "input STRING, result STRING, reason STRING, kind STRING, error STRING, retryable BOOLEAN, message_bytes BIGINT"
NAME = "concat('s3://', bucket, '/', replace(replace(replace(key, '%', '%25'), '?', '%3F'), '#', '%23')) AS value"
CURRENT = {"is_latest": "is_latest", "is_delete_marker": "NOT is_delete_marker", "key": "key NOT LIKE '%/'"}

def rotate(names, command, attempts):
    fed, told, complete, retry = 0, 0, False, False
    def feed():  # in a thread, since esdk writes before it has read all
        nonlocal fed, complete
        with esdk.stdin:
            for fed, name in enumerate(names, 1):
                esdk.stdin.write(name.encode() + b"\0")
        complete = True
    with tempfile.TemporaryFile() as said, subprocess.Popen(command, stdin=-1, stdout=-1, stderr=said) as esdk:
        (feeder := threading.Thread(target=feed, daemon=True)).start()
        for told, line in enumerate(esdk.stdout, 1):
            row = json.loads(line)
            retry |= row.get("retryable", False) or row.get("kind") == "changed"
            yield line.decode()
        feeder.join()
        retry &= TaskContext.get().attemptNumber() + 1 < attempts  # the last attempt's failures stand in the report
        if esdk.wait() == 9 or told < fed or retry or not complete:
            said.seek(max(0, said.tell() - 2000))
            raise RuntimeError(f"esdk: exit status {esdk.returncode}, {told} of {fed} names: {said.read().decode(errors='replace')}")

if __name__ == "__main__":
    names, report, partitions, *keys = sys.argv[1:]
    spark = SparkSession.builder.appName("esdk reencrypt").getOrCreate()
    attempts = int(spark.sparkContext.getConf().get("spark.task.maxFailures", "4"))
    command = ["esdk", "reencrypt", "--in-place", *keys, "--files-from0", "-", "--report", "-", "--quiet"]
    if names.endswith(".txt"):
        listed = spark.read.text(names, lineSep="\n")
    else:
        listed = spark.read.parquet(names)
        listed = listed.where(" AND ".join(v for k, v in CURRENT.items() if k in listed.columns)).selectExpr(NAME)
    rows = listed.repartition(int(partitions), "value").rdd.map(lambda row: row.value).mapPartitions(lambda p: rotate(p, command, attempts))
    spark.read.schema(ROW).json(rows).write.partitionBy("result").json(report)
    counts = dict(spark.read.schema(ROW).json(report).groupBy("result").count().collect())
    print(json.dumps(counts))
    sys.exit(3 if counts.get("failed") else 0)
