"""RUNS IN A COMMAND OF ITS OWN, each server in its own run: do they behave the same, and how fast."""
