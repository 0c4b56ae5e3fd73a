"""The gateway with its ids switched off: a repeat looks like a new alert. The bench must find them stored twice."""

import itertools
import sys
from typing import Final

from services.gateway.app import main
from shared.domain.alert import Alert

_NUMBERS: Final = itertools.count(1)


def always_another(_: Alert) -> str:
    """Return an id that no alert ever had."""
    return f"{next(_NUMBERS):032x}"


if __name__ == "__main__":
    Alert.delivery_id = property(always_another)  # type: ignore[method-assign,assignment]
    sys.exit(main())
