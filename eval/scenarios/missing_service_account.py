"""A rollout as a ServiceAccount that is not there."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from eval.ground import Ground, GroundName
from eval.scenarios.scenario import SERVED, Blame, Expected, Scenario, patch_pod


class MissingServiceAccount(Scenario):
    """The account was made in another namespace."""

    name: ClassVar[str] = "service-account-missing"
    title: ClassVar[str] = "a rollout as a ServiceAccount that is not there"
    truth: ClassVar[Sequence[Blame]] = (Blame("service-account-missing", "Deployment"),)
    expected: ClassVar[Expected] = Expected(kept=("roll-back-deployment",))
    roles: ClassVar[Sequence[str]] = SERVED
    not_on: ClassVar[Mapping[GroundName, str]] = {"lab": "it does not model ServiceAccounts"}

    async def inject(self, ground: Ground) -> None:
        """Deploy it."""
        account = f"{ground.shop.services[self.role]}-runner"
        change = patch_pod({"serviceAccountName": account})
        await ground.operator.patch("Deployment", ground.shop.namespace, ground.shop.services[self.role], change)
