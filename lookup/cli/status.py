"""`lacuna status`: where a running site stands, for people and for monitoring."""

import ssl
import time
from contextlib import suppress
from typing import Any, Final

import click
import httpx2

from lookup import exits
from lookup.cli.console import Failure, fact_lines, fail, json_option, print_json, say_facts
from lookup.cli.officer import CustodianAway, CustodianGone, Officer, connect
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
@click.option("--watch", is_flag=True, help="Draw it anew every second, until Ctrl-C.")
@json_option
@click.pass_context
def command(ctx: click.Context, *, watch: bool, as_json: bool) -> int:
    """Ask, judge, show."""
    if watch and as_json:
        fail(exits.USAGE, "--watch draws for people, --json prints one document: choose one")
    officer = connect(ctx)
    if watch:
        return _watch(officer)
    try:
        report = _report(officer)
    except (CustodianAway, CustodianGone) as failure:
        # Lookups may go on without a custodian: whoever watches has to know both.
        lookups = _ask_lookups(officer.config)
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


def _report(officer: Officer) -> dict[str, Any]:
    report = officer.get("/v1/local/status")
    report["lookups"] = _ask_lookups(officer.config)
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


def _watch(officer: Officer) -> int:
    from rich.live import Live  # noqa: PLC0415  # only --watch needs it

    with Live(auto_refresh=False) as live:
        try:
            while True:
                live.update(_drawn(officer), refresh=True)
                time.sleep(1)
        except KeyboardInterrupt:
            return exits.OK


def _drawn(officer: Officer) -> Any:  # noqa: ANN401  # imported late
    from rich.text import Text  # noqa: PLC0415  # only --watch needs it

    try:
        report = _report(officer)
    except Failure as failure:
        lookups = _ask_lookups(officer.config)["detail"]
        return Text(f"{failure.message}\nlookups  {lookups}", style="bold red")
    style = "yellow" if report["findings"] else ""
    return Text("\n".join([time.strftime("%H:%M:%S"), *fact_lines(facts(report))]), style=style)
