"""What comes over one connection: bodies in chunks, several requests, parts of one."""

from typing import Final

from tests.lookup.worker.corpus_parts import (
    Build,
    Given,
    case,
    chunked,
    chunks_of,
    good,
    twice,
    with_body,
    with_field,
)

END: Final = b"0\r\n\r\n"
CHUNKS: Final[dict[str, Build]] = {
    "in one": lambda g: chunks_of(g.body(), 4_096) + END,
    "of one byte": lambda g: chunks_of(g.body(), 1) + END,
    "of ten bytes": lambda g: chunks_of(g.body(), 10) + END,
    "in capitals": lambda g: chunks_of(g.body(), 4_096, b"%X") + END,
    "with zeros": lambda g: chunks_of(g.body(), 4_096, b"0000%x") + END,
    "with an extension": lambda g: chunks_of(g.body(), 4_096, b"%x;a=b") + END,
    "with a long extension": lambda g: chunks_of(g.body(), 4_096, b"%x;" + b"a" * 500) + END,
    "with a space": lambda g: chunks_of(g.body(), 4_096, b"%x ") + END,
    "with a trailer": lambda g: chunks_of(g.body(), 4_096) + b"0\r\nX-Y: z\r\n\r\n",
    "with a trailer of a length": lambda g: (
        chunks_of(g.body(), 4_096) + b"0\r\nContent-Length: 5\r\n\r\n"
    ),
    "none": lambda _: END,
    "too large": lambda g: chunks_of(g.body().ljust(5_000), 1_000) + END,
    "too large in one": lambda g: chunks_of(g.body().ljust(5_000), 5_000) + END,
    "without an end": lambda g: chunks_of(g.body(), 4_096),
    "half a chunk": lambda g: chunks_of(g.body(), 4_096)[:-20],
    "no size": lambda g: b"\r\n" + g.body() + b"\r\n" + END,
    "a bad size": lambda g: b"xyz\r\n" + g.body() + b"\r\n" + END,
    "a negative size": lambda g: b"-1\r\n" + g.body() + b"\r\n" + END,
    "a size with 0x": lambda g: chunks_of(g.body(), 4_096, b"0x%x") + END,
    "a huge size": lambda _: b"f" * 15 + b"\r\n",
    "an overflowing size": lambda _: b"f" * 17 + b"\r\n",
    "a size too small": lambda g: b"5\r\n" + g.body() + b"\r\n" + END,
    "lines end in lf": lambda g: chunks_of(g.body(), 4_096).replace(b"\r\n", b"\n") + b"0\n\n",
    "no line end after": lambda g: b"%x\r\n" % len(g.body()) + g.body() + END,
    "not in chunks at all": lambda g: g.body(),
}


def add_codings() -> None:
    """Bodies in chunks, whole and broken."""
    for name, make in CHUNKS.items():
        case(f"chunks: {name}", chunked(make))
    whole = CHUNKS["in one"]
    for coding in (
        b"Chunked",
        b"CHUNKED",
        b" chunked ",
        b"gzip, chunked",
        b"chunked;x",
        b"xchunked",
    ):
        case(f"coding {coding!r}", chunked(whole, coding=coding))
    for length in (b"5", b"0", b"999999", b"x"):
        case(f"chunks and a length of {length!r}", chunked(whole, length=length))


GARBAGE: Final = b"\0\xff NONSENSE\r\n\r\n"
LIVE: Final = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
ONE_CHUNK: Final = chunked(lambda g: chunks_of(g.body(), 4_096) + b"0\r\n\r\n")


def closing(given: Given) -> bytes:
    return good(given, b"POST /v1/lookup HTTP/1.1", b"Connection: close")


def unauthorized(given: Given) -> bytes:
    return with_field(b"Authorization", b"Bearer x")(given)


def expecting(given: Given) -> bytes:
    return with_field(b"Expect", b"100-continue")(given)


