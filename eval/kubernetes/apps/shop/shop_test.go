package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"primum.dev/apps/requests"
)

// serve runs a service with these settings on loopback, and returns its address.
func serve(t *testing.T, environment ...string) (string, *Service) {
	t.Helper()
	settings, err := Load(append([]string{"LATENCY_MS=0", "CPU_MS=0"}, environment...))
	if err != nil {
		t.Fatal(err)
	}
	registry, log := prometheus.NewRegistry(), NewLog(false)
	service := NewService(settings, NewClients(settings, requests.New(registry), log), registry, log)
	server := httptest.NewUnstartedServer(nil)
	server.Config = service.Server()
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, service
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func expect(t *testing.T, url string, code int, says string) {
	t.Helper()
	if got, body := get(t, url); got != code || !strings.Contains(body, says) {
		t.Errorf("%s answered %d %q, not %d with %q", url, got, body, code, says)
	}
}

func TestARequestWalksTheDependenciesAndIsCountedByTheCaller(t *testing.T) {
	below, _ := serve(t)
	above, _ := serve(t, "CORAL_RATIO=2", "CORAL_URL="+strings.Replace(below, "127.0.0.1", "localhost", 1))

	expect(t, above+"/find", 200, "ok")
	expect(t, above+"/metrics", 200, `http_requests_total{code="200",namespace="",route="find",service="localhost"} 2`)
	expect(t, below+"/metrics", 200, `app_requests_total{code="200",route="find"} 2`)
}

func TestWhatIsNoPageIsNotFound(t *testing.T) {
	url, _ := serve(t)

	expect(t, url+"/", 200, "ok")
	expect(t, url+"/healthz", 404, "not found")
	expect(t, url+"/find/more", 404, "not found")
}

func TestAFailureOfADependencyIsABadGatewayThatSaysWhich(t *testing.T) {
	below, _ := serve(t, "ERROR_RATIO=1")
	above, _ := serve(t, "CORAL_RATIO=1", "CORAL_URL="+below)

	expect(t, above+"/find", 502, "500 Internal Server Error")
}

func TestADependencyWhereNobodyListensIsCountedAsUnavailable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	above, _ := serve(t, "CORAL_RATIO=1", "CORAL_URL=http://"+nobody)

	expect(t, above+"/find", 502, "connection refused")
	expect(t, above+"/metrics", 200, `code="503"`)
}

func TestADependencyThatIsTooSlowIsCountedAsTimedOut(t *testing.T) {
	below, _ := serve(t, "LATENCY_MS=500")
	above, _ := serve(t, "CORAL_RATIO=1", "CORAL_URL="+below, "TIMEOUT_MS=50")

	expect(t, above+"/find", 502, "Client.Timeout exceeded")
	expect(t, above+"/metrics", 200, `code="504"`)
}

func TestAnAddressThatNobodyConfiguredFailsRequestsNotTheStart(t *testing.T) {
	above, _ := serve(t, "CORAL_RATIO=1")

	expect(t, above+"/find", 502, "no address is configured")
	expect(t, above+"/ready", 200, "ready")
}

func TestTheStoreRefusesWhoeverSignsInWronglyAndTheCallerAnswers500(t *testing.T) {
	store, _ := serve(t, "SIGN_IN=required", "STORE_USER=shop", "STORE_PASSWORD=right")
	right, _ := serve(t, "CORAL_RATIO=1", "CORAL_URL="+store, "STORE_USER=shop", "STORE_PASSWORD=right")
	wrong, _ := serve(t, "CORAL_RATIO=1", "CORAL_URL="+store, "STORE_USER=shop", "STORE_PASSWORD=wrong")

	expect(t, right+"/find", 200, "ok")
	expect(t, wrong+"/find", 500, "401 Unauthorized")
	expect(t, store+"/ready", 200, "ready")
}

