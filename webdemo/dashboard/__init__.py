"""The dashboard: the servers side by side, live. Runs in its own server process, as a client of the run's
control socket.
"""
