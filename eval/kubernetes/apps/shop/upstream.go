package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"primum.dev/apps/requests"
)

const longestBody = 4096

// refused is the store's 401: a mistake of this service's configuration, and so its own 500.
var refused = errors.New("401 Unauthorized")

// Clients call the dependencies, and count what they see of them.
type Clients struct {
	settings Settings
	http     *http.Client
	calls    *requests.Calls
	log      *Log
}

// NewClients makes them; a call takes no longer than the settings' timeout.
func NewClients(settings Settings, calls *requests.Calls, log *Log) *Clients {
	return &Clients{settings, &http.Client{Timeout: settings.Timeout}, calls, log}
}

// All calls each dependency as often as one request needs it, and stops at the first that fails.
//
// A call that was begun is waited for, also when whoever asked has gone away: else the slow one at the end of a chain
// of callers, who all give up at the same moment, is never seen to be slow.
func (c *Clients) All(route string) error {
	ctx := context.Background()
	for _, upstream := range c.settings.Upstreams {
		for range times(upstream.Ratio) {
			if err := c.try(ctx, upstream, route); err != nil {
				c.log.Trouble(upstream.Variable, "upstream %s: %v", upstream.Variable, err)
				return err
			}
		}
	}
	return nil
}

// times turns 1.4 into one call, and with four chances in ten two.
func times(ratio float64) int {
	whole, part := math.Modf(ratio)
	if rand.Float64() < part {
		whole++
	}
	return int(whole)
}

func (c *Clients) try(ctx context.Context, upstream Upstream, route string) error {
	if upstream.URL == "" {
		return errors.New("no address is configured")
	}
	for attempt := 0; ; attempt++ {
		_, err := c.call(ctx, upstream, http.MethodGet, "/"+route, route)
		if err == nil || errors.Is(err, refused) || attempt >= c.settings.Retries {
			return err
		}
	}
}

// client is the one that all calls share; a leaking application now and then takes a connection that it forgets.
func (c *Clients) client() *http.Client {
	if rand.Float64() < c.settings.Leak {
		return &http.Client{Timeout: c.settings.Timeout, Transport: &http.Transport{}}
	}
	return c.http
}

// call makes one request and returns the body of its answer; an answer that is no success is an error, too.
func (c *Clients) call(ctx context.Context, upstream Upstream, method, path, route string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(upstream.URL, "/")+path, nil)
	if err != nil {
		return nil, err
	}
	if c.settings.User != "" {
		request.SetBasicAuth(c.settings.User, c.settings.Password)
	}
	began := time.Now()
	answer, err := c.client().Do(request)
	if err != nil {
		if ctx.Err() == nil { // else it is we who leave
			c.calls.Saw(upstream.Callee, route, 0, err, time.Since(began))
		}
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, longestBody))
	c.calls.Saw(upstream.Callee, route, answer.StatusCode, nil, time.Since(began))
	said := strings.TrimSpace(string(body))
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		return nil, fmt.Errorf("%s answered %w: %s", upstream.URL, refused, said)
	case answer.StatusCode >= http.StatusBadRequest:
		return nil, fmt.Errorf("%s answered %s: %s", upstream.URL, answer.Status, said)
	default:
		return body, err
	}
}
