"""The provable log's formats and mathematics: trees, tiles, signed notes, checkpoints, leaves, proofs and policies.

The offline verifier stands on this package, so an auditor has to read it and nothing else of ours: it imports the
standard library and `cryptography` alone, does no I/O, and reads no clock. docs/provable-log.md tells the formats.
"""
