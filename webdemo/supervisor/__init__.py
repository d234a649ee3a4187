"""Runs in the main process: the plan, the processes, the control socket, the events and the printer.

The supervisor owns the listening sockets and never imports app code.
"""
