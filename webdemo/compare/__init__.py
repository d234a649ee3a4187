"""Compares servers: do they behave the same, and how fast are they?

Runs in the process of the command `webdemo compare`, which starts a separate run for each server.
"""
