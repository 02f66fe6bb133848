"""`bizzmq dashboard`: pages for people who look at queues and act on them."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import click

from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.errors import ConfigurationError
from bizzmq.utils import secret_settings
from bizzmq.utils.secret_files import read_secret
from bizzmq.utils.standard_streams import show_on_stderr

PASSWORD, LOOK_PASSWORD = "BIZZMQ_DASHBOARD_PASSWORD", "BIZZMQ_DASHBOARD_LOOK_PASSWORD"
METRICS_TOKEN = "BIZZMQ_DASHBOARD_METRICS_TOKEN"  # noqa: S105 - the name of a variable
_LEAST, _LEAST_TOKEN = 8, 16
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--password-file", type=_FILE, metavar="FILE", help="The password of those who may look and act.")
@click.option("--look-password-file", type=_FILE, metavar="FILE", help="The password of those who may only look.")
@click.option("--metrics-token-file", type=_FILE, metavar="FILE", help="The token with which Prometheus asks /metrics.")
@click.option("--certfile", default="", metavar="FILE", help="Serve by TLS, with this certificate (PEM).")
@click.option("--keyfile", default="", metavar="FILE", help="The key of the certificate (PEM).")
@click.option("--behind-proxy", is_flag=True, help="A proxy ends TLS and sets X-Forwarded-For and -Proto.")
@click.option("--root-path", default="", metavar="PATH", help="The path under which the proxy serves it.")
@click.pass_obj
def dashboard(
    redis_url: str, /, *, password_file: Path | None, look_password_file: Path | None, metrics_token_file: Path | None,
    **given: Any,
) -> None:  # fmt: skip
    """Serve the dashboard: queues, messages, failures, pools and schedules, live, and acts on them.

    Everybody signs in with a password: from the files, or from BIZZMQ_DASHBOARD_PASSWORD and
    BIZZMQ_DASHBOARD_LOOK_PASSWORD. Without one, a password for this run is made and shown. Other addresses than those
    of this machine need TLS or a proxy. Needs the extra `dashboard`.
    """
    try:
        from bizzmq.web.access.passwords import Passwords  # noqa: PLC0415 - it needs the extra
        from bizzmq.web.server import ServerOptions, serve  # noqa: PLC0415 - the same
    except ImportError as error:
        raise ConfigurationError(
            f"the dashboard needs the extra `dashboard`: pip install starlette jinja2 uvicorn cron-descriptor ({error})"
        ) from None
    options = ServerOptions(**given)
    options.check()
    act, look = _secret(PASSWORD, password_file), _secret(LOOK_PASSWORD, look_password_file)
    token = _secret(METRICS_TOKEN, metrics_token_file, "token", _LEAST_TOKEN)
    made = "" if act else secrets.token_urlsafe(12)
    if act and act == look:
        raise ConfigurationError("the two passwords are the same: those who may look could act")
    client = AsyncBizzMQ(redis_url)

    def ready(url: str) -> None:
        show_on_stderr(f"The dashboard is at {url}")
        if made:
            show_on_stderr(f"The password of this run is {made} ({PASSWORD} or --password-file chooses another one)")

    serve(client, Passwords(act or made, look or None, metrics_token=token), options, ready)


def _secret(variable: str, file: Path | None, what: str = "password", least: int = _LEAST) -> str:
    """The secret of a file or a variable; "" without one. Raises ConfigurationError."""
    found = read_secret(file) if file is not None else secret_settings.get(variable) or ""
    if found and len(found) < least:
        where = f"in {str(file)!r}" if file is not None else variable
        raise ConfigurationError(f"the {what} {where} is too short: use at least {least} characters")
    return found
