// Package tools_test proves that the import law of .golangci.yaml bites.
//
// Its one invariant: every depguard rule and every forbidigo pattern there has a
// row here that breaks it and is reported, beside rows that keep it and are not.
// The violations are planted in a workspace of stubs, laid out like this one, so
// that the proof needs no other package to build and takes seconds.
package tools_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	prefix   = "github.com/tandem-sync/tandem/"
	synccore = "services/synccore/internal/"
	gateway  = "services/gateway/internal/"
)

// Packages from outside that the law speaks of.
const (
	redis     = "github.com/redis/go-redis/v9"
	miniredis = "github.com/alicebob/miniredis/v2"
	msal      = "github.com/AzureAD/microsoft-authentication-library-for-go"
	jose      = "github.com/go-jose/go-jose/v4"
	oidc      = "github.com/coreos/go-oidc/v3"
	otel      = "go.opentelemetry.io/otel/trace"
	sdk       = "go.opentelemetry.io/otel/sdk/trace"
	exporter  = "go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	html      = "golang.org/x/net/html"
	sanitiser = "github.com/microcosm-cc/bluemonday"
	distance  = "github.com/agnivade/levenshtein"

	jsonschema = "github.com/google/jsonschema-go/jsonschema"
)

// modules are the stub modules: ours by folder, the others by their path.
var (
	ours   = []string{"gen", "services/gateway", "services/synccore", "services/sandbox", "services/internal/telemetry"}
	others = []string{redis, miniredis, msal, jose, oidc, "go.opentelemetry.io/otel", "golang.org/x/net", sanitiser, distance, "github.com/google/jsonschema-go", "github.com/prometheus/client_golang"}
)

// row is one planted file: it is in the folder of a package (or of one that
// could be below it) and either breaks the rule or, without a rule, is legal.
type row struct {
	rule   string // "depguard/gen", "forbidigo/Sleep", a linter's name, or "" for legal
	folder string
	source string // what follows the package clause
	name   string // the file's name; planted.go if empty
}

// imports makes rows that plant one import each.
func imports(rule, folder string, paths ...string) []row {
	rows := make([]row, 0, len(paths))
	for _, p := range paths {
		rows = append(rows, row{rule: rule, folder: folder, source: fmt.Sprintf("import _ %q\n", p)})
	}
	return rows
}

// in gives the rows another file name.
func in(name string, rows []row) []row {
	for i := range rows {
		rows[i].name = name
	}
	return rows
}

