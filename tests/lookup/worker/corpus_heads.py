"""First lines and header fields: every form of a head, but for the body behind it."""

from collections.abc import Callable
from typing import Final

from tests.lookup.worker.corpus_parts import (
    Given,
    case,
    changed,
    fields_of,
    good,
    join,
    twice,
    with_field,
)

METHODS: Final = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"]
PATHS: Final = [
    "/v1/lookup",
    "/v1/lookups",
    "/health/live",
    "/health/ready",
    "/",
    "/metrics",
    "/oauth2/token",
]
TARGETS: Final = (
    *(b"/v1/lookup/", b"//v1/lookup", b"/v1//lookup", b"/v1/x/../lookup", b"/v1/./lookup"),
    *(b"/v1/%6cookup", b"/v1/%6Cookup", b"/v1%2flookup", b"/v1%2Flookup", b"/v1/lookup%00"),
    *(b"/v1/lookup%", b"/v1/lookup%zz", b"/v1/lookup%20", b"/v1/lookup%3f", b"/V1/LOOKUP"),
    *(b"/v1/lookup?", b"/v1/lookup?x", b"/v1/lookup?x=1", b"/v1/lookup??", b"/v1/lookup#x"),
    *(
        b"/v1/lookup;x",
        b"/v1/lookup&x",
        b"/v1/lookup\\",
        b"/v1/l\xc3\xb6kup",
        b"/v1/\xfflookup",
    ),
    *(b"v1/lookup", b"*", b"", b"?", b"http://lookup.test/v1/lookup", b"/" + b"x" * 9_000),
    *(b"http://lookup.test", b"HTTP://LOOKUP.TEST/v1/lookup", b"https://other/v1/lookup"),
    *(
        b"http://user:secret@lookup.test/v1/lookup",
        b"http:///v1/lookup",
        b"http://x:y/v1/lookup",
    ),
    *(b"/v1/lookup /", b"/v1/lookup\t", b"/v1/lookup%E2%80%8B", b"/%76%31/%6c%6f%6f%6b%75%70"),
    *(b"/v1/lookups?", b"/v1/lookups/", b"/v1/%6cookups", b"http://lookup.test/v1/lookups?x=1"),
)
STARTS: Final = (
    *(b"POST /v1/lookup HTTP/1.0", b"POST /v1/lookup HTTP/1.2", b"POST /v1/lookup HTTP/0.9"),
    *(b"POST /v1/lookup HTTP/2.0", b"POST /v1/lookup HTTP/1", b"POST /v1/lookup", b"POST"),
    *(b"POST /v1/lookup http/1.1", b"post /v1/lookup HTTP/1.1", b"POST  /v1/lookup HTTP/1.1"),
    *(b"POST /v1/lookup  HTTP/1.1", b" POST /v1/lookup HTTP/1.1", b"POST\t/v1/lookup HTTP/1.1"),
    *(b"POST /v1/lookup HTTP/1.1 ", b"POST /v1/lookup HTTP/1.11", b"POST /v1/lookup HTTP/01.1"),
    *(b"CONNECT lookup.test:443 HTTP/1.1", b"PRI * HTTP/2.0", b"PROPFIND /v1/lookup HTTP/1.1"),
    *(
        b"M-SEARCH /v1/lookup HTTP/1.1",
        b"NONSENSE /v1/lookup HTTP/1.1",
        b"POS /v1/lookup HTTP/1.1",
    ),
    *(b"\0POST /v1/lookup HTTP/1.1", b"\xffOST /v1/lookup HTTP/1.1", b"", b"\x16\x03\x01\x02"),
    *(b"POST /v1/lookup RTSP/1.0", b"POST /v1/lookup ICE/1.0", b"SOURCE /v1/lookup HTTP/1.1"),
    *(b"\r\nPOST /v1/lookup HTTP/1.1", b"\r\n\r\n\r\nPOST /v1/lookup HTTP/1.1"),
    *(b"\nPOST /v1/lookup HTTP/1.1", b"QUERY /v1/lookup HTTP/1.1", b"HTTP/1.1 200 OK"),
)


def add_starts() -> None:
    """Methods, paths, versions, and other first lines."""
    for method in METHODS:
        for path in PATHS:
            start = f"{method} {path} HTTP/1.1".encode()
            case(f"{method} {path}", good, start)
    for method in ("GET", "HEAD", "OPTIONS"):
        for path in PATHS[:4]:
            start = f"{method} {path} HTTP/1.1".encode()
            case(
                f"{method} {path} without a body",
                lambda given, start: join(fields_of(given, None), b"", start),
                start,
            )
            case(
                f"{method} {path} with no more than a host",
                lambda _, start: join([(b"Host", b"x")], b"", start),
                start,
            )
    for at, target in enumerate(TARGETS):
        start = b"POST " + target + b" HTTP/1.1"
        case(f"target {at} {target[:40]!r}", good, start)
    for start in STARTS:
        case(f"start {start!r}", good, start)


