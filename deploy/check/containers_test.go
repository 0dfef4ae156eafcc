//go:build containers

package check_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	root = "../.."
	// patience is how long a step may take on a busy machine; Azure DevOps' stand-in
	// waits between its retries meanwhile.
	patience = 3 * time.Minute
	// mostImage is how many bytes of an image are pulled at most.
	mostImage = 30_000_000
	requester = "jana.dvorakova@contoso.com"
	solver    = "petr.svoboda@contoso.com"
)

// run runs a program in a folder and returns what it prints.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	engine := os.Getenv("DOCKER")
	if engine == "" {
		engine = "docker"
	}
	return strings.TrimSpace(run(t, ".", nil, engine, args...))
}

// stack is the compose stack of the demonstration.
type stack struct {
	env []string
	// config is the folder of the configuration file, which is the test's to change.
	config                   string
	gateway, sandbox, jaeger string
	prometheus               string
}

func (s *stack) compose(t *testing.T, args ...string) string {
	t.Helper()
	command := strings.Fields(os.Getenv("COMPOSE"))
	if len(command) == 0 {
		command = []string{"docker", "compose"}
	}
	all := slices.Concat(command[1:], []string{
		"--file", root + "/deploy/compose.yaml", "--env-file", root + "/deploy/demo/demo.env", "--project-name", "tandem-check",
	}, args)
	return run(t, ".", s.env, command[0], all...)
}

// start brings the stack up on free ports, with stand-ins for what would be pulled. There
// is none for Grafana.
func start(t *testing.T) *stack {
	t.Helper()
	s := &stack{config: t.TempDir()}
	s.env = append(s.env, "TANDEM_CONFIG_FOLDER="+s.config)
	s.configure(t, "pollInterval: 2s")
	for _, p := range []struct {
		variable string
		url      *string
	}{
		{"TANDEM_HTTP", &s.gateway}, {"TANDEM_SANDBOX_HTTP", &s.sandbox}, {"JAEGER_HTTP", &s.jaeger}, {"PROMETHEUS_HTTP", &s.prometheus},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		*p.url = "http://" + listener.Addr().String()
		s.env = append(s.env, p.variable+"="+listener.Addr().String())
		_ = listener.Close()
	}
	for _, name := range []string{"redis", "jaeger", "prometheus"} {
		s.env = append(s.env, strings.ToUpper(name)+"_IMAGE=tandem-standin/"+name)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.compose(t, "logs", "--tail", "40", "--no-color"))
		}
		s.compose(t, "down", "--volumes", "--timeout", "20")
	})
	s.compose(t, "up", "--detach", "redis", "synccore", "gateway", "sandbox", "jaeger", "prometheus")
	await(t, "the API answers through the gateway's port", func() string {
		status, body := s.api(t, http.MethodGet, "/v1/connectors/development")
		if status != http.StatusOK {
			return fmt.Sprintf("it answers %d %s", status, body)
		}
		return ""
	})
	return s
}

// configure writes the demonstration's configuration with another interval of polls.
func (s *stack) configure(t *testing.T, interval string) {
	t.Helper()
	raw, err := os.ReadFile(root + "/deploy/demo/config/tandem.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const demo = "pollInterval: 2s"
	if !bytes.Contains(raw, []byte(demo)) {
		t.Fatalf("the demonstration's configuration has no %q", demo)
	}
	next := filepath.Join(s.config, "next")
	if err := os.WriteFile(next, bytes.Replace(raw, []byte(demo), []byte(interval), 1), 0o644); err != nil { //nolint:gosec // it is read by the container's user
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(s.config, "tandem.yaml")); err != nil {
		t.Fatal(err)
	}
}

// deafen lets polls and resyncs find nothing any more, so that webhooks alone tell of
// changes. It returns what tells whether one did all the same.
func (s *stack) deafen(t *testing.T) func() string {
	t.Helper()
	s.configure(t, "pollInterval: 24h")
	logs := func() string { return s.compose(t, "logs", "--no-color", "--no-log-prefix", "synccore") }
	await(t, "the new configuration", func() string {
		if !strings.Contains(logs(), `"msg":"config.applied"`) {
			return "it is not in the log"
		}
		return ""
	})
	before := len(logs())
	return func() string {
		for line := range strings.Lines(logs()[before:]) {
			if strings.Contains(line, `"msg":"poll.done"`) || strings.Contains(line, `"msg":"resync.done"`) {
				return line
			}
		}
		return ""
	}
}

// await waits until missing says nothing any more.
func await(t *testing.T, what string, missing func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		instead := missing()
		if instead == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s; %s", what, patience, instead)
		case <-ticker.C:
		}
	}
}

