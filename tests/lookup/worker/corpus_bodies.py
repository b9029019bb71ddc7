"""Bodies: JSON of every wrong shape, for both routes."""

import json
from typing import Any, Final

from tests.lookup.worker.corpus_parts import (
    Build,
    Given,
    case,
    with_body,
)

ODD: Final[dict[str, object]] = {
    "null": None,
    "true": True,
    "a number": 1,
    "a fraction": 1.5,
    "empty": "",
    "a space": " ",
    "a letter": "x",
    "a list": [],
    "an object": {},
    "sixteen": "k" * 16,
    "forty-three": "A" * 43,
    "not canonical": "A" * 42 + "B",
    "sixty-four": "x" * 64,
    "sixty-five": "x" * 65,
    "unicode": "Zoë Ŵ 🩺",
    "sixty-four of unicode": "ë" * 64,
    "unprintable": "x\n",
    "zero": "\0" * 43,
    "a lone surrogate": "\ud800",
    "right to left": "\u202ex",
    "a big number": 10**40,
    "deep": [[[[[[]]]]]],
}


RAW: Final[dict[str, Build]] = {
    "nothing": lambda _: b"",
    "a space": lambda _: b" ",
    "no json": lambda _: b"QUITE-A-MARKER",
    "null": lambda _: b"null",
    "a list of it": lambda g: b"[" + g.body() + b"]",
    "a text of it": lambda g: json.dumps(g.body().decode()).encode(),
    "two of it": lambda g: g.body() * 2,
    "it and a comma": lambda g: g.body() + b",",
    "it and a zero": lambda g: g.body() + b"\0",
    "spaces around it": lambda g: b"\r\n\t " + g.body() + b" \n",
    "a form feed before it": lambda g: b"\f" + g.body(),
    "a mark before it": lambda g: b"\xef\xbb\xbf" + g.body(),
    "a comma at the end": lambda g: g.body()[:-1] + b",}",
    "a comment": lambda g: g.body()[:-1] + b"/**/}",
    "single quotes": lambda g: g.body().replace(b'"', b"'"),
    "not a number": lambda g: g.body()[:-1] + b',"x":NaN}',
    "half of it": lambda g: g.body()[:-9],
    "all but the last": lambda g: g.body()[:-1],
    "utf-16": lambda g: g.body().decode().encode("utf-16"),
    "utf-32": lambda g: g.body().decode().encode("utf-32"),
    "not utf-8": lambda g: g.body().replace(b"nurse", b"n\xffrse"),
    "overlong utf-8": lambda g: g.body().replace(b"nurse", b"n\xc0\xafse"),
    "a surrogate in utf-8": lambda g: g.body().replace(b"nurse", b"n\xed\xa0\x80e"),
    "cut utf-8": lambda g: g.body().replace(b"nurse", b"nurs\xe2\x82"),
    "utf-8 outside": lambda g: g.body() + "ë".encode(),
    "all escaped": lambda g: g.body().replace(b"triage", b"\\u0074\\u0072\\u0069age"),
    "a bad escape": lambda g: g.body().replace(b"triage", b"\\x74riage"),
    "half a pair": lambda g: g.body().replace(b"triage", b"\\ud83d triage"),
    "a pair": lambda g: g.body().replace(b"triage", b"\\ud83e\\ude7a"),
    "a slash": lambda g: g.body().replace(b"triage", b"\\/"),
    "a line end in a text": lambda g: g.body().replace(b"triage", b"tri\nage"),
    "a token escaped": lambda g: g.body().replace(g.text[:1].encode(), b"\\u%04x" % ord(g.text[0])),
    "deep lists": lambda _: b"[" * 4_000,
    "deep objects": lambda _: b'{"user":' * 500,
    "deep and whole": lambda _: b'{"user":' * 400 + b"1" + b"}" * 400,
    "a deep unknown member": lambda g: g.body()[:-1] + b',"x":' + b"[" * 900 + b"]" * 900 + b"}",
    "a batch": lambda g: g.batch(),
    "of the largest size": lambda g: g.body().ljust(4_096),
    "one byte too large": lambda g: g.body().ljust(4_097),
    "much too large": lambda g: g.body().ljust(60_000),
    "members in another order": lambda g: json.dumps(dict(reversed(g.members().items()))).encode(),
    "without spaces": lambda g: json.dumps(g.members(), separators=(",", ":")).encode(),
    "a role that is a name of ours": lambda g: g.body(user={"id": "kid", "role": "token"}),
    "scheduled": lambda g: g.body(purpose="scheduled-care"),
    "purpose absent": lambda g: g.body(purpose=..., encounter=...),
    "another kid": lambda g: g.body(kid="k" * 16),
}


def add_bodies() -> None:
    """JSON of every wrong shape, for both routes."""
    for member in ("kid", "token", "user", "purpose", "encounter"):
        case(f"without {member}", with_body(lambda g, m: g.body(**{m: ...}), member))
        case(f"{member} twice", with_body(_repeated, member))
        case(
            f"{member} twice, escaped", with_body(lambda g, m: _repeated(g, m, escape=True), member)
        )
        case(f"{member} in capitals", with_body(lambda g, m: _renamed(g, m, m.upper()), member))
        case(f"{member} escaped", with_body(lambda g, m: _renamed(g, m, _escape(m)), member))
        for name, value in ODD.items():
            case(f"{member}: {name}", with_body(lambda g, m, v: g.body(**{m: v}), member, value))
    for name, value in ODD.items():
        user: dict[str, dict[str, Any]] = {
            "id": {"id": value, "role": "x"},
            "role": {"id": "x", "role": value},
        }
        for member, changed_user in user.items():
            case(f"user.{member}: {name}", with_body(lambda g, u: g.body(user=u), changed_user))
        case(f"an unknown member: {name}", with_body(lambda g, v: g.body(identifier=v), value))
        start = b"POST /v1/lookups HTTP/1.1"
        case(f"tokens: {name}", with_body(lambda g, v: g.batch(tokens=v), value, start=start))
        case(
            f"tokens of: {name}",
            with_body(lambda g, v: g.batch(tokens=[g.text, v]), value, start=start),
        )
    for name, make in RAW.items():
        case(f"body: {name}", with_body(make))
        case(f"batch body: {name}", with_body(make, start=b"POST /v1/lookups HTTP/1.1"))
    for count in (0, 1, 2, 8, 100, 1_000, 1_001):
        body = with_body(lambda g, c: g.batch(c), count, start=b"POST /v1/lookups HTTP/1.1")
        case(f"batch of {count}", body)
    case("batch to lookup", with_body(lambda g: g.batch()))


def _escape(name: str) -> str:
    return f"\\u{ord(name[0]):04x}{name[1:]}"


def _renamed(given: Given, member: str, other: str) -> bytes:
    return given.body().replace(f'"{member}":'.encode(), f'"{other}":'.encode())


def _repeated(given: Given, member: str, *, escape: bool = False) -> bytes:
    value = json.dumps(given.members()[member])
    name = _escape(member) if escape else member
    return given.body()[:-1] + f',"{name}":{value}}}'.encode()
