package check_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const repository = "../.."

// guides are the texts whose commands and names must be true.
func guides() []string {
	return []string{"README.md", "deploy/README.md", "deploy/.env.example", "proto/README.md", "services/README.md", "gen/README.md", "deploy/alvao/README.md"}
}

// text is a file of the repository.
func text(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var (
	block  = regexp.MustCompile("(?ms)^ *```(\\w*)\n(.*?)^ *```")
	inline = regexp.MustCompile("`([^`\n]+)`")
)

// code is what a guide writes as code: its blocks of commands, line by line with their
// continuations, and what stands between backticks.
func code(guide string) []string {
	var found []string
	for _, b := range block.FindAllStringSubmatch(guide, -1) {
		if b[1] == "sh" || b[1] == "bash" {
			found = append(found, strings.Split(strings.ReplaceAll(b[2], "\\\n", " "), "\n")...)
		}
	}
	for _, i := range inline.FindAllStringSubmatch(block.ReplaceAllString(guide, ""), -1) {
		found = append(found, i[1])
	}
	return found
}

// lies gives what a test's judge finds wrong in the guides, with the name of each.
func lies(t *testing.T, judge func(name, guide string) []string) {
	t.Helper()
	for _, name := range guides() {
		for _, lie := range judge(name, text(t, name)) {
			t.Errorf("%s: %s", name, lie)
		}
	}
}

// TestGuidesNameTargets sees that `make X` exists, and that `make help` and the guides
// mean the same file.
func TestGuidesNameTargets(t *testing.T) {
	t.Parallel()
	targets := map[string]bool{}
	for _, target := range regexp.MustCompile(`(?m)^([a-z0-9-]+):.*## `).FindAllStringSubmatch(text(t, "Makefile"), -1) {
		targets[target[1]] = true
	}
	command := regexp.MustCompile(`\bmake ([a-z][a-z0-9-]*)`)
	seen := 0
	lies(t, func(_, guide string) []string {
		var wrong []string
		for _, line := range code(guide) {
			line, _, _ = strings.Cut(line, " #")
			for _, used := range command.FindAllStringSubmatch(line, -1) {
				seen++
				if !targets[used[1]] {
					wrong = append(wrong, "there is no `make "+used[1]+"`")
				}
			}
		}
		return wrong
	})
	if seen < 15 {
		t.Errorf("only %d commands of make were found", seen)
	}
}

// slug is the anchor that GitHub gives a heading.
func slug(heading string) string {
	heading = strings.ToLower(strings.TrimSpace(strings.TrimLeft(heading, "#")))
	heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(heading, "")
	return strings.ReplaceAll(heading, " ", "-")
}

// TestGuidesLinkToWhatIsThere follows each link within the repository, to its heading too,
// and each path that a guide names as code.
func TestGuidesLinkToWhatIsThere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	path := regexp.MustCompile(`^(?:\.\./)*(?:deploy|services|proto|gen|\.ci|\.tools|helm|prometheus|grafana|demo|pictures|check)/[\w./*-]*$`)
	lies(t, func(name, guide string) []string {
		var wrong []string
		here := filepath.Dir(name)
		for _, l := range link.FindAllStringSubmatch(guide, -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			file, heading, _ := strings.Cut(l[1], "#")
			target := filepath.Join(here, file)
			if file == "" {
				target = name
			}
			if _, err := os.Stat(filepath.Join(repository, target)); err != nil {
				wrong = append(wrong, "the link "+l[1]+" leads nowhere")
				continue
			}
			if heading == "" {
				continue
			}
			var headings []string
			for _, h := range regexp.MustCompile(`(?m)^#+ .*$`).FindAllString(text(t, target), -1) {
				headings = append(headings, slug(h))
			}
			if !slices.Contains(headings, heading) {
				wrong = append(wrong, "the link "+l[1]+" leads to no heading")
			}
		}
		for _, c := range code(guide) {
			for word := range strings.FieldsSeq(c) {
				word = strings.TrimRight(word, ".,;:")
				if !path.MatchString(word) {
					continue
				}
				// A path may begin in the guide's folder, at the root, or with services.
				found := false
				for _, from := range []string{here, ".", "services"} {
					matches, err := filepath.Glob(filepath.Join(repository, from, word))
					found = found || err == nil && len(matches) > 0
				}
				if !found {
					wrong = append(wrong, "there is no "+word)
				}
			}
		}
		return wrong
	})
}

