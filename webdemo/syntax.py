"""The syntax of what arrives over the network: HTTP's grammar as patterns, and addresses.

The patterns are strings, to be compiled by themselves, as parts of larger ones, or for bytes (`.encode()`).
Each is matched in linear time: repetitions are possessive.
"""

from __future__ import annotations

import ipaddress
import re

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
"""A method or a field name (RFC 9110 section 5.6.2)."""
FIELD_VALUE = r"[\t\x20-\x7e\x80-\xff]*+"
"""A field value: no control characters but tab (RFC 9110 section 5.5)."""
LENGTH = "[0-9]{1,18}"
"""A Content-Length (RFC 9110 section 8.6); more digits may not fit into 64 bits."""
HOST = r"(?:\[[0-9A-Za-z:.%~_-]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]*)(?::[0-9]*)?"
"""All that Host may hold (RFC 9110 section 7.2, RFC 3986 section 3.2.2)."""
PLAIN_HOST = r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?"
"""Host and port as browsers send them: without percent-encoding and sub-delims."""

is_token = re.compile(TOKEN).fullmatch
is_field_value = re.compile(FIELD_VALUE).fullmatch
is_length = re.compile(LENGTH).fullmatch
is_host = re.compile(HOST).fullmatch
match_plain_host = re.compile(PLAIN_HOST).fullmatch


def parse_address(address: str | bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Parse text or bytes; an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2) becomes IPv4. Raises ValueError."""
    parsed = ipaddress.ip_address(address)
    return getattr(parsed, "ipv4_mapped", None) or parsed


def is_address(text: str | None) -> bool:
    """Whether the text is an IP address, IPv6 without brackets, and not a name."""
    try:
        ipaddress.ip_address(text or "")
    except ValueError:
        return False
    return True


def is_loopback(text: str) -> bool:
    """Whether the text is a loopback address (RFC 1122 3.2.1.3, RFC 4291 2.5.3)."""
    try:
        return parse_address(text).is_loopback
    except ValueError:
        return False