// law is every row. testPackages are the folders of the packages for tests.
func law(testPackages []string) []row {
	core := func(name string) string { return prefix + synccore + name }
	contract := prefix + "gen/tandem/v1"

	var rows []row
	add := func(more []row) { rows = append(rows, more...) }

	for _, pure := range []string{"item", "fault", "mapping", "template", "plan", "letter", "nearest", "crossing", "redact", "brake"} {
		add(imports("depguard/pure", synccore+pure,
			"context", "net", "net/http", "os", "os/exec", "log", "log/slog", "database/sql", "math/rand/v2", "sync",
			redis, otel, sdk, contract, core("link"), core("inbox"), core("azuredevops"), "go.yaml.in/yaml/v4"))
		add(imports("", synccore+pure, "strings", "time", "errors", "text/template/parse", "unicode/utf8"))
		add(in("planted_test.go", imports("", synccore+pure, "os", "context", "testing")))
	}
	for _, word := range []string{"item", "fault"} {
		add(imports("depguard/vocabulary", synccore+word, html, core("mapping"), core("template")))
	}
	add(imports("depguard/plan", synccore+"plan", distance))
	add(imports("depguard/tenure", synccore+"tenure", "time", core("lease"), core("outbound")))
	add(imports("", synccore+"plan", core("item"), core("fault"), core("mapping"), core("template")))
	for _, text := range []string{"mapping", "template"} {
		add(imports("", synccore+text, core("item"), core("fault"), "html"))
		add(imports("depguard/pure", synccore+text, html, sanitiser))
	}

	add(imports("depguard/schema", synccore+"schema", "os", "net/http", "context", core("config"), core("item")))
	add(imports("", synccore+"schema", jsonschema, "go.yaml.in/yaml/v4"))
	for _, other := range []string{"config", "api", "ctl"} {
		add(imports("depguard/jsonschema", synccore+other, jsonschema))
	}
	for _, client := range []string{synccore + "ctl", "services/synccore/cmd/tandemctl"} {
		for _, behind := range []string{
			"access", "alvao", "api", "app", "azuredevops", "config", "connector", "datastore", "inbox", "item", "link", "mapping", "plan", "reconcile",
		} {
			add(imports("depguard/ctl", client, core(behind)))
		}
	}
	add(imports("", synccore+"ctl", contract, core("transport"), "os"))

	for adapter, other := range map[string]string{"azuredevops": "alvao", "alvao": "azuredevops"} {
		for _, engine := range []string{
			other, "plan", "reconcile", "worker", "link", "inbox", "lease", "origin", "datastore", "connector", "poll", "resync", "api", "app",
		} {
			add(imports("depguard/adapter-"+adapter, synccore+adapter, core(engine)))
		}
		add(imports("", synccore+adapter, core("item"), core("fault"), "net/http", "context"))
	}

	for _, channel := range []string{"mail", "teams"} {
		for _, engine := range []string{
			"alvao", "azuredevops", "notice", "plan", "reconcile", "worker", "link", "inbox", "lease", "origin", "datastore", "connector", "poll", "resync", "api", "app",
		} {
			add(imports("depguard/channel", synccore+channel, core(engine)))
		}
		add(imports("", synccore+channel, core("item"), core("fault"), core("outbound"), "net/http", "context"))
	}

	for _, known := range []string{"alvao", "azuredevops", "config", "api", "app", "connector", "datastore", "inbox", "plan", "poll", "reconcile", "resync", "worker"} {
		add(imports("depguard/deskhook", synccore+"deskhook", core(known)))
	}
	add(imports("", synccore+"deskhook", core("item"), core("fault"), core("lease")))

	for _, inside := range []string{"worker", "reconcile", "azuredevops", "inbox", "link"} {
		add(imports("depguard/gen", synccore+inside, contract))
	}
	add(imports("depguard/gen", gateway+"azuredevops", contract))
	add(imports("depguard/gen", "services/sandbox/alvao", contract))
	add(imports("depguard/gen", "services/sandbox/cmd/sandbox", contract))
	add(imports("depguard/gen", "services/internal/telemetry", contract))
	for _, edge := range []string{synccore + "access", synccore + "api", synccore + "app", gateway + "webhook", gateway + "rest", gateway + "app", "services/synccore/e2e", "services/sandbox/cmd/demo"} {
		add(imports("", edge, contract))
	}

	for _, keepsNothing := range []string{synccore + "worker", synccore + "reconcile", synccore + "api", synccore + "alvao", gateway + "webhook"} {
		add(imports("depguard/redis", keepsNothing, redis))
		add(imports("depguard/miniredis", keepsNothing, miniredis))
		add(in("planted_test.go", imports("", keepsNothing, redis, miniredis)))
	}
	for _, store := range []string{"inbox", "lease", "limiter", "link", "origin", "runs", "app"} {
		add(imports("", synccore+store, redis))
		add(imports("depguard/miniredis", synccore+store, miniredis))
	}
	add(imports("", synccore+"datastore", redis, miniredis))
	for _, asker := range []string{synccore + "app", synccore + "azuredevops", synccore + "config", gateway + "app"} {
		add(imports("depguard/entra", asker, msal))
	}
	add(imports("", synccore+"entra", msal))
	for _, believer := range []string{synccore + "app", synccore + "api", synccore + "entra", gateway + "rest"} {
		add(imports("depguard/tokens", believer, jose, oidc))
	}
	add(imports("", synccore+"access", jose, oidc, core("config"), core("fault")))
	for _, behind := range []string{"api", "app", "connector", "datastore", "inbox", "lease", "link"} {
		add(imports("depguard/access", synccore+"access", core(behind)))
	}

	for _, untraced := range []string{synccore + "azuredevops", synccore + "link", synccore + "config", gateway + "alvao", "services/sandbox/azuredevops"} {
		add(imports("depguard/otel", untraced, otel))
	}
	for _, traced := range []string{synccore + "inbox", synccore + "worker", synccore + "reconcile", synccore + "notice", synccore + "poll", synccore + "resync", synccore + "api", synccore + "app", synccore + "datastore", gateway + "webhook", gateway + "app"} {
		add(imports("", traced, otel))
		add(imports("depguard/otel-sdk", traced, sdk, exporter, "github.com/prometheus/client_golang/prometheus"))
		add(in("planted_test.go", imports("", traced, sdk)))
	}
	add(imports("", "services/internal/telemetry", otel, sdk, exporter, "github.com/prometheus/client_golang/prometheus"))

	for _, product := range []string{synccore + "app", synccore + "azuredevops", "services/synccore/cmd/synccore", gateway + "app", "services/gateway/cmd/gateway"} {
		add(imports("depguard/sandbox", product, prefix+"services/sandbox/azuredevops"))
		add(in("planted_test.go", imports("", product, prefix+"services/sandbox/azuredevops")))
	}
	add(imports("", "services/synccore/e2e", prefix+"services/sandbox/azuredevops"))

	add(imports("depguard/test-packages", synccore+"app", "testing", "net/http/httptest"))
	for _, folder := range testPackages {
		module := path.Join(strings.SplitN(folder, "/", 3)[:2]...) // services/synccore of services/synccore/internal/x/xtest
		add(imports("depguard/test-packages", module+"/internal/app", prefix+folder))
		add(in("planted_test.go", imports("", module+"/internal/app", prefix+folder)))
	}
	add(imports("", synccore+"linktest", "testing", "net/http/httptest", redis, miniredis))
	add(in("planted_test.go", imports("", synccore+"app", "testing", "net/http/httptest")))

	// Package variables are a linter of their own, so these are functions.
	clock := func(call string) string {
		return "import \"time\"\n\nfunc planted() any { return " + call + " }\n"
	}
	sleep := "import \"time\"\n\nfunc planted() { time.Sleep(1) }\n"
	for _, folder := range []string{synccore + "plan", synccore + "worker", gateway + "webhook"} {
		rows = append(rows,
			row{rule: "forbidigo/Now func", folder: folder, source: clock("time.Now()")},
			row{rule: "forbidigo/Now func", folder: folder, source: "import t \"time\"\n\nfunc planted() any { return t.Now }\n"},
			row{rule: "", folder: folder, source: clock("time.Now()"), name: "planted_test.go"},
			row{rule: "forbidigo/stopped", folder: folder, source: sleep},
			row{rule: "forbidigo/stopped", folder: folder, source: sleep, name: "planted_test.go"},
			row{rule: "forbidigo/io.Writer", folder: folder, source: "import \"fmt\"\n\nfunc planted() { fmt.Println() }\n"},
			row{rule: "forbidigo/io.Writer", folder: folder, source: "func planted() { println() }\n"},
			row{rule: "gochecknoinits", folder: folder, source: "func init() {}\n"},
			row{rule: "gochecknoglobals", folder: folder, source: "var planted = map[string]int{}\n"},
			row{rule: "", folder: folder, source: "import \"errors\"\n\nvar errPlanted = errors.New(\"planted\")\n"},
		)
	}
	rows = append(rows,
		row{rule: "forbidigo/use Sub", folder: synccore + "plan", source: clock("time.Since(time.Time{})")},
		row{rule: "", folder: synccore + "worker", source: clock("time.Since(time.Time{})")})

	return rows
}

