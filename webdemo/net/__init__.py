"""Ports: bind texts, listening sockets, and what holds a port. Imports nothing of webdemo's HTTP side."""

import socket

BACKLOG = 2048
"""The backlog of a listening socket; large, because connections wait in it while a server is swapped."""


class ListeningSocket(socket.socket):
    """A socket on which another process listens already: `listen` keeps the length of its queue.

    The queue belongs to all who share the socket: systemd's sockets would keep a shorter one after a restart.
    """

    def listen(self, _backlog: int = 0, /) -> None:
        """Does nothing."""
