// Image makes small images from one static binary, with no Docker: nothing but the binary, an entry point, an environment.
//
// usage: image push|tar BINARY < specifications, one JSON object a line (see Specification)
// `push` puts each into the registry that its reference names, `tar` writes each as an archive for `ctr images import`.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Specification is one image: the references that name it, and what its configuration says.
type Specification struct {
	References []string          `json:"references"`
	Env        map[string]string `json:"env"`
	User       string            `json:"user"` // with Password: who signs in to push
	Password   string            `json:"password"`
	Archive    string            `json:"archive"` // where `tar` writes it
}

// layerOf is a root folder with one executable file in it; the same bytes for the same binary, whenever it is made.
func layerOf(binary string) (v1.Layer, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	writer := tar.NewWriter(&packed)
	header := &tar.Header{Name: filepath.Base(binary), Mode: 0o755, Size: int64(len(content)), Format: tar.FormatUSTAR}
	if err := writer.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := writer.Write(content); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	opened := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(opened, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

// Make puts an image together.
func Make(layer v1.Layer, entrypoint string, env map[string]string) (v1.Image, error) {
	image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layer)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	file.Config.Entrypoint = []string{entrypoint}
	file.Config.Env = sorted(env)
	return mutate.ConfigFile(image, file)
}

func write(image v1.Image, spec Specification) error {
	tags := map[name.Tag]v1.Image{}
	for _, text := range spec.References {
		tag, err := name.NewTag(text)
		if err != nil {
			return err
		}
		tags[tag] = image
	}
	return tarball.MultiWriteToFile(spec.Archive, tags)
}

func push(image v1.Image, spec Specification) error {
	who := remote.WithAuth(authn.Anonymous)
	if spec.User != "" {
		who = remote.WithAuth(&authn.Basic{Username: spec.User, Password: spec.Password})
	}
	// A registry of one's own is no matter for a proxy.
	transport := remote.WithTransport(&http.Transport{})
	for _, text := range spec.References {
		reference, err := name.ParseReference(text, name.Insecure)
		if err != nil {
			return err
		}
		if err := remote.Write(reference, image, who, transport); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

func run(arguments []string, specifications io.Reader) error {
	if len(arguments) != 2 {
		return errors.New("usage: image push|tar BINARY < specifications")
	}
	put, known := map[string]func(v1.Image, Specification) error{"push": push, "tar": write}[arguments[0]]
	if !known {
		return fmt.Errorf("%q is neither push nor tar", arguments[0])
	}
	layer, err := layerOf(arguments[1])
	if err != nil {
		return err
	}
	for lines := json.NewDecoder(specifications); ; {
		var spec Specification
		if err := lines.Decode(&spec); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		image, err := Make(layer, "/"+filepath.Base(arguments[1]), spec.Env)
		if err != nil {
			return err
		}
		if err := put(image, spec); err != nil {
			return err
		}
	}
}

func main() {
	if err := run(os.Args[1:], os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func sorted(env map[string]string) []string {
	pairs := make([]string, 0, len(env))
	for name, value := range env {
		pairs = append(pairs, name+"="+value)
	}
	slices.Sort(pairs)
	return pairs
}