SEVERAL: Final[dict[str, Build]] = {
    "two": lambda g: good(g) * 2,
    "five": lambda g: good(g) * 5,
    "sixty-four": lambda g: good(g) * 64,
    "sixty-five": lambda g: good(g) * 65,
    "seventy": lambda g: good(g) * 70,
    "a hundred healths": lambda _: LIVE * 100,
    "a lookup and health": lambda g: good(g) + LIVE,
    "health and a lookup": lambda g: LIVE + good(g),
    "health between": lambda g: good(g) + LIVE + good(g) + LIVE,
    "a lookup and a refusal": lambda g: good(g) + unauthorized(g),
    "a refusal and a lookup": lambda g: unauthorized(g) + good(g),
    "a lookup and no path": lambda g: good(g) + good(g, b"POST /x HTTP/1.1") + good(g),
    "a lookup and bad json": lambda g: good(g) + with_body(lambda _: b"{")(g) + good(g),
    "a lookup and garbage": lambda g: good(g) + GARBAGE,
    "two and garbage": lambda g: good(g) * 2 + GARBAGE,
    "a refusal and garbage": lambda g: unauthorized(g) + GARBAGE,
    "a bad request and garbage": lambda g: with_body(lambda _: b"{")(g) + GARBAGE,
    "a lookup and bytes": lambda g: good(g) + b"x",
    "a lookup and an empty line": lambda g: good(g) + b"\r\n",
    "a lookup, empty lines, another": lambda g: good(g) + b"\r\n\r\n" + good(g),
    "the last one and another": lambda g: closing(g) * 2,
    "one and the last": lambda g: good(g) + closing(g),
    "the last one and garbage": lambda g: closing(g) + GARBAGE,
    "http/1.0 and another": lambda g: good(g, b"POST /v1/lookup HTTP/1.0") + good(g),
    "chunks and a lookup": lambda g: ONE_CHUNK(g) + good(g),
    "a lookup and chunks": lambda g: good(g) + ONE_CHUNK(g),
    "expecting and another": lambda g: expecting(g) + good(g),
    "one and expecting": lambda g: good(g) + expecting(g),
    "a batch between": lambda g: (
        good(g) + with_body(lambda g: g.batch(), start=b"POST /v1/lookups HTTP/1.1")(g) + good(g)
    ),
    "a head request between": lambda g: good(g) + good(g, b"HEAD /v1/lookup HTTP/1.1") + good(g),
    "an upgrade after one": lambda g: (
        good(g) + good(g, b"POST /v1/lookup HTTP/1.1", b"Connection: Upgrade", b"Upgrade: h2c")
    ),
    "one and half a head": lambda g: good(g) + good(g)[:60],
    "one and half a body": lambda g: good(g) + good(g)[:-9],
    "too large and another": lambda g: with_body(lambda g: g.body().ljust(5_000))(g) + good(g),
    "too many fields after one": lambda g: (
        good(g) + good(g, b"POST /v1/lookup HTTP/1.1", *(b"X: y" for _ in range(120)))
    ),
    "two hosts after one": lambda g: good(g) + twice(g, b"Host", b"x"),
    "smuggled behind a length of none": lambda g: with_field(b"Content-Length", b"0")(g) + LIVE,
    "smuggled behind chunks": chunked(lambda _: b"0\r\n\r\n" + LIVE, length=b"5"),
}


def add_connections() -> None:
    """More or less than one request."""
    for name, make in SEVERAL.items():
        case(f"several: {name}", make)
    for share in (1, 2, 4, 8, 16, 24, 31):
        case(
            f"the first {share} of 32 parts", lambda g, s: good(g)[: len(good(g)) * s // 32], share
        )
    case("all but the last byte", lambda g: good(g)[:-1])
    case("a head alone", lambda g: good(g).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    case("one byte", lambda _: b"P")
    case("nothing but line ends", lambda _: b"\r\n" * 20)
