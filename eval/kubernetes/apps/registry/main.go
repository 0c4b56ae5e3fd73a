// Registry is a container registry whose images live in its memory.
//
// usage: registry LISTEN [USER:PASSWORD]
// What lies under private/ is for those who sign in, if there is somebody who may; 404 for what was never pushed.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

const private = "/v2/private/"

// guard asks for a sign-in before it hands a private image out.
func guard(images http.Handler, user, password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, secret, _ := r.BasicAuth()
		if strings.HasPrefix(r.URL.Path, private) && (user == "" || given != user || secret != password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return
		}
		images.ServeHTTP(w, r)
	})
}

// Handler is the registry: its API, and a page that says that it is up.
func Handler(user, password string) http.Handler {
	images := guard(registry.New(registry.Logger(log.New(io.Discard, "", 0))), user, password)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	mux.Handle("/", images)
	return mux
}

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: registry LISTEN [USER:PASSWORD]")
	}
	user, password := "", ""
	if len(os.Args) > 2 {
		user, password, _ = strings.Cut(os.Args[2], ":")
	}
	server := &http.Server{Addr: os.Args[1], Handler: Handler(user, password), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
