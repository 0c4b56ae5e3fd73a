"""Typed views of the Kubernetes objects that Primum reasons about: what it reads of each, and nothing more."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Final, Self

from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from shared.domain.cluster import MARK, Object, Ref
from shared.domain.frozen import Json, JsonObject

_HASH_LABEL: Final = "pod-template-hash"


class Part(BaseModel):
    """A piece of a manifest: camelCase outside, unknown fields passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Owner(Part):
    kind: str
    name: str
    uid: str = ""
    controller: bool = False


class Metadata(Part):
    name: str
    namespace: str = ""
    uid: str = ""
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    owner_references: tuple[Owner, ...] = ()
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None
    generation: int = 0


class View(Part):
    """A typed view of one object; `object` is the whole of it, for evidence and for edits."""

    object: Object = Field(exclude=True)
    metadata: Metadata

    @classmethod
    def of(cls, seen: Object) -> Self:
        return cls.model_validate({**seen.body, "object": seen})

    @property
    def ref(self) -> Ref:
        return self.object.ref

    @cached_property
    def controller(self) -> Owner | None:
        return next((owner for owner in self.metadata.owner_references if owner.controller), None)

    @property
    def transaction_mark(self) -> str | None:
        return self.metadata.labels.get(MARK)


class KeyRef(Part):
    """One key of a ConfigMap or a Secret."""

    name: str = ""
    key: str = ""
    optional: bool = False


class EnvSource(Part):
    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None


class EnvVar(Part):
    name: str
    value: str = ""
    value_from: EnvSource | None = None


class WholeRef(Part):
    """A ConfigMap or a Secret as a whole; a volume names its Secret by `secretName`."""

    name: str = Field(default="", validation_alias=AliasChoices("name", "secretName"))
    optional: bool = False


class EnvFrom(Part):
    config_map_ref: WholeRef | None = None
    secret_ref: WholeRef | None = None


class ProjectedSource(Part):
    config_map: WholeRef | None = None
    secret: WholeRef | None = None


class Projected(Part):
    sources: tuple[ProjectedSource, ...] = ()


class Claim(Part):
    claim_name: str = ""


class Volume(ProjectedSource):
    name: str
    projected: Projected | None = None
    persistent_volume_claim: Claim | None = None


class ContainerPort(Part):
    container_port: int
    name: str = ""
    protocol: str = "TCP"


class Knock(Part):
    """Where a probe knocks over the network: a number, or the name of a port that the container declares."""

    port: int | str


class Probe(Part):
    http_get: Knock | None = None
    tcp_socket: Knock | None = None
    grpc: Knock | None = None

    @property
    def port(self) -> int | str | None:
        """None for a probe that runs a command."""
        knock = self.http_get or self.tcp_socket or self.grpc
        return None if knock is None else knock.port


class Resources(Part):
    limits: Mapping[str, str | int | float] = {}
    requests: Mapping[str, str | int | float] = {}


class Container(Part):
    name: str
    image: str = ""
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    resources: Resources = Resources()
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None


class PodSpec(Part):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    node_name: str = ""


class DnsConfig(Part):
    nameservers: tuple[str, ...] = ()


class Toleration(Part):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class LabelRequirement(Part):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class NodeTerm(Part):
    match_expressions: tuple[LabelRequirement, ...] = ()
    match_fields: tuple[LabelRequirement, ...] = ()


class NodeTerms(Part):
    """Any of these must hold."""

    node_selector_terms: tuple[NodeTerm, ...] = ()


class NodeAffinity(Part):
    required: NodeTerms | None = Field(
        default=None, validation_alias=AliasChoices("requiredDuringSchedulingIgnoredDuringExecution", "required")
    )


class Affinity(Part):
    node_affinity: NodeAffinity | None = None


class TemplateSpec(PodSpec):
    """What is read of a template only: five thousand pods would say the same again."""

    volumes: tuple[Volume, ...] = ()
    node_selector: Mapping[str, str] = {}
    host_network: bool = False
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig | None = None
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()


