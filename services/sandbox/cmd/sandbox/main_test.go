package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fetch opens a URL.
func fetch(t *testing.T, url string) io.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp.Body
}

func TestRunServesUntilToldToStop(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{
			"--listen=127.0.0.1:0", "--tickets=3", "--gateway=http://127.0.0.1:1", "--hook-secret-file=" + secret, "--application", "--language=cs",
		}, in)
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`page (http://127\.0\.0\.1:\d+)/ `).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("it said %q", line)
	}
	board := fetch(t, m[1]+"/sandbox/api/board")
	raw, err := io.ReadAll(board)
	if err != nil || strings.Count(string(raw), `"Sample ticket`) != 3 {
		t.Errorf("%v: %s", err, raw)
	}
	// An event stream that is open must not hold the stop up.
	if _, err := bufio.NewReader(fetch(t, m[1]+"/sandbox/api/events")).ReadString('\n'); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	short := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--no-such-flag"},
		{"--gateway=http://x"},
		{"--listen=127.0.0.1:0", "--gateway=http://x", "--hook-secret-file=" + short},
		{"--listen=nowhere"},
		{"--language=de"},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	var help strings.Builder
	if err := run(t.Context(), []string{"--help"}, &help); err != nil || !strings.Contains(help.String(), "--hook-secret-file") {
		t.Errorf("got %v, %s", err, help.String())
	}
}
