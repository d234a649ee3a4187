"""RUNS IN THE SERVER PROCESSES, around any app: access log, counters, proxy headers, health, metrics."""
