"""Masks what /inspect must not show: credentials, and the process's own environment variables.

The page echoes the request: without masking, a script on this site could read an HttpOnly cookie by
fetching the page, and a screenshot could leak a token. The rule: a name is decoded before it is judged, the
value after a name that may be secret is masked, and in doubt a name is secret. Every step takes linear
time. The environ is filtered by an allowlist, because wsgiref (and servers that follow it) put every
environment variable of the process into it, passwords included.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

MASK = "•••"
LONGEST_SHOWN = 8000
"""Characters of one value; a longer one is not checked, and therefore not shown."""

# The keys of RFC 3875 section 4.1 and PEP 3333, and those that servers add about the request.
_REQUEST_KEYS = re.compile(
    r"CONTENT_(LENGTH|TYPE)|(PATH|QUERY|SCRIPT|RAW|REQUEST|REMOTE|SERVER)_(INFO|TRANSLATED|STRING|NAME|URI|"
    r"METHOD|SCHEME|ADDR|HOST|PORT|IDENT|USER|PROTOCOL|SOFTWARE)|AUTH_TYPE|GATEWAY_INTERFACE|HTTPS|"
    r"(wsgi|webdemo|werkzeug|gunicorn|waitress|cheroot|gevent|hypercorn|granian|asgi|paste)\..*"
)
_CREDENTIAL_KEYS = frozenset({"HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION"})
# Registered schemes (RFC 9110 section 11) and usual ones: any other first word may be part of a secret.
_SCHEMES = frozenset(
    {"aws4-hmac-sha256", "basic", "bearer", "digest", "dpop", "hawk", "hoba", "negotiate", "ntlm", "token"}
)
_COOKIE_KEYS = frozenset({"HTTP_COOKIE", "HTTP_SET_COOKIE"})
_URL_KEYS = frozenset({"QUERY_STRING", "RAW_URI", "REQUEST_URI", "HTTP_REFERER"})

# Words that make a name secret: whole words here; parts of longer words in _SECRET_STEMS and _SECRET_ENDS.
_SECRET_WORDS = frozenset(
    {
        *("activation", "assertion", "auth", "basic", "bearer", "captcha", "card", "cert", "certificate"),
        *("challenge", "code", "cookie", "credential", "creds", "csrf", "cvc", "cvv", "digest", "dpop"),
        *("dsn", "hash", "hmac", "iban", "invite", "jwt", "key", "mfa", "mnemonic", "negotiate", "nonce"),
        *("ntlm", "oauth", "oidc", "otp", "pan", "pass", "passcode", "passkey", "passphrase", "passw"),
        *("passwd", "password", "pat", "pem", "pin", "private", "psk", "psw", "pswd", "pw", "pwd", "pword"),
        *("recovery", "salt", "saml", "sas", "secret", "seed", "sess", "session", "sid", "sig", "signature"),
        *("ssn", "state", "ticket", "tok", "token", "totp", "verifier", "voucher", "webhook", "xsrf"),
    }
)
_SECRET_STEMS = (
    *("apikey", "authentic", "authoriz", "bearer", "cardnum", "cookie", "credential", "creditcard", "csrf"),
    *("kennwort", "nonce", "oauth", "passcode", "passkey", "passphrase", "passwd", "passwor", "samlre"),
    *("secret", "sessid", "session", "signature", "token", "verifier", "xsrf"),
)
_SECRET_ENDS = ("code", "jwt", "key", "otp", "pass", "pwd", "sess", "sid")
_OTHER_WORDS = frozenset({"compass", "donkey", "hockey", "jockey", "monkey", "turkey", "unicode"})

_RUN = re.compile(r"""[^\s/?&=:;,#@|<>"'(){}\\]+""")
_LETTERS = re.compile(r"[A-Za-z]+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_BEFORE_VALUE = re.compile(r"""[\])}"'\\]{0,8}\s{0,8}[=:]""")
_ESCAPE = re.compile(r"(?:%u|\\u)([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})")
_MOST_ENCODINGS = 4
_LONGEST_PLAIN_RUN = 20


