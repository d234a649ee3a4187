"""RUNS IN THE LOADER AND IN THE SERVER PROCESSES: imports the app, forks, serves, reports.

The supervisor uses the channel and its messages too: it depends on the worker, never the other way round.
"""
