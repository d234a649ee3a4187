BACKLOG = 2048
"""Connections that wait to be accepted; large, because they wait here while a server is swapped."""
