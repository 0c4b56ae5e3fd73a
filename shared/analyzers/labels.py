"""What a label selector chooses, expressions included."""

from collections.abc import Mapping, Sequence
from typing import Final

from shared.domain.objects import LabelRequirement, LabelSelector
from shared.domain.snapshot import matches

NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""The label that the API server puts on every namespace."""


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether it chooses what bears these labels; an empty one chooses everything."""
    return matches(selector.match_labels, labels) and all(holds(each, labels) for each in selector.match_expressions)


def may_select_namespace(selector: LabelSelector, namespace: str) -> bool:
    """Whether it may choose a namespace of which nothing but the name is known."""
    wanted = {NAMESPACE_NAME} & selector.match_labels.keys()
    known = LabelSelector(
        match_labels={key: selector.match_labels[key] for key in wanted},
        match_expressions=tuple(each for each in selector.match_expressions if each.key == NAMESPACE_NAME),
    )
    return selects(known, {NAMESPACE_NAME: namespace})


def holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    """Whether labels are as it demands. Of nodes, numbers can be compared, too."""
    found = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return found in requirement.values
        case "NotIn":
            return found not in requirement.values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case "Gt" | "Lt" as operator:
            return found is not None and _compares(operator, found, requirement.values)
        case _:  # a later Kubernetes: nobody knows
            return True


def _compares(operator: str, found: str, bounds: Sequence[str]) -> bool:
    try:
        here, (bound,) = int(found), map(int, bounds)
    except ValueError:
        return False
    return here > bound if operator == "Gt" else here < bound
