"""RUNS IN A SERVER PROCESS OF ITS OWN: the servers side by side, live; it asks the run's control socket."""
