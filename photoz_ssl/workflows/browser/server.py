"""The page over HTTP, for one person on this computer.

Whoever knows the token in the address is that person; other programs of this computer, and
pages from elsewhere that the same browser shows, do not. Requests under a foreign Host, as by
DNS rebinding, or from a foreign Origin are refused whatever they know.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ConfigError, PhotozError
from photoz_ssl.extras import import_extra
from photoz_ssl.workflows.browser.images import DroppedImages
from photoz_ssl.workflows.browser.view import Ask, AtlasView, Range, Selection
from photoz_ssl.workflows.samp import send_table

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["make_app", "require_server"]

PAGE = Path(__file__).with_name("page")
LARGEST_IMAGE = 64 << 20
"""Bytes of a dropped file; a cutout has some 100,000."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def require_server() -> None:
    """Refuse to go on without the packages that serve the page.

    Raises
    ------
    MissingExtraError
        If one is not installed.
    """
    for module in ("starlette.applications", "uvicorn", "PIL.Image"):
        import_extra(module, extra="browse", purpose="the page")


def make_app(view: AtlasView, images: DroppedImages, *, port: int, token: str) -> ASGIApp:
    """The application that serves an atlas.

    Parameters
    ----------
    view : AtlasView
        What is looked at.
    images : DroppedImages
        What was dropped onto the page.
    port : int
        Where it is served.
    token : str
        First part of every path.
    """
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect
    from starlette.routing import Mount

    hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
    desk = _Desk(view, images, f"http://127.0.0.1:{port}/{token}/")
    app = Starlette(
        routes=[Mount(f"/{token}", routes=desk.routes())],
        exception_handlers={PhotozError: _told, ClientDisconnect: _told},
    )
    return _Doorkeeper(app, hosts)


def _told(request: Request, error: Exception) -> Response:
    """An error as the page shows it."""
    from starlette.responses import JSONResponse

    told = {"message": getattr(error, "message", ""), "hint": getattr(error, "hint", "")}
    return JSONResponse(told, status_code=400)


class _Doorkeeper:
    """Lets in only what this page on this computer asks, and adds the headers that guard it."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts
        self._origins = frozenset(f"http://{host}" for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        foreign = headers.get("host") not in self._hosts or (
            "origin" in headers and headers["origin"] not in self._origins
        )
        if foreign:
            await PlainTextResponse("Refused: a foreign host or origin.\n", 403)(
                scope, receive, send
            )
            return

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, guarded)


class _Desk:
    """Answers requests; all but the upload in a thread of their own."""

    def __init__(self, view: AtlasView, images: DroppedImages, url: str) -> None:
        self._view, self._images, self._url = view, images, url

    def routes(self) -> list[Any]:
        """What there is, under the token."""
        from starlette.routing import Mount, Route
        from starlette.staticfiles import StaticFiles

        assets = StaticFiles(directory=PAGE, html=True)
        gets: dict[str, Callable[[Request], Response]] = {
            "atlas": self._atlas,
            "positions": self._positions,
            "column": self._column,
            "galaxy/{row:str}": self._galaxy,
            "stamp/{row:str}": self._stamp,
            "neighbours": self._neighbours,
            "neighbours.fits": self._neighbours_table,
            "selection.fits": self._selection_table,
            "search": self._search,
            "image/{handle:str}": self._image,
        }
        return [
            *(Route(f"/api/{path}", answer) for path, answer in gets.items()),
            Route("/api/image", self._drop, methods=["POST"]),
            Route("/api/send/{table:str}", self._send, methods=["POST"]),
            Mount("/", assets),
        ]

    def _atlas(self, request: Request) -> Response:
        return _json(self._view.describe())

    def _positions(self, request: Request) -> Response:
        return _numbers(self._view.positions())

    def _column(self, request: Request) -> Response:
        return _numbers(self._view.column(request.query_params.get("name", "")))

    def _galaxy(self, request: Request) -> Response:
        return _json(self._view.galaxy(_row(request.path_params["row"])))

    def _stamp(self, request: Request) -> Response:
        return _png(self._view.picture(_row(request.path_params["row"])))

    def _image(self, request: Request) -> Response:
        return _png(self._images[request.path_params["handle"]].picture)

    def _search(self, request: Request) -> Response:
        return _json(self._view.search(request.query_params.get("q", "")))

    def _neighbours(self, request: Request) -> Response:
        return _json(self._view.neighbours(self._ask(request.query_params)))

    def _neighbours_table(self, request: Request) -> Response:
        ask = self._ask(request.query_params)
        return _fits("neighbours.fits", lambda path: self._view.write_neighbours(ask, path))

    def _selection_table(self, request: Request) -> Response:
        selection = selection_of(request.query_params)
        return _fits("selection.fits", lambda path: self._view.write_selection(selection, path))

    def _send(self, request: Request) -> Response:
        table = request.path_params["table"]
        if table not in ("neighbours.fits", "selection.fits"):
            raise ConfigError("there is no such table")
        url = f"{self._url}api/{table}?{request.url.query}"
        title = f"{table.partition('.')[0]} in {self._view.atlas.path.name}"
        return _json({"receivers": send_table(url, title)})

    async def _drop(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > LARGEST_IMAGE:
                raise ConfigError(
                    f"the file has more than {LARGEST_IMAGE >> 20} MB", "cut the galaxy out first"
                )
        handle = await run_in_threadpool(self._images.add, bytes(content))
        return _json({"image": handle, "notices": self._images[handle].notices})

    def _ask(self, given: QueryParams) -> Ask:
        handle = given.get("image")
        return Ask(
            galaxy=_row(given["galaxy"]) if "galaxy" in given else None,
            image=self._images[handle].asked if handle else None,
            like=tuple(_row(text) for text in given.getlist("like")),
            unlike=tuple(_row(text) for text in given.getlist("unlike")),
            n_neighbours=_row(given.get("k", "24")),
            selection=selection_of(given),
        )


def selection_of(given: QueryParams) -> Selection:
    """The selection that a request spells: ``where=COLUMN:LOW:HIGH`` and ``box=X,Y,X,Y``."""
    ranges = []
    for text in given.getlist("where"):
        name, low, high = ["", "", *text.rsplit(":", 2)][-3:]
        ranges.append(
            Range(name, _number(low) if low else -np.inf, _number(high) if high else np.inf)
        )
    box = tuple(_number(text) for text in given["box"].split(",")) if "box" in given else None
    if box is not None and len(box) != 4:
        raise ConfigError("a box has four numbers")
    return Selection(ranges=tuple(ranges), box=box)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"{text[:40]!r} is not a number") from error


def _row(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise ConfigError(f"{text[:40]!r} is not a whole number")
    return int(text)


def _json(content: Any) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(content, headers={"Cache-Control": "no-store"})


def _numbers(content: bytes) -> Response:
    from starlette.responses import Response

    return Response(content, media_type="application/octet-stream")


def _png(picture: NDArray[np.uint8]) -> Response:
    from PIL import Image
    from starlette.responses import Response

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "PNG")
    headers = {"Cache-Control": "private, max-age=86400"}
    return Response(file.getvalue(), media_type="image/png", headers=headers)


def _fits(name: str, write: Callable[[Path], None]) -> Response:
    """A table as a download; its passing file goes when it is sent."""
    from starlette.background import BackgroundTask
    from starlette.responses import FileResponse

    folder = tempfile.TemporaryDirectory(prefix="photoz-ssl-")
    try:
        write(Path(folder.name) / name)
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(
        Path(folder.name) / name,
        filename=name,
        media_type="application/fits",
        background=BackgroundTask(folder.cleanup),
    )
