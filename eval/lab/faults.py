"""Ways the API server itself can fail, switched on by tests and by the demo's sabotage."""

from dataclasses import dataclass, field


@dataclass
class Faults:
    """Switches. Resources are plural names (`pods`); nothing is on at first."""

    forbidden: set[tuple[str, str]] = field(default_factory=set)
    hanging: set[str] = field(default_factory=set)
    dropped_managers: set[str] = field(default_factory=set)

    def forbid(self, verb: str, resource: str) -> None:
        """Answer 403 to this verb (get, list, watch, create, patch, update, delete) on this resource."""
        self.forbidden.add((verb, resource))

    def hang(self, resource: str) -> None:
        """Never answer requests for this resource."""
        self.hanging.add(resource)

    def drop_writes(self, manager_prefix: str = "primum") -> None:
        """Answer these managers' writes as if they were done, and store nothing."""
        self.dropped_managers.add(manager_prefix)

    def drops(self, manager: str) -> bool:
        return any(manager.startswith(prefix) for prefix in self.dropped_managers)

    def heal(self) -> None:
        """Switch all of them off."""
        self.forbidden.clear()
        self.hanging.clear()
        self.dropped_managers.clear()
