"""Which site a command is about."""

from pathlib import Path

import click

from lookup import exits
from lookup.cli.console import fail
from lookup.config import DEFAULT_PATH, Config, InvalidConfig, load_config


def config_path(ctx: click.Context) -> Path:
    """Return the configuration that --config names, or the first of the usual ones there is."""
    given: Path | None = ctx.find_root().obj
    if given is not None:
        return given
    here = Path("lacuna.toml")
    return here if here.exists() else DEFAULT_PATH


def load(ctx: click.Context) -> Config:
    """Return the site's configuration, or end the command."""
    try:
        return load_config(config_path(ctx))
    except InvalidConfig as error:
        fail(exits.CONFIG, str(error), "name a site's configuration with --config FILE")
