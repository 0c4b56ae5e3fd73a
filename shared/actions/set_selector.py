"""Point a Service at a workload."""

from collections.abc import Mapping

from shared.actions.action import NotApplicable, action, deployment_of, patch, service_of
from shared.domain.change import Change, difference
from shared.domain.cluster import Kind, Ref
from shared.domain.frozen import Frozen
from shared.domain.objects import Deployment, Service
from shared.domain.snapshot import Snapshot, matches


class SetSelector(Frozen):
    """Which Service, and which Deployment it is meant for."""

    service: Ref
    workload: Ref


@action("service.set-selector", params=SetSelector, writes=[Kind.SERVICE])
def set_selector(params: SetSelector, snapshot: Snapshot) -> list[Change]:
    """Make a Service select the pods of one workload, and of no other, by labels that they carry."""
    service, workload = service_of(params.service, snapshot), deployment_of(params.workload, snapshot)
    wanted = _selector(service, workload, snapshot)
    edits = difference(dict(service.spec.selector), dict(wanted), "spec", "selector")
    return patch(service.object, edits, f"selects {workload.ref} already")


def _selector(service: Service, workload: Deployment, snapshot: Snapshot) -> Mapping[str, str]:
    """Keep the keys that the Service uses and the pods carry; where those do not single them out, the Deployment's."""
    labels = workload.spec.template.metadata.labels
    kept = {key: labels[key] for key in service.spec.selector if key in labels}
    for wanted in (kept, workload.spec.selector.match_labels):
        if wanted and matches(wanted, labels) and _only(workload, wanted, snapshot):
            return wanted
    raise NotApplicable(f"no selector singles out the pods of {workload.ref}")


def _only(workload: Deployment, selector: Mapping[str, str], snapshot: Snapshot) -> bool:
    namespace = workload.ref.namespace
    others = (other for other in snapshot.deployments_in(namespace) if other.ref != workload.ref)
    return not any(matches(selector, other.spec.template.metadata.labels) for other in others)
