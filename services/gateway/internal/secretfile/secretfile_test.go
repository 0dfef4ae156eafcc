package secretfile_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/gateway/internal/secretfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func rule() secretfile.Rule {
	return secretfile.Rule{Name: "test secret", Min: 8, Hint: "make one with a generator."}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	write(t, short, " \n1234567\n ")
	missing := filepath.Join(dir, "missing")

	_, err := secretfile.Open(rule(), short, missing)
	if err == nil {
		t.Fatal("Open accepted a short and a missing file")
	}
	for _, want := range []string{short, "7 characters", "at least 8", missing, "make one with a generator"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %q, which does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "1234567") {
		t.Errorf("Open = %q, which shows the secret", err)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	write(t, first, "\n first-secret \n")
	write(t, second, "second-secret")
	files, err := secretfile.Open(rule(), first, second)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"first-secret", "second-secret"}, files.Values()); diff != "" {
		t.Fatalf("Values (-want +got):\n%s", diff)
	}
	before := files.Snapshot()
	if changed, err := files.Reload(); changed || err != nil || files.Snapshot() != before {
		t.Fatalf("Reload without a change = %v, %v", changed, err)
	}

	write(t, first, "") // as an editor does between truncating and writing
	if changed, err := files.Reload(); changed || err == nil || files.Snapshot() != before {
		t.Fatalf("Reload of an empty file = %v, %v; want the old values and an error", changed, err)
	}

	write(t, first, "third-secret")
	if changed, err := files.Reload(); !changed || err != nil {
		t.Fatalf("Reload after a change = %v, %v", changed, err)
	}
	if diff := cmp.Diff([]string{"third-secret", "second-secret"}, files.Values()); diff != "" {
		t.Fatalf("Values after a change (-want +got):\n%s", diff)
	}
}

// TestReloadKubernetes swaps the folder behind a symbolic link, as the kubelet does:
// secret -> ..data/secret, ..data -> ..2026_1; then ..data is renamed over.
func TestReloadKubernetes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lay := func(generation, value string) {
		folder := filepath.Join(dir, generation)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, "secret"), value)
		link := filepath.Join(dir, "..data_tmp")
		if err := os.Symlink(generation, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	lay("..2026_1", "first-secret")
	path := filepath.Join(dir, "secret")
	if err := os.Symlink(filepath.Join("..data", "secret"), path); err != nil {
		t.Fatal(err)
	}
	files, err := secretfile.Open(rule(), path)
	if err != nil {
		t.Fatal(err)
	}
	lay("..2026_2", "second-secret")
	if changed, err := files.Reload(); !changed || err != nil {
		t.Fatalf("Reload after the swap = %v, %v", changed, err)
	}
	if diff := cmp.Diff([]string{"second-secret"}, files.Values()); diff != "" {
		t.Fatalf("Values after the swap (-want +got):\n%s", diff)
	}
}

func TestRunLogsOnceAndNoValue(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	write(t, path, "first-secret")
	files, err := secretfile.Open(rule(), path)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var log buffer
		var done sync.WaitGroup
		done.Go(func() { files.Run(ctx, time.Second, slog.New(slog.NewJSONHandler(&log, nil))) })

		write(t, path, "bad")
		time.Sleep(5500 * time.Millisecond) //nolint:forbidigo // the bubble's clock, which stands still otherwise.
		write(t, path, "second-secret")
		time.Sleep(2 * time.Second) //nolint:forbidigo // as above.
		cancel()
		done.Wait()

		if got := strings.Count(log.String(), "secret.reload_failed"); got != 1 {
			t.Errorf("%d lines about the bad file, want 1:\n%s", got, log.String())
		}
		if got := strings.Count(log.String(), "secret.reloaded"); got != 1 {
			t.Errorf("%d lines about the change, want 1:\n%s", got, log.String())
		}
		if strings.Contains(log.String(), "-secret\"") {
			t.Errorf("the log shows a secret:\n%s", log.String())
		}
	})
	if diff := cmp.Diff([]string{"second-secret"}, files.Values()); diff != "" {
		t.Fatalf("Values (-want +got):\n%s", diff)
	}
}

// buffer is a bytes.Buffer that several goroutines may use.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestOneLine: a token of several lines can't be shown in a header, and is refused by name
// and without being repeated.
func TestOneLine(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	content := strings.Repeat("x", 40) + "\n" + strings.Repeat("y", 40) + "\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := secretfile.Open(secretfile.Rule{Name: "token", Min: 32, OneLine: true}, path)
	if err == nil || !strings.Contains(err.Error(), path+", holds more than one line") || strings.Contains(err.Error(), "xxxx") {
		t.Errorf("it is told as %v", err)
	}
	if _, err := secretfile.Open(secretfile.Rule{Name: "secret", Min: 32}, path); err != nil {
		t.Errorf("a secret of several lines: %v", err)
	}
}