def shown_environ(environ: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that belong to the request or its server, sorted, with secrets in str values masked."""
    return {
        key: mask(key, value) if isinstance(value, str) else value
        for key, value in sorted(environ.items())
        if _belongs_to_request(key, value)
    }


def mask(key: str, value: str) -> str:
    """The value of an environ key with secrets masked."""
    if not value:
        return value
    if len(value) > LONGEST_SHOWN:
        return f"({len(value):,} characters)"
    if key in _CREDENTIAL_KEYS:
        scheme, space, rest = value.partition(" ")
        return f"{scheme} {MASK}" if space and rest and scheme.lower() in _SCHEMES else MASK
    if key in _COOKIE_KEYS:
        return "; ".join(_mask_cookie(pair) for pair in value.split(";"))
    if key.startswith("HTTP_") and is_secret_name(key.removeprefix("HTTP_")):
        return MASK
    return mask_url(value) if key in _URL_KEYS else mask_text(value)


def mask_pair(name: str, value: str) -> tuple[str, str]:
    """A decoded name and value with secrets masked."""
    return mask_text(name), MASK if value and is_secret_name(name) else mask_text(value)


def mask_url(text: str) -> str:
    """A URL, query or form with secrets masked; each pair is judged on its own."""
    return "&".join(map(mask_text, text.split("&")))


def mask_text(text: str) -> str:
    """The text, masked from its first secret or from the value of the first possibly secret name onwards."""
    plain = _decoded(text)
    if plain is None:
        return MASK
    place, userinfo = _secret_in(plain), _userinfo_in(plain)
    if place == userinfo == len(plain):
        return text
    if plain != text:  # positions in it do not match the text: show the name at most
        name, equals, value = text.partition("=")
        return f"{name}={MASK}" if equals and value and _is_name(name) else MASK
    if userinfo < place:
        return f"{text[:userinfo]}{MASK}{mask_text(text[text.rindex('@') :])}"
    return f"{text[:place]}{MASK}"


def is_secret_name(name: str) -> bool:
    """Whether a parameter or header of this name may carry a secret; True if the name cannot be decoded."""
    plain = _decoded(name)
    if plain is None or not plain.isascii() or len(plain) > LONGEST_SHOWN:
        return True
    return any(_is_secret_run(run[0]) for run in _RUN.finditer(plain)) or _is_secret_run(plain)


def _secret_in(plain: str) -> int:
    """The position in decoded text of the first secret, or of a secret name's value; its length if none."""
    for run in _RUN.finditer(plain):
        if _is_secret_run(run[0]):
            value = _BEFORE_VALUE.match(plain, run.end())
            return value.end() if value else run.end()
        if _looks_random(run[0]):
            return run.start()
    return len(plain)


def _userinfo_in(plain: str) -> int:
    """The position of the user:password part before @; the text's length if there is none."""
    at = plain.rfind("@")
    slashes = plain.find("//", 0, max(at, 0))
    if slashes >= 0:
        return slashes + 2
    return 0 if ":" in plain[: max(at, 0)] else len(plain)


def _is_secret_run(run: str) -> bool:
    parts = _LETTERS.findall(run)
    letters = "".join(parts).lower()
    # Judged as camelCase, without it (pAsS), and as a whole without separators (p.a.s.s).
    words = {*_WORD.findall(run), *parts}
    if letters in _SECRET_WORDS or any(_is_secret_word(word.lower()) for word in words):
        return True
    if any(stem in letters for stem in _SECRET_STEMS):
        return True
    # A letter of another alphabet among Latin ones may be a lookalike (a homoglyph).
    return not run.isascii() and bool(parts) and any(char.isalpha() and not char.isascii() for char in run)


def _is_secret_word(word: str) -> bool:
    one = word.removesuffix("s")
    if word in _SECRET_WORDS or one in _SECRET_WORDS:
        return True
    if word in _OTHER_WORDS or one in _OTHER_WORDS:
        return False
    is_auth = word.startswith("auth") and not word.startswith("author")
    return is_auth or word.endswith(_SECRET_ENDS) or one.endswith(_SECRET_ENDS)


def _looks_random(run: str) -> bool:
    """Whether it may be a key: a JSON Web Token, or a long run that contains a digit."""
    return run.startswith("eyJ") or (len(run) >= _LONGEST_PLAIN_RUN and any(map(str.isdigit, run)))


def _is_name(text: str) -> bool:
    """Whether the text before an equals sign is only a name, without a value that may be secret."""
    plain = _decoded(text)
    if plain is None:
        return False
    runs = [run[0] for run in _RUN.finditer(plain)]
    return not any(map(_looks_random, runs)) and not any(map(_is_secret_run, runs[:-1])) and "@" not in plain


def _decoded(text: str) -> str | None:
    """The text without percent-encoding, escapes and letter variants; None if encoded too many times."""
    plain = text.replace("+", " ")
    for _ in range(_MOST_ENCODINGS):
        before = plain
        if "%" in plain or "\\" in plain:
            plain = _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)), unquote(plain))
        if plain == before:
            break
    else:
        return None
    if plain.isascii():
        return plain
    with suppress(UnicodeError):  # a WSGI string holds UTF-8 as Latin-1 (PEP 3333)
        plain = plain.encode("latin-1").decode()
    return "".join(map(_plain_letter, plain))


@lru_cache(maxsize=4096)
def _plain_letter(char: str) -> str:
    """NFKD without marks and invisible characters; per letter, because reordering marks is quadratic."""
    if char.isascii():
        return char
    folded = unicodedata.normalize("NFKD", char)
    plain = "".join(c for c in folded if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
    return plain if plain.isascii() else plain.replace("ß", "ss")


def _belongs_to_request(key: str, value: Any) -> bool:
    if _REQUEST_KEYS.fullmatch(key):
        return True
    # HTTP_PROXY, for example, may be an environment variable: a key with its value is treated as that.
    return key.startswith("HTTP_") and os.environ.get(key) != value


def _mask_cookie(pair: str) -> str:
    name, equals, _ = pair.strip().partition("=")
    return f"{mask_text(name)}={MASK}" if equals else MASK
