"""THE HTTP CLIENT: used by the supervisor's probe, the trace, `compare` and the dashboard.

`endpoint` says where to connect and connects, with TLS if the server speaks it. Over the socket either
`wire` speaks, which sends raw bytes and keeps everything that comes back, or `http11`, which speaks proper
HTTP with h11. `tls` tells what was negotiated, `greeting` reads what SMTP and FTP servers say first.

The supervisor imports `endpoint` and `wire` at every start: hence named tuples there, which Python makes
faster than dataclasses, and `ssl` and h11 only where they are used.
"""