// send makes a request; status 0 means that nobody answered.
func send(t *testing.T, method, url string, body any, header ...string) (int, []byte) {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return resp.StatusCode, content
}

func (s *stack) api(t *testing.T, method, path string) (int, string) {
	t.Helper()
	status, body := send(t, method, s.gateway+path, map[string]any{}, "Authorization", "Bearer demonstration-token")
	return status, string(body)
}

// item is a ticket or a work item as the page's API tells it.
type item struct {
	ID       int    `json:"id"`
	Title    string `json:"title"`
	State    string `json:"state"`
	Pair     int    `json:"pair"`
	Messages []struct {
		HTML string `json:"html"`
	} `json:"messages"`
	Attachments []struct {
		Name string `json:"name"`
	} `json:"attachments"`
}

func (i item) says(text string) int {
	n := 0
	for _, m := range i.Messages {
		n += strings.Count(m.HTML, text)
	}
	return n
}

func (i item) files(name string) int {
	n := 0
	for _, a := range i.Attachments {
		if a.Name == name {
			n++
		}
	}
	return n
}

// act lets a person act on the page, or looks without a body.
func (s *stack) act(t *testing.T, method, path string, body any) item {
	t.Helper()
	status, raw := send(t, method, s.sandbox+"/sandbox/api/"+path, body)
	if status/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, status, raw)
	}
	var found item
	if err := json.Unmarshal(raw, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

func (s *stack) ticket(t *testing.T, id int) item {
	t.Helper()
	return s.act(t, http.MethodGet, "tickets/"+strconv.Itoa(id), nil)
}

func (s *stack) workItem(t *testing.T, id int) item {
	t.Helper()
	return s.act(t, http.MethodGet, "work-items/"+strconv.Itoa(id), nil)
}

func (s *stack) move(t *testing.T, side string, id int, state string) {
	t.Helper()
	s.act(t, http.MethodPut, side+"/"+strconv.Itoa(id)+"/state", map[string]string{"by": solver, "state": state})
}

func (s *stack) awaitState(t *testing.T, side string, id int, want string) {
	t.Helper()
	await(t, fmt.Sprintf("%s %d in %s", side, id, want), func() string {
		if is := s.act(t, http.MethodGet, side+"/"+strconv.Itoa(id), nil).State; is != want {
			return "it is in " + is
		}
		return ""
	})
}

// develop opens a ticket, brings it into Development and waits for its work item.
func (s *stack) develop(t *testing.T, title string) (int, int) {
	t.Helper()
	ticket := s.act(t, http.MethodPost, "tickets", map[string]string{
		"by": requester, "title": title, "kind": "Development", "description": "<p>Please look at this.</p>",
	}).ID
	s.move(t, "tickets", ticket, "Development")
	workItem := 0
	await(t, "a work item for the ticket", func() string {
		if workItem = s.ticket(t, ticket).Pair; workItem == 0 {
			return "the ticket carries no number"
		}
		return ""
	})
	return ticket, workItem
}

// TestStack plays the demonstration's story through the published ports, sees that every
// container is confined, and restarts one after the other while people work.
//
//nolint:paralleltest // one engine, one stack, one thing after the other
func TestStack(t *testing.T) {
	s := start(t)
	t.Run("story", s.story)
	t.Run("confined", s.confined)
	t.Run("traces", s.traces)
	t.Run("metrics", s.metrics)
	t.Run("restore", s.restore)
	found := s.deafen(t)
	for _, name := range []string{"gateway", "synccore", "redis", "jaeger", "prometheus"} {
		t.Run("restart "+name, func(t *testing.T) { s.restart(t, name) })
	}
	if line := found(); line != "" {
		t.Errorf("a poll found what a webhook was to tell: %s", line)
	}
}

func (s *stack) story(t *testing.T) {
	ticket, workItem := s.develop(t, "Invoices are printed twice")
	if made := s.workItem(t, workItem); made.Title != "Invoices are printed twice" || made.State != "To Do" {
		t.Errorf("the work item is %+v", made)
	}
	s.move(t, "work-items", workItem, "Doing")
	s.awaitState(t, "tickets", ticket, "Development pending")
	s.move(t, "work-items", workItem, "Done")
	s.awaitState(t, "tickets", ticket, "Testing")
	s.move(t, "tickets", ticket, "Development")
	s.awaitState(t, "work-items", workItem, "To Do")

	type upload map[string]any
	s.act(t, http.MethodPost, fmt.Sprintf("tickets/%d/messages", ticket), upload{
		"by": requester, "html": "<p>It prints three copies by now.</p>", "visible": true,
		"files": []upload{{"name": "printer.log", "contentType": "text/plain", "content": []byte("PC LOAD LETTER\n")}},
	})
	await(t, "her message and her file at the work item", func() string {
		is := s.workItem(t, workItem)
		if is.says("three copies") != 1 || is.files("printer.log") != 1 {
			return fmt.Sprintf("they are there %d and %d times", is.says("three copies"), is.files("printer.log"))
		}
		return ""
	})
	s.act(t, http.MethodPost, fmt.Sprintf("work-items/%d/messages", workItem), upload{"by": solver, "html": "<div>Which printer is it?</div>"})
	await(t, "the comment at the ticket", func() string {
		if n := s.ticket(t, ticket).says("Which printer"); n != 1 {
			return fmt.Sprintf("it is there %d times", n)
		}
		return ""
	})
	if status, body := s.api(t, http.MethodGet, fmt.Sprintf("/v1/connectors/development/links/%d", ticket)); status != http.StatusOK {
		t.Errorf("the API answers %d %s for the link", status, body)
	}
	if status, _ := send(t, http.MethodGet, s.gateway+"/v1/connectors", nil); status != http.StatusUnauthorized {
		t.Errorf("without a token the API answers %d, want 401", status)
	}
}

// confined looks at what the engine holds each container to, and at who runs in it.
func (s *stack) confined(t *testing.T) {
	for id := range strings.FieldsSeq(s.compose(t, "ps", "--quiet")) {
		var all []struct {
			Name       string
			Config     struct{ User string }
			State      struct{ Status string }
			HostConfig struct {
				ReadonlyRootfs, Privileged bool
				CapDrop, CapAdd            []string
			}
		}
		if err := json.Unmarshal([]byte(docker(t, "inspect", id)), &all); err != nil {
			t.Fatal(err)
		}
		is := all[0]
		if user, _, _ := strings.Cut(is.Config.User, ":"); user == "" || user == "0" || user == "root" {
			t.Errorf("%s runs as %q", is.Name, is.Config.User)
		}
		if h := is.HostConfig; !h.ReadonlyRootfs || h.Privileged || !slices.Equal(h.CapDrop, []string{"ALL"}) || len(h.CapAdd) > 0 {
			t.Errorf("%s is not confined: %+v", is.Name, h)
		}
		for line := range strings.Lines(docker(t, "top", id, "-eo", "pid,uid,comm")) {
			if fields := strings.Fields(line); fields[1] == "0" {
				t.Errorf("%s runs %s as root", is.Name, fields[2])
			}
		}
	}
	for _, program := range []string{"gateway", "synccore"} {
		await(t, program+" is healthy by its own check", func() string {
			id := strings.TrimSpace(s.compose(t, "ps", "--quiet", program))
			if is := docker(t, "inspect", "--format", "{{.State.Health.Status}}", id); is != "healthy" {
				return "it is " + is
			}
			return ""
		})
	}
}

// traces asks Jaeger for the services that it has heard of.
func (s *stack) traces(t *testing.T) {
	await(t, "traces of both programs in Jaeger", func() string {
		status, body := send(t, http.MethodGet, s.jaeger+"/api/services", nil)
		if status != http.StatusOK || !bytes.Contains(body, []byte("tandem-gateway")) || !bytes.Contains(body, []byte("tandem-synccore")) {
			return fmt.Sprintf("it answers %d %s", status, body)
		}
		return ""
	})
}

// metrics asks Prometheus whether it scrapes both programs and has loaded the rules.
func (s *stack) metrics(t *testing.T) {
	await(t, "samples of both programs in Prometheus", func() string {
		status, body := send(t, http.MethodGet, s.prometheus+"/api/v1/query?query=count(tandem_inbox_items)*count(tandem_webhooks_total)", nil)
		if status != http.StatusOK || !bytes.Contains(body, []byte(`"value"`)) {
			return fmt.Sprintf("it answers %d %s", status, body)
		}
		return ""
	})
	if _, body := send(t, http.MethodGet, s.prometheus+"/api/v1/rules", nil); !bytes.Contains(body, []byte("TandemDeadLetters")) {
		t.Errorf("the rules are not loaded: %s", body)
	}
}

// guideBlock is a block of commands of the guide, by a comment that stands in it.
func guideBlock(t *testing.T, comment string) string {
	t.Helper()
	raw, err := os.ReadFile(root + "/deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(raw), -1) {
		if strings.Contains(block[1], "# "+comment+"\n") {
			return block[1]
		}
	}
	t.Fatalf("the guide has no block of commands to %s", comment)
	return ""
}

// restore lets Redis lose everything and restores a backup, by the guide's own commands.
func (s *stack) restore(t *testing.T) {
	ticket, workItem := s.develop(t, "Remember me")
	link := fmt.Sprintf("/v1/connectors/development/links/%d", ticket)
	history := func() string {
		t.Helper()
		status, body := s.api(t, http.MethodGet, link+"/history")
		if status != http.StatusOK {
			return fmt.Sprintf("the API answers %d %s", status, body)
		}
		return body
	}
	await(t, "the link's history", func() string {
		if body := history(); !strings.Contains(body, "traceId") {
			return body
		}
		return ""
	})
	before := history()

	// The guide's commands go to this stack, and only its services are started.
	dir := t.TempDir()
	command := os.Getenv("COMPOSE")
	if command == "" {
		command = "docker compose"
	}
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(`set -euo pipefail
docker() {
  if [[ $1 != compose ]]; then command "${DOCKER:-docker}" "$@"; return; fi
  shift
  if [[ "$*" == "up -d" ]]; then set -- up -d redis synccore gateway sandbox; fi
  %s --file %s/deploy/compose.yaml --env-file %[2]s/deploy/demo/demo.env --project-name tandem-check "$@"
}
`, command, absolute)
	run(t, dir, s.env, "bash", "-c", script+guideBlock(t, "back up"))
	s.compose(t, "stop", "synccore")
	s.compose(t, "exec", "-T", "redis", "redis-cli", "flushall")
	run(t, dir, s.env, "bash", "-c", script+guideBlock(t, "restore"))
	await(t, "the API answers", func() string {
		if status, body := s.api(t, http.MethodGet, link); status != http.StatusOK {
			return fmt.Sprintf("it answers %d %s", status, body)
		}
		return ""
	})
	if after := history(); after != before {
		t.Errorf("the link's history was\n%s\nand is\n%s", before, after)
	}
	if durable := s.compose(t, "exec", "-T", "redis", "redis-cli", "info", "persistence"); !strings.Contains(durable, "aof_enabled:1") {
		t.Errorf("Redis writes no append-only file:\n%s", durable)
	}
	s.move(t, "work-items", workItem, "Doing")
	s.awaitState(t, "tickets", ticket, "Development pending")
}

// restart restarts a container while the developer moves work items, each of them once:
// with polls off, a ticket that follows shows that the webhook of this very move was not
// lost.
func (s *stack) restart(t *testing.T, name string) {
	t.Helper()
	const during, after = 6, 2
	await(t, "the stack is ready", func() string {
		status, body := s.api(t, http.MethodGet, "/v1/connectors/development")
		if status != http.StatusOK {
			return fmt.Sprintf("the API answers %d %s", status, body)
		}
		return ""
	})
	var tickets, workItems []int
	for i := range during + after {
		ticket, workItem := s.develop(t, fmt.Sprintf("%d, while %s restarts", i, name))
		tickets, workItems = append(tickets, ticket), append(workItems, workItem)
	}
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		s.compose(t, "restart", "--timeout", "20", name) // a failure shows in what follows
	}()
	ticker := time.NewTicker(150 * time.Millisecond)
	defer ticker.Stop()
	for _, workItem := range workItems[:during] {
		s.move(t, "work-items", workItem, "Doing")
		<-ticker.C
	}
	<-restarted
	for _, workItem := range workItems[during:] {
		s.move(t, "work-items", workItem, "Doing")
	}
	for i, ticket := range tickets {
		s.awaitState(t, "tickets", ticket, "Development pending")
		if is := s.workItem(t, workItems[i]).State; is != "Doing" {
			t.Errorf("work item %d went back to %s", workItems[i], is)
		}
	}
	status, body := s.api(t, http.MethodGet, "/v1/connectors/development/events?state=STATE_DEAD")
	if status != http.StatusOK || strings.Contains(body, `"STATE_DEAD`) {
		t.Errorf("asked for dead letters, the API answers %d %s", status, body)
	}
}

