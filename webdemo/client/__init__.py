"""RUNS WHEREVER A SERVER IS ASKED: where to connect, and HTTP as bytes."""
