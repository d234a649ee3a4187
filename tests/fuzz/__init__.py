"""Hostile bytes for everything that reads a stranger's text: `python -m tests.fuzz` runs it for long.

targets.py names each reader, and the shapes that might cost it more than time in proportion.
"""