// commandOf finds a command in what a program says about itself.
var commandOf = regexp.MustCompile(`(?m)^  ([a-z-]+) +[A-Z]`)

// help is what the programs say about themselves, built from the sources, by program and
// by program and command.
func help(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		// The workspace, whose build is in Go's cache.
		cmd.Dir, cmd.Env = repository, append(os.Environ(), "GOWORK=", "GOFLAGS=-buildvcs=false")
		answer, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, answer)
		}
		return string(answer)
	}
	run("go", "build", "-o", dir+"/", "./services/gateway/cmd/gateway", "./services/synccore/cmd/...", "./services/sandbox/cmd/demo")
	said := map[string]string{}
	for _, program := range []string{"gateway", "demo"} {
		said[program] = strings.ReplaceAll(run(filepath.Join(dir, program), "--help"), "--[no-]", "--no-")
	}
	var ask func(words ...string)
	ask = func(words ...string) {
		program := append([]string{filepath.Join(dir, words[0])}, words[1:]...)
		told := run(append(program, "--help")...)
		said[strings.Join(words, " ")] = told
		for _, command := range commandOf.FindAllStringSubmatch(told, -1) {
			if command[1] != "completion" && command[1] != "help" {
				ask(append(slices.Clone(words), command[1])...)
			}
		}
	}
	ask("synccore")
	ask("tandemctl")
	return said
}

// TestGuidesCallProgramsRight sees that subcommands, flags and variables exist.
func TestGuidesCallProgramsRight(t *testing.T) {
	t.Parallel()
	said := help(t)
	var all strings.Builder
	for _, one := range said {
		all.WriteString(one)
	}
	compose := text(t, "deploy/compose.yaml")
	// The guide's other programs have flags of their own; where one stands alone, it is named
	// here, as are those that the guide says are gone.
	others := []string{"--enable-feature", "--appendonly", "--api-token-file", "--insecure-api"}
	call := regexp.MustCompile(`(?:^|[\s(/])(synccore|gateway|tandemctl)((?: [^\s|;&)]+)*)`)
	subcommand := regexp.MustCompile(`^[a-z][a-z-]*$`)
	// Where a program's name stands for an image or a service of compose.
	other := strings.NewReplacer("--target synccore", "", "--target gateway", "", "synccore /synccore", "/synccore", "gateway /gateway", "/gateway")
	flag := regexp.MustCompile(`--[a-z][a-z-]+`)
	variable := regexp.MustCompile(`\b(?:TANDEM|REDIS|JAEGER|PROMETHEUS|GRAFANA)_[A-Z_]+\b`)
	has := func(help, flag string) bool { return regexp.MustCompile(flag + `\b[^-]`).MatchString(help) }
	calls, flags := 0, 0
	lies(t, func(_, guide string) []string {
		var wrong []string
		for _, c := range code(guide) {
			c, _, _ = strings.Cut(other.Replace(c), " #")
			if strings.HasPrefix(c, "--") {
				for _, f := range flag.FindAllString(c, -1) {
					flags++
					if !has(all.String(), f) && !slices.Contains(others, f) {
						wrong = append(wrong, "no program has the flag "+f)
					}
				}
			}
			for _, called := range call.FindAllStringSubmatch(c, -1) {
				words := strings.Fields(called[2])
				told := said[called[1]]
				if len(words) == 0 {
					continue
				}
				command := called[1]
				for _, word := range words {
					if !commandOf.MatchString(told) || !subcommand.MatchString(word) || word == "completion" {
						break
					}
					calls++
					of, is := said[command+" "+word]
					if !is {
						wrong = append(wrong, fmt.Sprintf("%s has no command %q", command, word))
						break
					}
					command, told = command+" "+word, of
				}
				for _, f := range flag.FindAllString(called[2], -1) {
					flags++
					if !has(told, f) {
						wrong = append(wrong, fmt.Sprintf("%s has no flag %s", strings.TrimSpace(called[0]), f))
					}
				}
			}
		}
		for _, v := range variable.FindAllString(guide, -1) {
			if strings.HasSuffix(v, "_") {
				continue // TANDEM_…, all of them
			}
			if !strings.Contains(all.String(), v) && !strings.Contains(compose, "${"+v) {
				wrong = append(wrong, "neither a program nor compose.yaml knows "+v)
			}
		}
		return wrong
	})
	if calls < 8 || flags < 20 {
		t.Errorf("only %d calls and %d flags were found", calls, flags)
	}
}