// file is where the row's file goes: in a folder of its own, so that no two rows
// share a package and none can import itself.
func (r row) file(number int) string {
	name := r.name
	if name == "" {
		name = "planted.go"
	}
	return path.Join(r.folder, fmt.Sprintf("p%03d", number), name)
}

// broken tells whether the issue is the one that the row expects.
func (r row) broken(linter, text string) bool {
	want, detail, _ := strings.Cut(r.rule, "/")
	switch {
	case want != linter:
		return false
	case linter == "depguard":
		return strings.Contains(text, "from list '"+detail+"'")
	default:
		return strings.Contains(text, detail)
	}
}

func TestEveryRuleOfTheImportLawBites(t *testing.T) {
	t.Parallel()
	rows := law(testPackages(t))
	tree := plant(t, rows)

	type issue struct {
		FromLinter, Text string
		Pos              struct{ Filename string }
	}
	var report struct{ Issues []issue }
	args := []string{
		"run", "--enable-only=depguard,forbidigo,gochecknoglobals,gochecknoinits",
		"--issues-exit-code=0", "--show-stats=false", "--uniq-by-line=false", "--output.json.path=stdout", "--output.text.path=stderr",
	}
	for _, module := range ours {
		args = append(args, "./"+module+"/...")
	}
	linter, err := filepath.Abs("../.bin/golangci-lint")
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, tree, linter, args...)
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("golangci-lint's report: %v\n%s", err, out)
	}
	found := map[string][]issue{}
	for _, i := range report.Issues {
		if i.FromLinter == "typecheck" {
			t.Fatalf("the planted tree does not build: %s: %s", i.Pos.Filename, i.Text)
		}
		found[i.Pos.Filename] = append(found[i.Pos.Filename], i)
	}

	for number, r := range rows {
		file := r.file(number)
		what := fmt.Sprintf("%s:\n%s", r.folder+"/"+path.Base(file), r.source)
		if r.rule == "" {
			for _, i := range found[file] {
				t.Errorf("a legal file is refused by %s: %s\n%s", i.FromLinter, i.Text, what)
			}
			continue
		}
		if !slices.ContainsFunc(found[file], func(i issue) bool { return r.broken(i.FromLinter, i.Text) }) {
			t.Errorf("%s does not report %s", r.rule, what)
		}
	}
}

