"""A process that writes a datastore; run by the tests beside it.

`writer.py PATH WHO COUNT KEEP`: commits transactions of three documents with one number, and prints the number and the
revision of each commit once it was acknowledged.
"""

import asyncio
import sys
import time

from tortie.store.protocol import Key, Put
from tortie.store.sqlite import SqliteStore


async def main() -> None:
    path, who, count, keep = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    store = SqliteStore.open(path, keep_revisions=keep)
    print("ready", store.uid, flush=True)
    sys.stdin.readline()
    for number in range(count):
        value = f"{who} {number}".encode()
        revision = await store.commit([Put(Key("K", who, part), value) for part in "abc"])
        print(number, revision, time.monotonic_ns(), flush=True)
    await store.close()


asyncio.run(main())
