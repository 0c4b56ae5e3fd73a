package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primum.dev/apps/requests"
)

// users are those of a Service behind this address, with the pages about them.
func users(t *testing.T, url string, rps float64) (*Users, string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	target := Target{Namespace: "mesa", Service: "coral", URL: url, RPS: rps, Routes: []string{"find"}}
	all := NewUsers(target, requests.New(registry))
	pages := httptest.NewServer(Pages(map[string]*Users{"coral": all}, registry))
	t.Cleanup(pages.Close)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go all.Run(ctx)
	return all, pages.URL
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came to that")
		}
	}
}

func TestRequestsComeAtTheirRateHoweverSlowTheAnswersAre(t *testing.T) {
	var came atomic.Int64
	done := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came.Add(1); <-done }))
	defer slow.Close()
	defer close(done)
	users(t, slow.URL, 200)

	until(t, func() bool { return came.Load() >= 20 })
}

func TestEachOutcomeIsCountedByItsKind(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	listener.Close()
	answers := func(code int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
		t.Cleanup(server.Close)
		return server.URL
	}
	resets := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer resets.Close()
	for url, wanted := range map[string]string{
		answers(200): "", answers(503): "503", nobody: "refused", resets.URL: "reset",
	} {
		all, _ := users(t, url, 100)
		until(t, func() bool {
			counts := all.Counts()
			return wanted == "" && counts.OK > 0 || counts.Failed[wanted] > 0
		})
		if counts := all.Counts(); len(counts.Failed) > 1 || wanted != "" && counts.OK > 0 {
			t.Errorf("%q: %+v", wanted, counts)
		}
	}
}

func TestTheRateIsChangedOverHTTPAndTheCountsAreAskedFor(t *testing.T) {
	var came atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came.Add(1) }))
	defer server.Close()
	_, pages := users(t, server.URL, 0)
	put := func(service, rate string) int {
		request, err := http.NewRequest(http.MethodPut, pages+"/rate?service="+service, strings.NewReader(rate))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}

	for _, wrong := range []string{"many", "-1", "1e9", "NaN", ""} {
		if code := put("coral", wrong); code != http.StatusBadRequest {
			t.Errorf("%q was answered %d", wrong, code)
		}
	}
	if code := put("nobody", "1"); code != http.StatusNotFound {
		t.Errorf("a service that nobody uses was answered %d", code)
	}
	if came.Load() != 0 || put("coral", "100") != http.StatusNoContent {
		t.Fatal("the rate was not taken")
	}
	until(t, func() bool { return came.Load() > 5 })

	answer, err := http.Get(pages + "/counts")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var counts map[string]Counts
	if err := json.NewDecoder(answer.Body).Decode(&counts); err != nil {
		t.Fatal(err)
	}
	if found := counts["coral"]; found.RPS != 100 || found.OK == 0 || found.Latency["5"] != found.Sent {
		t.Errorf("%+v", found)
	}
}
