// Load is the shop's users: requests at a given rate, whatever becomes of them, and a count of what they saw.
//
// usage: load LISTEN TARGET…, where a target is a JSON object (see Target).
// GET /counts says what was seen, PUT /rate?service=NAME takes a new rate, GET /metrics is for Prometheus.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"primum.dev/apps/requests"
)

const (
	patience  = 3 * time.Second // of a user
	tooLate   = time.Second     // for a user to be content
	mostWaits = 500             // users at once: beyond that the machine would suffer, not the shop
	fastest   = 500.0           // requests a second
)

// Target is a Service and how many requests a second its users make.
type Target struct {
	Namespace string   `json:"namespace"`
	Service   string   `json:"service"`
	URL       string   `json:"url"`
	RPS       float64  `json:"rps"`
	Routes    []string `json:"routes"`
}

// Counts is what the users of one Service saw since the start: cumulative, so that two readings make a period.
type Counts struct {
	RPS     float64          `json:"rps"`
	Sent    int64            `json:"sent"`
	OK      int64            `json:"ok"`
	Slow    int64            `json:"slow"`      // answered well, and too late
	Failed  map[string]int64 `json:"failed"`    // by kind: a code, or timeout, refused, reset, crowded, other
	Latency map[string]int64 `json:"latency_s"` // answers of any kind that took at most so long
}

var bounds = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// Users are those of one Service.
type Users struct {
	target Target
	calls  *requests.Calls
	http   *http.Client
	places chan struct{}
	faster chan struct{}

	mutex  sync.Mutex
	counts Counts
}

// NewUsers makes them; they begin with Run.
func NewUsers(target Target, calls *requests.Calls) *Users {
	counts := Counts{RPS: target.RPS, Failed: map[string]int64{}, Latency: map[string]int64{}}
	for _, bound := range bounds {
		counts.Latency[bucket(bound)] = 0
	}
	// Each user comes with a connection of his own, as users do.
	transport := &http.Transport{DisableKeepAlives: true}
	return &Users{
		target: target, calls: calls, http: &http.Client{Transport: transport, Timeout: patience},
		places: make(chan struct{}, mostWaits), faster: make(chan struct{}, 1), counts: counts,
	}
}

// Run sends requests at the rate, evenly, each whether or not the earlier ones were answered.
func (u *Users) Run(ctx context.Context) {
	next := time.Now()
	for ctx.Err() == nil {
		rps := u.Counts().RPS
		if rps <= 0 {
			select {
			case <-ctx.Done():
			case <-u.faster:
			}
			next = time.Now()
			continue
		}
		next = next.Add(time.Duration(float64(time.Second) / rps))
		select {
		case <-ctx.Done():
			return
		case <-u.faster:
			next = time.Now()
			continue
		case <-time.After(time.Until(next)):
		}
		u.send(ctx)
	}
}

func (u *Users) send(ctx context.Context) {
	select {
	case u.places <- struct{}{}:
		go func() {
			defer func() { <-u.places }()
			u.ask(ctx)
		}()
	default:
		u.count("crowded", 0)
	}
}

func (u *Users) ask(ctx context.Context) {
	route := u.target.Routes[rand.IntN(len(u.target.Routes))]
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(u.target.URL, "/")+"/"+route, nil)
	if err != nil {
		u.count("other", 0)
		return
	}
	began := time.Now()
	code, err := u.answer(request)
	took := time.Since(began)
	if ctx.Err() != nil { // it is the users who leave
		return
	}
	u.calls.Saw(requests.Callee{Namespace: u.target.Namespace, Service: u.target.Service}, route, code, err, took)
	u.count(kind(code, err), took)
}

func (u *Users) answer(request *http.Request) (int, error) {
	answer, err := u.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

// kind is empty for what its user was content with.
func kind(code int, err error) string {
	switch {
	case err == nil && code < http.StatusBadRequest:
		return ""
	case err == nil:
		return strconv.Itoa(code)
	case requests.IsTimeout(err):
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "reset"
	default:
		return "other"
	}
}

func (u *Users) count(failure string, took time.Duration) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	u.counts.Sent++
	switch {
	case failure != "":
		u.counts.Failed[failure]++
	case took > tooLate:
		u.counts.Slow++
	default:
		u.counts.OK++
	}
	for _, bound := range bounds {
		if failure != "crowded" && took.Seconds() <= bound {
			u.counts.Latency[bucket(bound)]++
		}
	}
}

func bucket(bound float64) string { return strconv.FormatFloat(bound, 'g', -1, 64) }

// Counts is a copy of what was counted so far.
func (u *Users) Counts() Counts {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	copied := u.counts
	copied.Failed, copied.Latency = map[string]int64{}, map[string]int64{}
	for name, count := range u.counts.Failed {
		copied.Failed[name] = count
	}
	for name, count := range u.counts.Latency {
		copied.Latency[name] = count
	}
	return copied
}

// SetRate changes how many requests a second they make, at once.
func (u *Users) SetRate(rps float64) {
	u.mutex.Lock()
	u.counts.RPS = rps
	u.mutex.Unlock()
	select {
	case u.faster <- struct{}{}:
	default:
	}
}

// Pages answers for all users.
func Pages(users map[string]*Users, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) {
		counts := map[string]Counts{}
		for service, each := range users {
			counts[service] = each.Counts()
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(counts)
	})
	mux.HandleFunc("PUT /rate", func(w http.ResponseWriter, r *http.Request) {
		who, known := users[r.URL.Query().Get("service")]
		if !known {
			http.Error(w, "no such service", http.StatusNotFound)
			return
		}
		text, err := io.ReadAll(io.LimitReader(r.Body, 64))
		rps, wrong := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
		if err != nil || wrong != nil || !(rps >= 0 && rps <= fastest) {
			http.Error(w, fmt.Sprintf("not a rate from 0 to %g requests a second", fastest), http.StatusBadRequest)
			return
		}
		who.SetRate(rps)
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("usage: load LISTEN TARGET…")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	registry := prometheus.NewRegistry()
	calls, users := requests.New(registry), map[string]*Users{}
	for _, text := range arguments[1:] {
		var target Target
		if err := json.Unmarshal([]byte(text), &target); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if len(target.Routes) == 0 || target.URL == "" {
			return fmt.Errorf("%s: it needs a url and routes", text)
		}
		users[target.Service] = NewUsers(target, calls)
	}
	for _, each := range users {
		go each.Run(ctx)
	}
	server := &http.Server{Addr: arguments[0], Handler: Pages(users, registry), ReadHeaderTimeout: patience}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}
