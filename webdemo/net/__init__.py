BACKLOG = 2048
"""The backlog of a listening socket; large, because connections wait in it while a server is swapped."""
