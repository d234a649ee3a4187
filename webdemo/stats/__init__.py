"""RUNS IN EVERY PROCESS OF A RUN: request counters in shared memory, latency histograms, and figures."""
