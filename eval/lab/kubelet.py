"""The kubelets of all nodes: they pull, start, probe, kill and restart what the scheduler bound to them."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from eval.lab import quantity
from eval.lab.configuration import MissingError, environment, unmountable
from eval.lab.container import (
    BACKOFF_MAX_S,
    BACKOFF_RESET_S,
    BACKOFF_S,
    CONFIG_RETRY_S,
    CREATE_S,
    MOUNT_BACKOFF_MAX_S,
    MOUNT_BACKOFF_S,
    PULL_FAILS_S,
    PULL_S,
    Container,
    Phase,
    Probe,
)
from eval.lab.errors import bad_request
from eval.lab.images import Image, Registry
from eval.lab.kinds import Obj, Objs
from eval.lab.recorder import Recorder
from eval.lab.store import Deletion, Store, rfc3339

COMPONENT: Final = "kubelet"
EXIT_AFTER_SIGTERM_S: Final = 6.0
LOG_LINES: Final = 500
NO_LIMIT_MIB: Final = 1e9


@dataclass
class PodRun:
    """What a kubelet knows of one pod."""

    pod: Obj
    ip: str
    node: str
    containers: list[Container]
    started_at: str
    ending_s: float | None = None
    dirty: bool = True


class Instance(NamedTuple):
    """A running application, as traffic meets it."""

    run: PodRun
    container: Container
    image: Image


class Kubelet:
    """Runs every node's pods; `broken_nodes` drop packets while their Node stays Ready (a gray failure)."""

    def __init__(self, store: Store, recorder: Recorder, registry: Registry) -> None:
        self._store = store
        self._recorder = recorder
        self._registry = registry
        self.broken_nodes: set[str] = set()
        self.runs: dict[str, PodRun] = {}
        self._logs: dict[tuple[str, str, bool], deque[tuple[datetime, str]]] = {}
        self._pulled: set[tuple[str, str]] = set()
        self._addresses: dict[str, int] = {}
        self._by_ip: dict[str, PodRun] = {}
        self._seen = -1
        self._now_s = 0.0

    def tick(self, now_s: float) -> None:
        self._now_s = now_s
        if self._store.changes("Pod") != self._seen:
            self._sync()
        for uid, run in list(self.runs.items()):
            if run.ending_s is not None and now_s >= run.ending_s:
                self._finish(uid, run)
                continue
            for container in run.containers:
                self._advance(run, container)
            if run.dirty:
                self._report(run)
        self._seen = self._store.changes("Pod")
        self._by_ip = {run.ip: run for run in self.runs.values()}

    def instance(self, ip: str, port: int) -> Instance | None:
        """Who listens at this address; None means: connection refused."""
        run = self._by_ip.get(ip)
        for container in run.containers if run else []:
            if run and container.image and container.listening(port, self._now_s):
                return Instance(run, container, container.image)
        return None

    # -- logs

    def log(self, run: PodRun, container: Container, text: str) -> None:
        self.lines(run.pod["metadata"]["uid"], container.name).append((self._store.wall(), text))

    def lines(self, uid: str, name: str, *, previous: bool = False) -> deque[tuple[datetime, str]]:
        return self._logs.setdefault((uid, name, previous), deque(maxlen=LOG_LINES))

    def read_log(self, pod: Obj, query: Mapping[str, str]) -> str:
        """What GET …/log answers. Raises ApiError 400 in the server's words."""
        names = [container["name"] for container in pod["spec"]["containers"]]
        pod_name = pod["metadata"]["name"]
        name = query.get("container") or (names[0] if len(names) == 1 else "")
        if name not in names:
            why = f"container {name} is not valid for pod" if name else "a container name must be specified for pod"
            raise bad_request(f"{why} {pod_name}, choose one of: {names}")
        uid = pod["metadata"]["uid"]
        run = self.runs.get(uid)
        container = next((item for item in run.containers if item.name == name), None) if run else None
        previous = query.get("previous", "").lower() in {"1", "true"}
        if previous and (container is None or container.last is None):
            raise bad_request(f'previous terminated container "{name}" in pod "{pod_name}" not found')
        if container is None or (not container.running and container.last is None):
            reason = container.status()["state"]["waiting"]["reason"] if container else Phase.CREATING
            raise bad_request(f'container "{name}" in pod "{pod_name}" is waiting to start: {reason}')
        # A container that waits to be restarted still shows the lines of the run that ended.
        lines = list(self.lines(uid, name, previous=previous or not container.running))
        if (since_s := query.get("sinceSeconds")) is not None:
            since = self._store.wall() - timedelta(seconds=int(since_s))
            lines = [line for line in lines if line[0] >= since]
        tail = query.get("tailLines")
        if tail is not None:
            lines = lines[len(lines) - min(len(lines), int(tail)) :]
        stamped = query.get("timestamps", "").lower() in {"1", "true"}
        said = "".join(f"{at:%Y-%m-%dT%H:%M:%S.%fZ} {text}\n" if stamped else f"{text}\n" for at, text in lines)
        limit = query.get("limitBytes")
        return said if limit is None else said.encode()[: int(limit)].decode(errors="ignore")

    # -- pods come and go

    def _sync(self) -> None:
        live = {}
        for pod in self._store.all("Pod"):
            if pod["spec"].get("nodeName"):
                live[pod["metadata"]["uid"]] = pod
        for uid in set(self.runs) - set(live):
            self._forget(uid)
        for uid, pod in live.items():
            run = self.runs.get(uid)
            if run is None:
                run = self.runs[uid] = self._start(pod)
            run.pod = pod
            self._change_images(run)
            if "deletionTimestamp" in pod["metadata"] and run.ending_s is None:
                grace = pod["metadata"].get("deletionGracePeriodSeconds", EXIT_AFTER_SIGTERM_S)
                run.ending_s = self._now_s + min(EXIT_AFTER_SIGTERM_S, grace)
                for container in run.containers:
                    if container.running:
                        self._recorder.normal(pod, "Killing", f"Stopping container {container.name}", COMPONENT)

    def _start(self, pod: Obj) -> PodRun:
        node = pod["spec"]["nodeName"]
        self._addresses[node] = self._addresses.get(node, 1) + 1
        number = self._addresses[node]
        ip = f"10.244.{self._number(node) * 32 + number // 250}.{number % 250 + 1}"
        return PodRun(pod, ip, node, [self._container(spec) for spec in pod["spec"]["containers"]], self._stamp())

    def _number(self, node: str) -> int:
        return sorted(item["metadata"]["name"] for item in self._store.all("Node")).index(node)

    def _container(self, spec: Obj) -> Container:
        limits = spec["resources"].get("limits") or {}
        memory = quantity.parse(limits["memory"]) / quantity.MIB if "memory" in limits else NO_LIMIT_MIB
        cores = quantity.parse(limits.get("cpu", "1"))
        return Container(spec["name"], spec["image"], memory, cores, spec, {}, until_s=self._now_s)

    def _change_images(self, run: PodRun) -> None:
        """A pod's image is the one thing that may be edited in place: its container starts over with the new one."""
        for at, spec in enumerate(run.pod["spec"]["containers"]):
            if run.containers[at].image_name != spec["image"]:
                fresh = self._container(spec)
                fresh.restarts = run.containers[at].restarts + 1
                run.containers[at], run.dirty = fresh, True

    def _forget(self, uid: str) -> None:
        run = self.runs.pop(uid)
        for container in run.containers:
            self._logs.pop((uid, container.name, False), None)
            self._logs.pop((uid, container.name, True), None)

    def _finish(self, uid: str, run: PodRun) -> None:
        meta = run.pod["metadata"]
        current = self._store.find("Pod", meta["namespace"], meta["name"])
        if current and current["metadata"]["uid"] == uid:
            self._store.delete("Pod", meta["namespace"], meta["name"], how=Deletion(grace_s=0))
        self._forget(uid)

    # -- the container's machine

    def _advance(self, run: PodRun, container: Container) -> None:
        if container.phase is Phase.RUNNING:
            self._run(run, container)
            return
        if self._now_s < container.until_s or run.ending_s is not None:
            return
        match container.phase:
            case Phase.CREATING if container.image is None:
                if self._mounted(run, container):
                    self._pull(run, container)
            case Phase.PULLING:
                self._pulled_or_not(run, container)
            case Phase.PULL_FAILED:
                text = f'Back-off pulling image "{container.image_name}"'
                self._wait(run, container, Phase.PULL_BACKOFF, container.pull_backoff_s, text)
                container.pull_backoff_s = min(BACKOFF_MAX_S, 2 * container.pull_backoff_s)
                self._recorder.normal(run.pod, "BackOff", text, COMPONENT)
                self._recorder.warning(run.pod, "Failed", "Error: ImagePullBackOff", COMPONENT)
            case Phase.PULL_BACKOFF:
                self._pull(run, container)
            case _:
                self._begin(run, container)

    def _wait(self, run: PodRun, container: Container, phase: Phase, for_s: float, message: str = "") -> None:
        container.phase, container.until_s, container.message = phase, self._now_s + for_s, message
        run.dirty = True

    def _pull(self, run: PodRun, container: Container) -> None:
        name = container.image_name
        if (run.node, name) in self._pulled:
            self._recorder.normal(run.pod, "Pulled", f'Container image "{name}" already present on machine', COMPONENT)
            container.image = self._registry.find(name)
            self._wait(run, container, Phase.CREATING, CREATE_S)
            return
        self._recorder.normal(run.pod, "Pulling", f'Pulling image "{name}"', COMPONENT)
        known = self._registry.find(name) is not None
        self._wait(run, container, Phase.PULLING, PULL_S if known else PULL_FAILS_S, container.message)

    def _pulled_or_not(self, run: PodRun, container: Container) -> None:
        name = container.image_name
        container.image = self._registry.find(name)
        if container.image is None:
            text = (
                f'Failed to pull image "{name}": rpc error: code = NotFound desc = failed to pull and unpack image '
                f'"{name}": failed to resolve reference "{name}": {name}: not found'
            )
            self._recorder.warning(run.pod, "Failed", text, COMPONENT)
            self._recorder.warning(run.pod, "Failed", "Error: ErrImagePull", COMPONENT)
            self._wait(run, container, Phase.PULL_FAILED, 1.0, text)
            return
        self._pulled.add((run.node, name))
        self._recorder.normal(run.pod, "Pulled", f'Successfully pulled image "{name}" in {PULL_S:.0f}s', COMPONENT)
        self._wait(run, container, Phase.CREATING, CREATE_S)

    def _mounted(self, run: PodRun, container: Container) -> bool:
        """Volumes come before images; what cannot be mounted is tried again, with a backoff."""
        trouble = next(unmountable(self._store, run.pod), None)
        if trouble is None:
            container.mount_backoff_s = MOUNT_BACKOFF_S
            return True
        text = 'MountVolume.SetUp failed for volume "{}" : {}'.format(*trouble)
        self._recorder.warning(run.pod, "FailedMount", text, COMPONENT)
        self._wait(run, container, Phase.CREATING, container.mount_backoff_s)
        container.mount_backoff_s = min(MOUNT_BACKOFF_MAX_S, 2 * container.mount_backoff_s)
        return False

    def _begin(self, run: PodRun, container: Container) -> None:
        try:
            container.env = environment(self._store, run.pod["metadata"]["namespace"], container.spec)
        except MissingError as missing:
            self._recorder.warning(run.pod, "Failed", f"Error: {missing}", COMPONENT)
            self._wait(run, container, Phase.CONFIG_ERROR, CONFIG_RETRY_S, str(missing))
            return
        container.phase, container.message = Phase.RUNNING, ""
        container.started_s, container.started_at = self._now_s, self._stamp()
        container.restarts += container.last is not None
        for name, probe in (("readinessProbe", container.readiness), ("livenessProbe", container.liveness)):
            delay = (container.spec.get(name) or {}).get("initialDelaySeconds", 0)
            probe.next_s, probe.failures = self._now_s + delay, 0
        run.dirty = True
        self.lines(run.pod["metadata"]["uid"], container.name).clear()
        self._recorder.normal(run.pod, "Created", f"Created container: {container.name}", COMPONENT)
        self._recorder.normal(run.pod, "Started", f"Started container {container.name}", COMPONENT)
        port = container.image.port if container.image else None
        self.log(run, container, "INFO starting" if port is None else f"INFO starting, will listen on :{port}")

    def _run(self, run: PodRun, container: Container) -> None:
        image = container.image
        if image is None:
            return
        limit = container.memory_limit_mib
        if image.memory_mib > limit and container.memory_mib(self._now_s) > limit:
            self._oom(run, container)
        elif image.crashes and self._now_s >= container.started_s + image.start_s:
            self.log(run, container, "FATAL cannot start: invalid configuration")
            self._exited(run, container, 1, "Error")
        elif run.ending_s is None:
            self._probe(run, container)

    def _oom(self, run: PodRun, container: Container) -> None:
        node = self._store.find("Node", "", run.node)
        if node:
            text = f"Memory cgroup out of memory: Killed process ({container.name}) of pod "
            text += f"{run.pod['metadata']['namespace']}/{run.pod['metadata']['name']}"
            self._recorder.warning(node, "OOMKilling", text, "kernel-monitor")
        self._exited(run, container, 137, "OOMKilled")

    def _exited(self, run: PodRun, container: Container, code: int, reason: str) -> None:
        container.last = {
            "exitCode": code,
            "reason": reason,
            "startedAt": container.started_at,
            "finishedAt": self._stamp(),
        }
        container.ready = False
        uid = run.pod["metadata"]["uid"]
        self._logs[(uid, container.name, True)] = deque(self.lines(uid, container.name), LOG_LINES)
        if self._now_s - container.started_s > BACKOFF_RESET_S:
            container.backoff_s = BACKOFF_S
        text = f"back-off {container.backoff_s:.0f}s restarting failed container={container.name} "
        text += f"pod={run.pod['metadata']['name']}_{run.pod['metadata']['namespace']}({uid})"
        self._wait(run, container, Phase.CRASH_BACKOFF, container.backoff_s, text)
        container.backoff_s = min(BACKOFF_MAX_S, 2 * container.backoff_s)
        short = f"Back-off restarting failed container {container.name} in pod {run.pod['metadata']['name']}"
        self._recorder.warning(run.pod, "BackOff", short, COMPONENT)

    # -- probes

    def _probe(self, run: PodRun, container: Container) -> None:
        spec = container.spec.get("readinessProbe")
        if spec is None:
            if not container.ready:
                container.ready, run.dirty = True, True
        elif self._now_s >= container.readiness.next_s:
            self._judge(run, container, spec)
        spec = container.spec.get("livenessProbe")
        if spec is not None and self._now_s >= container.liveness.next_s:
            trouble = self._knock(run, container, spec, container.liveness)
            if trouble and container.liveness.failures >= spec["failureThreshold"]:
                text = f"Container {container.name} failed liveness probe, will be restarted"
                self._recorder.normal(run.pod, "Killing", text, COMPONENT)
                self._exited(run, container, 137, "Error")

    def _judge(self, run: PodRun, container: Container, spec: Obj) -> None:
        trouble = self._knock(run, container, spec, container.readiness)
        healthy = not trouble or (container.ready and container.readiness.failures < spec["failureThreshold"])
        if healthy is not container.ready:
            container.ready, run.dirty = healthy, True

    def _knock(self, run: PodRun, container: Container, spec: Obj, probe: Probe) -> str:
        """Probe once; return what is wrong, in the kubelet's words, and record it."""
        probe.next_s = self._now_s + spec["periodSeconds"]
        trouble = self._trouble(run, container, spec)
        probe.failures = probe.failures + 1 if trouble else 0
        if trouble:
            which = "Readiness" if probe is container.readiness else "Liveness"
            self._recorder.warning(run.pod, "Unhealthy", f"{which} probe failed: {trouble}", COMPONENT)
        return trouble

    def _trouble(self, run: PodRun, container: Container, spec: Obj) -> str:
        get = spec.get("httpGet") or spec.get("tcpSocket") or {}
        port, path = get.get("port"), get.get("path", "/")
        if isinstance(port, str):
            declared = {item.get("name"): item["containerPort"] for item in container.spec.get("ports") or []}
            port = declared.get(port)
        url = f"http://{run.ip}:{port}{path}"
        if run.node in self.broken_nodes:
            return f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
        if not container.listening(port, self._now_s):
            return f'Get "{url}": dial tcp {run.ip}:{port}: connect: connection refused'
        if container.image and container.image.unhealthy:
            return "HTTP probe failed with statuscode: 500"
        return ""

    # -- status

    def _stamp(self) -> str:
        return rfc3339(self._store.wall())

    def _report(self, run: PodRun) -> None:
        run.dirty = False
        meta = run.pod["metadata"]
        current = self._store.find("Pod", meta["namespace"], meta["name"])
        if current is None or current["metadata"]["uid"] != meta["uid"]:
            return
        started = any(item.running or item.last for item in run.containers)
        status: Obj = {
            "phase": "Running" if started else "Pending",
            "hostIP": f"10.0.0.{10 + self._number(run.node)}",
            "podIP": run.ip,
            "podIPs": [{"ip": run.ip}],
            "qosClass": "Burstable",
            "startTime": run.started_at,
            "conditions": self._conditions(run, current["status"].get("conditions") or []),
            "containerStatuses": [container.status() for container in run.containers],
        }
        self._store.set_status("Pod", meta["namespace"], meta["name"], status, COMPONENT)

    def _conditions(self, run: PodRun, old: Objs) -> Objs:
        unready = [container.name for container in run.containers if not container.ready]
        before = {item["type"]: item for item in old}
        found: Objs = []
        for what in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"):
            fails = unready and what in {"Ready", "ContainersReady"}
            condition: Obj = {"type": what, "status": "False" if fails else "True"}
            if fails:
                text = f"containers with unready status: [{' '.join(unready)}]"
                condition |= {"reason": "ContainersNotReady", "message": text}
            same = what in before and before[what]["status"] == condition["status"]
            since = before[what]["lastTransitionTime"] if same else self._stamp()
            found.append(condition | {"lastTransitionTime": since})
        return found
