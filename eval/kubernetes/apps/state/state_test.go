package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

// exported compares all series of these objects with the lines, whatever their order.
func exported(t *testing.T, object runtime.Object, wanted ...string) {
	t.Helper()
	factory := informers.NewSharedInformerFactory(fake.NewClientset(object), 0)
	cluster := Watch(factory)
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(cluster)
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	found := slices.DeleteFunc(strings.Split(strings.TrimSpace(answer.Body.String()), "\n"), func(line string) bool {
		return strings.HasPrefix(line, "#")
	})
	slices.Sort(wanted)
	slices.Sort(found)
	if !slices.Equal(found, wanted) {
		t.Errorf("exported:\n%s\nnot:\n%s", strings.Join(found, "\n"), strings.Join(wanted, "\n"))
	}
}

func TestEveryDeclaredPortOfAPodWithAnAddressIsATarget(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "mesa", Name: "coral-1"},
		Spec: corev1.PodSpec{NodeName: "node0", Containers: []corev1.Container{{
			Name: "app", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		}}},
		Status: corev1.PodStatus{PodIP: "10.0.0.1", Phase: corev1.PodRunning},
	}
	waiting := pod.DeepCopy()
	waiting.Name, waiting.Status.PodIP = "coral-2", ""
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node0"}, Status: corev1.NodeStatus{
		Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.1.0.1"}},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: 10250}},
	}}
	factory := informers.NewSharedInformerFactory(fake.NewClientset(pod, waiting, node), 0)
	cluster := Watch(factory)
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	mux := http.NewServeMux()
	cluster.Discover(mux)
	for path, wanted := range map[string]string{
		"/targets/pods": `[{"targets":["10.0.0.1:8080"],"labels":{"__meta_kubernetes_namespace":"mesa",` +
			`"__meta_kubernetes_pod_container_name":"app","__meta_kubernetes_pod_container_port_name":"http",` +
			`"__meta_kubernetes_pod_name":"coral-1","__meta_kubernetes_pod_node_name":"node0",` +
			`"__meta_kubernetes_pod_phase":"Running"}}]`,
		"/targets/nodes": `[{"targets":["10.1.0.1:10250"],"labels":{"__meta_kubernetes_node_name":"node0"}}]`,
	} {
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if said := strings.TrimSpace(answer.Body.String()); said != wanted {
			t.Errorf("%s: %s", path, said)
		}
	}
}

func TestADeploymentSaysHowManyItWantsAndHas(t *testing.T) {
	replicas := int32(3)
	exported(t, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "mesa", Name: "coral"},
		Spec:       appsv1.DeploymentSpec{Replicas: &replicas},
		Status:     appsv1.DeploymentStatus{AvailableReplicas: 2},
	},
		`kube_deployment_spec_replicas{deployment="coral",namespace="mesa"} 3`,
		`kube_deployment_status_replicas_available{deployment="coral",namespace="mesa"} 2`,
	)
}

func TestAPodSaysWhetherItIsReadyAndWhatItsContainersWaitFor(t *testing.T) {
	exported(t, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "mesa", Name: "coral-1"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{"cpu": resource.MustParse("200m"), "memory": resource.MustParse("64Mi")},
		}}}},
		Status: corev1.PodStatus{
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "app", RestartCount: 4,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			}},
		},
	},
		`kube_pod_container_resource_limits{container="app",namespace="mesa",pod="coral-1",resource="cpu",unit="core"} 0.2`,
		`kube_pod_container_resource_limits{container="app",namespace="mesa",pod="coral-1",resource="memory",unit="byte"} 6.7108864e+07`,
		`kube_pod_container_status_restarts_total{container="app",namespace="mesa",pod="coral-1"} 4`,
		`kube_pod_container_status_waiting_reason{container="app",namespace="mesa",pod="coral-1",reason="CrashLoopBackOff"} 1`,
		`kube_pod_status_ready{condition="false",namespace="mesa",pod="coral-1"} 0`,
		`kube_pod_status_ready{condition="true",namespace="mesa",pod="coral-1"} 1`,
		`kube_pod_status_ready{condition="unknown",namespace="mesa",pod="coral-1"} 0`,
	)
}

func TestOnlyReadyAddressesAreAvailable(t *testing.T) {
	exported(t, &corev1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Namespace: "mesa", Name: "coral"},
		Subsets: []corev1.EndpointSubset{{
			Addresses: []corev1.EndpointAddress{{IP: "10.0.0.1"}, {IP: "10.0.0.2"}}, NotReadyAddresses: []corev1.EndpointAddress{{IP: "10.0.0.3"}},
		}},
	},
		`kube_endpoint_address_available{endpoint="coral",namespace="mesa"} 2`,
	)
}

func TestANodesConditionIsOneOfThree(t *testing.T) {
	exported(t, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node0"},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}},
	},
		`kube_node_status_condition{condition="Ready",node="node0",status="false"} 0`,
		`kube_node_status_condition{condition="Ready",node="node0",status="true"} 0`,
		`kube_node_status_condition{condition="Ready",node="node0",status="unknown"} 1`,
	)
}
