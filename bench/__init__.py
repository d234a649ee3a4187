"""Benchmarks webdemo against its peers and against the bare limit: `python -m bench`.

The rule: everything that is compared runs interleaved, in one run on one machine, and does equal work.
Responses are compared byte for byte, and a peer that answers differently is left out and named.
"""
