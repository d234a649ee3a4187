"""RUNS IN THE MAIN PROCESS: the plan, the processes, the control socket, events and what is printed.

It owns the listening sockets and imports no app code.
"""
