package main

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Targets is one entry of Prometheus's HTTP discovery, with the labels that its own Kubernetes discovery would give:
// there are builds of it without that one (Debian's).
type Targets struct {
	Addresses []string          `json:"targets"`
	Labels    map[string]string `json:"labels"`
}

const meta = "__meta_kubernetes_"

// Discover answers GET /targets/pods and /targets/nodes.
func (c *Cluster) Discover(mux *http.ServeMux) {
	mux.HandleFunc("GET /targets/pods", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.podTargets) })
	mux.HandleFunc("GET /targets/nodes", func(w http.ResponseWriter, _ *http.Request) { answer(w, c.nodeTargets) })
}

func answer(w http.ResponseWriter, find func() ([]Targets, error)) {
	found, err := find()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(found)
}

// podTargets are the declared ports of all pods that have an address.
func (c *Cluster) podTargets() ([]Targets, error) {
	pods, err := c.pods.List(labels.Everything())
	found := []Targets{}
	for _, pod := range pods {
		for _, container := range pod.Spec.Containers {
			for _, port := range container.Ports {
				if pod.Status.PodIP != "" {
					found = append(found, podTarget(pod, container.Name, port))
				}
			}
		}
	}
	return found, err
}

func podTarget(pod *corev1.Pod, container string, port corev1.ContainerPort) Targets {
	address := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(port.ContainerPort)))
	return Targets{[]string{address}, map[string]string{
		meta + "namespace":               pod.Namespace,
		meta + "pod_name":                pod.Name,
		meta + "pod_node_name":           pod.Spec.NodeName,
		meta + "pod_phase":               string(pod.Status.Phase),
		meta + "pod_container_name":      container,
		meta + "pod_container_port_name": port.Name,
	}}
}

// nodeTargets are the kubelets.
func (c *Cluster) nodeTargets() ([]Targets, error) {
	nodes, err := c.nodes.List(labels.Everything())
	found := []Targets{}
	for _, node := range nodes {
		port := strconv.Itoa(int(node.Status.DaemonEndpoints.KubeletEndpoint.Port))
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				found = append(found, Targets{
					[]string{net.JoinHostPort(address.Address, port)}, map[string]string{meta + "node_name": node.Name},
				})
			}
		}
	}
	return found, err
}