// TestReproducible builds the images of the committed state three times, in two places by
// this machine's Go and once in an image of Go that stands in for the one that would be
// pulled, and compares programs and layers.
func TestReproducible(t *testing.T) { //nolint:paralleltest // as TestStack
	build := func(place string, env ...string) (string, map[string]string) {
		dir := filepath.Join(t.TempDir(), place)
		run(t, ".", nil, "git", "clone", "--quiet", root, dir)
		registry := "tandem-check-" + filepath.Base(place) + "/"
		run(t, dir, append(env, "REGISTRY="+registry), ".ci/images.sh")
		layers := map[string]string{}
		for _, name := range []string{"gateway", "synccore", "sandbox"} {
			image := registry + "tandem/" + name
			layers[name] = docker(t, "image", "inspect", "--format", "{{json .RootFS.Layers}}", image+":latest")
			version := docker(t, "image", "inspect", "--format", `{{index .Config.Labels "org.opencontainers.image.version"}}`, image+":latest")
			t.Cleanup(func() { docker(t, "image", "rm", "--force", image+":latest", image+":"+version) })
		}
		return dir, layers
	}
	files := func(dir string) map[string]string {
		sums := map[string]string{}
		for line := range strings.Lines(run(t, dir+"/.bin/programs", nil, "find", ".", "-type", "f", "-exec", "sha256sum", "{}", "+")) {
			sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
			sums[name] = sum
		}
		return sums
	}
	dir, layers := build("first")
	again, layersAgain := build("deep/second")
	if one, two := files(dir), files(again); len(one) < 6 || !maps.Equal(one, two) {
		t.Errorf("the programs of one commit differ:\n%v\n%v", one, two)
	}
	if !maps.Equal(layers, layersAgain) {
		t.Errorf("the layers of one commit differ:\n%v\n%v", layers, layersAgain)
	}
	_, compiled := build("compiled", "PROGRAMS=compiled", "GO_IMAGE=tandem-standin/golang")
	if !maps.Equal(layers, compiled) {
		t.Errorf("the layers of what was compiled in an image differ:\n%v\n%v", layers, compiled)
	}
}

