"""The headers of a response: Werkzeug's, as cheap as a list while headers are only added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from werkzeug.datastructures import Headers as WerkzeugHeaders


class Headers(WerkzeugHeaders):
    """A list of pairs that becomes Werkzeug's Headers as soon as anything but `add` or a new name is used.

    The state of the base class is made when its methods look for it; from then on the instance is of that
    class. What has been taken from it before, such as `add = headers.add`, works as well.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = [*pairs]

    def __getattr__(self, name: str) -> Any:
        if "pairs" not in self.__dict__:
            raise AttributeError(name)
        return getattr(_plain(self), name)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __eq__(self, other: object) -> bool:
        return _plain(self) == other

    def __setitem__(self, key: Any, value: Any) -> None:
        pairs = getattr(self, "pairs", None)
        if pairs and type(key) is str and type(value) is str and "\n" not in value and "\r" not in value:
            lower = key.lower()
            for name, _ in pairs:
                if name.lower() == lower:
                    break
            else:
                pairs.append((key, value))
                return
        _plain(self)[key] = value

    def add(self, key: str, value: Any, /, **parameters: Any) -> None:
        pairs = getattr(self, "pairs", None)
        if pairs and type(value) is str and not parameters and "\n" not in value and "\r" not in value:
            pairs.append((key, value))
        else:
            _plain(self).add(key, value, **parameters)


def _plain(headers: WerkzeugHeaders) -> WerkzeugHeaders:
    pairs = headers.__dict__.pop("pairs", None)
    if pairs is not None:
        headers.__class__ = WerkzeugHeaders
        WerkzeugHeaders.__init__(headers)
        headers[:] = pairs
    return headers
