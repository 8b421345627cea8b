"""Write the golden files that are missing. Those that are there are history and stay as they are."""

import json
import os
import sys
from unittest import mock

from ledger.store.codec import encode
from tests.golden import DATA_KEY, DIRECTORY, SAMPLES, extends, files_of, placed

for sample in SAMPLES:
    with mock.patch.object(os, "urandom", bytes):  # a nonce of zeros, so that the bytes are the same every time
        topic, state = encode(placed(sample), DATA_KEY)
    there = files_of(topic)
    if there and there[-1].read_bytes() == state + b"\n":
        continue
    if there and not extends(json.loads(state), json.loads(there[-1].read_bytes())):
        sys.exit(f"{topic} is written otherwise than it was: only new fields, last, may differ. Give it a new VERSION")
    file = DIRECTORY / (f"{topic}~{len(there) + 1}.json" if there else f"{topic}.json")
    file.write_bytes(state + b"\n")
    print(f"wrote {file.name}")
