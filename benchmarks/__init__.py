"""Ratios against peers and against the naive way, on the same work in the same run: `python -m benchmarks`."""
