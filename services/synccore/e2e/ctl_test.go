//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// TestTranscript replays the terminal session of deploy/README.md: a parked link is found,
// understood, mended, tried again and seen to heal.
func TestTranscript(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, session, found := strings.Cut(string(guide), "<!-- tandemctl session -->\n```console\n")
	if !found {
		t.Fatal("the guide has no session")
	}
	session, _, _ = strings.Cut(session, "```")
	s := start(t, stack.Options{Connector: "    pollInterval: 1s\n"})
	ticket, workItem := develop(t, s, "Invoices are printed twice")
	rest(t, s)
	if ticket != 1001 || workItem != 1 {
		t.Fatalf("the session is about ticket 1001 and work item 1, not %d and %d", ticket, workItem)
	}
	for step := range strings.SplitSeq(session, "\n$ ") {
		command, want, _ := strings.Cut(strings.TrimPrefix(step, "$ "), "\n")
		if strings.HasPrefix(command, "export ") {
			continue // the addresses are this test's own
		}
		await(t, patience, "what the guide shows of "+command, func() (bool, string) {
			got := terminal(t, s, strings.ReplaceAll(command, "http://127.0.0.1:8090", s.PageURL))
			return sameScreen(want, got), got
		})
	}
}

// terminal runs a line in a shell.
func terminal(t *testing.T, s *stack.Stack, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-c", line)
	command.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"), "TANDEM_ADDRESS="+s.CoreAddr, "TANDEM_INSECURE_GRPC=true", "NO_COLOR=1")
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	_ = command.Run() // what it prints tells
	return out.String()
}

var (
	// exampleResync is the id of a resync.
	exampleResync = regexp.MustCompile(`\d{8}-\d{6}-\d{6}-[0-9a-f]{4}`)

	moment  = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)
	traceID = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
)

// sameScreen compares what the guide shows with what came, but for times, traces, blanks
// and the lines that the guide leaves out with "…".
func sameScreen(want, got string) bool {
	plain := func(text string) []string {
		text = traceID.ReplaceAllString(moment.ReplaceAllString(text, "TIME"), "TRACE")
		var lines []string
		for line := range strings.Lines(text) {
			if line = strings.Join(strings.Fields(line), " "); line != "" {
				lines = append(lines, line)
			}
		}
		return lines
	}
	there := plain(got)
	for _, line := range plain(want) {
		if line == "…" {
			continue
		}
		at := -1
		for i, one := range there {
			if one == line {
				at = i
				break
			}
		}
		if at < 0 {
			return false
		}
		there = there[at+1:]
	}
	return true
}
