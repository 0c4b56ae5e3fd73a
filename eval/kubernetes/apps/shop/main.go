// Shop is one service of the shop, whichever its environment says; as a worker it serves nobody and takes jobs.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"primum.dev/apps/requests"
)

const finishesWithin = 5 * time.Second

func main() {
	settings, err := Load(os.Environ())
	log := NewLog(settings.Debug)
	if err != nil {
		log.Fatal("cannot start: %v", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, settings, log); err != nil {
		log.Fatal("%v", err)
	}
}

// run serves until the context ends, and then leaves as it was told to.
func run(ctx context.Context, settings Settings, log *Log) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	clients := NewClients(settings, requests.New(registry), log)
	service := NewService(settings, clients, registry, log)
	log.Info("starting, will listen on %s", settings.Listen)
	if pause(ctx, settings.Startup); ctx.Err() != nil {
		return nil
	}
	server := service.Server()
	listeners, err := listen(settings)
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	for _, listener := range listeners {
		go func() { failed <- server.Serve(listener) }()
	}
	go func() {
		if err := fill(settings.MemoryMB); err != nil {
			failed <- err
		}
	}()
	if settings.Queue.Variable != "" {
		go NewWorker(settings, clients, registry, log).Run(ctx, settings.Queue)
	}
	log.Info("ready")
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return leave(server, service, settings, log)
	}
}

// listen opens its ports. A certificate is read from its file for each client: it may be replaced at any time.
func listen(settings Settings) ([]net.Listener, error) {
	plain, err := net.Listen("tcp", settings.Listen)
	if err != nil || settings.TLS.Listen == "" {
		return []net.Listener{plain}, err
	}
	read := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(settings.TLS.File, settings.TLS.Key)
		return &pair, err
	}
	if _, err := read(nil); err != nil {
		return nil, fmt.Errorf("cannot serve TLS: %w", err)
	}
	secure, err := tls.Listen("tcp", settings.TLS.Listen, &tls.Config{GetCertificate: read})
	return []net.Listener{plain, secure}, err
}

// leave stops being ready, takes what still comes while the word spreads, and finishes what was begun.
func leave(server *http.Server, service *Service, settings Settings, log *Log) error {
	if settings.Abrupt {
		log.Info("stopping at once")
		return server.Close()
	}
	service.Leave()
	log.Info("stopping: not ready any more, requests are still taken for %s", settings.Drain)
	time.Sleep(settings.Drain)
	ctx, cancel := context.WithTimeout(context.Background(), finishesWithin)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	log.Info("stopped")
	return nil
}
