"""The ground every value of the domain stands on: immutable, closed, comparable, and JSON both ways."""

from typing import Any, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, JsonValue

Json: TypeAlias = JsonValue
JsonObject: TypeAlias = dict[str, JsonValue]


class Frozen(BaseModel):
    """A value: it never changes, and a field that nobody declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    def but(self, **changes: Any) -> Self:
        """Return a copy with `changes`, validated as if it had been built that way."""
        return type(self).model_validate({**{name: getattr(self, name) for name in type(self).model_fields}, **changes})
