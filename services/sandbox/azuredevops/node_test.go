package azuredevops_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
)

// nodeClient gives a folder with Microsoft's client, and the script that uses it. The client is installed once for each
// state of the lock file, into .bin; the test is skipped where there is no Node, or no way to npm's registry.
func nodeClient(t *testing.T) (string, string) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not on this machine", program)
		}
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.work")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			t.Fatal("the repository's root is not above this package")
		}
	}
	source := filepath.Join(root, ".tools", "node")
	hash := sha256.New()
	files := map[string][]byte{}
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
		hash.Write(data)
	}
	story := filepath.Join(source, "story.js")
	installed := filepath.Join(root, ".bin", "node-"+hex.EncodeToString(hash.Sum(nil)[:8]))
	if _, err := os.Stat(installed); err == nil {
		return installed, story
	}
	bin := filepath.Dir(installed)
	if err := os.MkdirAll(bin, 0o750); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(bin, "node-part-") //nolint:usetesting // it is renamed, so it must lie beside its new place
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		if unreachable.Match(out) {
			t.Skipf("npm's registry can't be reached: %v\n%s", err, out)
		}
		t.Fatalf("installing Microsoft's client: %v\n%s", err, out)
	}
	// Another run may have been faster.
	if err := os.Rename(dir, installed); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(installed); there != nil {
			t.Fatal(err)
		}
	}
	return installed, story
}

// unreachable is how npm says that a machine has no way to its registry. Anything else that hinders it is a failure.
var unreachable = regexp.MustCompile(`npm (?:ERR!|error) (?:code|errno) (?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|E403|E503)`)

// TestMicrosoftsClient: a client that nobody here wrote creates, patches, queries, comments, attaches and subscribes,
// and reads back what it wrote.
func TestMicrosoftsClient(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("installs a package and starts Node")
	}
	installed, story := nodeClient(t)
	for name, change := range map[string]func(*azuredevops.Options){
		"as the service is":        func(*azuredevops.Options) {},
		"401 for unknown callers":  func(o *azuredevops.Options) { o.Refuse401 = true },
		"tags are replaced by add": func(o *azuredevops.Options) { o.Quirks.AddTagsReplaces = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard := make(chan string, 100)
			hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				user, password, _ := r.BasicAuth()
				var event struct{ EventType string }
				_ = json.NewDecoder(r.Body).Decode(&event)
				heard <- strings.Join([]string{event.EventType, user, password}, " ")
			}))
			defer hook.Close()
			w := setup(t, change)
			cmd := exec.CommandContext(t.Context(), "node", story, w.URL(), "Alvaoproject", hook.URL)
			cmd.Env = append(os.Environ(), "TANDEM_TOKEN="+pat, "NODE_PATH="+filepath.Join(installed, "node_modules"), "NODE_NO_WARNINGS=1")
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s\n%s", err, out, stderr.String())
			}
			var got struct {
				ID           int
				Comments     []int
				Attachment   string
				Subscription string
				Done         []string
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			want := []string{"connect", "describe", "create", "patch", "query", "comment", "attach", "history", "delete and restore", "subscribe"}
			if diff := cmp.Diff(want, got.Done); diff != "" {
				t.Error(diff)
			}
			// What Node says it wrote is what is there.
			item := w.must(200, "GET", "/_apis/wit/workitems/"+strconv.Itoa(got.ID)+"?$expand=relations", nil)
			if item.field("System.State") != "Doing" || !strings.Contains(string(item.raw), got.Attachment) {
				t.Errorf("%s", item.raw)
			}
			var comments []int
			for _, c := range w.must(200, "GET", "/Alvaoproject/_apis/wit/workItems/"+strconv.Itoa(got.ID)+"/comments?order=asc", nil).list("comments") {
				id, _ := walk(c, "id").(float64)
				comments = append(comments, int(id))
			}
			if !slices.Equal(comments, got.Comments) {
				t.Errorf("comments %v, want %v", comments, got.Comments)
			}
			select {
			case event := <-heard:
				if event != "workitem.commented tandem hook-password" {
					t.Errorf("the hook heard %q", event)
				}
			case <-time.After(time.Minute):
				t.Error("the hook heard nothing")
			}
		})
	}
}
