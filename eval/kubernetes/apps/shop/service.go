package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// routes are its pages; what else is asked for is not found.
var routes = []string{"{$}", "add", "batch", "check", "find", "head", "item", "list", "page", "quote", "sync"}

// Service answers requests: it works, calls its dependencies, and says how it is.
type Service struct {
	settings Settings
	clients  *Clients
	jobs     *Jobs
	worker   worker
	log      *Log
	leaving  atomic.Bool
	open     atomic.Int64 // connections that count against the limit
	all      sync.Map     // net.Conn -> *connection
	served   *prometheus.CounterVec
	seconds  prometheus.Histogram
	registry *prometheus.Registry
}

// NewService makes one, for Server to serve.
func NewService(settings Settings, clients *Clients, registry *prometheus.Registry, log *Log) *Service {
	service := &Service{
		settings: settings, clients: clients, registry: registry, log: log, jobs: NewJobs(settings.QueueLimit, registry),
		served: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "app_requests_total", Help: "Requests that this process answered, by route and code.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "app_request_duration_seconds", Help: "How long this process took for its answers.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
	}
	registry.MustRegister(service.served, service.seconds, prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "app_connections_open", Help: "Connections that callers hold."},
		func() float64 { return float64(service.open.Load()) },
	), prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "app_connections_limit", Help: "Connections that may be held at once; 0: no limit."},
		func() float64 { return float64(settings.Connections) },
	))
	return service
}

// Server serves it; a client whose head takes too long is sent away.
func (s *Service) Server() *http.Server {
	return &http.Server{
		Handler: s.Handler(), ConnContext: s.Accepted, ConnState: s.Changed, ReadHeaderTimeout: 5 * time.Second,
	}
}

// Handler has the pages for people and machines that look after the service, and its routes.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "live") })
	mux.HandleFunc("GET /ready", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("POST /jobs/next", s.renewing(s.jobs.next))
	for _, route := range routes {
		mux.HandleFunc("GET /"+route, s.renewing(s.answer))
	}
	return mux
}

// Leave makes it say that it is not ready any more; what comes is still answered.
func (s *Service) Leave() { s.leaving.Store(true) }

func (s *Service) ready(w http.ResponseWriter, _ *http.Request) {
	if s.leaving.Load() {
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// renewing lets clients connect anew from time to time: else each would stay with the pod that it found first.
func (s *Service) renewing(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() || connectionOf(r).isOlderThan(s.settings.ConnectionAge) {
			w.Header().Set("Connection", "close")
		}
		answer(w, r)
	}
}

func (s *Service) answer(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	route := strings.Trim(r.URL.Path, "/")
	code, said := s.handle(r, route)
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Connection", "close")
	}
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="store"`)
	}
	w.WriteHeader(code)
	fmt.Fprintln(w, said)
	s.served.WithLabelValues(route, strconv.Itoa(code)).Inc()
	s.seconds.Observe(time.Since(began).Seconds())
	s.log.Debug("%s %s %d %s", r.Method, r.URL.Path, code, time.Since(began).Round(time.Microsecond))
}

// handle does what one request asks for, and returns the code of its answer and what it says.
func (s *Service) handle(r *http.Request, route string) (int, string) {
	if !connectionOf(r).hold(&s.open, s.settings.Connections) {
		s.log.Trouble("connections", "too many connections: all %d are taken", s.settings.Connections)
		return http.StatusServiceUnavailable, fmt.Sprintf("too many connections: all %d are taken", s.settings.Connections)
	}
	if user, fine := s.signedIn(r); !fine {
		s.log.Trouble("sign-in", "sign-in of %q from %s was refused: wrong user or password", user, r.RemoteAddr)
		return http.StatusUnauthorized, fmt.Sprintf("wrong user or password for %q", user)
	}
	wait(s.settings.Latency)
	if !s.worker.burn(s.settings.CPU) {
		s.log.Trouble("overload", "queue full, requests are turned away: %d wait already", mostWaiting)
		return http.StatusServiceUnavailable, "overloaded"
	}
	if rand.Float64() < s.settings.ErrorRatio {
		s.log.Trouble("own", "cannot answer /%s: internal error", route)
		return http.StatusInternalServerError, "internal error"
	}
	if err := s.clients.All(route); errors.Is(err, refused) {
		return http.StatusInternalServerError, err.Error()
	} else if err != nil {
		return http.StatusBadGateway, err.Error()
	}
	if !s.jobs.Add() {
		s.log.Trouble("queue", "the queue is full: %d jobs wait, and nobody takes them", s.settings.QueueLimit)
		return http.StatusServiceUnavailable, "the queue is full"
	}
	return http.StatusOK, "ok"
}

func (s *Service) signedIn(r *http.Request) (string, bool) {
	if !s.settings.SignIn {
		return "", true
	}
	user, password, _ := r.BasicAuth()
	same := subtle.ConstantTimeCompare([]byte(user+":"+password), []byte(s.settings.User+":"+s.settings.Password))
	return user, same == 1
}

// connection is what is known of one of a client's connections.
type connection struct {
	since time.Time
	held  atomic.Bool // a place among those that the limit counts
}

type connectionKey struct{}

// Accepted is the server's ConnContext: each request knows its connection.
func (s *Service) Accepted(ctx context.Context, conn net.Conn) context.Context {
	one := &connection{since: time.Now()}
	s.all.Store(conn, one)
	return context.WithValue(ctx, connectionKey{}, one)
}

// Changed is the server's ConnState: a connection that ends gives its place back.
func (s *Service) Changed(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed {
		return
	}
	if one, known := s.all.LoadAndDelete(conn); known && one.(*connection).held.Load() {
		s.open.Add(-1)
	}
}

func connectionOf(r *http.Request) *connection {
	return r.Context().Value(connectionKey{}).(*connection)
}

func (c *connection) isOlderThan(age time.Duration) bool { return age > 0 && time.Since(c.since) > age }

// hold takes a place for the connection, once; probes and scrapes never come here, so they need none.
func (c *connection) hold(open *atomic.Int64, limit int) bool {
	if c.held.Load() {
		return true
	}
	if now := open.Add(1); limit > 0 && now > int64(limit) {
		open.Add(-1)
		return false
	}
	c.held.Store(true)
	return true
}
