package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	idleFor   = 500 * time.Millisecond // while there is no job
	failedFor = 3 * time.Second        // while there is no queue
)

// Jobs is a queue in this process's memory: each request that was answered leaves one, a worker takes them.
type Jobs struct {
	limit   int
	mutex   sync.Mutex
	waiting int
	last    int
	taken   prometheus.Counter
}

// NewJobs makes a queue for so many; with a limit of 0 there is none.
func NewJobs(limit int, registry prometheus.Registerer) *Jobs {
	jobs := &Jobs{limit: limit, taken: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "app_jobs_taken_total", Help: "Jobs that a worker took from the queue.",
	})}
	if limit > 0 {
		registry.MustRegister(jobs.taken, prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: "app_jobs_waiting", Help: "Jobs in the queue."},
			func() float64 { return float64(jobs.Waiting()) },
		))
	}
	return jobs
}

// Add leaves a job, and says whether there was room for it.
func (j *Jobs) Add() bool {
	if j.limit == 0 {
		return true
	}
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.waiting >= j.limit {
		return false
	}
	j.waiting++
	return true
}

// Waiting is how many there are.
func (j *Jobs) Waiting() int {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	return j.waiting
}

func (j *Jobs) next(w http.ResponseWriter, _ *http.Request) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if j.waiting == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	j.waiting--
	j.last++
	j.taken.Inc()
	fmt.Fprintf(w, "job %d\n", j.last)
}

// Worker takes jobs from another service's queue, and does them.
type Worker struct {
	settings Settings
	clients  *Clients
	log      *Log
	done     prometheus.Counter
	leaked   [][]byte
}

// NewWorker makes one for the queue that the settings name.
func NewWorker(settings Settings, clients *Clients, registry prometheus.Registerer, log *Log) *Worker {
	worker := &Worker{settings: settings, clients: clients, log: log, done: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "app_jobs_done_total", Help: "Jobs that this worker did.",
	})}
	registry.MustRegister(worker.done)
	return worker
}

// Run works until the context ends.
func (w *Worker) Run(ctx context.Context, queue Upstream) {
	for ctx.Err() == nil {
		job, err := w.clients.call(ctx, queue, http.MethodPost, "/jobs/next", "jobs")
		switch {
		case err != nil && ctx.Err() == nil:
			w.log.Trouble(queue.Variable, "upstream %s: %v", queue.Variable, err)
			pause(ctx, failedFor)
		case len(job) == 0:
			pause(ctx, idleFor)
		default:
			w.do()
		}
	}
}

func (w *Worker) do() {
	wait(w.settings.Latency)
	burn(w.settings.CPU)
	if w.settings.LeakKB > 0 {
		page := make([]byte, w.settings.LeakKB<<10)
		for at := range page {
			page[at] = 1
		}
		w.leaked = append(w.leaked, page)
	}
	w.done.Inc()
}

func pause(ctx context.Context, idle time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(idle):
	}
}
