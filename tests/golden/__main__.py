"""Write the golden files that are missing. Those that are there are history and stay as they are."""

import os
from unittest import mock

from ledger.store.codec import encode
from tests.golden import DATA_KEY, DIRECTORY, SAMPLES, placed

for sample in SAMPLES:
    with mock.patch.object(os, "urandom", bytes):  # a nonce of zeros, so that the bytes are the same every time
        topic, state = encode(placed(sample), DATA_KEY)
    file = DIRECTORY / f"{topic}.json"
    if not file.exists():
        file.write_bytes(state + b"\n")
        print(f"wrote {file.name}")
