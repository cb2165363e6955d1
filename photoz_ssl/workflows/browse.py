"""A page on this computer, to look around in an atlas."""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from photoz_ssl.config import BrowseConfig, SimilarConfig
from photoz_ssl.errors import ArchiveError, ConfigError, MissingExtraError
from photoz_ssl.neighbours.atlas import Atlas, read_atlas
from photoz_ssl.neighbours.index import index_path, read_index
from photoz_ssl.neighbours.map import has_map, principal_map, read_map
from photoz_ssl.workflows.browser.images import DroppedImages
from photoz_ssl.workflows.browser.server import make_app, require_server
from photoz_ssl.workflows.browser.view import AtlasView
from photoz_ssl.workflows.counting import counted
from photoz_ssl.workflows.searching.atlas_encoder import AtlasEncoder

if TYPE_CHECKING:
    from uvicorn import Server

__all__ = ["BrowseReport", "browse"]

HERE = "127.0.0.1"
SECONDS_TO_FINISH = 1
ENDING = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class BrowseReport:
    """What is served.

    Parameters
    ----------
    url : str
        Where, with the token without which nobody gets in.
    atlas : str
        Name of the atlas.
    n_galaxies : int
        Galaxies in it.
    notices : tuple of str
        What a user should know.
    """

    url: str
    atlas: str
    n_galaxies: int
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line: what is served, where, and how it ends."""
        shown = f"{counted(self.n_galaxies, 'galaxy')} of {self.atlas}"
        return f"photoz-ssl: {shown}; Ctrl-C ends it → {self.url}"


def browse(config: BrowseConfig, *, announce: Callable[[BrowseReport], None]) -> None:
    """Serve the page of an atlas until a signal ends it.

    Parameters
    ----------
    config : BrowseConfig
        What to serve, and where.
    announce : callable
        Told once, when the page can be opened.

    Raises
    ------
    PhotozError
        If the atlas, its map or its index cannot be read, the port is taken, or the packages
        that serve the page are not installed.
    """
    require_server()
    import uvicorn

    atlas = read_atlas(config.atlas)
    atlas.require_galaxies()
    view, notices = _open_view(atlas)
    passing = SimilarConfig(like=("0",), among=config.atlas, output="-", device=config.device)
    images = DroppedImages(atlas, AtlasEncoder(atlas, config.model, passing))
    token = secrets.token_urlsafe(16)
    with _listening(config.port) as door:
        port = door.getsockname()[1]
        app = make_app(view, images, port=port, token=token)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="error",
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=SECONDS_TO_FINISH,
            )
        )
        url = f"http://{HERE}:{port}/{token}/"
        with _ended_by_signals(server):
            announce(
                BrowseReport(url=url, atlas=str(atlas.path), n_galaxies=len(atlas), notices=notices)
            )
            if config.open:
                threading.Thread(target=_open_browser, args=(url,), daemon=True).start()
            server.run(sockets=[door])


def _open_view(atlas: Atlas) -> tuple[AtlasView, tuple[str, ...]]:
    """The atlas with its map, and its index where there is one."""
    if not len(atlas):
        raise ArchiveError(f"{atlas.path} holds no galaxies", "make it again")
    notices: list[str] = []
    if has_map(atlas):
        atlas_map = read_map(atlas)
    else:
        atlas_map = principal_map(atlas)
        notices.append(
            f"the map is of two principal components; photoz-ssl embed {atlas.path} --map makes"
            " one on which galaxies that look alike lie together"
        )
    index = None
    if index_path(atlas.path).exists():
        try:
            index = read_index(atlas)
        except MissingExtraError:
            notices.append("the atlas's index is not used, as FAISS is not installed")
    return AtlasView(atlas, atlas_map, index), tuple(notices)


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """A socket that only this computer reaches.

    Raises
    ------
    ConfigError
        If the port is taken or not allowed.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as door:
        if sys.platform != "win32":
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((HERE, port))
            door.listen()
        except OSError as error:
            raise ConfigError(
                f"the port {port} cannot be used: {(error.strerror or '').lower()}",
                "name another with --port, or none",
            ) from error
        yield door


@contextmanager
def _ended_by_signals(server: Server) -> Iterator[None]:
    """Take Ctrl-C and SIGTERM as a wish to end, and not as an accident."""

    def end(number: int, frame: object) -> None:
        server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _open_browser(url: str) -> None:
    with suppress(webbrowser.Error):
        if not webbrowser.open(url):
            log.info("no browser could be opened")
