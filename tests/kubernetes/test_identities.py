"""Who Primum is on a cluster: what its ServiceAccounts may do there, and what not, as the API server says it."""

from typing import Final

import pytest

from eval.kubernetes.identities import SERVICES as EVERYBODY
from eval.kubernetes.identities import deploy
from eval.operator import Operator

READERS: Final = ("detector", "diagnoser", "observe")


@pytest.fixture
async def deployed(operator: Operator) -> None:
    """The roles that Primum ships."""
    await deploy(operator)


async def may(operator: Operator, who: str, verb: str, resource: str) -> bool:
    """Ask the API server whether a service may do something in any namespace; as `apps/deployments`, `pods/exec`."""
    group, _, plural = resource.rpartition("/") if resource.startswith("apps/") else ("", "", resource)
    plural, _, subresource = plural.partition("/")
    asked = {"verb": verb, "resource": plural, "group": group, "subresource": subresource}
    account = f"system:serviceaccount:primum:primum-{who}"
    review = {"metadata": {}, "spec": {"user": account, "resourceAttributes": asked}}
    return bool((await operator.create("SubjectAccessReview", review))["status"]["allowed"])


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("who", [*EVERYBODY, "observe"])
async def test_nobody_may_touch_a_secret_or_run_a_command(operator: Operator, who: str) -> None:
    """Not read one, not list them, not enter a container."""
    for verb in ("get", "list", "watch", "create", "patch", "delete"):
        assert not await may(operator, who, verb, "secrets")
    assert not await may(operator, who, "create", "pods/exec")


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("who", READERS)
async def test_who_only_looks_may_only_look(operator: Operator, who: str) -> None:
    """They read Deployments, and write nothing."""
    assert await may(operator, who, "list", "apps/deployments")
    for verb in ("create", "update", "patch", "delete"):
        assert not await may(operator, who, verb, "apps/deployments")
        assert not await may(operator, who, verb, "services")
        assert not await may(operator, who, verb, "pods")


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("who", ["mitigator", "undo"])
async def test_who_writes_patches_what_runbooks_name_and_neither_creates_nor_deletes(
    operator: Operator, who: str
) -> None:
    """A patch carries its conditions; an update would overwrite, and nothing that exists is ever deleted."""
    for resource in ("apps/deployments", "services", "nodes"):
        assert await may(operator, who, "patch", resource)
        for verb in ("create", "update", "delete"):
            assert not await may(operator, who, verb, resource)
    assert not await may(operator, who, "patch", "pods")
    assert await may(operator, who, "create", "pods/eviction") is (who == "mitigator")
