"""What `similar` is asked, moved by examples of what is liked and what is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.exact import NOBODY
from photoz_ssl.neighbours.query import Queries, rocchio
from photoz_ssl.object_ids import NO_ID
from photoz_ssl.workflows.searching.atlas_encoder import AtlasEncoder
from photoz_ssl.workflows.searching.questions import Asked, Question, require_image

__all__ = ["Moved"]


class Moved:
    """A question moved towards what is liked and away from what is not; see `rocchio`.

    Without a question of its own it is one query: what is liked.
    """

    def __init__(
        self, base: Question | None, like: Sequence[Question], unlike: Sequence[Question]
    ) -> None:
        self._base, self._like, self._unlike = base, like, unlike
        self.n_queries = base.n_queries if base else 1
        self.spec = base.spec if base else None
        self.name = (
            base.name if base else f"like {' and '.join(question.name for question in like)}"
        )

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know."""
        questions = (*([self._base] if self._base else ()), *self._like, *self._unlike)
        return tuple(notice for question in questions for notice in question.notices)

    def blocks(
        self, atlas: Atlas, encoder: AtlasEncoder, columns: Sequence[str]
    ) -> Iterator[Asked]:
        """As `Question.blocks`."""
        like = [_only(question, atlas, encoder, columns) for question in self._like]
        unlike = [_only(question, atlas, encoder, ()) for question in self._unlike]
        towards, away = (_vectors(examples, atlas) for examples in (like, unlike))
        rows = np.concatenate([example.queries.row for example in (*like, *unlike)])
        base = self._base.blocks(atlas, encoder, columns) if self._base else [_mean(like)]
        for asked in base:
            own = asked.queries.vectors if self._base else None
            queries = dataclasses.replace(asked.queries, vectors=rocchio(own, towards, away))
            yield dataclasses.replace(asked, queries=queries, left_out=rows[rows != NOBODY])


def _only(question: Question, atlas: Atlas, encoder: AtlasEncoder, columns: Sequence[str]) -> Asked:
    """The one query of an example.

    Raises
    ------
    CutoutError
        If its image cannot be used.
    """
    (asked,) = question.blocks(atlas, encoder, columns)
    require_image(asked, question.name, atlas)
    return asked


def _vectors(examples: Sequence[Asked], atlas: Atlas) -> NDArray[np.float32]:
    empty = np.empty((0, atlas.representations.shape[1]), np.float32)
    return np.concatenate([empty, *(example.queries.vectors for example in examples)])


def _mean(examples: Sequence[Asked]) -> Asked:
    """One query that stands for several examples: no galaxy, in no place, of their mean values."""
    nowhere = np.full(1, np.nan)
    values = [example.queries.values for example in examples]
    queries = Queries(
        vectors=examples[0].queries.vectors,
        object_id=np.full(1, NO_ID),
        has_ids=False,
        ra=nowhere,
        dec=nowhere,
        row=np.full(1, NOBODY),
        values={name: np.mean([known[name] for known in values], axis=0) for name in values[0]},
    )
    return Asked(0, queries, np.full(1, np.nan, np.float32), examples[0].pictures)
