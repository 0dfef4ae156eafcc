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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
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
	env                      []string
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
	s := &stack{}
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
	for _, name := range []string{"gateway", "synccore", "redis", "jaeger", "prometheus"} {
		t.Run("restart "+name, func(t *testing.T) { s.restart(t, name) })
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

// restart restarts a container while the developer moves work items: Azure DevOps tells of
// each move by webhook alone, so that a ticket that follows shows that none was lost.
func (s *stack) restart(t *testing.T, name string) {
	t.Helper()
	const pairs = 4
	tickets := map[int]int{}
	for i := range pairs {
		ticket, workItem := s.develop(t, fmt.Sprintf("%d, while %s restarts", i, name))
		tickets[ticket] = workItem
	}
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		s.compose(t, "restart", "--timeout", "20", name) // a failure shows in what follows
	}()
	for round, state := range []string{"Doing", "To Do", "Doing", "Done"} {
		for _, workItem := range slices.Sorted(maps.Values(tickets)) {
			s.move(t, "work-items", workItem, state)
		}
		if round == 2 {
			<-restarted
		}
	}
	for _, ticket := range slices.Sorted(maps.Keys(tickets)) {
		s.awaitState(t, "tickets", ticket, "Testing")
		if is := s.workItem(t, tickets[ticket]).State; is != "Done" {
			t.Errorf("work item %d went back to %s", tickets[ticket], is)
		}
	}
	if _, body := s.api(t, http.MethodGet, "/v1/connectors/development/events?filter=state%3DDEAD"); strings.Contains(body, `"STATE_DEAD`) {
		t.Errorf("there are dead letters: %s", body)
	}
}

// TestReproducible builds the images of the committed state twice, in two places, and
// compares programs and layers; and sees what must be in them.
func TestReproducible(t *testing.T) { //nolint:paralleltest // as TestStack
	type built struct{ files, layers map[string]string }
	var both [2]built
	for i := range both {
		dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", i)+"checkout")
		run(t, ".", nil, "git", "clone", "--quiet", root, dir)
		registry := fmt.Sprintf("tandem-check-%d/", i)
		run(t, dir, []string{"REGISTRY=" + registry}, ".ci/images.sh")
		both[i] = built{map[string]string{}, map[string]string{}}
		for line := range strings.Lines(run(t, dir+"/.bin/programs", nil, "find", ".", "-type", "f", "-exec", "sha256sum", "{}", "+")) {
			sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
			both[i].files[name] = sum
		}
		for _, name := range []string{"gateway", "synccore", "sandbox"} {
			image := registry + "tandem/" + name + ":latest"
			both[i].layers[name] = docker(t, "image", "inspect", "--format", "{{json .RootFS.Layers}}", image)
			t.Cleanup(func() { docker(t, "image", "rm", "--force", image) })
		}
	}
	if len(both[0].files) < 6 || !maps.Equal(both[0].files, both[1].files) {
		t.Errorf("the programs of one commit differ:\n%v\n%v", both[0].files, both[1].files)
	}
	if !maps.Equal(both[0].layers, both[1].layers) {
		t.Errorf("the layers of one commit differ:\n%v\n%v", both[0].layers, both[1].layers)
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
