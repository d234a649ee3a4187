"""RUNS IN THE LOADER AND IN THE SERVER PROCESSES: imports the app, forks, serves, reports.

The messages and the channel to the supervisor are here too: it knows the worker, and not the other way round.
"""
