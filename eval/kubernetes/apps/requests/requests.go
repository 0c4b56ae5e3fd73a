// Package requests counts requests the way a mesh's source reporter does: by their caller, who also sees what never
// arrived anywhere.
package requests

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What a mesh answers in the callee's place.
const (
	unavailable = 503
	timedOut    = 504
)

// Callee is a Service as a caller knows it: by the host of its address.
type Callee struct{ Namespace, Service string }

// CalleeOf reads `name.namespace…` off an address; the namespace stays empty where the address has none, and then
// Prometheus fills in that of the caller.
func CalleeOf(address string) Callee {
	parsed, err := url.Parse(address)
	if err != nil {
		return Callee{}
	}
	labels := strings.Split(parsed.Hostname(), ".")
	if len(labels) == 1 {
		return Callee{Service: labels[0]}
	}
	return Callee{Namespace: labels[1], Service: labels[0]}
}

// Calls are the counters of one caller, for all that it calls.
type Calls struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// New registers the counters.
func New(registry prometheus.Registerer) *Calls {
	calls := &Calls{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total",
			Help: "Requests to a service that this caller made, by the code of their answer.",
		}, []string{"namespace", "service", "route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "http_request_duration_seconds",
			Help:    "How long this caller waited for a service's answer.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, .75, 1, 1.1, 2.5},
		}, []string{"namespace", "service"}),
	}
	registry.MustRegister(calls.total, calls.seconds)
	return calls
}

// Saw counts one request: the code that was answered, or the error in place of an answer.
func (c *Calls) Saw(callee Callee, route string, code int, err error, took time.Duration) {
	if err != nil {
		code = CodeOf(err)
	}
	c.total.WithLabelValues(callee.Namespace, callee.Service, route, strconv.Itoa(code)).Inc()
	c.seconds.WithLabelValues(callee.Namespace, callee.Service).Observe(took.Seconds())
}

// CodeOf is the code that a mesh reports for a request without an answer.
func CodeOf(err error) int {
	if IsTimeout(err) {
		return timedOut
	}
	return unavailable
}

// IsTimeout tells who waited in vain from who was refused.
func IsTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}
