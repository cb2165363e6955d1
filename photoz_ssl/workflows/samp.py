"""Sending a table to TOPCAT and its kind by SAMP."""

from __future__ import annotations

import warnings
from typing import Any

from photoz_ssl import __version__
from photoz_ssl.errors import PhotozError
from photoz_ssl.extras import import_extra

__all__ = ["send_table"]


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
        If no hub runs, nobody there takes tables, or pyvo is not installed.
    """
    samp = import_extra("pyvo.samp", extra="samp", purpose="sending by SAMP")
    with samp.conf.set_temp("use_internet", False):  # or it would look for a public address
        return _sent(samp, url, name, f"table.load.{kind}")


def _sent(samp: Any, url: str, name: str, message_type: str) -> int:
    failures = (samp.SAMPHubError, samp.SAMPProxyError, OSError)
    client = samp.SAMPIntegratedClient(
        name="photoz-ssl",
        description="Redshifts and look-alikes of galaxies",
        metadata={"photoz-ssl.version": __version__},
        addr="127.0.0.1",
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", samp.SAMPWarning)
            client.connect()
    except failures as error:
        raise PhotozError(
            "no SAMP hub runs on this computer", "start TOPCAT, which brings one, and send again"
        ) from error
    try:
        receivers = [*client.get_subscribed_clients(message_type)]
        message = {
            "samp.mtype": message_type,
            "samp.params": {"url": url, "table-id": url, "name": name},
        }
        for receiver in receivers:
            client.notify(receiver, message)
    except failures as error:
        raise PhotozError("the SAMP hub does not answer", "start TOPCAT again") from error
    finally:
        client.disconnect()
    if not receivers:
        raise PhotozError("no program on the SAMP hub takes tables", "start TOPCAT and send again")
    return len(receivers)