// TestEnvExampleNamesEverything compares .env.example with what compose.yaml asks for: each
// variable once, with the default that it has there.
func TestEnvExampleNamesEverything(t *testing.T) {
	t.Parallel()
	defaults := map[string]string{}
	for _, asked := range regexp.MustCompile(`\$\{(\w+):-([^}]*)\}`).FindAllStringSubmatch(text(t, "deploy/compose.yaml"), -1) {
		if before, twice := defaults[asked[1]]; twice && before != asked[2] {
			t.Errorf("compose.yaml has two defaults of %s: %q and %q", asked[1], before, asked[2])
		}
		defaults[asked[1]] = asked[2]
	}
	named := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^(# )?([A-Z_]+)=(.*)$`).FindAllStringSubmatch(text(t, "deploy/.env.example"), -1) {
		commented, name, value := line[1] != "", line[2], line[3]
		named[name] = true
		is, asked := defaults[name]
		switch {
		case !asked:
			t.Errorf(".env.example names %s, which compose.yaml does not ask for", name)
		case commented && is != "":
			t.Errorf(".env.example comments %s out, whose default is %q", name, is)
		case !commented && is != value:
			t.Errorf(".env.example says %s=%s, the default is %q", name, value, is)
		}
	}
	for name := range defaults {
		if !named[name] {
			t.Errorf(".env.example does not name %s", name)
		}
	}
}

// TestGuidesAskForWhatTheAPIHas sees that methods exist, and that each URL below /v1 is one
// of rest.yaml's, with its HTTP method.
func TestGuidesAskForWhatTheAPIHas(t *testing.T) {
	t.Parallel()
	methods := map[string]bool{}
	files, err := filepath.Glob(repository + "/proto/tandem/v1/*.proto")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, rpc := range regexp.MustCompile(`(?m)^  rpc (\w+)\(`).FindAllStringSubmatch(text(t, strings.TrimPrefix(file, repository)), -1) {
			methods[rpc[1]] = true
		}
	}
	var routes []*regexp.Regexp
	for _, rule := range regexp.MustCompile(`(?m)^ +(get|post|delete|patch|put): (/v1/\S+)$`).FindAllStringSubmatch(text(t, "proto/tandem/v1/rest.yaml"), -1) {
		pattern := regexp.MustCompile(`\{\w+=([^}]*)\}`).ReplaceAllString(rule[2], "$1")
		pattern = strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `[^/:]+`)
		routes = append(routes, regexp.MustCompile("^"+rule[1]+" "+pattern+"$"))
	}
	name := regexp.MustCompile(`^(?:Get|List|Create|Delete|Check|Release|Resync|Replay|Sync|Ingest|Watch|Start|Cancel|Preview|Rebuild)[A-Z]\w*$`)
	url := regexp.MustCompile(`(/v1/[\w{}$/:.-]+)`)
	asked := 0
	lies(t, func(_, guide string) []string {
		var wrong []string
		for _, c := range code(guide) {
			if _, method, slash := strings.Cut(c, "Service/"); slash {
				c = method
			}
			for word := range strings.FieldsSeq(c) {
				if name.MatchString(word) && !methods[word] && !strings.HasSuffix(word, "Service") && word != "SyncCommunication" { // a setting of Alvao's
					wrong = append(wrong, "the API has no "+word)
				}
			}
			// proto/README.md has a word of its own for curl and for where the API is.
			own := strings.HasPrefix(c, "rest ") && !strings.Contains(c, "${REST%")
			if !own && !strings.Contains(c, "curl ") {
				continue
			}
			c = strings.ReplaceAll(c, "$REST", "/v1/connectors")
			verb := "get"
			if strings.Contains(c, " -d ") {
				verb = "post"
			}
			if x := regexp.MustCompile(`-X (\w+)`).FindStringSubmatch(c); x != nil {
				verb = strings.ToLower(x[1])
			}
			for _, u := range url.FindAllString(c, -1) {
				asked++
				if !slices.ContainsFunc(routes, func(r *regexp.Regexp) bool { return r.MatchString(verb + " " + u) }) {
					wrong = append(wrong, fmt.Sprintf("nothing answers %s %s", strings.ToUpper(verb), u))
				}
			}
		}
		return wrong
	})
	if asked < 20 || len(methods) < 10 {
		t.Errorf("only %d URLs and %d methods were found", asked, len(methods))
	}
}

