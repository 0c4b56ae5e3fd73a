package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestWhoMayPullWhat(t *testing.T) {
	server := httptest.NewServer(Handler("shop", "secret"))
	defer server.Close()
	for _, each := range []struct {
		path, password string
		code           int
	}{
		{"/v2/", "", http.StatusOK},
		{"/v2/mesa/coral/manifests/1.0.0", "", http.StatusNotFound},
		{"/v2/private/coral/manifests/1.0.0", "", http.StatusUnauthorized},
		{"/v2/private/coral/manifests/1.0.0", "wrong", http.StatusUnauthorized},
		{"/v2/private/coral/manifests/1.0.0", "secret", http.StatusNotFound},
	} {
		request, err := http.NewRequest(http.MethodGet, server.URL+each.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if each.password != "" {
			request.SetBasicAuth("shop", each.password)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != each.code {
			t.Errorf("%s with %q was answered %d, not %d", each.path, each.password, answer.StatusCode, each.code)
		}
	}
}

func TestWithNobodyWhoMaySignInWhatIsPrivateStaysShut(t *testing.T) {
	server := httptest.NewServer(Handler("", ""))
	defer server.Close()
	answer, err := http.Get(server.URL + "/v2/private/coral/manifests/1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("it was answered %d", answer.StatusCode)
	}
}
