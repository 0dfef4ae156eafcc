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

// TestGuidesShowWhatIsAccepted reads every configuration that a guide or a file beside it
// shows. Those that show a part only are read as part of the first.
func TestGuidesShowWhatIsAccepted(t *testing.T) {
	t.Parallel()
	whole := yamlBlocks(read(t, "README.md"))
	if len(whole) != 1 {
		t.Fatalf("README.md shows %d configurations, want 1", len(whole))
	}
	var argo struct {
		Spec struct {
			Source struct {
				Helm struct {
					ValuesObject struct {
						Config string `yaml:"config"`
					} `yaml:"valuesObject"`
				} `yaml:"helm"`
			} `yaml:"source"`
		} `yaml:"spec"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/helm/argocd.yaml")), &argo); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"README.md": whole[0], "argocd.yaml": argo.Spec.Source.Helm.ValuesObject.Config, "demo": read(t, "deploy/demo/config/tandem.yaml"),
	} {
		if content == "" {
			t.Errorf("%s shows no configuration", name)
		}
		for _, problem := range problems(t, content) {
			t.Errorf("%s: %s", name, problem)
		}
	}
	parts := yamlBlocks(read(t, "deploy/README.md"))
	if len(parts) < 4 {
		t.Errorf("deploy/README.md shows %d parts of configurations", len(parts))
	}
	for _, part := range parts {
		// Nodes keep what is written as it is written, such as dates.
		var base, shown map[string]yaml.Node
		if err := errors.Join(yaml.Unmarshal([]byte(whole[0]), &base), yaml.Unmarshal([]byte(part), &shown)); err != nil {
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
		together, err := yaml.Marshal(base)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range problems(t, string(together)) {
			if problem.Warning {
				continue // such as a token that the part shows and does not use
			}
			t.Errorf("deploy/README.md shows\n%s\nand that is refused: %s", part, problem)
		}
	}
}

// TestGuideNamesEveryKey compares the table of keys in the guide with what is read: each of
// its keys is known, and each known key is told.
func TestGuideNamesEveryKey(t *testing.T) {
	t.Parallel()
	guide := read(t, "deploy/README.md")
	from, to := strings.Index(guide, "| key | meaning |"), strings.Index(guide, "### 5.1")
	if from < 0 || to < from {
		t.Fatal("the guide has no table of keys")
	}
	known := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if file == "settings.go" || strings.HasSuffix(file, "_test.go") {
			continue // settings are Alvao's own, and its manual's to tell
		}
		source := read(t, "services/synccore/internal/config/"+file)
		for _, call := range regexp.MustCompile(`(?s)\br\.object\((?:\w+|\w+\.get\("\w+"\)),(.*?)\)`).FindAllStringSubmatch(source, -1) {
			for _, key := range regexp.MustCompile(`"(\w+)"`).FindAllStringSubmatch(call[1], -1) {
				known[key[1]] = true
			}
		}
	}
	if len(known) < 50 {
		t.Fatalf("%d keys were found in the sources", len(known))
	}
	// A key that a table's row names in its first column, such as connectors[].alvao.url or .webUrl.
	for line := range strings.Lines(guide[from:to]) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, path := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(strings.Split(line, " | ")[0], -1) {
			for key := range strings.SplitSeq(strings.ReplaceAll(path[1], "[]", ""), ".") {
				if key != "" && !known[key] {
					t.Errorf("the guide tells of the key %s, and there is no %s", path[1], key)
				}
			}
		}
	}
	for key := range known {
		if !regexp.MustCompile(`\b` + key + `\b`).MatchString(guide) {
			t.Errorf("the guide does not tell of the key %s", key)
		}
	}
}
