"""RUNS IN THE SERVER PROCESSES: the run layer's WSGI middleware around any app.

Access log, counters, proxy headers, health checks and metrics.
"""
