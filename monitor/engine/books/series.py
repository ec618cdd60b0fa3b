"""Which series a metric of books has: one a book, a shadow, a role, or one alone.

What a metric is made of names the books that it rests on, so that decisions can name their inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from monitor.engine.books.books import REAL_BOOK, TWIN_BOOK, Books, Window
from monitor.engine.scope import Scope
from monitor.stats.estimate import Estimate, Status
from monitor.trading.books import PAPER, book_key

Labels = tuple[tuple[str, str], ...]

BookValue = Callable[[Books, Labels, Window, int], Estimate]
"""Of books, labels and window, at an instant (ns)."""


@dataclass(frozen=True, slots=True)
class BookSeries:
    """One series: its labels, sorted by name, its value, and the books that it rests on; `applies`: whether
    it may ever have one."""

    labels: Labels
    value: BookValue
    books: tuple[str, ...]
    applies: bool = True


Series = Callable[[Scope], Iterator[BookSeries]]


def books_of(scope: Scope) -> tuple[str, ...]:
    """Keys of all books of a deployment, the real one first."""
    return (REAL_BOOK, *(book_key(role, PAPER) for role in scope.roles))


def book_labels(book: str) -> Labels:
    """The labels of a book's key, sorted by name."""
    pairs = [part.split("=", 1) for part in book.split(",")]
    return tuple(sorted((name, value) for name, value in pairs))


def book_of(labels: Labels) -> str:
    """The book's key of labels that name one."""
    of = dict(labels)
    return book_key(of["role"], of["fills"])


def paper_of(labels: Labels) -> str:
    """The paper book of the role in the labels."""
    return book_key(dict(labels)["role"], PAPER)


def each_book(value: BookValue) -> Series:
    """One series a book."""

    def series(scope: Scope) -> Iterator[BookSeries]:
        for book in books_of(scope):
            yield BookSeries(book_labels(book), value, (book,))

    return series


def each_shadow(value: BookValue, against: str) -> Series:
    """One series a shadow: its paper book against another."""

    def series(scope: Scope) -> Iterator[BookSeries]:
        for role in scope.shadows:
            yield BookSeries((("role", role),), value, (book_key(role, PAPER), against))

    return series


def each_twin(value: BookValue) -> Series:
    """One series a role: its paper book against the real one; only where its model is the active's."""

    def series(scope: Scope) -> Iterator[BookSeries]:
        for role in scope.roles:
            twin = role == scope.roles[0] or role in scope.twins
            books = (book_key(role, PAPER), REAL_BOOK)
            yield BookSeries((("role", role),), value if twin else _no_twin, books, applies=twin)

    return series


def alone(value: BookValue) -> Series:
    """One series: the active's paper book against its real one."""

    def series(_: Scope) -> Iterator[BookSeries]:
        yield BookSeries((), value, (TWIN_BOOK, REAL_BOOK))

    return series


def _no_twin(books: Books, labels: Labels, window: Window, at: int) -> Estimate:
    return Estimate(value=None, n=0, status=Status.NOT_APPLICABLE, from_ns=at, to_ns=at)
