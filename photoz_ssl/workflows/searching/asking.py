"""Opening what `similar` is asked: the options become a question."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from photoz_ssl.config import SimilarConfig
from photoz_ssl.neighbours.lookup import is_number
from photoz_ssl.spec import NETWORK_SIZE, ImageSpec
from photoz_ssl.survey.angles import looks_like_position, position_of
from photoz_ssl.survey.catalog import open_catalog
from photoz_ssl.workflows.searching.moved import Moved
from photoz_ssl.workflows.searching.questions import FromId, FromIds, FromImages, FromSky, Question

__all__ = ["open_question"]


@contextmanager
def open_question(config: SimilarConfig) -> Iterator[Question | None]:
    """Open what a config asks, without reading images yet; None for ``--most-unusual``.

    Raises
    ------
    PhotozError
        If an input is not there or not of a kind that can be asked.
    """
    with ExitStack() as stack:
        base = stack.enter_context(_open_base(config))
        like = [stack.enter_context(_open_example(text, config)) for text in config.like]
        unlike = [stack.enter_context(_open_example(text, config)) for text in config.unlike]
        if base is None and len(like) == 1 and not unlike:
            yield like[0]
        elif like or unlike:
            yield Moved(base, like, unlike)
        else:
            yield base


@contextmanager
def _open_base(config: SimilarConfig) -> Iterator[Question | None]:
    """The question without what is liked and unliked, if there is any."""
    if config.queries is not None:
        with _open_table(config.queries, config) as question:
            yield question
    elif config.image is not None:
        with _open_image(config.image, config) as question:
            yield question
    elif config.near is not None:
        with _open_position(config.near, config) as question:
            yield question
    else:
        yield None


@contextmanager
def _open_example(text: str, config: SimilarConfig) -> Iterator[Question]:
    """What --like and --unlike name: an id of the atlas, a position, or an image."""
    if is_number(text):
        yield FromId(text)
    elif looks_like_position(text):
        yield FromSky(*position_of(text))
    elif not Path(text).exists():
        yield FromId(text)
    else:
        with _open_image(Path(text), config) as question:
            yield question


@contextmanager
def _open_table(path: str, config: SimilarConfig) -> Iterator[Question]:
    from photoz_ssl.survey.archive import is_archive
    from photoz_ssl.survey.catalog_source import catalog_source, says_where_images_are
    from photoz_ssl.survey.npz import is_npz
    from photoz_ssl.survey.sources import open_source

    with ExitStack() as stack:
        if is_archive(path) or is_npz(path):
            opened = open_source(path, config, size=NETWORK_SIZE, workers=config.workers)
            yield FromImages(stack.enter_context(opened), path)
            return
        catalog = stack.enter_context(open_catalog(path, may_be_empty=True))
        if not says_where_images_are(catalog, config):
            yield FromIds(catalog, config)
            return
        spec = ImageSpec(size=NETWORK_SIZE)
        source = catalog_source(catalog, config, spec=spec, workers=config.workers)
        yield FromImages(stack.enter_context(source), path)


@contextmanager
def _open_image(path: Path, config: SimilarConfig) -> Iterator[FromImages]:
    from photoz_ssl.survey.catalog_source import catalog_source
    from photoz_ssl.survey.single import image_catalog

    spec = ImageSpec(size=NETWORK_SIZE)
    catalog, notices = image_catalog(path, spec)
    plain = dataclasses.replace(config, cutouts=None, frames=None, id_column=None)
    with catalog_source(catalog, plain, spec=spec, workers=1) as source:
        yield FromImages(source, str(path), notices, anonymous=True)


@contextmanager
def _open_position(position: tuple[float, float], config: SimilarConfig) -> Iterator[Question]:
    from photoz_ssl.survey.catalog_source import catalog_source
    from photoz_ssl.survey.single import position_catalog

    ra, dec = position
    if config.frames is None:
        yield FromSky(ra, dec)
        return
    catalog, spec = position_catalog(ra, dec), ImageSpec(size=NETWORK_SIZE)
    plain = dataclasses.replace(config, cutouts=None, id_column=None)
    with catalog_source(catalog, plain, spec=spec, workers=config.workers) as source:
        yield FromImages(source, catalog.path, anonymous=True)
