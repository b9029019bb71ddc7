"""Calls to a running custodian: over its UNIX socket, or over the network as an officer.

Invariants:

* What the custodian refuses ends the command with its words and the hint that the call came with.
* An answer that did not come is never taken for "no": it is said that the change may have been
  made, because an epoch change that was begun is finished at the next start.
"""

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import click
import httpx2

from lookup import exits
from lookup.cli.configured import load
from lookup.cli.console import Failure, fail
from lookup.client.tls import Tls, make_context

_USAGE: Final = frozenset({"invalid-request", "too-large"})
_ASK_TIMEOUT: Final = 15.0  # seconds; the writer is never busy for longer than a batch, 0.5 s
_CHANGE_TIMEOUT: Final = 600.0

_URL: Final = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,255}")

Json = dict[str, Any]


class CustodianAway(Failure):
    """No custodian was reached: nothing was asked."""


class CustodianGone(Failure):
    """The custodian was asked, and gave no answer."""


class Custodian:
    """A connection to one site's custodian; `connect` and `connect_to` make one."""

    def __init__(self, client: httpx2.Client, where: str, path: Path | None = None) -> None:
        self._client = client
        self._where = where
        self._socket = path

    @classmethod
    def at_socket(cls, path: Path) -> Self:
        """Reach the custodian of this machine."""
        # No TLS on a UNIX socket; certificates take 20 ms to load.
        transport = httpx2.HTTPTransport(uds=str(path), verify=False)
        return cls(_client(transport, "http://custodian"), str(path), path)

    @classmethod
    def at_url(cls, url: str, context: ssl.SSLContext | None) -> Self:
        """Reach a custodian over the network."""
        transport = httpx2.HTTPTransport(verify=context or False)
        return cls(_client(transport, url), url)

    def authorize(self, headers: dict[str, str]) -> None:
        """Send these headers with every call from now on."""
        self._client.headers.update(headers)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def get(self, path: str, *, hint: str | None = None, patient: bool = False) -> Json:
        """Return what a path answers, or end the command; `hint` is for when it is refused.

        `patient`: the answer takes a look at every record.
        """
        with self._told(changes=False):
            timeout = _CHANGE_TIMEOUT if patient else _ASK_TIMEOUT
            response = self._client.get(path, timeout=timeout)
        return _members(response, hint)

    def fetch(self, path: str, *, hint: str | None = None) -> bytes:
        """Return what lies at a path, as it is, or end the command; `hint` as for `get`."""
        with self._told(changes=False):
            response = self._client.get(path, timeout=_ASK_TIMEOUT)
        if response.status_code >= 400:
            _members(response, hint)
        return bytes(response.content)

    def send(self, path: str, content: bytes, media_type: str, *, hint: str | None = None) -> Json:
        """Hand something over as it is; return what is answered, or end the command."""
        with self._told(changes=True):
            response = self._client.post(
                path, content=content, headers={"content-type": media_type}
            )
        return _members(response, hint)

    def post(self, path: str, content: Json | None = None, *, hint: str | None = None) -> Json:
        """Return what a call answers, or end the command; `hint` is for when it is refused."""
        with self._told(changes=True):
            response = self._client.post(path, json=content or {})
        return _members(response, hint)

    def stream(
        self, path: str, content: bytes, media_type: str, *, hint: str | None = None
    ) -> Iterator[Json]:
        """Yield the lines of an answer that comes bit by bit, or end the command."""
        headers = {"content-type": media_type}
        with (
            self._told(changes=True),
            self._client.stream("POST", path, content=content, headers=headers) as response,
        ):
            if response.status_code >= 400:
                response.read()
                _members(response, hint)
            for line in response.iter_lines():
                yield json.loads(line)

    @contextmanager
    def _told(self, *, changes: bool) -> Iterator[None]:
        if self._socket is not None:
            _knock(self._socket)
        try:
            yield
        except httpx2.ConnectError:
            raise _away(self._where) from None
        except (httpx2.TransportError, json.JSONDecodeError):
            raise _gone(changes=changes) from None
        except KeyboardInterrupt:
            if changes:
                fail(exits.INTERRUPTED, "stopped waiting; the custodian goes on", _LOOK_FIRST)
            raise


def _knock(path: Path) -> None:
    """See whether anybody listens; the client library would not say why nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_ASK_TIMEOUT)
        try:
            probe.connect(str(path))
        except PermissionError:
            raise CustodianAway(exits.NO_PERMISSION, f"{path} is another account's") from None
        except OSError:
            raise _away(str(path)) from None


def _away(where: str) -> CustodianAway:
    return CustodianAway(
        exits.UNAVAILABLE,
        f"no custodian answers on {where}",
        "start the site with `lacuna serve`, or look at its log",
    )


def _client(transport: httpx2.HTTPTransport, url: str) -> httpx2.Client:
    return httpx2.Client(
        transport=transport,
        base_url=url,
        timeout=httpx2.Timeout(_ASK_TIMEOUT, read=_CHANGE_TIMEOUT),
        trust_env=False,
    )


def connect(ctx: click.Context) -> Custodian:
    """Return the custodian of the configured site, for as long as the command runs."""
    custodian = Custodian.at_socket(load(ctx).officer_socket)
    ctx.call_on_close(custodian.close)
    return custodian


def connect_to(ctx: click.Context, url: str, ca_file: Path | None) -> Custodian:
    """Return the custodian at a URL, for as long as the command runs."""
    if not _URL.fullmatch(url):
        fail(exits.USAGE, "--site is no URL of a custodian", "write https://HOST:PORT")
    context = None
    if url.startswith("https:"):
        try:
            context = make_context(Tls(ca_file))
        except OSError as error:
            fail(exits.NO_INPUT, f"the CA file cannot be used: {error.strerror}")
    custodian = Custodian.at_url(url, context)
    ctx.call_on_close(custodian.close)
    return custodian


_LOOK_FIRST: Final = "see `lacuna status` before you ask again: what was begun may yet be done"


def _gone(*, changes: bool) -> CustodianGone:
    if not changes:
        return CustodianGone(
            exits.UNAVAILABLE, "the custodian did not answer in time", "look at the site's log"
        )
    return CustodianGone(
        exits.UNAVAILABLE, "the custodian went away before it answered", _LOOK_FIRST
    )


def _members(response: httpx2.Response, hint: str | None) -> Json:
    try:
        members = dict(response.json())
    except ValueError:
        members = {}
    if response.status_code >= 400:
        raise _refusal(response.status_code, members, hint)
    return members


def _refusal(code: int, problem: Json, hint: str | None) -> Failure:
    if code >= 500:
        status, hint = exits.TEMPORARY, "look at the custodian's log, then try again"
    elif str(problem.get("type")).rpartition(":")[2] in _USAGE:
        status, hint = exits.USAGE, hint or "see --help of the command"
    else:
        status, hint = exits.REFUSED, hint or "see `lacuna status`, then decide"
    message = problem.get("detail") or problem.get("title") or "the custodian refused"
    return Failure(status, message, hint)