func TestAboveTheLimitOfConnectionsTheStoreSaysSoAndProbesStillPass(t *testing.T) {
	store, service := serve(t, "CONNECTIONS=1")
	held := &http.Client{Transport: &http.Transport{}}
	answer, err := held.Get(store + "/find")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()

	expect(t, store+"/find", 503, "too many connections: all 1 are taken")
	expect(t, store+"/ready", 200, "ready")

	held.CloseIdleConnections()
	for deadline := time.Now().Add(5 * time.Second); service.open.Load() > 0; {
		if time.Now().After(deadline) {
			t.Fatal("a connection that was closed still counts")
		}
		time.Sleep(time.Millisecond)
	}
	expect(t, store+"/find", 200, "ok")
}

func TestALeakingCallerTakesAConnectionForEachOfItsCallsAndGivesNoneBack(t *testing.T) {
	store, service := serve(t, "CONNECTIONS=3")
	above, _ := serve(t, "CORAL_RATIO=1", "CORAL_URL="+store, "CONNECTION_LEAK=1")
	for range 3 {
		expect(t, above+"/find", 200, "ok")
	}
	expect(t, above+"/find", 502, "too many connections: all 3 are taken")
	if open := service.open.Load(); open != 3 {
		t.Errorf("%d connections are open, not 3", open)
	}
}

func TestACertificateIsServedUntilItIsReplaced(t *testing.T) {
	folder := t.TempDir()
	certificate, key, trusted := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key"), x509.NewCertPool()
	issue(t, certificate, key, time.Hour, trusted)
	settings, err := Load([]string{
		"LISTEN=127.0.0.1:0", "TLS_LISTEN=127.0.0.1:0", "TLS_CERTIFICATE=" + certificate, "TLS_KEY=" + key,
	})
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := listen(settings)
	if err != nil {
		t.Fatal(err)
	}
	registry, log := prometheus.NewRegistry(), NewLog(false)
	server := NewService(settings, NewClients(settings, requests.New(registry), log), registry, log).Server()
	t.Cleanup(func() { server.Close() })
	for _, listener := range listeners {
		go server.Serve(listener)
	}
	expect(t, "http://"+listeners[0].Addr().String()+"/find", 200, "ok")
	secure := "https://" + listeners[1].Addr().String() + "/find"
	ask := func() error {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
		defer client.CloseIdleConnections()
		answer, err := client.Get(secure)
		if err == nil {
			answer.Body.Close()
		}
		return err
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
	issue(t, certificate, key, -time.Minute, trusted)
	if err := ask(); err == nil || !strings.Contains(err.Error(), "certificate has expired or is not yet valid") {
		t.Errorf("%v, not that it has expired", err)
	}
	settings.TLS.File = filepath.Join(folder, "none")
	if _, err := listen(settings); err == nil || !strings.Contains(err.Error(), "cannot serve TLS") {
		t.Errorf("%v, not that there is none", err)
	}
}

// issue writes a certificate for loopback that is valid for so long from now, and trusts it.
func issue(t *testing.T, certificate, key string, lives time.Duration, trusted *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wanted := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lives),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	made, err := x509.CreateCertificate(rand.Reader, wanted, wanted, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: made}, key: {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(made)
	if err != nil {
		t.Fatal(err)
	}
	trusted.AddCert(parsed)
}

func TestAnOldConnectionIsEndedWithItsNextAnswer(t *testing.T) {
	url, _ := serve(t, "CONNECTION_AGE_S=0.000001")
	for _, call := range []func() (*http.Response, error){
		func() (*http.Response, error) { return http.Get(url + "/find") },
		func() (*http.Response, error) { return http.Post(url+"/jobs/next", "", nil) },
	} {
		answer, err := call()
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if !answer.Close {
			t.Errorf("%s goes on", answer.Request.URL)
		}
	}
}

func TestWhoComesToAFullQueueIsTurnedAwayAtOnce(t *testing.T) {
	url, _ := serve(t, "CPU_MS=200")
	codes := make(chan int)
	for range 2 * mostWaiting {
		go func() {
			answer, err := http.Get(url + "/find")
			if err != nil {
				codes <- 0
				return
			}
			answer.Body.Close()
			codes <- answer.StatusCode
		}()
	}
	counts := map[int]int{}
	for range 2 * mostWaiting {
		counts[<-codes]++
	}
	if counts[200] < mostWaiting || counts[503] == 0 || counts[200]+counts[503] != 2*mostWaiting {
		t.Error(counts)
	}
}

func TestOnceItLeavesItIsNotReadyAndStillAnswers(t *testing.T) {
	url, service := serve(t)
	service.Leave()

	expect(t, url+"/ready", 503, "shutting down")
	expect(t, url+"/live", 200, "live")
	expect(t, url+"/find", 200, "ok")
}

func TestAWorkerTakesTheJobsThatRequestsLeave(t *testing.T) {
	front, service := serve(t, "QUEUE_LIMIT=2")
	expect(t, front+"/add", 200, "ok")
	expect(t, front+"/add", 200, "ok")
	expect(t, front+"/add", 503, "the queue is full")

	settings, err := Load([]string{"JOBS_FROM=CORAL_URL", "CORAL_URL=" + front, "LATENCY_MS=0", "LEAK_KB=1"})
	if err != nil {
		t.Fatal(err)
	}
	registry, log := prometheus.NewRegistry(), NewLog(false)
	worker := NewWorker(settings, NewClients(settings, requests.New(registry), log), registry, log)
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	go func() {
		for service.jobs.Waiting() > 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		stop()
	}()
	worker.Run(ctx, settings.Queue)

	if service.jobs.Waiting() != 0 || len(worker.leaked) == 0 {
		t.Errorf("%d jobs wait, %d were done", service.jobs.Waiting(), len(worker.leaked))
	}
}

func TestWhatIsWrongWithTheSettingsIsSaid(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return "CONFIG_FILE=" + path
	}
	for said, environment := range map[string][]string{
		`LATENCY_MS="soon" is not a number`:   {"LATENCY_MS=soon"},
		`SHUTDOWN="maybe" is none of`:         {"SHUTDOWN=maybe"},
		`no such file or directory`:           {"CONFIG_FILE=" + filepath.Join(folder, "none")},
		`TIMEOUT_MS is missing`:               {file("empty", "# nothing\n")},
		`"TIMEOUT_MS 1000" is not NAME=VALUE`: {file("broken", "TIMEOUT_MS 1000\n")},
		`TIMEOUT_MS="1 s" is not a number`:    {file("wrong", "TIMEOUT_MS = 1 s\n")},
	} {
		if _, err := Load(environment); err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%v: %v, not %q", environment, err, said)
		}
	}
}

func TestTheEnvironmentGoesBeforeTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.conf")
	if err := os.WriteFile(path, []byte("TIMEOUT_MS = 700\nLATENCY_MS = 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := Load([]string{"CONFIG_FILE=" + path, "LATENCY_MS=9"})
	if err != nil || settings.Timeout != 700*time.Millisecond || settings.Latency != 9*time.Millisecond {
		t.Errorf("%v %v %v", err, settings.Timeout, settings.Latency)
	}
}

func TestBurningTakesTheThreadsOwnTime(t *testing.T) {
	began := processTime(t)
	burn(20 * time.Millisecond)
	if used := processTime(t) - began; used < 20*time.Millisecond {
		t.Errorf("only %s were burned", used)
	}
}

func processTime(t *testing.T) time.Duration {
	t.Helper()
	var spent unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &spent); err != nil {
		t.Fatal(err)
	}
	return time.Duration(spent.Nano())
}

func TestTheLastWordsOfARunThatEndsAreNoError(t *testing.T) {
	settings, err := Load([]string{"LISTEN=127.0.0.1:0", "STARTUP_S=0", "DRAIN_S=0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer stop()
	if err := run(ctx, settings, NewLog(false)); err != nil && !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

func Example() {
	log := NewLog(false)
	log.Info("starting, will listen on %s", ":8080")
	log.Trouble("CORAL_URL", "upstream CORAL_URL: %s", "connection refused")
	log.Trouble("CORAL_URL", "upstream CORAL_URL: %s", "connection refused")
	fmt.Println(log.held["CORAL_URL"], "held back")
	// Output:
	// INFO starting, will listen on :8080
	// ERROR upstream CORAL_URL: connection refused
	// 1 held back
}
