"""What makes thousands of seeds affordable, and changes no value: views of unchanged objects are made once."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from shared.domain.cluster import Object
from shared.domain.objects import View

_MOST: Final = 20_000


@contextmanager
def thrift() -> Iterator[None]:
    """Remember the view of each object, by its identity; collect no garbage until the end.

    Objects and views are frozen, and an object that was not written is one and the same value in every snapshot.
    """
    made: dict[tuple[int, type[View]], tuple[Object, Any]] = {}
    of = View.__dict__["of"]

    def remembered(cls: type[View], seen: Object) -> Any:
        known = made.get((id(seen), cls))
        if known is None:
            if len(made) >= _MOST:
                made.clear()
            known = made[id(seen), cls] = (seen, of.__func__(cls, seen))  # holds `seen`, so that its id stays its own
        return known[1]

    View.of = classmethod(remembered)  # type: ignore[method-assign, assignment]
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        View.of = of  # type: ignore[method-assign]
        if collecting:
            gc.enable()
