"""The asynchronous client: does what `attempts` says, on asyncio and httpx2.

    async with AsyncLookupClient(load_enrolment(path)) as client:
        match await client.lookup(parse_identifier(text), Occasion(User("jdoe", "nurse"))):
            case Known(records): ...
            case NoRecord(): ...

Invariants:

* httpx2's transport is used without its client, so that there is nothing to switch off: no
  redirects, proxies from the environment, netrc, cookies, or log lines with addresses.
* Time limits hold for a whole exchange, name resolution included, not for each read: a host that
  drips bytes is cut off too.
* httpx2's exceptions hold the request, token and secret in it. None leaves this module, not as a
  cause or context either, and a cancellation leaves without the frames it went through.
"""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Final, Self, TypeVar

from lookup.client.attempts import Attempts, Exchange, Failure, Patience, Reply, Send
from lookup.client.enrolment import Enrolment
from lookup.client.outcome import Answer, BriefAnswer, CouldNotCheck, Reason, Recall
from lookup.client.questions import Occasion
from lookup.client.tls import Tls, make_context
from lookup.identifiers import Identifier

MAX_CONNECTIONS: Final = 32
# Sites close a connection after 75 idle seconds; whoever closes first must be this side, or a
# question is sent into a connection that is being closed.
KEEPALIVE_SECONDS: Final = 60.0

T = TypeVar("T")


class AsyncLookupClient:
    """Asks one site, from one event loop; may be shared by all its tasks. Close it, or use `with`.

    Raises OSError from its construction when a file of `tls` cannot be used.
    """

    def __init__(
        self,
        enrolment: Enrolment,
        *,
        patience: Patience | None = None,
        tls: Tls | None = None,
    ) -> None:
        import httpx2  # noqa: PLC0415  # 0.1 s, which `lacuna --help` must not pay

        self._attempts = Attempts(enrolment, patience or Patience())
        self._transport = httpx2.AsyncHTTPTransport(
            verify=make_context(tls or Tls()),
            trust_env=False,
            limits=httpx2.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS,
                keepalive_expiry=KEEPALIVE_SECONDS,
            ),
        )

    async def lookup(self, identifier: Identifier, occasion: Occasion) -> Answer:
        """Return Known or NoRecord; raises CouldNotCheck for everything else that can happen."""
        question = self._attempts.questioner.one(identifier, occasion)
        (answer,) = _believed(await self._perform(self._attempts.ask(question)))
        return answer

    async def lookup_many(
        self, identifiers: Sequence[Identifier], occasion: Occasion
    ) -> tuple[BriefAnswer, ...]:
        """Return one answer for each of 1 to 1,000 identifiers, in their order: all, or none.

        Raises CouldNotCheck as `lookup` does.
        """
        question = self._attempts.questioner.many(identifiers, occasion)
        return _believed(await self._perform(self._attempts.ask(question)))

    async def recalls(self) -> tuple[Recall, ...]:
        """Return which answers are withdrawn: the hospital must delete what it stored of them.

        Of each request that a recall names, whatever was kept under its `request_id`: the answer,
        notes and messages made from it, copies. Of a request that nobody knows here the answer was
        lost on its way; there is nothing to delete. Look up again whoever is still cared for:
        the answer may be another one now. Then `acknowledge` the recalls, or they are listed again.
        A list has an end: ask and acknowledge until it is empty, and do so regularly.

        Raises CouldNotCheck as `lookup` does: whether anything is withdrawn is not known then.
        """
        question = self._attempts.questioner.recalls()
        return _believed(await self._perform(self._attempts.ask_of_recalls(question)))

    async def acknowledge(self, recalls: Sequence[Recall]) -> None:
        """Say that what these 1 to 100 recalls name is deleted; the site keeps that it was said.

        Returns when that is durable there. Raises CouldNotCheck as `lookup` does: it may have
        arrived or not, and to acknowledge again does no harm.
        """
        question = self._attempts.questioner.acknowledge(recalls)
        _believed(await self._perform(self._attempts.ask_of_recalls(question)))

    async def check(self) -> None:
        """Ask the canary now; raises CouldNotCheck unless a base URL answers it rightly."""
        reason = await self._perform(self._attempts.check())
        if reason is not None:
            raise CouldNotCheck(reason)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _perform(self, exchange: Exchange[T]) -> T:
        done: Reply | Failure | None = None
        while True:
            try:
                step = exchange.send(done)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Send):
                done = await self._send(step)
            else:
                await asyncio.sleep(step.seconds)
                done = None

    async def _send(self, send: Send) -> Reply | Failure:
        import httpx2  # noqa: PLC0415  # loaded by __init__ already

        try:
            async with asyncio.timeout(send.timeout):
                return await self._fetch(send)
        except (TimeoutError, httpx2.TimeoutException):
            return Failure.TIMED_OUT
        except httpx2.ConnectError as error:
            return Failure.INSECURE if _is_about_tls(error) else Failure.UNREACHABLE
        except (httpx2.HTTPError, OSError):
            return Failure.BROKEN
        except asyncio.CancelledError as cancelled:
            cancelled.__context__ = None
            raise cancelled.with_traceback(None) from None

    async def _fetch(self, send: Send) -> Reply:
        import httpx2  # noqa: PLC0415  # loaded by __init__ already

        request = httpx2.Request(
            send.method, send.url, headers=dict(send.headers), content=send.body
        )
        response = await self._transport.handle_async_request(request)
        body = bytearray()
        async with aclosing(response.aiter_raw()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > send.limit:
                    break
        return Reply(response.status_code, dict(response.headers), bytes(body[: send.limit + 1]))


def _believed(result: T | Reason) -> T:
    """Raise CouldNotCheck for a reason: here, where nothing is in reach that it could carry."""
    if isinstance(result, Reason):
        raise CouldNotCheck(result)
    return result


def _is_about_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
