"""All actions by name. What is not here cannot be done by any runbook."""

from collections.abc import Mapping
from typing import Final

from shared.actions.action import Action, NotApplicable, action
from shared.actions.cordon import cordon
from shared.actions.evict_pods import evict_pods
from shared.actions.restart import restart
from shared.actions.roll_back import roll_back
from shared.actions.scale import scale
from shared.actions.set_port import set_port
from shared.actions.set_resources import set_resources
from shared.actions.set_selector import set_selector
from shared.actions.set_target_port import set_target_port

__all__ = ["ACTIONS", "Action", "NotApplicable", "action"]

ACTIONS: Final[Mapping[str, Action]] = {
    known.name: known
    for known in (
        cordon,
        evict_pods,
        restart,
        roll_back,
        scale,
        set_port,
        set_resources,
        set_selector,
        set_target_port,
    )
}
