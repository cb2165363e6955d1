"""Sending a table to TOPCAT and its kind by SAMP."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from photoz_ssl import __version__
from photoz_ssl.errors import PhotozError
from photoz_ssl.extras import import_extra

__all__ = ["send_table"]

SECONDS_TO_ANSWER = 10
"""That a hub is waited for: one may hang, with the program that brought it."""


def send_table(url: str, name: str, kind: str = "fits") -> int:
    """Ask every program on the SAMP hub that takes tables to load one.

    Parameters
    ----------
    url : str
        Where the table is.
    name : str
        What to call it.
    kind : {'fits', 'votable'}
        Its format.

    Returns
    -------
    int
        How many programs were asked.

    Raises
    ------
    PhotozError
        If no hub answers, nobody there takes tables, or pyvo is not installed.
    """
    samp = import_extra("pyvo.samp", extra="samp", purpose="sending by SAMP")
    with samp.conf.set_temp("use_internet", False):  # or it would look for a public address
        return _sent(samp, url, name, f"table.load.{kind}")


def _sent(samp: Any, url: str, name: str, message_type: str) -> int:
    client = samp.SAMPIntegratedClient(
        name="photoz-ssl",
        description="Redshifts and look-alikes of galaxies",
        metadata={"photoz-ssl.version": __version__},
        addr="127.0.0.1",
    )
    message = {
        "samp.mtype": message_type,
        "samp.params": {"url": url, "table-id": url, "name": name},
    }
    with _talk("no SAMP hub answers on this computer", "start TOPCAT, which brings one"):
        client.connect()
    with _talk("the SAMP hub does not answer any more", "start TOPCAT again"):
        try:
            receivers = [*client.get_subscribed_clients(message_type)]
            for receiver in receivers:
                client.notify(receiver, message)
        finally:
            client.disconnect()
    if not receivers:
        raise PhotozError("no program on the SAMP hub takes tables", "start TOPCAT and send again")
    return len(receivers)


@contextmanager
def _talk(failure: str, hint: str) -> Iterator[None]:
    """Talk to a hub, but wait for no answer for ever, as pyvo by itself does."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS_TO_ANSWER)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # pyvo raises whatever a lock file or an answer leads it to
        raise PhotozError(failure, f"{hint}, and send again") from error
    finally:
        socket.setdefaulttimeout(before)
