"""Both clients behind one face, so that one table holds for either."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from lookup.client.aio import AsyncLookupClient
from lookup.client.attempts import Patience
from lookup.client.enrolment import Enrolment
from lookup.client.outcome import Answer, BriefAnswer, Recall
from lookup.client.questions import Occasion
from lookup.client.sync import LookupClient
from lookup.client.tls import Tls
from lookup.identifiers import Identifier
from tests.lookup.client.certificates import CertificateAuthority, make_certificate_authority
from tests.lookup.client.scripted_site import ScriptedSite, make_enrolment, scripted_site

# A busy machine is no slow site: only tests of time limits have less patience.
PATIENT = Patience(total_seconds=20, attempt_seconds=10, pause_seconds=0.001)


class BlockingClient:
    """The asynchronous client, run to completion call by call."""

    def __init__(
        self, enrolment: Enrolment, *, patience: Patience | None = None, tls: Tls | None = None
    ) -> None:
        self.runner = asyncio.Runner()
        self.client = AsyncLookupClient(enrolment, patience=patience, tls=tls)

    def lookup(self, identifier: Identifier, occasion: Occasion) -> Answer:
        return self.runner.run(self.client.lookup(identifier, occasion))

    def lookup_many(
        self, identifiers: Sequence[Identifier], occasion: Occasion
    ) -> tuple[BriefAnswer, ...]:
        return self.runner.run(self.client.lookup_many(identifiers, occasion))

    def recalls(self) -> tuple[Recall, ...]:
        return self.runner.run(self.client.recalls())

    def acknowledge(self, recalls: Sequence[Recall]) -> None:
        self.runner.run(self.client.acknowledge(recalls))

    def check(self) -> None:
        self.runner.run(self.client.check())

    def close(self) -> None:
        self.runner.run(self.client.aclose())
        self.runner.close()


AnyClient = LookupClient | BlockingClient
Connect = Callable[..., AnyClient]


@pytest.fixture(scope="session")
def certificate_authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Whom the clients trust; loading the machine's own CAs takes 25 ms a client."""
    return make_certificate_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=[LookupClient, BlockingClient], ids=["sync", "async"])
def connect(
    request: pytest.FixtureRequest, certificate_authority: CertificateAuthority
) -> Iterator[Connect]:
    """Make a client of either kind for the given sites; it is closed after the test."""
    trusting = Tls(certificate_authority.file)
    with ExitStack() as stack:

        def make(
            *sites: ScriptedSite | str, patience: Patience = PATIENT, tls: Tls = trusting
        ) -> AnyClient:
            urls = [site if isinstance(site, str) else site.base_url for site in sites]
            client: AnyClient = request.param(make_enrolment(*urls), patience=patience, tls=tls)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def site() -> Iterator[ScriptedSite]:
    with scripted_site() as first:
        yield first


@pytest.fixture
def other_site() -> Iterator[ScriptedSite]:
    with scripted_site() as second:
        yield second


@pytest.fixture
def dead_url() -> str:
    """A base URL where nobody listens."""
    with scripted_site() as closed:
        return closed.base_url
