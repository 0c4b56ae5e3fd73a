"""`primum diagnose`: its exit status says healthy, findings, or could not look."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from eval.kubeconfig import write_kubeconfig
from eval.lab.lab import Lab
from shared.adapters.kubernetes_api import KubernetesCluster
from shared.domain.change import Patch, replace
from shared.testing.command_line import CommandLine
from shared.testing.http_server import never_answering, nobody_listening, serving

ANYBODY = {"token": "any"}


async def test_a_healthy_cluster_is_0(primum: CommandLine, lab: Lab, tmp_path: Path) -> None:
    """Nothing is found, and it says what it looked at."""
    ran = await primum("diagnose", "--kubeconfig", lab.kubeconfig(tmp_path / "kubeconfig"))
    assert (ran.status, ran.err) == (0, "")
    assert "nothing is wrong" in ran.out
    assert "looked at" in ran.out


async def test_findings_are_1_with_their_evidence(
    primum: CommandLine, lab: Lab, cluster: KubernetesCluster, tmp_path: Path
) -> None:
    """An image that does not exist is found, where and by what it is seen."""
    deployment = (await cluster.snapshot()).deployments[0]
    broken, container = deployment.ref, deployment.spec.template.spec.containers[0]
    seen = await cluster.read(broken)
    edit = replace(seen, f"/spec/template/spec/containers/{container.name}/image", "registry.example/none:9")
    assert edit is not None
    await cluster.write(Patch(ref=broken, edits=(edit,)), seen, "txn-test.1")
    await lab.until(lambda: not lab.complete(), timeout_s=10)
    found = None
    while found is None or not found.json["findings"]:  # the pull has to fail first; the test's timeout bounds it
        found = await primum.again(
            "diagnose", "-n", broken.namespace, "--json", "--kubeconfig", tmp_path / "kubeconfig"
        )
    assert found.status == 1
    assert str(broken) in found.out
    assert "image-pull-failed" in found.out
    assert "evidence" in found.out


async def test_no_cluster_at_all_is_2(primum: CommandLine) -> None:
    """A machine without a kubeconfig: it says how to name one."""
    assert "PRIMUM_KUBECONFIG" in (await primum.again("diagnose")).error


async def test_a_cluster_that_is_not_there_is_2(primum: CommandLine, tmp_path: Path) -> None:
    """Nobody listens under the kubeconfig's address."""
    async with nobody_listening() as url:
        said = (
            await primum.again("diagnose", "--kubeconfig", write_kubeconfig(tmp_path / "kubeconfig", url, ANYBODY))
        ).error
    assert url.removeprefix("http://") in said or "kubeconfig" in said


async def test_a_cluster_that_hangs_is_2_in_time(primum: CommandLine, tmp_path: Path) -> None:
    """Every request has its timeout."""
    async with never_answering() as url:
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", url, ANYBODY)
        ran = await primum.again("diagnose", "--kubeconfig", kubeconfig, "--timeout", "0.5", timeout_s=10)
    assert "0.5 s" in ran.error


async def test_a_cluster_that_forbids_is_2(primum: CommandLine, tmp_path: Path) -> None:
    """403 to everything: it says which permission is missing, and how to go on."""

    async def forbidden(_: Request) -> Response:
        status = {"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"}
        return JSONResponse(status, 403)

    async with serving(Starlette(routes=[Route("/{path:path}", forbidden)])) as url:
        said = (
            await primum.again("diagnose", "--kubeconfig", write_kubeconfig(tmp_path / "kubeconfig", url, ANYBODY))
        ).error
    assert "permission" in said


async def test_metrics_that_were_asked_for_and_do_not_answer_are_2(
    primum: CommandLine, lab: Lab, tmp_path: Path
) -> None:
    """A failed query is never `healthy`."""
    async with nobody_listening() as url:
        ran = await primum.again(
            "diagnose", "--kubeconfig", lab.kubeconfig(tmp_path / "kubeconfig"), PRIMUM_PROMETHEUS_URL=url
        )
    assert "not read" in ran.error
