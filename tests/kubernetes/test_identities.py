"""Who Primum is on a cluster: what its ServiceAccounts may do there, and what not, as the API server says it."""

from typing import Final

import pytest

from eval.kubernetes.identities import SERVICES as EVERYBODY
from eval.kubernetes.identities import deploy
from eval.operator import Operator

_GROUPS: Final = ("apps/", "networking.k8s.io/")
READERS: Final = ("detector", "diagnoser", "observe")


@pytest.fixture
async def deployed(operator: Operator) -> None:
    """The roles that Primum ships."""
    await deploy(operator)


async def may(operator: Operator, who: str, verb: str, resource: str, **where: str) -> bool:
    """Ask the API server whether a service may do something; as `apps/deployments`, `pods/exec`.

    In any namespace and to any object, unless `namespace` and `name` say to which.
    """
    group, _, plural = resource.rpartition("/") if resource.startswith(_GROUPS) else ("", "", resource)
    plural, _, subresource = plural.partition("/")
    asked = {"verb": verb, "resource": plural, "group": group, "subresource": subresource}
    asked |= where
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
    """They read Deployments and NetworkPolicies, and write nothing."""
    assert await may(operator, who, "list", "apps/deployments")
    assert await may(operator, who, "list", "networking.k8s.io/networkpolicies")
    for verb in ("create", "update", "patch", "delete"):
        assert not await may(operator, who, verb, "apps/deployments")
        assert not await may(operator, who, verb, "services")
        assert not await may(operator, who, verb, "networking.k8s.io/networkpolicies")
        assert not await may(operator, who, verb, "pods")


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("who", READERS)
async def test_of_all_config_maps_one_may_be_read(operator: Operator, who: str) -> None:
    """What the cluster's DNS is told: by its name, in its namespace, and that is all."""
    assert await may(operator, who, "get", "configmaps", namespace="kube-system", name="coredns")
    assert not await may(operator, who, "get", "configmaps", namespace="kube-system", name="kubeadm-config")
    assert not await may(operator, who, "get", "configmaps", namespace="primum", name="coredns")
    assert not await may(operator, who, "list", "configmaps", namespace="kube-system")
    assert not await may(operator, who, "patch", "configmaps", namespace="kube-system", name="coredns")


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
