package ctl_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/access"
	"github.com/tandem-sync/tandem/services/synccore/internal/app"
	"github.com/tandem-sync/tandem/services/synccore/internal/ctl"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

const (
	patience = 60 * time.Second

	operator = "operator-token-of-at-least-32-characters"
	admin    = "admin-token-of-at-least-32-characters"
	viewer   = "viewer-token-of-at-least-32-characters"
)

// world is a sync-core in this process, served over TLS, and both stand-ins.
type world struct {
	*sandbox.Sandbox

	dir, address string
	certificates stack.Certificates
	env          map[string]string
}

// settings are those of a connector.
const settings = `{"ConnectorType": "AzureDevOps", "URL": "%s/azuredevops/contoso/Alvaoproject", "AccessToken": "0",
       "AttributeMap": {"System.Title": "%s[$TicketTitle$]", "System.WorkItemType": "Task"},
       "StatusMap": {"To Do": "Development", "Doing": "Development pending", "Done": "Testing"}}`

func setup(t *testing.T) *world {
	t.Helper()
	box, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(box.Handler)
	box.SetBaseURL(host.URL)
	w := &world{Sandbox: box, dir: t.TempDir()}
	t.Cleanup(func() {
		box.Faults.Clear()
		host.Close()
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	if w.certificates, err = stack.MakeCertificates(w.dir); err != nil {
		t.Fatal(err)
	}
	w.write(t, "pat", sandbox.Token)
	w.write(t, "password", sandbox.Password)
	w.write(t, "operator", operator+"\n")
	w.write(t, "viewer", viewer+"\n")
	w.write(t, "admin", admin+"\n")
	w.write(t, "draft.json", fmt.Sprintf(settings, host.URL, "ALVAO: "))
	w.write(t, "tandem.yaml", fmt.Sprintf(`accessTokens: {"0": {file: pat}}
callers:
  tokens:
    - {name: on-call, role: operator, sha256: "%s"}
    - {name: reports, role: viewer, sha256: "%s"}
    - {name: boss, role: admin, sha256: "%s"}
  certificates: [{name: gateway.tandem.example, role: viewer}]
connectors:
  - name: development
    pollInterval: 1s
    alvao: {url: "%s/AlvaoRestApi", service: Development, externalIdField: %s, credentials: {username: tandem, password: {file: password}}}
    settings:
      %s
`, access.Hash(operator), access.Hash(viewer), access.Hash(admin), host.URL, alvao.ExternalIDColumn, fmt.Sprintf(settings, host.URL, "")))
	core, err := app.New(t.Context(), app.Config{
		File: w.path("tandem.yaml"), Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Redis: "embedded", RedisPrefix: "tandem:",
		TLS:     transport.Files{Certificate: w.certificates.Core, Key: w.certificates.CoreKey, CA: w.certificates.CA},
		Workers: 4, Grace: 10 * time.Second, SampleRatio: 1, LogLevel: "error", Version: "test",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	w.address = core.Addr()
	w.env = map[string]string{"TANDEM_ADDRESS": w.address, "TANDEM_CA_FILE": w.certificates.CA, "TANDEM_TOKEN_FILE": w.path("operator"), "NO_COLOR": "1"}
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { done <- core.Run(ctx) }()
	t.Cleanup(func() {
		box.Faults.Clear()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	w.eventually(t, "the connector was checked", func() bool {
		out, err := w.run(t, nil, "connectors", "list")
		return err == nil && strings.Contains(out, " healthy ")
	})
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(t *testing.T, name, content string) string {
	t.Helper()
	if err := os.WriteFile(w.path(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return w.path(name)
}

func (w *world) ticket(t *testing.T, title, status string) string {
	t.Helper()
	made, err := w.Alvao.CreateTicket(t.Context(), alvao.Requester, alvao.NewTicket{Name: title, Description: "<p>Smoke</p>", Service: "Development", Status: status})
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(made.ID)
}

// run runs a command with the variables of env over the usual ones; an empty one is as if it
// were not there.
func (w *world) run(t *testing.T, env map[string]string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := ctl.Run(t.Context(), args, ctl.Terminal{Out: &out, Err: io.Discard, Version: "test", Env: func(name string) string {
		if value, is := env[name]; is {
			return value
		}
		return w.env[name]
	}})
	return out.String(), err
}

// says runs a command that must succeed and looks for texts in what it prints.
func (w *world) says(t *testing.T, args []string, want ...string) string {
	t.Helper()
	out, err := w.run(t, nil, args...)
	if err != nil {
		t.Fatalf("tandemctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	contains(t, args, out, want...)
	return out
}

// shows runs a command whose answer must be that all is not well.
func (w *world) shows(t *testing.T, args []string, want ...string) string {
	t.Helper()
	out, err := w.run(t, nil, args...)
	if !errors.Is(err, ctl.ErrShown) {
		t.Errorf("tandemctl %s: %v, want ErrShown\n%s", strings.Join(args, " "), err, out)
	}
	contains(t, args, out, want...)
	return out
}

// fails runs a command that must fail with a sentence.
func (w *world) fails(t *testing.T, env map[string]string, args []string, want ...string) {
	t.Helper()
	out, err := w.run(t, env, args...)
	if err == nil || errors.Is(err, ctl.ErrShown) {
		t.Errorf("tandemctl %s succeeds: %v\n%s", strings.Join(args, " "), err, out)
		return
	}
	contains(t, args, err.Error(), want...)
	for _, word := range []string{"rpc error", "desc =", "proto:", "ctl.", "%!"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("tandemctl %s: %q is in words for programmers", strings.Join(args, " "), err)
		}
	}
}

func contains(t *testing.T, args []string, got string, want ...string) {
	t.Helper()
	for _, one := range want {
		if !strings.Contains(got, one) {
			t.Errorf("tandemctl %s lacks %q:\n%s", strings.Join(args, " "), one, got)
		}
	}
}

func (w *world) eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(patience)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		case <-ticker.C:
		}
	}
}