class TemplateMetadata(Part):
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}


class PodTemplate(Part):
    metadata: TemplateMetadata = TemplateMetadata()
    spec: TemplateSpec = TemplateSpec()


class Selector(Part):
    match_labels: Mapping[str, str] = {}


class Condition(Part):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: AwareDatetime | None = None


class DeploymentSpec(Part):
    replicas: int = 1
    selector: Selector = Selector()
    template: PodTemplate = PodTemplate()
    paused: bool = False


class DeploymentStatus(Part):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    conditions: tuple[Condition, ...] = ()


class Templated(View):
    """What makes pods of a template."""

    @cached_property
    def written_template(self) -> JsonObject:
        """The pod template as a person wrote it: without what the controllers and the server set."""
        template = self.object.at("/spec/template")
        if not isinstance(template, dict):
            return {}
        metadata = template.get("metadata")
        return {**template, "metadata": _as_written(metadata)} if isinstance(metadata, dict) else template


def _as_written(metadata: JsonObject) -> JsonObject:
    kept = {key: value for key, value in metadata.items() if key != "creationTimestamp"}
    labels = kept.get("labels")
    if isinstance(labels, dict):
        kept["labels"] = {key: value for key, value in labels.items() if key != _HASH_LABEL}
    return kept


class Deployment(Templated):
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()

    @property
    def rolled_out(self) -> bool:
        """Whether the controller has seen this generation and all wanted replicas are new and available."""
        wanted, status = self.spec.replicas, self.status
        return (
            status.observed_generation >= self.metadata.generation
            and status.updated_replicas == status.replicas == status.available_replicas == wanted
        )


class ReplicaSetSpec(Part):
    replicas: int = 0
    template: PodTemplate = PodTemplate()


class ReplicaSetStatus(Part):
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(Templated):
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()

    @cached_property
    def revision(self) -> int:
        return int(self.metadata.annotations.get("deployment.kubernetes.io/revision", "0"))


class Waiting(Part):
    reason: str = ""
    message: str = ""


class Terminated(Part):
    reason: str = ""
    message: str = ""
    exit_code: int = 0
    finished_at: AwareDatetime | None = None


class Running(Part):
    started_at: AwareDatetime | None = None


class ContainerState(Part):
    running: Running | None = None
    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(Part):
    name: str
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodStatus(Part):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(View):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @cached_property
    def ready(self) -> bool:
        return self.metadata.deletion_timestamp is None and any(
            condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions
        )

    @property
    def restarts(self) -> int:
        return sum(status.restart_count for status in self.status.container_statuses)

    @property
    def waiting_reasons(self) -> frozenset[str]:
        statuses = (*self.status.init_container_statuses, *self.status.container_statuses)
        return frozenset(status.state.waiting.reason for status in statuses if status.state.waiting is not None)


class ServicePort(Part):
    port: int
    name: str = ""
    target_port: int | str | None = None
    protocol: str = "TCP"

    @property
    def key(self) -> str:
        """How a path addresses this port: by name, or by number where it has none."""
        return self.name or str(self.port)


class ServiceSpec(Part):
    type: str = "ClusterIP"
    cluster_ip: str = Field(default="", validation_alias=AliasChoices("clusterIP", "cluster_ip"))
    selector: Mapping[str, str] = {}
    ports: tuple[ServicePort, ...] = ()


class Service(View):
    spec: ServiceSpec = ServiceSpec()


class EndpointConditions(Part):
    ready: bool = True


class Endpoint(Part):
    conditions: EndpointConditions = EndpointConditions()


class EndpointSlice(View):
    endpoints: tuple[Endpoint, ...] | None = ()

    @property
    def service_name(self) -> str:
        return self.metadata.labels.get("kubernetes.io/service-name", "")

    @property
    def ready_count(self) -> int:
        return sum(endpoint.conditions.ready for endpoint in self.endpoints or ())


class Taint(Part):
    key: str
    value: str = ""
    effect: str = ""

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


