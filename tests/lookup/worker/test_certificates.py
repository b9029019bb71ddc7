"""Clients that are bound to certificates: a stolen secret alone does not do."""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from crypto.token import TokenMaker
from lookup.client.attempts import Patience
from lookup.client.enrolment import Enrolment
from lookup.client.outcome import CouldNotCheck, Known, NoRecord, Reason
from lookup.client.sync import LookupClient
from lookup.client.tls import Tls
from lookup.errors import Unauthorized
from lookup.handoff import Client
from lookup.worker.certificates import require_certificate
from tests.lookup.client.certificates import (
    CertificateAuthority,
    fingerprint,
    make_certificate_authority,
)
from tests.lookup.client.scripted_site import (
    CANARY,
    CHILD,
    CLIENT_ID,
    KEY,
    OCCASION,
    SECRET,
    make_enrolment,
)
from tests.lookup.raw_http import wait_until
from tests.lookup.worker.plane import Plane, make_body, make_request, running_plane

FREE = Client(CLIENT_ID, "St. Elsewhere")
BOUND = msgspec.structs.replace(FREE, certificates=["aa" * 32, "bb" * 32])

CASES = {
    "not bound, none shown": (FREE, None, True),
    "not bound, one shown": (FREE, "aa" * 32, True),
    "bound, one of them": (BOUND, "bb" * 32, True),
    "bound, none shown": (BOUND, None, False),
    "bound, another's": (BOUND, "cc" * 32, False),
    "bound, part of one": (BOUND, "aa" * 31, False),
    "bound, in capitals": (BOUND, "AA" * 32, False),
}


@pytest.mark.parametrize(("client", "shown", "allowed"), CASES.values(), ids=CASES)
def test_which_certificate_does(client: Client, shown: str | None, allowed: bool) -> None:  # noqa: FBT001  # a table's column
    if allowed:
        require_certificate(client, shown)
    else:
        with pytest.raises(Unauthorized):
            require_certificate(client, shown)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return make_certificate_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(authority: CertificateAuthority) -> Iterator[Plane]:
    """A plane that asks for certificates, and knows one child and the canary."""
    certificate = str(authority.issue("site"))
    options = ("--tls-certificate", certificate, "--tls-key", certificate)
    with running_plane(*options, "--client-ca", str(authority.file)) as plane:
        tokens = TokenMaker(KEY)
        plane.custodian.add_to(tokens.make(*CHILD))
        plane.custodian.add_to(tokens.make(*CANARY), category=3, test=True)
        yield plane.ready(kids=[tokens.kid])


def bind(plane: Plane, *certificates: str) -> None:
    """Hand over a client with our secret that is bound to these."""
    client = msgspec.structs.replace(FREE, certificates=list(certificates))
    plane.custodian.publish_and_wait(
        kids=[TokenMaker(KEY).kid], clients={SECRET.fingerprint(): client}
    )


Ask = Callable[..., object]


@pytest.fixture
def ask(secure: Plane, authority: CertificateAuthority) -> Ask:
    """Ask with the SDK, showing the certificate in a file."""

    def asked(certificate: str) -> object:
        enrolment: Enrolment = make_enrolment(f"https://127.0.0.1:{secure.address[1]}")
        tls = Tls(authority.file, authority.folder / f"{certificate}.pem")
        patience = Patience(total_seconds=5, attempt_seconds=5, pause_seconds=0.01)
        with LookupClient(enrolment, patience=patience, tls=tls) as client:
            return client.lookup(CHILD, OCCASION)

    authority.issue("hospital")
    authority.issue("another")
    return asked


def test_the_certificate_that_a_client_is_bound_to(
    secure: Plane, authority: CertificateAuthority, ask: Ask
) -> None:
    """Right secret and right certificate: answered. Right secret alone: as if it were wrong."""
    bind(secure, fingerprint(authority.folder / "hospital.pem"))

    assert isinstance(ask("hospital"), Known)
    with pytest.raises(CouldNotCheck) as caught:
        ask("another")
    assert caught.value.reason is Reason.UNAUTHORIZED


def test_two_while_one_is_renewed(secure: Plane, authority: CertificateAuthority, ask: Ask) -> None:
    bind(secure, *(fingerprint(authority.folder / f"{n}.pem") for n in ("hospital", "another")))

    assert isinstance(ask("hospital"), Known)
    assert isinstance(ask("another"), Known)


def test_a_client_that_is_not_bound(secure: Plane, ask: Ask) -> None:
    bind(secure)

    assert isinstance(ask("another"), Known)


def test_a_certificate_of_nobody_we_know(
    secure: Plane, tmp_path_factory: pytest.TempPathFactory, authority: CertificateAuthority
) -> None:
    """It does not get as far as HTTP."""
    bind(secure)
    forger = make_certificate_authority(tmp_path_factory.mktemp("forger"))
    enrolment = make_enrolment(f"https://127.0.0.1:{secure.address[1]}")
    tls = Tls(authority.file, forger.issue("hospital"))
    entered = secure.passes.entered()
    patience = Patience(total_seconds=2, attempt_seconds=1, pause_seconds=0.01)
    with (
        LookupClient(enrolment, patience=patience, tls=tls) as client,
        pytest.raises(CouldNotCheck) as caught,
    ):
        client.lookup(CHILD, OCCASION)
    assert caught.value.reason in {Reason.INSECURE, Reason.DISCONNECTED}
    assert secure.passes.entered() == entered


def test_without_tls_nobody_has_shown_anything(plane: Plane) -> None:
    """Also not by a header, which a proxy might set, and so might anyone."""
    clients = dict.fromkeys(plane.custodian.make_view().clients, BOUND)
    plane.custodian.publish_and_wait(clients=clients)
    request = make_request(
        make_body(b"?" * 32), x_client_cert="aa" * 32, x_ssl_client_fingerprint="aa" * 32
    )
    assert plane.ask(request).status == 401


def test_files_that_do_not_do_end_the_worker(authority: CertificateAuthority) -> None:
    """With the rule in the log, and a status that says that it is the configuration."""
    path = authority.issue("open")
    path.chmod(0o644)
    with running_plane("--tls-certificate", str(path), "--tls-key", str(path)) as plane:
        wait_until(lambda: plane.worker.poll() is not None)
        assert plane.worker.returncode == 78
        assert plane.log.strip().endswith(f"chmod 600 {path}")
        assert "Traceback" not in plane.log


def test_nothing_is_known_of_another_child(secure: Plane, ask: Ask) -> None:
    """The table above is not so generous that everything is known."""
    bind(secure)
    secure.custodian.table.remove(
        secure.custodian.tag(TokenMaker(KEY).make(*CHILD)),
        secure.custodian.handles[TokenMaker(KEY).make(*CHILD)],
    )
    assert ask("hospital") == NoRecord()
