"""`lacuna status`: where a running site stands, for people and for monitoring."""

import ssl
from contextlib import suppress
from typing import Any, Final

import click
import httpx2

from lookup import exits
from lookup.cli.configured import load
from lookup.cli.console import fail, json_option, print_json, say_facts
from lookup.cli.custodian import Custodian, CustodianAway, CustodianGone, connect
from lookup.cli.standing import facts, judge
from lookup.client.tls import Tls, make_context
from lookup.config import Config
from lookup.tls import TlsFiles, trust_own

_READY_TIMEOUT: Final = 3.0

HELP: Final = """Show where a running site stands.

The custodian is asked over its UNIX socket, and the lookup plane at the first of serve.base_urls,
as a hospital would. What needs a person is listed at the end.

\b
Exit status
  0   healthy
  1   something needs a person: a slot lags, pages are damaged, the index is not
      complete, the mirror is behind, a worker is missing or not current,
      or lookups are not answered
  69  no custodian answers; lookups may go on without one for serve.belt_minutes
"""


@click.command(help=HELP, short_help="Show where a running site stands.")
@click.option("--watch", is_flag=True, help="Draw how it does every second, until Ctrl-C.")
@json_option
@click.pass_context
def command(ctx: click.Context, *, watch: bool, as_json: bool) -> int:
    """Ask, judge, show."""
    if watch and as_json:
        fail(exits.USAGE, "--watch draws for people, --json prints one document: choose one")
    custodian, config = connect(ctx), load(ctx)
    if watch:
        from lookup.cli.watching import watch as watch_on  # noqa: PLC0415  # rich: 0.1 s

        return watch_on(
            lambda: _report(custodian, config), lambda: str(_ask_lookups(config)["detail"])
        )
    try:
        report = _report(custodian, config)
    except (CustodianAway, CustodianGone) as failure:
        # Lookups may go on without a custodian: whoever watches has to know both.
        lookups = _ask_lookups(config)
        if as_json:
            findings = [failure.message, *([] if lookups["ready"] else [lookups["detail"]])]
            print_json({"lookups": lookups, "findings": findings})
        else:
            say_facts({"lookups": f"{lookups['base_url']}: {lookups['detail']}"})
        raise
    if as_json:
        print_json(report)
    else:
        say_facts(facts(report))
    return exits.FINDING if report["findings"] else exits.OK


def _report(custodian: Custodian, config: Config) -> dict[str, Any]:
    report = custodian.get("/v1/local/status")
    report["lookups"] = _ask_lookups(config)
    report["findings"] = judge(report)
    return report


def _ask_lookups(config: Config) -> dict[str, Any]:
    base_url = config.base_urls[0]
    try:
        with httpx2.Client(
            timeout=_READY_TIMEOUT, trust_env=False, verify=_make_context(config.tls)
        ) as client:
            response = client.get(f"{base_url}/health/ready")
    except (httpx2.HTTPError, OSError) as error:
        if "CERTIFICATE_REQUIRED" in str(error):
            # This command has none to show. Workers and table are reported by the custodian.
            detail = "reached; callers must show a certificate"
            return {"base_url": base_url, "ready": True, "detail": detail}
        detail = f"no answer ({type(error).__name__})"
        return {"base_url": base_url, "ready": False, "detail": detail}
    ready = response.status_code == 200
    detail = "ready" if ready else f"not ready ({_title(response)})"
    return {"base_url": base_url, "ready": ready, "detail": detail}


def _make_context(files: TlsFiles | None) -> ssl.SSLContext:
    context = make_context(Tls())
    if files is not None:
        trust_own(context, files.certificate)
    return context


def _title(response: httpx2.Response) -> str:
    """Return what a problem is called, or the bare status of an answer that is none."""
    with suppress(ValueError, TypeError, KeyError):
        return str(response.json()["title"])
    return str(response.status_code)
