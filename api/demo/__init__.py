"""A ledger filled for trying it out: for people, for screenshots and for benchmarks. Nothing in it is real."""