// TestImages looks at each image: who runs, what it tells of itself, how much is pulled.
func TestImages(t *testing.T) { //nolint:paralleltest // as TestStack
	commit := strings.TrimSpace(run(t, root, nil, "git", "rev-parse", "HEAD"))
	for _, name := range []string{"gateway", "synccore", "sandbox"} {
		image := "tandem/" + name + ":latest"
		var all []struct {
			Config struct {
				User        string
				Labels      map[string]string
				Healthcheck *struct{ Test []string }
			}
			RootFS struct{ Layers []string }
		}
		if err := json.Unmarshal([]byte(docker(t, "image", "inspect", image)), &all); err != nil {
			t.Fatal(err)
		}
		is := all[0]
		if is.Config.User != "65532:65532" || len(is.RootFS.Layers) != 1 {
			t.Errorf("%s runs as %s and has %d layers", name, is.Config.User, len(is.RootFS.Layers))
		}
		if name != "sandbox" && (is.Config.Healthcheck == nil || is.Config.Healthcheck.Test[1] != "/"+name) {
			t.Errorf("%s has the health check %v", name, is.Config.Healthcheck)
		}
		for _, label := range []string{"title", "description", "version", "revision", "created", "source"} {
			if is.Config.Labels["org.opencontainers.image."+label] == "" {
				t.Errorf("%s has no label %s", name, label)
			}
		}
		if got := is.Config.Labels["org.opencontainers.image.revision"]; got != commit {
			t.Errorf("%s is of commit %s, want %s", name, got, commit)
		}
		if name != "sandbox" {
			if version := docker(t, "run", "--rm", "--read-only", "--network", "none", image, "version"); !strings.Contains(version, commit[:7]) {
				t.Errorf("%s says that it is %s", name, version)
			}
		}
		if n := pulled(t, image); n > mostImage {
			t.Errorf("%d bytes of %s are pulled, want at most %d", n, name, mostImage)
		} else {
			t.Logf("%s: %.1f MB pulled", name, float64(n)/1e6)
		}
	}
}

// pulled is how many bytes an image has when compressed, as a registry keeps it.
func pulled(t *testing.T, image string) int64 {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	docker(t, "image", "save", "--output", file, image)
	saved, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = saved.Close() }()
	var size counter
	packer := gzip.NewWriter(&size)
	if _, err := io.Copy(packer, saved); err != nil {
		t.Fatal(err)
	}
	if err := packer.Close(); err != nil {
		t.Fatal(err)
	}
	return int64(size)
}

// counter counts what is written into it.
type counter int64

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
