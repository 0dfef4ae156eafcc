package convergetest_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// What a process does over the wires is named by what it does, without numbers of items:
// "boards PATCH workitems/* (fields/System.State)", "inbox receive", "link put (adopt)".

var (
	numbers = regexp.MustCompile(`/[0-9]+(/|$)`)
	runID   = regexp.MustCompile(`[0-9]{8}-[0-9]{6}-[0-9]{6}-[0-9a-f]{4}`)
	states  = regexp.MustCompile(`^(active|creating|gone|parked)\b`)
	typed   = regexp.MustCompile(`/\$[^/]+$`)
	// written is the reference in what Tandem writes; a note of the item itself has no version.
	written = regexp.MustCompile(`TANDEM-[AW][0-9]+-([RCN])[0-9]+(-V[0-9]+)?-`)
	prefix  = regexp.MustCompile(`(?i)^/(azuredevops/contoso(/_apis|/Alvaoproject|/Archive)?(/_apis)?|AlvaoRestApi)/`)
)

// callName names a call of either system. What it sends can be read again.
func callName(r *http.Request) (string, error) {
	system := "desk"
	if strings.HasPrefix(strings.ToLower(r.URL.Path), "/azuredevops/") {
		system = "boards"
	}
	address := prefix.ReplaceAllString(r.URL.Path, "/")
	address = guid.ReplaceAllString(address, "*")
	address = typed.ReplaceAllString(address, "/$$type")
	for numbers.MatchString(address) {
		address = numbers.ReplaceAllString(address, "/*$1")
	}
	name := system + " " + r.Method + " " + strings.Trim(address, "/")
	if r.Body == nil || r.Method == http.MethodGet || !strings.Contains(r.Header.Get("Content-Type"), "json") {
		return name, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	_ = r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(body))
	what := changes(body)
	if r.Method == http.MethodPost {
		what = ""
		if m := written.FindSubmatch(body); m != nil && (strings.HasSuffix(address, "/comments") || strings.HasSuffix(address, "/log")) {
			what = map[string]string{"R": "message", "C": "message", "N": "note"}[string(m[1])]
			if what == "note" && len(m[2]) > 0 {
				what = "of a file"
			}
		}
	}
	if what != "" {
		name += " (" + what + ")"
	}
	return name, nil
}

// changes says what a body changes: the paths of a JSON patch, or the keys of an object.
func changes(body []byte) string {
	var patch []struct {
		Op, Path string
		Value    struct{ Rel string }
	}
	names := map[string]bool{}
	if json.Unmarshal(body, &patch) == nil || len(patch) > 0 {
		for _, p := range patch {
			if p.Op != "test" {
				names[strings.TrimPrefix(p.Path, "/")+p.Value.Rel] = true
			}
		}
	} else {
		var object map[string]any
		_ = json.Unmarshal(body, &object)
		for key := range object {
			names[key] = true
		}
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	return strings.Join(sorted, ", ")
}

// readScripts gives the names of the stores' scripts by what Redis calls them.
func readScripts() (map[string]string, error) {
	names := map[string]string{}
	folders, err := filepath.Glob(filepath.Join("..", "*", "lua"))
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		store := filepath.Base(filepath.Dir(folder))
		files, err := filepath.Glob(filepath.Join(folder, "*.lua"))
		if err != nil {
			return nil, err
		}
		core, err := os.ReadFile(filepath.Join("..", store, "lua", "core.lua"))
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".lua")
			if name == "core" {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			sum := sha1.Sum(append(slices.Clone(core), text...))
			names[hex.EncodeToString(sum[:])] = store + " " + name
		}
	}
	return names, nil
}

// together names commands that are sent together: by the script among them, if there is one.
func (w *world) together(cmds []redis.Cmder) string {
	for _, cmd := range cmds {
		if cmd.Name() == "evalsha" || cmd.Name() == "eval" {
			return w.commandName(cmd)
		}
	}
	return "together: " + w.commandName(cmds[0])
}

// commandName names a command of Redis.
func (w *world) commandName(cmd redis.Cmder) string {
	args := make([]string, len(cmd.Args()))
	for i, arg := range cmd.Args() {
		switch text := arg.(type) {
		case []byte:
			args[i] = string(text)
		default:
			args[i] = fmt.Sprint(text)
		}
	}
	switch name := cmd.Name(); name {
	case "evalsha", "eval":
		sum := args[1]
		if name == "eval" {
			hash := sha1.Sum([]byte(args[1]))
			sum = hex.EncodeToString(hash[:])
		}
		script := w.scripts[sum]
		if script == "" {
			return "a script that no file in lua/ holds"
		}
		return script + detail(script, args)
	default:
		key := ""
		if len(args) > 1 {
			_, key, _ = strings.Cut(args[1], "}:")
		}
		if key == "facts" && len(args) > 2 {
			key += " " + args[2]
		}
		// The inbox keeps a record of each item under its name.
		if before, _, found := strings.Cut(key, ":"); found {
			key = before
		}
		key = states.ReplaceAllString(runID.ReplaceAllString(key, "*"), "*")
		if name == "unlink" {
			key = path.Dir(key) // they go in any order
		}
		return strings.TrimSpace("redis " + name + " " + key)
	}
}

// detail says of some scripts what is remembered.
func detail(script string, args []string) string {
	last := args[len(args)-1]
	switch script {
	case "link put":
		var change struct{ Action string }
		if json.Unmarshal([]byte(last), &change) == nil && change.Action != "" {
			return " (" + change.Action + ")"
		}
		return " (in silence)"
	case "link mirror":
		// evalsha, sum, 3, three keys, token, source, mirror, notice
		const at = 8
		var mirror item.Mirror
		if len(args) > at && json.Unmarshal([]byte(args[at]), &mirror) == nil && !mirror.Posting.IsZero() {
			return " (begun)"
		}
		return " (stands)"
	default:
		return ""
	}
}
