"""Where does a command's server listen, what may it be called there, and how does it end?"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import FrameType
from typing import TYPE_CHECKING

from rbrlang.cli.errors import UsageError

if TYPE_CHECKING:
    from starlette.applications import Starlette


def missing(error: ModuleNotFoundError) -> UsageError:
    """What to say where the extra is not installed."""
    return UsageError(f"`{error.name}` is missing; install the extra: pip install 'rbrlang[serve]'")


def serve(application: Starlette, listening: socket.socket, grace: int, tell: Callable[[], None]) -> None:
    """Answer until a signal ends it, and after that what was accepted, for so many seconds at most.

    `tell` says where it listens, once a signal would end it well. Raises `UserError`.
    """
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise missing(error) from error

    config = uvicorn.Config(
        application, log_config=None, access_log=False, server_header=False, ws="none", http="httptools",
        timeout_keep_alive=75, timeout_graceful_shutdown=grace, lifespan="on",
    )  # fmt: skip
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # uvicorn raises the signal that ended it once more when it is done: by then there is nothing left to end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)
    tell()
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


def url(listening: socket.socket) -> str:
    """The address that it listens at."""
    host, number = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{number}"


def _ignore(_: int, __: FrameType | None) -> None:
    """Do nothing, but unlike `SIG_IGN` let a handler be set over it."""


def hosts(host: str, port: int, more: Sequence[str] = ()) -> frozenset[str] | None:
    """What a request may call this server; None for anything, where a token guards it and no name was given."""
    if not is_loopback(host) and not more:
        return None
    address = f"[{host}]" if ":" in host else host
    own = {"127.0.0.1", "localhost", "[::1]", address.lower()}
    return frozenset({f"{name}:{port}" for name in own} | {name.lower() for name in more})


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; connections wait in it until the server runs. Raises `UserError`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with ExitStack() as on_failure:
            found = on_failure.enter_context(socket.socket(family))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
            found.listen(1024)
            on_failure.pop_all()
            return found
    except OSError as error:
        raise UsageError(f"cannot listen on `{host}`, port {port}: {(error.strerror or str(error)).lower()}") from error


def port(text: str) -> int:
    """A port, 0 for a free one."""
    if text.isascii() and text.isdigit() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"`{text}` is no port, a number from 0 to 65535")