VALUES: Final[dict[bytes, tuple[bytes, ...]]] = {
    b"X-Request-ID": (
        *(b"", b" ", b"x", b"0" * 32, b"{0b0e7ae4-3a5f-4a6e-9c63-6c1b0a1f3b5d}"),
        *(b"0B0E7AE4-3A5F-4A6E-9C63-6C1B0A1F3B5D", b"0b0e7ae4-3a5f-4a6e-9c63-6c1b0a1f3b5"),
        *(b"0b0e7ae4-3a5f-4a6e-9c63-6c1b0a1f3b5dd", b"0b0e7ae4-3a5f-4a6e-9c63-6c1b0a1f3b5g"),
        *(b"\t0b0e7ae4-3a5f-4a6e-9c63-6c1b0a1f3b5d\t", b"00000000-0000-0000-0000-000000000000"),
        *(
            b"urn:uuid:0b0e7ae4-3a5f-4a6e-9c63-6c1b0a1f3b5d",
            b"0b0e7ae4-3a5f-4a6e-9c63-6c1b0a1f\xc3\xbc",
        ),
    ),
    b"Authorization": (
        *(b"", b"Bearer", b"Bearer ", b"Bearer x", b"Bearer  x", b"Basic eDp4", b"Digest x"),
        *(b"Bearer " + b"x" * 43, b"Bearer " + b"x" * 56, b"Bearer \xff\xfe", b"Bearer\tx"),
        *(b"Bearer " + b"x" * 8_000, b"x", b"Bearer x, Bearer y", b'Bearer "x"', b"Token x"),
    ),
    b"Content-Type": (
        *(b"", b"application/json", b"APPLICATION/JSON", b"application/json;charset=utf-8"),
        *(
            b"application/json; charset=utf-16",
            b" application/json ; x=y",
            b"application/json;",
        ),
        *(b"text/json", b"text/plain", b"application/jsonp", b"application/json, text/plain"),
        *(b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"*/*"),
        *(b"application/problem+json", b"application", b"application/json x", b"\xffjson"),
    ),
    b"Content-Length": (
        *(b"", b"0", b"1", b"-1", b"+1", b"0x10", b"1.0", b"x", b"1 1", b"1, 1", b"1,1"),
        *(b"4097", b"131073", b"999999999999", b"9" * 19, b"9" * 40, b"18446744073709551617"),
        *(b"\xc2\xb9", b"1_0", b"1e1"),
    ),
    b"Host": (
        *(
            b"",
            b"x",
            b"x:80",
            b"x y",
            b"[::1]:80",
            b"\xff",
            b"x, y",
            b"user@x",
            b"/x",
            b"x" * 300,
        ),
    ),
    b"Connection": (
        *(b"close", b"Close", b"CLOSE", b"keep-alive", b"Keep-Alive", b"close, keep-alive"),
        *(b"keep-alive, close", b"x", b"", b"upgrade", b"close ", b",close", b"te, close"),
    ),
    b"Expect": (*(b"100-continue", b"100-Continue", b"100-continue, x", b"x", b"", b"200-ok"),),
    b"Upgrade": (b"websocket", b"h2c", b"", b"TLS/1.0"),
    b"Content-Encoding": (b"gzip", b"identity", b"", b"br, gzip"),
    b"Transfer-Encoding": (
        *(b"identity", b"gzip", b"chunked, gzip", b"x", b"", b"chunked", b"chunked, chunked"),
    ),
    b"Accept-Encoding": (b"gzip, deflate, br",),
    b"Accept": (b"text/html", b"application/xml"),
    b"TE": (b"trailers",),
    b"Trailer": (b"X-Request-ID",),
    b"Range": (b"bytes=0-1",),
    b"If-None-Match": (b"*",),
    b"If-Match": (b'"1"',),
    b"X-HTTP-Method-Override": (b"GET",),
    b"X-Forwarded-For": (b"192.0.2.1",),
    b"X-Forwarded-Proto": (b"https",),
    b"Proxy-Connection": (b"close",),
    b"Cookie": (b"a=b", b"x" * 4_000),
    b"Http2-Settings": (b"AAMAAABkAARAAAAAAAIAAAAA",),
}
BROKEN: Final = (
    *(
        b"no colon",
        b": no name",
        b"space : x",
        b"tab\t: x",
        b"nul\0: x",
        b"X: nul\0",
        b"X: \x01",
    ),
    *(b"X: y\r\n folded", b"X: y\n folded", b"X: bare\rcr", b"X: bare\nY: lf", b"\xc3\xbc: x"),
    *(b"X: \xff\xfe", b"X:", b"X:y", b"X:\t y \t", b'"X": y', b"X@: y", b"(X): y", b"X: \x7f"),
)


