// Package secretfile keeps secrets that are read from files up to date while a
// process runs.
//
// Its one invariant: Values always returns a full set that was valid when it was
// read. A file that is missing, half written or too short never replaces a good
// value, and no error names more than the file's path.
//
// The content is compared, not the modification time: a Kubernetes secret is
// swapped by a symbolic link and a bind mount may keep its time, and reading two
// short files every few seconds costs nothing.
package secretfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxSize is the most that is read of a secret's file, in bytes.
const maxSize = 64 << 10

// Rule says what a valid secret is and how the files are called in messages.
type Rule struct {
	// Name is what the files hold, for messages, e.g. "hook secret".
	Name string
	// Min is the least number of characters after trimming white space.
	Min int
	// OneLine refuses what has several lines.
	OneLine bool
	// Hint is how to make such a file, for messages.
	Hint string
}

// Files are the watched files. Its methods may be called by many goroutines.
type Files struct {
	rule  Rule
	paths []string

	values   atomic.Pointer[[]string]
	reloadMu sync.Mutex // serialises Reload
}

// Open reads all files. The error says which file breaks which rule; all files are
// looked at.
func Open(rule Rule, paths ...string) (*Files, error) {
	f := &Files{rule: rule, paths: slices.Clone(paths)}
	if _, err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Values are the secrets in the order of the paths. The slice must not be changed;
// the same slice is returned until a value changes.
func (f *Files) Values() []string {
	return *f.values.Load()
}

// Snapshot is Values by reference: two equal pointers mean that nothing changed.
func (f *Files) Snapshot() *[]string { return f.values.Load() }

// Reload reads all files anew and tells whether a value changed. On an error the
// values stay what they were.
func (f *Files) Reload() (bool, error) {
	f.reloadMu.Lock()
	defer f.reloadMu.Unlock()
	values := make([]string, 0, len(f.paths))
	var errs []error
	for _, path := range f.paths {
		value, err := f.read(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		values = append(values, value)
	}
	if err := errors.Join(errs...); err != nil {
		return false, err
	}
	if old := f.values.Load(); old != nil && slices.Equal(*old, values) {
		return false, nil
	}
	f.values.Store(&values)
	return true, nil
}

// Run reloads every interval until ctx ends. A change and each new problem are
// logged once, by path, never by value.
func (f *Files) Run(ctx context.Context, interval time.Duration, logger *slog.Logger) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var problem string
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		changed, err := f.Reload()
		switch {
		case err != nil && err.Error() != problem:
			problem = err.Error()
			logger.WarnContext(ctx, "secret.reload_failed", slog.String("error", problem), slog.String("effect", "the values read before stay in use"))
		case err == nil:
			problem = ""
		}
		if changed {
			logger.InfoContext(ctx, "secret.reloaded", slog.String("secret", f.rule.Name), slog.Int("files", len(f.paths)))
		}
	}
}

func (f *Files) read(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the file of the %s can't be read: %w; %s", f.rule.Name, err, f.rule.Hint)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxSize))
	if err = errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("the file of the %s can't be read: %w; %s", f.rule.Name, err, f.rule.Hint)
	}
	value := strings.TrimSpace(string(content))
	if f.rule.OneLine && strings.ContainsAny(value, "\r\n") {
		return "", fmt.Errorf("the file of the %s, %s, holds more than one line; write the token alone into it", f.rule.Name, path)
	}
	if len(value) < f.rule.Min {
		return "", fmt.Errorf("the file of the %s, %s, holds %d characters but at least %d are needed; %s", f.rule.Name, path, len(value), f.rule.Min, f.rule.Hint)
	}
	return value, nil
}
