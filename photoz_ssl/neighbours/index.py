"""An inverted-file index: most of an atlas is not looked at, and a few neighbours are missed.

Vectors are shortened to their part along a few principal axes and sorted into lists around
centres found by k-means. In its list a vector is kept as a byte a number, or in a huge atlas
product-quantised (Jegou, Douze & Schmid 2011). A query looks through the lists whose centres
are closest to it; what it finds there is ranked by the vectors of the atlas themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError
from photoz_ssl.extras import import_extra, require_extra
from photoz_ssl.hdf5 import open_file
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.exact import NOBODY, Found, Window, nearest, rank

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "KINDS",
    "Codec",
    "Index",
    "fill",
    "import_faiss",
    "index_path",
    "learnt",
    "new_faiss_index",
    "read_index",
    "require_indexer",
]

FORMAT = "photoz-ssl index"
FORMAT_VERSION = 1

KINDS = ("ivf-sq8", "ivf-pq")
"""A byte a number, and product quantisation with a byte for two numbers."""

FEWEST_LEVELS = 256
"""Numbers that a product quantiser tells apart, however small its atlas is."""

LISTED_BESIDE = 16
"""Candidates beside the multiple of what is asked for."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Codec:
    """What turns vectors into a list and a code, without the vectors.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    axes : ndarray, shape (n_features, n_axes), float32
        Along which vectors are kept.
    centres : ndarray, shape (n_lists, n_axes), float32
        Of the lists.
    levels : ndarray, shape (n_levels,), float32
        What the quantiser has learnt, as FAISS stores it.
    """

    kind: str
    axes: NDArray[np.float32]
    centres: NDArray[np.float32]
    levels: NDArray[np.float32]

    def to_faiss(self) -> Any:
        """An empty index of FAISS that encodes and searches by this codec.

        Raises
        ------
        ValueError
            If the parts do not fit together.
        """
        index = new_faiss_index(self.kind, self.axes.shape[1], len(self.centres))
        index.quantizer.add(np.ascontiguousarray(self.centres))
        learnt = _learnt_vector(index, self.kind)
        if self.kind == KINDS[1] and learnt.size() != self.levels.size:
            raise ValueError("the quantiser has other levels")
        if self.kind == KINDS[0] and self.levels.size != 2 * self.axes.shape[1]:
            raise ValueError("the quantiser has other levels")
        import_faiss().copy_array_to_vector(np.ascontiguousarray(self.levels), learnt)
        index.is_trained = True
        return index


@dataclass(frozen=True)
class Index:
    """An index that is ready to be searched; see `read_index`.

    Parameters
    ----------
    codec : Codec
        How vectors are kept.
    lists : Any
        FAISS's index, filled.
    n_probe : int
        Lists that a query looks through.
    depth : int
        Candidates over what is asked for.
    recall : float
        Share of the ten nearest that were found, when it was built.
    """

    codec: Codec
    lists: Any
    n_probe: int
    depth: int
    recall: float

    def search(
        self,
        queries: NDArray[np.float32],
        atlas: Atlas,
        n_neighbours: int,
        *,
        among: NDArray[np.bool_] | None = None,
        window: Window | None = None,
    ) -> Found:
        """Find neighbours as `nearest` does, less those in lists that are not looked through.

        A query that finds too few, for lack of allowed galaxies in its lists, is searched
        exactly.
        """
        asked = np.flatnonzero(np.isfinite(queries).all(axis=1))
        row = np.full((len(queries), n_neighbours), NOBODY, np.int64)
        similarity = np.full(row.shape, -np.inf)
        found = self.look_up(queries[asked], atlas, n_neighbours, among, _chosen(window, asked))
        row[asked], similarity[asked] = found.row, found.similarity
        lonely = asked[found.row[:, -1] == NOBODY]
        if len(lonely):
            exact = nearest(
                queries[lonely],
                atlas.representations,
                n_neighbours,
                vector_id=atlas.object_id,
                among=among,
                window=_chosen(window, lonely),
            )
            row[lonely], similarity[lonely] = exact.row, exact.similarity
        return Found(row, similarity)

    def look_up(
        self,
        queries: NDArray[np.float32],
        atlas: Atlas,
        n_neighbours: int,
        among: NDArray[np.bool_] | None,
        window: Window | None,
    ) -> Found:
        """What lies in the lists closest to each query; the queries are finite."""
        faiss = import_faiss()
        choice = None
        if among is not None:
            choice = faiss.IDSelectorBitmap(np.packbits(among, bitorder="little"))
        parameters = faiss.SearchParametersIVF(nprobe=self.n_probe, sel=choice)
        short = np.ascontiguousarray(queries @ self.codec.axes)
        n_listed = self.depth * n_neighbours + LISTED_BESIDE
        _, listed = self.lists.search(short, n_listed, params=parameters)
        if window is not None:
            query, place = np.nonzero(listed != NOBODY)
            refused = ~window(query, listed[query, place])
            listed[query[refused], place[refused]] = NOBODY
        return rank(queries, atlas.representations, listed, n_neighbours, vector_id=atlas.object_id)

    def probing(self, n_probe: int, depth: int) -> Index:
        """The same index, looked through more or less thoroughly."""
        return replace(self, n_probe=n_probe, depth=depth)


def index_path(atlas: Path) -> Path:
    """Where the index of an atlas is: ``NAME.index.h5`` beside it."""
    return atlas.with_name(f"{atlas.stem}.index.h5")