def add_heads() -> None:
    """Header fields: spelled oddly, repeated, left out, broken."""
    for name, each in VALUES.items():
        for at, value in enumerate(each):
            case(f"{name.decode()} {at} {value[:40]!r}", with_field(name, value))
    for name in (b"Host", b"Authorization", b"X-Request-ID", b"Content-Type", b"Content-Length"):
        case(f"without {name.decode()}", with_field(name))
        case(f"{name.decode()} twice, the same", twice, name)
        case(
            f"{name.decode()} twice, different",
            lambda given, name: twice(given, name, b"1" if name == b"Content-Length" else b"x"),
            name,
        )
        for way, spell in SPELLINGS.items():
            case(f"{name.decode()} {way}", _spelled, name, spell)
    for name in (b"Accept", b"Cookie", b"Connection"):
        case(f"{name.decode()} twice", with_field(name, b"a", b"b"))
    upgrade = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    line = b"POST /v1/lookup HTTP/1.1"
    case("websocket", lambda given: good(given, line, *upgrade))
    case("websocket by get", lambda given: good(given, b"GET /v1/lookup HTTP/1.1", *upgrade))
    case("h2c", lambda given: good(given, line, b"Connection: Upgrade", b"Upgrade: h2c"))
    for version, connection in ((b"1.0", b"keep-alive"), (b"1.0", b"close"), (b"1.1", b"close")):
        start = b"POST /v1/lookup HTTP/" + version
        case(
            f"{start.decode()} {connection.decode()}",
            lambda given, start, c: good(given, start, b"Connection: " + c),
            start,
            connection,
        )
    case("http/1.0 without a host", _old)
    for count in (90, 95, 96, 101, 200):
        more = tuple(b"X-%d: y" % number for number in range(count))
        case(f"{count} more fields", lambda given, more: good(given, line, *more), more)
    for size in (8_000, 15_000, 15_800, 16_000, 16_384, 20_000):
        case(f"a field of {size}", with_field(b"X-Long", b"x" * size))
        case(f"a name of {size}", with_field(b"X" * size, b"x"))
    for each_line in BROKEN:
        case(
            f"line {each_line!r}",
            lambda given, line: good(given).replace(b"Content-Type", line + b"\r\nContent-Type", 1),
            each_line,
        )
    case("lines end in lf", lambda given: _head_replaced(given, b"\r\n", b"\n"))
    case("lines end in cr", lambda given: _head_replaced(given, b"\r\n", b"\r"))
    case("lines end in lf cr", lambda given: _head_replaced(given, b"\r\n", b"\n\r"))


SPELLINGS: Final[dict[str, Callable[[bytes, bytes], bytes]]] = {
    "in lower case": lambda name, value: name.lower() + b": " + value,
    "in upper case": lambda name, value: name.upper() + b": " + value,
    "without a space": lambda name, value: name + b":" + value,
    "with many spaces": lambda name, value: name + b":   \t " + value + b"  \t",
    "with a space before": lambda name, value: name + b" : " + value,
    "with an underscore": lambda name, value: name.replace(b"-", b"_") + b": " + value,
    "folded": lambda name, value: name + b":\r\n " + value,
    "first": lambda name, value: name + b": " + value,
}


def _spelled(given: Given, name: bytes, spell: Callable[[bytes, bytes], bytes]) -> bytes:
    fields = dict(fields_of(given, given.body()))
    line = spell(name, fields.pop(name))
    rest = b"".join(b"%b: %b\r\n" % field for field in fields.items())
    return b"POST /v1/lookup HTTP/1.1\r\n%b\r\n%b\r\n%b" % (line, rest, given.body())


def _old(given: Given) -> bytes:
    fields = changed(fields_of(given, given.body()), b"Host")
    return join(fields, given.body(), b"POST /v1/lookup HTTP/1.0")


def _head_replaced(given: Given, old: bytes, new: bytes) -> bytes:
    head, _, body = good(given).partition(b"\r\n\r\n")
    return (head + b"\r\n\r\n").replace(old, new) + body