// sources is the text of all programs.
func sources(t *testing.T) string {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(repository+"/services", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(path)
		all.Write(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestGuideTellsOfEveryMetric compares the guide with the instruments that the programs
// make; what Prometheus puts behind their names is not looked at here.
func TestGuideTellsOfEveryMetric(t *testing.T) {
	t.Parallel()
	var made []string
	for _, m := range regexp.MustCompile(`(?:Counter|Gauge|Histogram)\(\s*"(tandem\.[a-z._]+)"`).FindAllStringSubmatch(sources(t), -1) {
		made = append(made, strings.ReplaceAll(m[1], ".", "_"))
	}
	if len(made) < 12 {
		t.Fatalf("only %d instruments were found", len(made))
	}
	is := func(told, made string) bool {
		rest, ok := strings.CutPrefix(told, made)
		return ok && slices.Contains([]string{"", "_total", "_seconds", "_ratio"}, rest)
	}
	guide := text(t, "deploy/README.md")
	told := regexp.MustCompile(`\btandem_[a-z_]+\b`).FindAllString(guide, -1)
	for _, name := range told {
		if name == "tandem_system" { // a label
			continue
		}
		if !slices.ContainsFunc(made, func(m string) bool { return is(name, m) }) {
			t.Errorf("no program has the metric %s", name)
		}
	}
	for _, m := range made {
		if !slices.ContainsFunc(told, func(name string) bool { return is(name, m) }) {
			t.Errorf("the guide does not tell of the metric %s", m)
		}
	}
}

// TestGuidesNameEventsOfTheLog sees that a log event that a guide names is written, and that
// a Helm value is one.
func TestGuidesNameEventsOfTheLog(t *testing.T) {
	t.Parallel()
	sources := sources(t)
	var values map[string]any
	if err := yaml.Unmarshal([]byte(text(t, "deploy/helm/tandem/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	has := func(path string) bool {
		var at any = values
		for key := range strings.SplitSeq(path, ".") {
			inner, isMap := at.(map[string]any)
			if at = inner[key]; !isMap || at == nil {
				_, there := inner[key]
				return there
			}
		}
		return true
	}
	event := regexp.MustCompile(`^[a-z]+(?:\.[a-z-]+)+$`)
	value := regexp.MustCompile(`^[a-zA-Z]+(?:\.[a-zA-Z]+)+$`)
	guide := text(t, "deploy/README.md")
	before, rest, _ := strings.Cut(guide, "## 10. With Helm")
	helm, after, whole := strings.Cut(rest, "## 11.")
	if !whole {
		t.Fatal("the guide has no section about Helm, or none after it")
	}
	events, settings := 0, 0
	for _, c := range code(before + after) {
		ending := filepath.Ext(c)
		if event.MatchString(c) && !slices.Contains([]string{".yaml", ".md", ".rdb", ".com"}, ending) {
			if first, _, _ := strings.Cut(c, "."); values[first] != nil && has(c) || slices.Contains([]string{"resync", "mail", "brake", "messages", "alvao", "callers"}, first) && !strings.HasSuffix(c, ".done") {
				continue // a key of the configuration, which another test knows
			}
			events++
			if !strings.Contains(sources, `"`+c+`"`) {
				t.Errorf("no program writes the log event %s", c)
			}
		}
	}
	for _, c := range code(helm) {
		words := []string{c}
		if strings.HasPrefix(c, "helm ") {
			words = nil
			for _, set := range regexp.MustCompile(`--set(?:-file)? ([\w.]+)=`).FindAllStringSubmatch(c, -1) {
				words = append(words, set[1])
			}
		}
		for _, word := range words {
			if strings.HasPrefix(word, "callers.") || !value.MatchString(word) && !strings.HasPrefix(c, "helm ") || strings.HasSuffix(word, ".yaml") || strings.HasSuffix(word, ".json") {
				continue
			}
			settings++
			if !has(word) {
				t.Errorf("the chart has no value %s", word)
			}
		}
	}
	if events < 4 || settings < 12 {
		t.Errorf("only %d events and %d values were found", events, settings)
	}
}
