# Appends records to SQLite at Tributary's promise: write-ahead log, one sync a transaction.
#
#   python3 sqlite-log.py FOLDER MESSAGES GROUP [RATE]
#
# Prepared statements on Python's own SQLite. Prints one line of JSON: seconds, CPU seconds, commits.

import json
import os
import resource
import sqlite3
import sys
import time

folder, messages, group = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rate = float(sys.argv[4]) if len(sys.argv) > 4 else 0
db = sqlite3.connect(os.path.join(folder, "log.db"), isolation_level=None)
assert db.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
db.execute("PRAGMA synchronous=FULL")
db.execute("CREATE TABLE IF NOT EXISTS records (offset INTEGER PRIMARY KEY, time INTEGER, key BLOB, value BLOB)")


def value(order):
    noise = order * 2654435761 % 2**32
    text = '{"device":"dev%04d","seq":%d,"temperature":21.%04d,"humidity":48.%04d,"unit":"' % (
        order % 200, 10_000_000 + order, noise % 10_000, noise // 10_000 % 10_000)
    return (text + "celsius,percent," * 8)[:126].encode() + b'"}'


# Made before the clock runs: what is measured is the log, not the making of messages.
block = max(group, 20_000 // group * group)
values = [value(order) for order in range(min(messages, block))]
keys = [b"sensors/dev%04d/climate" % (order % 200) for order in range(200)]
usage = resource.getrusage(resource.RUSAGE_SELF)
before, start, commits = usage.ru_utime + usage.ru_stime, time.monotonic(), 0
for first in range(0, messages, group):
    if rate:
        time.sleep(max(0, start + first / rate - time.monotonic()))
    now = int(time.time() * 1000)
    rows = [(now, keys[order % 200], values[order % len(values)])
            for order in range(first, min(first + group, messages))]
    db.execute("BEGIN")
    db.executemany("INSERT INTO records (time, key, value) VALUES (?, ?, ?)", rows)
    db.execute("COMMIT")
    commits += 1
seconds = time.monotonic() - start
usage = resource.getrusage(resource.RUSAGE_SELF)
cpu = usage.ru_utime + usage.ru_stime - before
db.close()
print(json.dumps({"seconds": seconds, "cpuSeconds": cpu, "commits": commits}))
