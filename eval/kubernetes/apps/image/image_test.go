package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop")
	if err := os.WriteFile(path, []byte("\x7fELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func reference(t *testing.T, text string) name.Reference {
	t.Helper()
	parsed, err := name.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func config(t *testing.T, image v1.Image) v1.Config {
	t.Helper()
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return file.Config
}

func TestWhatIsPushedUnderEachReferenceCanBePulled(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	lines := fmt.Sprintf(`{"references": ["%[1]s/mesa/coral:1.0.0", "%[1]s/mesa/coral:1.0.1"], "env": {"B": "2", "A": "1"}}
		{"references": ["%[1]s/mesa/wren:1.0.0"]}`, host)

	if err := run([]string{"push", binary(t)}, strings.NewReader(lines)); err != nil {
		t.Fatal(err)
	}

	for _, text := range []string{"mesa/coral:1.0.0", "mesa/coral:1.0.1"} {
		image, err := remote.Image(reference(t, host+"/"+text))
		if err != nil {
			t.Fatal(err)
		}
		if said := config(t, image); !slices.Equal(said.Entrypoint, []string{"/shop"}) || !slices.Equal(said.Env, []string{"A=1", "B=2"}) {
			t.Errorf("%s: %+v", text, said)
		}
	}
	if _, err := remote.Image(reference(t, host+"/mesa/wren:2.0.0")); err == nil {
		t.Error("what was never pushed can be pulled")
	}
}

func TestAnArchiveHoldsTheImageUnderItsName(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "coral.tar")
	line := fmt.Sprintf(`{"references": ["local.test/coral:1"], "archive": %q}`, archive)

	if err := run([]string{"tar", binary(t)}, strings.NewReader(line)); err != nil {
		t.Fatal(err)
	}

	tag, err := name.NewTag("local.test/coral:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tarball.ImageFromPath(archive, &tag); err != nil {
		t.Error(err)
	}
}

func TestTheSameBinaryMakesTheSameImage(t *testing.T) {
	path, digests := binary(t), []string{}
	for range 2 {
		layer, err := layerOf(path)
		if err != nil {
			t.Fatal(err)
		}
		image, err := Make(layer, "/shop", map[string]string{"A": "1", "B": "2"})
		if err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest.String())
	}
	if digests[0] != digests[1] {
		t.Error(digests)
	}
}
