"""A node: containerd, the kubelet, and the way to its pods."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

from eval.kubernetes import cgroups
from eval.kubernetes.control_plane import ControlPlane
from eval.kubernetes.daemon import Daemon
from eval.kubernetes.image import archive
from eval.kubernetes.network import DNS, node_address, pod_range
from eval.kubernetes.pki import Authority
from eval.kubernetes.places import Places

PAUSE: Final = "local.test/pause:1"
COREDNS: Final = "local.test/coredns:1"
_CRI: Final = "io.containerd.grpc.v1.cri"
_FIRST_PORT: Final = 10250
_CONTAINERD: Final = """\
version = 2
root = "{here}/root"
state = "{here}/state"
[grpc]
  address = "{here}/containerd.sock"
[plugins."{cri}"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE, as in many a container, every sandbox fails in runc unless this is on.
  restrict_oom_score_adj = true
  # So that taking down finds the pods' network namespaces, and no others.
  netns_mounts_under_state_dir = true
  [plugins."{cri}".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{here}/cni"
[plugins."io.containerd.internal.v1.opt"]
  path = "{here}/opt"
"""


class Node:
    """One node of a cluster, by its number; `node0` carries the control plane's address."""

    def __init__(self, places: Places, programs: Path, number: int) -> None:
        self._places, self._programs, self.number = places, programs, number
        self.name = f"node{number}"
        self.folder = places.node(number)

    @property
    def socket(self) -> Path:
        return self.folder / "containerd.sock"

    @property
    def pod_network(self) -> str:
        """The name under which CNI keeps what it gave to whom."""
        return f"{self._places.cgroup}-{self.name}"

    def furnish(self) -> None:
        """Write down for containerd what it is to be, and the pods' network."""
        (self.folder / "cni").mkdir(parents=True)
        (self.folder / "cni" / "10-pods.conflist").write_text(json.dumps(self._pod_network()))
        self._config.write_text(_CONTAINERD.format(here=self.folder, cri=_CRI, pause=PAUSE))

    def start_containerd(self) -> Daemon:
        """Start containerd; after a kill it finds its containers again."""
        return self._run("containerd", "containerd", f"--config={self._config}")

    @property
    def _config(self) -> Path:
        return self.folder / "containerd.toml"

    def ctr(self, *arguments: str) -> tuple[str, ...]:
        """The command that speaks with this node's containerd."""
        return ("ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments)

    def images(self) -> list[Path]:
        """Archives of the images that a node needs before it can do anything."""
        folder = self.folder / "images"
        folder.mkdir()
        return [
            archive(reference, self._programs / program, folder / f"{program}.tar")
            for reference, program in ((PAUSE, "pause"), (COREDNS, "coredns"))
        ]

    def start_kubelet(self, authority: Authority) -> Daemon:
        hosts = (node_address(self.number), self.name)
        pair = authority.issue(self.name, f"system:node:{self.name}", "system:nodes", hosts)
        kubeconfig = authority.kubeconfig(self.folder / "kubelet.kubeconfig", pair)
        serving = {"tlsCertFile": str(pair.certificate), "tlsPrivateKeyFile": str(pair.key)}
        config = self.folder / "kubelet.yaml"
        config.write_text(yaml.safe_dump({**self._kubelet(authority.ca), **serving}))
        return self._run(
            "kubelet",
            str(self._programs / "kubelet"),
            f"--config={config}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={self.name}",
            f"--node-ip={node_address(self.number)}",
            f"--root-dir={self.folder / 'kubelet'}",
            # cAdvisor asks containerd by itself which cgroup is whose: without this its series name no pod.
            f"--containerd={self.socket}",
            "--housekeeping-interval=5s",
        )

    def _run(self, program: str, *command: str) -> Daemon:
        name = f"{program}-{self.number}"
        return Daemon.start(name, command, self._places.logs / f"{name}.log", self._places.daemons)

    def _kubelet(self, ca: Path) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": node_address(self.number),
            "port": _FIRST_PORT + 100 * self.number,
            "healthzPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(ca)},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroups.of_node(self._places, self.number),
            # Its pods' memory has a limit of its own, so that a node can run short of it and the machine does not.
            "enforceNodeAllocatable": ["pods"],
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "podLogsDir": str(self.folder / "pod-logs"),
            "volumePluginDir": str(self.folder / "volume-plugins"),
            "failSwapOn": False,
            "serializeImagePulls": False,
            "clusterDNS": [DNS],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
                "nodefs.inodesFree": "1%",
            },
            "evictionPressureTransitionPeriod": "10s",
            "nodeStatusUpdateFrequency": "4s",
            # A crash loop of minutes shows nothing that one of half a minute does not. Less, and what a liveness probe
            # kills never backs off: the kubelet reckons from the end of the container before the one that it kills.
            "crashLoopBackOff": {"maxContainerRestartPeriod": "30s"},
            "featureGates": {"KubeletCrashLoopBackOffMax": True},
        }

    def _pod_network(self) -> dict[str, Any]:
        ranges = [[{"subnet": pod_range(self.number)}]]
        leases = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
        bridge = {
            "type": "bridge",
            "bridge": f"pods{self.number}",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {**leases, "dataDir": str(self.folder / "leases")},
        }
        return {"cniVersion": "0.4.0", "name": self.pod_network, "plugins": [bridge]}


def start_proxy(plane: ControlPlane, authority: Authority, places: Places) -> None:
    """Start kube-proxy: one for all nodes, as they share the network namespace that it writes its rules into."""
    pair = authority.issue("kube-proxy", "system:kube-proxy")
    config = authority.kubeconfig(places.state / "kube-proxy.kubeconfig", pair)
    # Its settings of conntrack cannot be written in a namespace: zero leaves them alone.
    limits = ("max-per-core", "min", "tcp-timeout-established", "tcp-timeout-close-wait")
    plane.run(
        "kube-proxy",
        f"--kubeconfig={config}",
        "--proxy-mode=nftables",
        "--hostname-override=node0",
        *(f"--conntrack-{limit}=0" for limit in limits),
    )
