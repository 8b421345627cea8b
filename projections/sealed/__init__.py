"""The provable log: every event a leaf of its organisation's tree, every tree's head a leaf of the root tree, and heads
signed as checkpoints. docs/provable-log.md tells what that proves; `ledger/tlog` has the formats and the mathematics.

`integrating` puts events into the trees, `signing` signs what they came to, `sealer` does both as events come, and
`reading` answers what gateways to the log ask: checkpoints, tiles and proofs.
"""
