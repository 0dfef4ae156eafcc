package config_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

const repository = "../../../../"

// read is the text of a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(repository + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// yamlBlocks are the YAML blocks of a guide, without what they are indented by.
func yamlBlocks(guide string) []string {
	var blocks []string
	for _, found := range regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```").FindAllStringSubmatch(guide, -1) {
		var block strings.Builder
		for line := range strings.Lines(found[2]) {
			block.WriteString(strings.TrimPrefix(line, found[1]))
		}
		blocks = append(blocks, block.String())
	}
	return blocks
}

// problems reads a configuration as sync-core would and gives what is wrong with it.
func problems(t *testing.T, content string) config.Problems {
	t.Helper()
	_, err := config.Parse("tandem.yaml", []byte(content))
	var found config.Problems
	if err != nil && !errors.As(err, &found) {
		t.Fatal(err)
	}
	return found
}

// together is a configuration that a guide shows whole, with the part of one that it shows
// elsewhere.
func together(t *testing.T, whole, part string) string {
	t.Helper()
	// Nodes keep what is written as it is written, such as dates.
	var base, shown map[string]yaml.Node
	if err := errors.Join(yaml.Unmarshal([]byte(whole), &base), yaml.Unmarshal([]byte(part), &shown)); err != nil {
		t.Fatal(err)
	}
	var connectors, others []map[string]yaml.Node
	list, other := base["connectors"], shown["connectors"]
	if err := errors.Join(list.Decode(&connectors), other.Decode(&others)); err != nil {
		t.Fatal(err)
	}
	for _, connector := range others {
		maps.Copy(connectors[0], connector)
	}
	for key, value := range shown {
		switch key {
		case "connectors":
		case "messages", "redact", "notice":
			connectors[0][key] = value
		default:
			base[key] = value
		}
	}
	if err := list.Encode(connectors); err != nil {
		t.Fatal(err)
	}
	base["connectors"] = list
	text, err := yaml.Marshal(base)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestGuidesShowWhatIsAccepted reads every configuration that a guide or a file beside it
// shows. Those that show a part only are read as part of the first.
func TestGuidesShowWhatIsAccepted(t *testing.T) {
	t.Parallel()
	for name, content := range shown(t) {
		for _, problem := range problems(t, content) {
			if problem.Warning && strings.Contains(name, "part") {
				continue // such as a token that the part shows and does not use
			}
			t.Errorf("%s shows\n%s\nand that is refused: %s", name, content, problem)
		}
	}
}

// TestEditorsFindTheSchema sees that the files beside the guides name the schema, so that an
// editor explains them.
func TestEditorsFindTheSchema(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"deploy/demo/config/tandem.yaml"} {
		first, _, _ := strings.Cut(read(t, name), "\n")
		path, found := strings.CutPrefix(first, "# yaml-language-server: $schema=")
		if !found {
			t.Errorf("%s begins with %q", name, first)
			continue
		}
		want, err := config.JSONSchema()
		if err != nil {
			t.Fatal(err)
		}
		if read(t, filepath.Join(filepath.Dir(name), path)) != string(want) {
			t.Errorf("%s of %s is not what config-schema prints: run make generate", path, name)
		}
	}
}
