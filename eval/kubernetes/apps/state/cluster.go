package main

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	apps "k8s.io/client-go/listers/apps/v1"
	core "k8s.io/client-go/listers/core/v1"
)

var (
	specReplicas = family("kube_deployment_spec_replicas", "Number of desired pods for a deployment.",
		"namespace", "deployment")
	availableReplicas = family("kube_deployment_status_replicas_available",
		"The number of available replicas per deployment.", "namespace", "deployment")
	addressesAvailable = family("kube_endpoint_address_available", "Number of addresses available in endpoint.",
		"namespace", "endpoint")
	nodeCondition = family("kube_node_status_condition", "The condition of a cluster node.",
		"node", "condition", "status")
	resourceLimits = family("kube_pod_container_resource_limits", "The number of requested limit resource by a container.",
		"namespace", "pod", "container", "resource", "unit")
	restarts = family("kube_pod_container_status_restarts_total", "The number of container restarts per container.",
		"namespace", "pod", "container")
	waitingReason = family("kube_pod_container_status_waiting_reason",
		"The reason the container is currently in waiting state.", "namespace", "pod", "container", "reason")
	podReady = family("kube_pod_status_ready", "Whether the pod is ready to serve requests.",
		"namespace", "pod", "condition")
)

var units = map[corev1.ResourceName]string{corev1.ResourceCPU: "core", corev1.ResourceMemory: "byte"}

func family(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Cluster collects all series from what its watches have seen.
type Cluster struct {
	deployments apps.DeploymentLister
	pods        core.PodLister
	endpoints   core.EndpointsLister
	nodes       core.NodeLister
}

// Watch asks the factory for what the series are made of; the factory is started afterwards.
func Watch(factory informers.SharedInformerFactory) *Cluster {
	return &Cluster{
		factory.Apps().V1().Deployments().Lister(),
		factory.Core().V1().Pods().Lister(),
		factory.Core().V1().Endpoints().Lister(),
		factory.Core().V1().Nodes().Lister(),
	}
}

// Describe says nothing beforehand: the series come and go with the objects.
func (c *Cluster) Describe(chan<- *prometheus.Desc) {}

// Collect sends the series of each object.
func (c *Cluster) Collect(into chan<- prometheus.Metric) {
	send := sender(into)
	deployments, err := c.deployments.List(labels.Everything())
	send.failed(err)
	for _, each := range deployments {
		send.deployment(each)
	}
	pods, err := c.pods.List(labels.Everything())
	send.failed(err)
	for _, each := range pods {
		send.pod(each)
	}
	endpoints, err := c.endpoints.List(labels.Everything())
	send.failed(err)
	for _, each := range endpoints {
		send.endpoint(each)
	}
	nodes, err := c.nodes.List(labels.Everything())
	send.failed(err)
	for _, each := range nodes {
		send.node(each)
	}
}

type sender chan<- prometheus.Metric

func (s sender) gauge(what *prometheus.Desc, value float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(what, prometheus.GaugeValue, value, labels...)
}

func (s sender) failed(err error) {
	if err != nil {
		s <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
	}
}

func (s sender) deployment(item *appsv1.Deployment) {
	wanted := 1.0
	if item.Spec.Replicas != nil {
		wanted = float64(*item.Spec.Replicas)
	}
	s.gauge(specReplicas, wanted, item.Namespace, item.Name)
	s.gauge(availableReplicas, float64(item.Status.AvailableReplicas), item.Namespace, item.Name)
}

func (s sender) pod(item *corev1.Pod) {
	status := corev1.ConditionFalse
	for _, condition := range item.Status.Conditions {
		if condition.Type == corev1.PodReady {
			status = condition.Status
		}
	}
	s.eachStatus(podReady, status, item.Namespace, item.Name)
	for _, container := range item.Status.ContainerStatuses {
		s <- prometheus.MustNewConstMetric(restarts, prometheus.CounterValue, float64(container.RestartCount),
			item.Namespace, item.Name, container.Name)
		if waiting := container.State.Waiting; waiting != nil && waiting.Reason != "" {
			s.gauge(waitingReason, 1, item.Namespace, item.Name, container.Name, waiting.Reason)
		}
	}
	for _, container := range item.Spec.Containers {
		for resource, limit := range container.Resources.Limits {
			unit, known := units[resource]
			if !known {
				unit = "integer"
			}
			s.gauge(resourceLimits, limit.AsApproximateFloat64(), item.Namespace, item.Name, container.Name,
				strings.ReplaceAll(string(resource), "-", "_"), unit)
		}
	}
}

func (s sender) endpoint(item *corev1.Endpoints) {
	ready := 0
	for _, subset := range item.Subsets {
		ready += len(subset.Addresses)
	}
	s.gauge(addressesAvailable, float64(ready), item.Namespace, item.Name)
}

func (s sender) node(item *corev1.Node) {
	for _, condition := range item.Status.Conditions {
		s.eachStatus(nodeCondition, condition.Status, item.Name, string(condition.Type))
	}
}

// eachStatus is one series for each answer that a condition can have; 1 is the one that it has.
func (s sender) eachStatus(what *prometheus.Desc, status corev1.ConditionStatus, labels ...string) {
	for _, each := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown} {
		value := 0.0
		if each == status {
			value = 1
		}
		s.gauge(what, value, append(labels[:len(labels):len(labels)], strings.ToLower(string(each)))...)
	}
}
