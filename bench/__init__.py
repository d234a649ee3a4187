"""How fast webdemo is, beside its peers and beside the limit: `python -m bench`.

Everything that is compared runs interleaved, in one run on one machine, and on equal work: answers are
compared byte for byte, and a peer that answers differently is left out and named.
"""
