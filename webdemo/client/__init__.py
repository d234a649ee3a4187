"""RUNS WHEREVER A SERVER IS PROBED: the endpoint to connect to, and HTTP as raw bytes."""
