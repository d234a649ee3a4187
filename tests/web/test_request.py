"""A request gives a view the same values as Werkzeug's own Request, attribute by attribute."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.datastructures import FileStorage, IfRange, MultiDict
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, SecurityError
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request as WerkzeugRequest

from tests.web.serving import call, environ
from webdemo import App, Request, Response

names = """
method scheme server root_path path query_string headers remote_addr args full_path is_secure url base_url
root_url host_url host cookies content_type content_length content_encoding referrer date max_forwards
mimetype mimetype_params pragma accept_mimetypes accept_charsets accept_encodings accept_languages
cache_control if_match if_none_match if_modified_since if_unmodified_since if_range range user_agent
authorization origin access_control_request_headers access_control_request_method is_json access_route
script_root url_root remote_user is_multithread is_multiprocess is_run_once shallow values form files
data json stream
""".split()  # noqa: SIM905 - a list of words reads better as words


header_keys = """
HTTP_ACCEPT HTTP_ACCEPT_LANGUAGE HTTP_AUTHORIZATION HTTP_RANGE HTTP_IF_NONE_MATCH HTTP_IF_RANGE
HTTP_IF_MODIFIED_SINCE HTTP_IF_UNMODIFIED_SINCE HTTP_X_FORWARDED_FOR HTTP_USER_AGENT HTTP_CACHE_CONTROL
REMOTE_USER HTTP_REFERER HTTP_ORIGIN HTTP_DATE HTTP_MAX_FORWARDS
""".split()  # noqa: SIM905 - a list of words reads better as words


def comparable(value: Any) -> Any:
    """The value in a form that can be compared between two requests."""
    if isinstance(value, MultiDict):
        return type(value), [(key, comparable(item)) for key, item in value.items(multi=True)]
    if isinstance(value, FileStorage):
        return value.filename, value.content_type, value.read()
    if isinstance(value, IfRange):
        return value.etag, value.date
    if isinstance(value, io.IOBase):
        return value.read()
    if isinstance(value, (str, bytes, int, float, list, dict, type(None))):
        return type(value), value
    return type(value), str(value)


def read(request: WerkzeugRequest, name: str) -> Any:
    try:
        return comparable(getattr(request, name))
    except HTTPException as error:
        return type(error)


def assert_same(make: Callable[[], dict[str, Any]], order: list[str]) -> None:
    theirs = WerkzeugRequest(make(), populate_request=False)
    theirs.max_content_length = Request.max_content_length
    ours = Request(make())
    with theirs, ours:
        for name in order:
            answered = read(ours, name)  # whatever the client sent, this must not fail
            try:
                expected = read(theirs, name)
            except (ValueError, OverflowError):
                continue
            assert answered == expected, name


latin1 = st.text(st.characters(min_codepoint=32, max_codepoint=255, blacklist_characters="\x7f"), max_size=12)
pairs = st.text("ab=&+% é\xff\xc3\xa9;.", max_size=16)
cookies = st.text('ab=; "\\\t,é\xff012', max_size=20)
hosts = st.sampled_from(
    ["", "a.b", "a.b:80", "a.b:8000", "[::1]:80", "a b", "xn--4ca", "é", "a:99999", "A.B", "-"]
)
types = st.sampled_from(
    [
        "",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
        "application/json",
        "text/plain; charset=x",
        "multipart/form-data; boundary=b",
        "nonsense",
    ]
)
bodies = st.one_of(
    pairs.map(lambda text: text.encode("latin-1")),
    st.text("a2C3=&+%\r\n", max_size=16).map(str.encode),
    st.binary(max_size=20),
    st.just(b'{"a": 1}'),
    st.just(b'--b\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\nxyz\r\n--b--\r\n'),
)
optional = st.dictionaries(
    st.sampled_from(header_keys),
    latin1,
    max_size=3,
)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Werkzeug's open files
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "post", "BREW"]),
    path=latin1,
    script_name=latin1.map(lambda text: text and f"/{text}"),
    query=pairs,
    cookie=cookies,
    host=hosts,
    content_type=types,
    body=bodies,
    length=st.sampled_from(["right", "absent", "nonsense", "too long", "too short"]),
    terminated=st.booleans(),
    missing=st.sets(
        st.sampled_from(["QUERY_STRING", "SCRIPT_NAME", "HTTP_HOST", "SERVER_PORT", "REMOTE_ADDR"])
    ),
    more=optional,
    order=st.permutations(names),
)
@example(
    method="POST",
    path="/",
    script_name="",
    query="a=1&a=2&b",
    cookie="a=1; b=2;=3; a=4",
    host="a.b",
    content_type="application/x-www-form-urlencoded",
    body=b"a=1&a=2&b",
    length="right",
    terminated=False,
    missing=set(),
    more={},
    order=["form", "files", "stream", "data", "args", "cookies"],
)
def test_each_attribute_means_what_it_means_to_werkzeug(
    method: str,
    path: str,
    script_name: str,
    query: str,
    cookie: str,
    host: str,
    content_type: str,
    body: bytes,
    length: str,
    terminated: bool,
    missing: set[str],
    more: dict[str, str],
    order: list[str],
) -> None:
    def make() -> dict[str, Any]:
        made = environ(path, method, SCRIPT_NAME=script_name, QUERY_STRING=query, wsgi_input=io.BytesIO(body))
        made.update(HTTP_COOKIE=cookie, HTTP_HOST=host, CONTENT_TYPE=content_type, **more)
        lengths = {
            "right": len(body),
            "nonsense": "many",
            "too long": len(body) + 5,
            "too short": len(body) // 2,
        }
        if length != "absent":
            made["CONTENT_LENGTH"] = str(lengths[length])
        if terminated:
            made["wsgi.input_terminated"] = True
        return {key: value for key, value in made.items() if key not in missing}

    assert_same(make, order)


def test_nothing_is_computed_before_it_is_read() -> None:
    made = environ()
    request = Request(made)
    assert vars(request) == {"environ": made}
    assert "werkzeug.request" not in made


def test_an_attribute_is_computed_once_and_can_be_set() -> None:
    request = Request(environ(QUERY_STRING="a=1"))
    assert request.args is request.args
    request.path = "/other"
    assert request.path == "/other"


def test_query_that_is_not_utf8_is_400() -> None:
    app = App()
    app.get("/")(lambda request: request.args)
    assert call(app, QUERY_STRING="a=\xff").status == "400 Bad Request"
    assert call(app, QUERY_STRING="a=%ff").body == b'{"a":"%FF"}'


@pytest.mark.parametrize("host", ["xn--a", "XN--A", "www.xn--a:8000", "xn--.example", "xn--999999999"])
def test_host_that_is_not_idna_is_no_host(host: str) -> None:
    request = Request(environ(HTTP_HOST=host))
    assert (request.host, request.url) == ("", "http:///")


@pytest.mark.parametrize("host", ["example.org:8000", "xn--mnchen-3ya.de", "[::1]:8000", "127.0.0.1"])
def test_host_that_is_idna_is_kept(host: str) -> None:
    assert Request(environ(HTTP_HOST=host)).host == host


def test_short_reads_of_a_form_are_put_together() -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(2, size or 0))

    made = environ(method="POST", CONTENT_TYPE="application/x-www-form-urlencoded", CONTENT_LENGTH="7")
    made["wsgi.input"] = Slow(b"a=1&b=2")
    assert Request(made).form.to_dict() == {"a": "1", "b": "2"}


def test_a_body_that_ends_early_is_400() -> None:
    app = App()
    app.post("/")(lambda request: request.form)
    form = "application/x-www-form-urlencoded"
    reply = call(app, method="POST", CONTENT_TYPE=form, CONTENT_LENGTH="9", wsgi_input=io.BytesIO(b"a=1"))
    assert reply.status == "400 Bad Request"


@pytest.mark.parametrize("length", ["many", "-1", "1.5", "+3", "0x10", "9" * 5000])
def test_nonsense_content_length_is_400(length: str) -> None:
    app = App()
    app.post("/")(lambda request: request.data)
    assert app(environ(method="POST", CONTENT_LENGTH=length), _expect("400 Bad Request"))


def _expect(status: str) -> Any:
    def start_response(given_status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        assert given_status == status

    return start_response


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]
)
def test_body_over_the_limit_is_413(content_type: str) -> None:
    class Small(Request):
        max_content_length = 10

    app = App(request_class=Small)
    app.post("/")(lambda request: request.form and request.get_data())
    reply = call(
        app, method="POST", CONTENT_TYPE=content_type, CONTENT_LENGTH="11", wsgi_input=io.BytesIO(b"a" * 11)
    )
    assert reply.status.startswith("413")


def test_too_many_form_parts_are_413() -> None:
    class Few(Request):
        max_form_parts = 2

    builder = EnvironBuilder(
        method="POST", data={"a": "1", "b": "2", "c": "3"}, content_type="multipart/form-data"
    )
    try:
        with pytest.raises(RequestEntityTooLarge):
            assert Few(builder.get_environ()).form
    finally:
        builder.close()


def test_uploaded_files_are_closed_after_the_view_and_after_a_stream() -> None:
    app = App()
    seen: list[Any] = []

    @app.post("/plain")
    def plain(request: Request) -> str:
        seen.append(request.files["f"].stream)
        return "done"

    @app.post("/streamed")
    def streamed(request: Request) -> Any:
        seen.append(request.files["f"].stream)
        yield "done"

    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\n'
    body = head + b"x" * 600_000 + b"\r\n--b--\r\n"
    for path in ("/plain", "/streamed"):
        reply = call(
            app,
            path,
            "POST",
            CONTENT_TYPE="multipart/form-data; boundary=b",
            CONTENT_LENGTH=str(len(body)),
            wsgi_input=io.BytesIO(body),
        )
        assert reply.body == b"done"
    assert [stream.closed for stream in seen] == [True, True]


@pytest.mark.parametrize("body", ["[" * 20_000 + "]" * 20_000, '{"a":NaN}', "1e999", "[-Infinity]", "{", ""])
def test_json_that_no_response_may_hold_is_400(body: str) -> None:
    app = App()
    app.post("/")(lambda request: {"got": request.json})
    data = body.encode()
    made = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(data))}
    assert call(app, method="POST", wsgi_input=io.BytesIO(data), **made).status == "400 Bad Request"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_json_in_any_unicode_encoding_is_read(encoding: str) -> None:
    data = '{"ü": [1.5, -2e3, null]}'.encode(encoding)
    request = Request(environ(CONTENT_TYPE="application/json", wsgi_input=io.BytesIO(data)))
    request.environ["CONTENT_LENGTH"] = str(len(data))
    assert request.json == {"ü": [1.5, -2000.0, None]}


def multipart(*parts: bytes) -> dict[str, Any]:
    """An environ with these parts, each with its headers."""
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return environ(
        method="POST",
        CONTENT_TYPE="multipart/form-data; boundary=b",
        CONTENT_LENGTH=str(len(body)),
        wsgi_input=io.BytesIO(body),
    )


def part(disposition: str, content: bytes, *more: str) -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *more, "", ""]
    return "\r\n".join(lines).encode() + content


def test_empty_field_after_a_file_of_any_size_is_empty() -> None:
    for size in (*range(65_300, 65_500), 131_000, 131_072):
        file = part('name="f"; filename="q.bin"', b"x" * size)
        with Request(multipart(file, part('name="e"', b""), part('name="g"', b"1"))) as request:
            assert request.form.to_dict() == {"e": "", "g": "1"}
            assert len(request.files["f"].read()) == size


dispositions = st.sampled_from(
    [
        'name="a"',
        "name=a",
        'name="a b"; filename="c.txt"',
        'name="ü"; filename="ü.txt"',
        'name="a"; filename=""',
        'name="a%22b"',
        "name=\"a\"; filename*=UTF-8''%C3%BC.txt",
    ]
)
contents = st.sampled_from([b"", b"x", b"\r\n", b"\r", b"x--b", b"\r\n--", b"\xff", b"x" * 70_000])
types_of_parts = st.sampled_from(
    ["Content-Type: text/plain", "Content-Type: text/plain; charset=iso-8859-1", "X-A: 1"]
)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Werkzeug's open files
@given(parts=st.lists(st.builds(part, dispositions, contents, types_of_parts), max_size=4))
def test_multipart_is_read_as_by_werkzeug(parts: list[bytes]) -> None:
    assert_same(lambda: multipart(*parts), ["form", "files", "data", "stream"])


@pytest.mark.parametrize("limit", ["max_form_memory_size", "max_content_length"])
def test_text_field_over_the_limit_is_413_and_a_file_is_not_a_field(limit: str) -> None:
    made = multipart(part('name="a"', b"x" * 2000))
    request = Request(made)
    setattr(request, limit, 1000)
    with pytest.raises(RequestEntityTooLarge):
        _ = request.form
    with Request(multipart(part('name="a"; filename="f"', b"x" * 2000))) as upload:
        upload.max_form_memory_size = 1000
        assert len(upload.files["a"].read()) == 2000


@pytest.mark.parametrize(
    "target", ["/", "/a-b/c.html?x=1&y=2", "/a b", "/ü?q=ü", "//a", "/a//b", "/%41?%41", "/a/?"]
)
@pytest.mark.parametrize(
    "host", ["a.b", "a.b:8000", "a.b:80", "A.B", "127.0.0.1:8000", "[::1]:8000", "xn--4ca.b"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_url_is_werkzeugs(target: str, host: str, scheme: str) -> None:
    path, _, query = target.partition("?")
    wsgi_path = path.encode().decode("latin-1")
    assert_same(
        lambda: environ(
            wsgi_path,
            HTTP_HOST=host,
            wsgi_url_scheme=scheme,
            SCRIPT_NAME="/up" if "html" in path else "",
            QUERY_STRING=query.encode().decode("latin-1"),
        ),
        ["url", "base_url", "host"],
    )


class _Trusting(Request):
    trusted_hosts = ["Example.com", ".sub.org."]  # noqa: RUF012 - as Werkzeug has it


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "EXAMPLE.COM",
        "Example.com.",
        "example.com:8080",
        "eXample.com.:8080",
        "A.Sub.ORG",
        "sub.org.",
    ],
)
def test_a_trusted_host_is_trusted_in_each_of_its_spellings(host: str) -> None:
    assert _Trusting(environ(HTTP_HOST=host)).host == host


@pytest.mark.attack("Hosts", "a host that trusted_hosts does not name, in a spelling near to one", "400")
@pytest.mark.parametrize(
    "host",
    ["evil.com", "example.com.evil.com", "example.com..", ".example.com", "xexample.com", "a.example.com",
     "xsub.org", "evil.com:example.com", "example.com@evil.com", "example.com:99999", ""],
)  # fmt: skip
def test_a_host_that_is_not_trusted_is_refused(host: str) -> None:
    request = _Trusting(environ(HTTP_HOST=host))
    with pytest.raises(SecurityError):
        _ = request.host


@pytest.mark.parametrize("trusted", [[], "example.com", ".example.com"])
@pytest.mark.parametrize("host", ["example.com", "a.example.com", "evil.com", "e", ""])
def test_one_trusted_host_and_none_mean_what_they_mean_to_werkzeug(
    trusted: str | list[str], host: str
) -> None:
    seen = []
    for base in (Request, WerkzeugRequest):
        request = type("Trusting", (base,), {"trusted_hosts": trusted})(environ(HTTP_HOST=host))
        try:
            seen.append(request.host)
        except SecurityError as exc:
            seen.append(type(exc))
    assert seen[0] == seen[1]


def test_credentials_that_are_not_ascii_are_none() -> None:
    request = Request({"HTTP_AUTHORIZATION": "Basic \xc3\xa9"})
    assert request.authorization is None


numbers = [f"{sign}{digit * count}" for sign in ("", "-") for digit in "19" for count in range(1, 41)]
zones = [f"{sign}{'9' * count}" for sign in "+-" for count in range(1, 21)]
dates = [
    *(f"Mon, 01 Jan {year} 00:00:00 GMT" for year in [*numbers, "NaN", "inf", "1e999", "9" * 5000]),
    *(f"Mon, {day} Jan 2020 00:00:00 GMT" for day in numbers),
    *(f"Mon, 01 Jan 2020 {hour}:00:00 GMT" for hour in numbers),
    *(f"Mon, 01 Jan {year} 00:00:00 {zone}" for year in ("0001", "2020", "9999") for zone in zones),
]


@pytest.mark.attack(
    "Requests", "A date whose year, day, time or offset has up to 40 digits, in each header", "It is ignored."
)
@pytest.mark.parametrize(
    "key", ["HTTP_DATE", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_RANGE"]
)
def test_no_date_of_a_client_raises(key: str) -> None:
    given = {"Last-Modified": "Mon, 01 Jan 2020 00:00:00 GMT", "ETag": '"a"'}
    attributes = ("date", "if_modified_since", "if_unmodified_since", "if_range")
    for text in dates:
        made = environ(HTTP_RANGE="bytes=0-0") | {key: text}
        request = Request(made)
        for name in attributes:
            getattr(request, name)
        for conditional in (made, request):
            response = Response("ab", headers=given).make_conditional(conditional, True, 2)
            assert response.status_code in (200, 206, 304)


def test_an_invalid_date_is_ignored_and_a_valid_one_is_not() -> None:
    far = f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"
    near = "Mon, 01 Jan 2024 00:00:00 GMT"

    def respond(**headers: str) -> int:
        response = Response("ab", headers={"Last-Modified": near, "ETag": '"a"'})
        return response.make_conditional(environ(**headers), True, 2).status_code

    for name in ("date", "if_modified_since", "if_unmodified_since"):
        assert getattr(Request(environ(**{f"HTTP_{name.upper()}": far})), name) is None
        assert getattr(Request(environ(**{f"HTTP_{name.upper()}": near})), name).year == 2024
    assert Request(environ(HTTP_IF_RANGE=far)).if_range.date is None
    assert [respond(HTTP_IF_MODIFIED_SINCE=date) for date in (far, near)] == [200, 304]
    assert [respond(HTTP_RANGE="bytes=0-0", HTTP_IF_RANGE=date) for date in (far, near)] == [200, 206]
