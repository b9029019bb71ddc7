"""Calls to a running custodian over its UNIX socket."""

from collections.abc import Iterator
from typing import Any

import httpx2

from lookup import exits
from lookup.cli.console import fail
from lookup.config import Config


class Officer:
    """A connection to one site's custodian."""

    def __init__(self, config: Config) -> None:
        self._socket = config.officer_socket
        self._client = httpx2.Client(
            transport=httpx2.HTTPTransport(uds=str(config.officer_socket)),
            base_url="http://custodian",
            timeout=httpx2.Timeout(30.0, read=600.0),
            trust_env=False,
        )

    def get(self, path: str) -> dict[str, Any]:
        """Return what a path answers, or end the command."""
        return self._answer("GET", path, None)

    def post(self, path: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what a call answers, or end the command."""
        return self._answer("POST", path, {} if content is None else content)

    def stream(self, path: str, content: bytes, media_type: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of an answer that comes bit by bit, or end the command."""
        headers = {"content-type": media_type}
        try:
            with self._client.stream("POST", path, content=content, headers=headers) as response:
                if response.status_code >= 400:
                    response.read()
                    _refuse(response)
                for line in response.iter_lines():
                    yield httpx2.Response(200, content=line.encode()).json()
        except httpx2.TransportError:
            self._unavailable()

    def _answer(self, method: str, path: str, content: dict[str, Any] | None) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, json=content)
        except httpx2.TransportError:
            self._unavailable()
        if response.status_code >= 400:
            _refuse(response)
        answer: dict[str, Any] = response.json()
        return answer

    def _unavailable(self) -> None:
        fail(
            exits.UNAVAILABLE,
            f"no custodian answers on {self._socket}",
            "start the site with `lacuna serve`, or look at its log",
        )


def _refuse(response: httpx2.Response) -> None:
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    status = exits.TEMPORARY if response.status_code >= 500 else exits.REFUSED
    fail(status, problem.get("detail") or problem.get("title") or "the custodian refused")
