package twin

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed zz_sim.go.txt
var added string

const addedFile = "runtime/zz_sim.go"

// An AnchorError tells that this version of Go is not the one that an edit was
// made for.
type AnchorError struct {
	GoVersion, File, Anchor string
	Found                   int // times; it must be once
}

// Error names the version, the file and the line.
func (e *AnchorError) Error() string {
	return fmt.Sprintf("%s: %s has %d times, not once, the line %q", e.GoVersion, e.File, e.Found, strings.TrimSpace(e.Anchor))
}

// Overlay writes copies of the files of goroot, with edits, to dir, and
// dir/overlay.json, which names them. It returns the latter's path. An error may
// be an *AnchorError; then dir is as it was.
func Overlay(goroot, goversion, dir string, edits []Edit) (string, error) {
	files := map[string]string{}
	for _, e := range edits {
		text, ok := files[e.File]
		if !ok {
			b, err := os.ReadFile(filepath.Join(goroot, "src", filepath.FromSlash(e.File)))
			if err != nil {
				return "", fmt.Errorf("read Go's own source: %w", err)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.Anchor); n != 1 {
			return "", &AnchorError{goversion, e.File, e.Anchor, n}
		}
		files[e.File] = strings.Replace(text, e.Anchor, e.With, 1)
	}
	files[addedFile] = added
	replace := map[string]string{}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(to, []byte(files[file]), 0o600); err != nil {
			return "", fmt.Errorf("write the overlay: %w", err)
		}
		replace[filepath.Join(goroot, "src", filepath.FromSlash(file))] = to
	}
	b, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	return path, nil
}