class NodeSpec(Part):
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeStatus(Part):
    conditions: tuple[Condition, ...] = ()
    allocatable: Mapping[str, str | int | float] = {}


class Node(View):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class QuotaSpec(Part):
    hard: Mapping[str, str | int | float] = {}


class QuotaStatus(Part):
    used: Mapping[str, str | int | float] = {}


class ResourceQuota(View):
    spec: QuotaSpec = QuotaSpec()
    status: QuotaStatus = QuotaStatus()


class ConfigMap(View):
    data: Mapping[str, str] = {}


class Webhook(Part):
    name: str


class AdmissionWebhooks(View):
    """A ValidatingWebhookConfiguration or a MutatingWebhookConfiguration."""

    webhooks: tuple[Webhook, ...] | None = ()

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(webhook.name for webhook in self.webhooks or ())


class LabelSelector(Part):
    match_labels: Mapping[str, str] = {}
    match_expressions: tuple[LabelRequirement, ...] = ()


class IpBlock(Part):
    cidr: str = ""


class NetworkPeer(Part):
    """Who a rule is about: pods, of its own namespace unless it says of which, or addresses."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IpBlock | None = None


class PolicyPort(Part):
    """A port of pods, by number or by the name that they give it; without either, all of a protocol."""

    port: int | str | None = None
    end_port: int | None = None
    protocol: str = "TCP"


class NetworkRule(Part):
    """Whom it lets through, on which ports; without peers everybody, without ports on all of them."""

    peers: tuple[NetworkPeer, ...] | None = Field(default=None, validation_alias=AliasChoices("from", "to", "peers"))
    ports: tuple[PolicyPort, ...] | None = None


class NetworkPolicySpec(Part):
    pod_selector: LabelSelector = LabelSelector()
    policy_types: tuple[str, ...] | None = None
    ingress: tuple[NetworkRule, ...] | None = None
    egress: tuple[NetworkRule, ...] | None = None

    @property
    def directions(self) -> frozenset[str]:
        """What it is about, as the server fills it in: always what comes in, and what goes out if it has rules."""
        return frozenset(self.policy_types or ("Ingress", *(("Egress",) if self.egress else ())))


class NetworkPolicy(View):
    spec: NetworkPolicySpec = NetworkPolicySpec()


class InvolvedObject(Part):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class EventSeries(Part):
    last_observed_time: AwareDatetime | None = None


class Event(View):
    involved_object: InvolvedObject = Field(
        default=InvolvedObject(), validation_alias=AliasChoices("involvedObject", "regarding")
    )
    type: str = "Normal"
    reason: str = ""
    message: str = ""
    last_timestamp: AwareDatetime | None = None
    event_time: AwareDatetime | None = None
    series: EventSeries | None = None

    @property
    def at(self) -> datetime | None:
        """When it was last seen. Those of the events.k8s.io API, such as the scheduler's, have no `lastTimestamp`."""
        repeated = None if self.series is None else self.series.last_observed_time
        return self.last_timestamp or repeated or self.event_time


def quantity(text: Json) -> float:
    """Parse a Kubernetes quantity into its base unit (cores, bytes): `250m` is 0.25, `64Mi` is 67108864.

    Raises ValueError for what is no quantity.
    """
    written = _QUANTITY.fullmatch(str(text))
    if written is None:
        raise ValueError(f"{text!r} is no quantity")
    return float(written["number"]) * _FACTORS[written["suffix"] or ""]


_FACTORS: Final[Mapping[str, float]] = {
    "": 1.0,
    **{unit + "i": 1024.0**power for power, unit in enumerate("KMGTPE", start=1)},
    **{unit: 1000.0**power for power, unit in enumerate("kMGTPE", start=1)},
    "m": 1e-3,
    "u": 1e-6,
    "n": 1e-9,
}
_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)(?P<suffix>[KMGTPE]i|[numkMGTPE])?", re.ASCII
)
"""Kubernetes' own grammar: what Python would take for a number beyond it (`inf`, `1_000`) is none there."""
