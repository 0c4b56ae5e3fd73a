"""Go back to an earlier revision of a Deployment."""

from shared.actions.action import NotApplicable, action, patch, rolling
from shared.domain.change import Change
from shared.domain.cluster import Kind, Ref
from shared.domain.frozen import Frozen
from shared.domain.revisions import earlier_revisions, known_good, template_difference
from shared.domain.snapshot import Snapshot


class RollBack(Frozen):
    """Without a revision: to the newest earlier one that runs something else and is known to be good."""

    deployment: Ref
    revision: int | None = None


@action("deployment.roll-back", params=RollBack, writes=[Kind.DEPLOYMENT])
def roll_back(params: RollBack, snapshot: Snapshot) -> list[Change]:
    """Put the pod template of an earlier revision back, by the smallest edits that make it."""
    deployment = rolling(params.deployment, snapshot)
    earlier = earlier_revisions(deployment, snapshot)
    if params.revision is None:
        wanted = known_good(deployment, snapshot)
    else:
        wanted = next((made for made in earlier if made.revision == params.revision), None)
    if wanted is None:
        named = "no earlier revision" if params.revision is None else f"no earlier revision {params.revision}"
        raise NotApplicable(f"{deployment.ref} has {named} that would run something else")
    return patch(deployment.object, template_difference(deployment, wanted), "runs that template already")