// A rule without a row would go unnoticed.
func TestNoRuleGoesUnproved(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../.golangci.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := string(raw)

	proved := map[string]bool{}
	for _, r := range law(nil) {
		proved[r.rule] = true
	}
	_, rules, _ := strings.Cut(config, "\n    depguard:\n      rules:\n")
	rules, _, _ = strings.Cut(rules, "\n  exclusions:")
	names := regexp.MustCompile(`(?m)^        ([a-z-]+):$`).FindAllStringSubmatch(rules, -1)
	if len(names) == 0 {
		t.Fatal("found no depguard rule in .golangci.yaml")
	}
	for _, name := range names {
		if !proved["depguard/"+name[1]] {
			t.Errorf("depguard rule %s has no row", name[1])
		}
	}
	for _, message := range regexp.MustCompile(`(?m)^          msg: (.*)$`).FindAllStringSubmatch(config, -1) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(proved)), func(rule string) bool {
			detail, ok := strings.CutPrefix(rule, "forbidigo/")
			return ok && strings.Contains(message[1], detail)
		}) {
			t.Errorf("forbidigo's %q has no row", message[1])
		}
	}
}

// testPackages finds the folders of this repository that are named …test. That
// each is refused outside tests is a row: depguard needs them listed by name.
func testPackages(t *testing.T) []string {
	t.Helper()
	var folders []string
	err := filepath.WalkDir("../services", func(file string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.HasSuffix(entry.Name(), "test") {
			folders = append(folders, strings.TrimPrefix(filepath.ToSlash(file), "../"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return folders
}

// What Go itself holds: nobody reaches into another module's internals.
func TestModulesCannotReachIntoEachOther(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ folder, imports string }{
		{gateway + "app", prefix + synccore + "plan"},
		{synccore + "app", prefix + gateway + "webhook"},
		{"services/sandbox/alvao", prefix + synccore + "alvao"},
		{"gen/tandem", prefix + "services/internal/telemetry"},
	} {
		t.Run(tc.folder, func(t *testing.T) {
			t.Parallel()
			rows := imports("", tc.folder, tc.imports)
			tree := plant(t, rows)
			cmd := command(t, tree, "go", "build", "./"+path.Dir(rows[0].file(0)))
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "use of internal package") {
				t.Errorf("%s can import %s: %v\n%s", tc.folder, tc.imports, err, out)
			}
		})
	}
	t.Run("both services may use telemetry", func(t *testing.T) {
		t.Parallel()
		rows := slices.Concat(
			imports("", gateway+"app", prefix+"services/internal/telemetry"),
			imports("", synccore+"app", prefix+"services/internal/telemetry"))
		tree := plant(t, rows)
		for number, r := range rows {
			run(t, tree, "go", "build", "./"+path.Dir(r.file(number)))
		}
	})
}

// plant lays out a workspace of stub modules with the law of this repository and
// the rows' files, and returns its folder.
func plant(t *testing.T, rows []row) string {
	t.Helper()
	tree := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(tree, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}

	config, err := os.ReadFile("../.golangci.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write(".golangci.yaml", string(config))

	// Each module by its path, and the folder it is in.
	folders := map[string]string{"go.yaml.in/yaml/v4": "stub/go.yaml.in/yaml/v4"}
	for _, folder := range ours {
		folders[prefix+folder] = folder
	}
	for _, module := range others {
		folders[module] = "stub/" + module
	}
	var work strings.Builder
	work.WriteString("go 1.26\n")
	for module, folder := range folders {
		work.WriteString("use ./" + folder + "\n")
		write(folder+"/go.mod", "module "+module+"\n\ngo 1.26\n")
		write(folder+"/stub.go", "package stub\n")
	}
	write("go.work", work.String())

	for number, r := range rows {
		file := r.file(number)
		write(file, "package "+path.Base(path.Dir(file))+"\n\n"+r.source)
		target := regexp.MustCompile(`import _ "(.*)"`).FindStringSubmatch(r.source)
		if target == nil {
			continue
		}
		for module, folder := range folders {
			if rest, ok := strings.CutPrefix(target[1]+"/", module+"/"); ok {
				write(path.Join(folder, rest, "stub.go"), "package stub\n")
			}
		}
	}
	return tree
}

// command prepares a program in the planted tree, in that tree's own workspace.
func command(t *testing.T, tree, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "GOWORK=", "GOFLAGS=", "GOPROXY=off", "GOLANGCI_LINT_CACHE="+filepath.Join(t.TempDir(), "cache"))
	return cmd
}

// run returns a program's standard output and fails the test if it fails.
func run(t *testing.T, tree, name string, args ...string) []byte {
	t.Helper()
	cmd := command(t, tree, name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out, stderr.String())
	}
	return out
}
