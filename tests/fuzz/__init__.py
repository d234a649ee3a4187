"""Fuzzes everything that parses untrusted text; `python -m tests.fuzz` is the long run.

targets.py lists the parsers, and for each the shapes of input that might take more than linear time.
"""