def import_faiss() -> ModuleType:
    """FAISS, or the error that it is not installed."""
    return import_extra("faiss", extra="search", purpose="searching through an index")


def require_indexer() -> None:
    """Refuse work at whose end `import_faiss` would fail.

    Raises
    ------
    MissingExtraError
        If FAISS is not installed.
    """
    require_extra("faiss", extra="search", purpose="making an index")


def read_index(atlas: Atlas) -> Index:
    """Read the index of an atlas into memory.

    Raises
    ------
    ArchiveError
        If there is none, it is damaged, or it is that of another or an older atlas.
    MissingExtraError
        If FAISS is not installed.
    """
    import_faiss()
    path = index_path(atlas.path)
    command = f"photoz-ssl embed {atlas.path} --index ivf"
    if not path.exists():
        raise ArchiveError(f"{atlas.path} has no index", f"make one with {command}")
    try:
        with open_file(path) as file:
            if str(file.attrs["fingerprint"]) != atlas.fingerprint:
                raise ArchiveError(
                    f"{path} is the index of another atlas, or of an older {atlas.path}",
                    f"make it again with {command} --overwrite",
                )
            if int(file.attrs["format_version"]) > FORMAT_VERSION:
                raise ArchiveError(f"{path} is of a newer format", "update photoz-ssl")
            return _read(file, atlas)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ArchiveError(
            f"{path} is not a readable index", f"make it again with {command} --overwrite"
        ) from error


def _read(file: h5py.File, atlas: Atlas) -> Index:
    kind = str(file.attrs["kind"])
    if kind not in KINDS:
        raise ValueError("an index of an unknown kind")
    n_galaxies, n_features = atlas.representations.shape
    most = max(n_galaxies, FEWEST_LEVELS) * n_features
    axes = _array(file, "axes", n_features**2).astype(np.float32)
    centres, levels = (_array(file, name, most).astype("f4") for name in ("centres", "levels"))
    if axes.ndim != 2 or len(axes) != n_features or centres.shape[1:] != axes.shape[1:]:
        raise ValueError("the axes do not fit the atlas")
    codec = Codec(kind, axes, centres, levels)
    lists = codec.to_faiss()
    sizes = _array(file, "sizes", n_galaxies).astype(np.int64)
    codes, rows = (_array(file, name, most) for name in ("codes", "rows"))
    fill(lists, sizes, codes, rows, n_galaxies)
    n_probe, depth = int(file.attrs["n_probe"]), int(file.attrs["depth"])
    if not (1 <= n_probe <= len(centres) and 1 <= depth <= 1024):
        raise ValueError("the index is searched in an impossible way")
    return Index(codec, lists, n_probe, depth, float(file.attrs["recall"]))


def _array(file: h5py.File, name: str, most: int) -> NDArray[Any]:
    """A dataset that has no more numbers than there can be, so that it fits in memory."""
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.size is None or dataset.size > most:
        raise ValueError("a part of the index is larger than the atlas")
    return np.asarray(dataset[()])


def fill(
    lists: Any,
    sizes: NDArray[np.int64],
    codes: NDArray[np.uint8],
    rows: NDArray[np.int64],
    n_galaxies: int,
) -> None:
    """Put codes, sorted by list, into an empty index of FAISS.

    Raises
    ------
    ValueError
        If they do not fit together, or a row is none of the atlas.
    """
    whole = codes.dtype == np.uint8 and rows.dtype == np.int64 and codes.ndim == 2
    if not whole or codes.shape != (len(rows), lists.code_size) or sizes.shape != (lists.nlist,):
        raise ValueError("the lists do not fit the index")
    if sizes.min(initial=0) < 0 or sizes.sum() != len(rows):
        raise ValueError("the lists have other lengths")
    if len(rows) and not (rows.min() >= 0 and rows.max() < n_galaxies):
        raise ValueError("the lists have rows that the atlas has not")
    faiss = import_faiss()
    for number, stop in enumerate(np.cumsum(sizes)):
        of_list = slice(int(stop - sizes[number]), int(stop))
        own_rows, own_codes = (np.ascontiguousarray(part[of_list]) for part in (rows, codes))
        lists.invlists.add_entries(
            number, len(own_rows), faiss.swig_ptr(own_rows), faiss.swig_ptr(own_codes)
        )
    lists.ntotal = len(rows)


def new_faiss_index(kind: str, n_axes: int, n_lists: int) -> Any:
    """An untrained index of FAISS for inner products."""
    faiss = import_faiss()
    centres, product = faiss.IndexFlatIP(n_axes), faiss.METRIC_INNER_PRODUCT
    if kind == KINDS[0]:
        index = faiss.IndexIVFScalarQuantizer(
            centres, n_axes, n_lists, faiss.ScalarQuantizer.QT_8bit, product
        )
    else:
        n_codes = n_axes // 2 if n_axes % 2 == 0 else n_axes
        index = faiss.IndexIVFPQ(centres, n_axes, n_lists, n_codes, 8, product)
    return index


def learnt(index: Any, kind: str) -> NDArray[np.float32]:
    """What the quantiser of a trained index of FAISS has learnt, as one array."""
    return np.asarray(import_faiss().vector_to_array(_learnt_vector(index, kind)))


def _learnt_vector(index: Any, kind: str) -> Any:
    return index.sq.trained if kind == KINDS[0] else index.pq.centroids


def _chosen(window: Window | None, queries: Rows) -> Window | None:
    """The window of some of the queries, which are numbered anew."""
    if window is None:
        return None
    return lambda query, row: window(queries[query], row)
