package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"primum.dev/apps/requests"
)

// Settings are what one service is told: by its environment, and by the file at CONFIG_FILE where the environment is
// silent. The image's own environment says what the application is, the container's where it runs.
type Settings struct {
	Listen        string
	TLS           Certificate
	Debug         bool
	Latency       time.Duration // own work that waits
	CPU           time.Duration // own work that computes, a request
	MemoryMB      int
	ErrorRatio    float64
	Startup       time.Duration
	Abrupt        bool          // on SIGTERM: exit at once
	Drain         time.Duration // on SIGTERM: how long requests are still taken although it is not ready any more
	Timeout       time.Duration // of a call to a dependency
	Retries       int
	ConnectionAge time.Duration // after which a client is told to connect anew
	Leak          float64       // of the connections to dependencies, which nobody gives back
	Connections   int           // that may be open at once; 0: as many as come
	SignIn        bool          // callers must sign in
	User          string
	Password      string
	QueueLimit    int      // jobs that may wait; 0: it has no queue
	Queue         Upstream // whose jobs it does; without a variable: nobody's
	LeakKB        int      // that stay allocated after each job
	Upstreams     []Upstream
}

// Certificate is where it serves TLS besides, and with what; without an address: nowhere.
type Certificate struct{ Listen, File, Key string }

// Upstream is a dependency: the variable that holds its address, and how many calls a request makes.
type Upstream struct {
	Variable string
	URL      string
	Callee   requests.Callee
	Ratio    float64
}

// required is what a CONFIG_FILE must hold: a file without it is another service's.
var required = []string{"TIMEOUT_MS"}

// Load reads the settings. Its error is a sentence for the last line of the log.
func Load(environment []string) (Settings, error) {
	read := reader{values: map[string]string{}}
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		read.values[name] = value
	}
	if path := read.values["CONFIG_FILE"]; path != "" {
		if err := read.file(path); err != nil {
			return Settings{}, err
		}
	}
	settings := Settings{
		Listen:        read.text("LISTEN", ":8080"),
		TLS:           Certificate{read.text("TLS_LISTEN", ""), read.text("TLS_CERTIFICATE", ""), read.text("TLS_KEY", "")},
		Debug:         read.choice("LOG_LEVEL", "info", "debug", "warn", "error") == "debug",
		Latency:       read.duration("LATENCY_MS", 2, time.Millisecond),
		CPU:           read.duration("CPU_MS", 0.2, time.Millisecond),
		MemoryMB:      int(read.number("MEMORY_MB", 0)),
		ErrorRatio:    read.number("ERROR_RATIO", 0),
		Startup:       read.duration("STARTUP_S", 1, time.Second),
		Abrupt:        read.choice("SHUTDOWN", "graceful", "abrupt") == "abrupt",
		Drain:         read.duration("DRAIN_S", 3, time.Second),
		Timeout:       read.duration("TIMEOUT_MS", 1000, time.Millisecond),
		Retries:       int(read.number("RETRIES", 0)),
		ConnectionAge: read.duration("CONNECTION_AGE_S", 2, time.Second),
		Leak:          read.number("CONNECTION_LEAK", 0),
		Connections:   int(read.number("CONNECTIONS", 0)),
		SignIn:        read.choice("SIGN_IN", "none", "required") == "required",
		User:          read.text("STORE_USER", ""),
		Password:      read.text("STORE_PASSWORD", ""),
		QueueLimit:    int(read.number("QUEUE_LIMIT", 0)),
		Queue:         read.upstream(read.text("JOBS_FROM", "")),
		LeakKB:        int(read.number("LEAK_KB", 0)),
		Upstreams:     read.upstreams(),
	}
	return settings, errors.Join(read.wrong...)
}

type reader struct {
	values map[string]string
	wrong  []error
}

func (r *reader) file(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	defer file.Close()
	found := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, is := strings.Cut(line, "=")
		if !is {
			return fmt.Errorf("%s: %q is not NAME=VALUE", path, line)
		}
		found[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	for _, name := range required {
		if found[name] == "" {
			return fmt.Errorf("%s: %s is missing", path, name)
		}
	}
	for name, value := range found {
		if _, set := r.values[name]; !set {
			r.values[name] = value
		}
	}
	return nil
}

func (r *reader) text(name, fallback string) string {
	if value := r.values[name]; value != "" {
		return value
	}
	return fallback
}

func (r *reader) choice(name string, choices ...string) string {
	value := r.text(name, choices[0])
	if !slices.Contains(choices, value) {
		r.wrong = append(r.wrong, fmt.Errorf("%s=%q is none of %s", name, value, strings.Join(choices, ", ")))
	}
	return value
}

func (r *reader) number(name string, fallback float64) float64 {
	text := r.text(name, "")
	if text == "" {
		return fallback
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || !(value >= 0) {
		r.wrong = append(r.wrong, fmt.Errorf("%s=%q is not a number from 0 on", name, text))
	}
	return value
}

func (r *reader) duration(name string, fallback float64, unit time.Duration) time.Duration {
	return time.Duration(r.number(name, fallback) * float64(unit))
}

// upstreams are those whose ratio is told, with or without an address: the application knows whom it calls, and where
// they are is its operator's to say.
func (r *reader) upstreams() []Upstream {
	var found []Upstream
	for name := range r.values {
		if who, is := strings.CutSuffix(name, "_RATIO"); is && who != "ERROR" {
			upstream := r.upstream(who + "_URL")
			upstream.Ratio = r.number(name, 1)
			found = append(found, upstream)
		}
	}
	slices.SortFunc(found, func(a, b Upstream) int { return strings.Compare(a.Variable, b.Variable) })
	return found
}

func (r *reader) upstream(variable string) Upstream {
	address := r.values[variable]
	return Upstream{variable, address, requests.CalleeOf(address), 1}
}
