package azuredevops_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// everyCall makes each call that sends something, by the method's name; what is decided by an answer is followed up.
func everyCall() map[string]func(context.Context, *azuredevops.Client) error {
	upload := func(size int) item.Upload {
		return item.Upload{Name: "a.txt", Size: int64(size), Content: strings.NewReader(strings.Repeat("x", size))}
	}
	reported := draft()
	reported.Reporter = &item.Identity{UniqueName: jana}
	return map[string]func(context.Context, *azuredevops.Client) error{
		"Identity":  func(ctx context.Context, c *azuredevops.Client) error { _, err := c.Identity(ctx); return err },
		"Project":   func(ctx context.Context, c *azuredevops.Client) error { _, err := c.Project(ctx); return err },
		"ProjectID": func(ctx context.Context, c *azuredevops.Client) error { _, err := c.ProjectID(ctx); return err },
		"WorkItems": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.WorkItems(ctx, []int64{1})
			return err
		},
		"Types":  func(ctx context.Context, c *azuredevops.Client) error { _, err := c.Types(ctx); return err },
		"Type":   func(ctx context.Context, c *azuredevops.Client) error { _, err := c.Type(ctx, "Task"); return err },
		"Fields": func(ctx context.Context, c *azuredevops.Client) error { _, err := c.Fields(ctx, "Task"); return err },
		"FindByMark": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.FindByMark(ctx, mark, ticketURL)
			return err
		},
		// Names tells no error: whoever can't be looked up is missing.
		"Names": func(ctx context.Context, c *azuredevops.Client) error {
			c.Names(ctx, []string{guid})
			return nil
		},
		"FindIdentity": func(ctx context.Context, c *azuredevops.Client) error {
			_, _, err := c.FindIdentity(ctx, jana)
			return err
		},
		"Create":                func(ctx context.Context, c *azuredevops.Client) error { _, err := c.Create(ctx, draft()); return err },
		"Create for a reporter": func(ctx context.Context, c *azuredevops.Client) error { _, err := c.Create(ctx, reported); return err },
		"SetState": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.SetState(ctx, 1, 1, "Doing")
			return err
		},
		"AddMark": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.AddMark(ctx, 1, 0, mark, ticketURL, "T")
			return err
		},
		"AddComment": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.AddComment(ctx, "", 1, "x", item.HTML)
			return err
		},
		"EditComment": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.EditComment(ctx, "", 1, 2, "x", item.HTML)
			return err
		},
		"AttachFile": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.AttachFile(ctx, 1, 0, c.AccountURL()+"/_apis/wit/attachments/"+guid, "")
			return err
		},
		"Check": func(ctx context.Context, c *azuredevops.Client) error {
			c.Check(ctx, azuredevops.Wants{Type: "Task", States: []string{"Doing"}, Fields: []string{"System.Title"}, Reporter: true})
			return nil
		},
		"Changes": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.Changes(ctx, "1;2;3", time.Time{})
			return err
		},
		"AllTags": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.AllTags(ctx, "")
			return err
		},
		"CheckHooks": func(ctx context.Context, c *azuredevops.Client) error {
			c.CheckHooks(ctx, azuredevops.Wants{Connector: "development"})
			return nil
		},
		"Raw":   func(ctx context.Context, c *azuredevops.Client) error { _, err := c.Raw(ctx, 1); return err },
		"Hooks": func(ctx context.Context, c *azuredevops.Client) error { _, err := c.Hooks(ctx); return err },
		"CreateHook": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.CreateHook(ctx, item.HookDraft{Event: "workitem.updated", ProjectID: guid, URL: "https://tandem.example/hooks", User: "tandem"}, "p")
			return err
		},
		"ReplaceHook": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.ReplaceHook(ctx, guid, item.HookDraft{Event: "workitem.updated", ProjectID: guid, URL: "https://tandem.example/hooks", User: "tandem"}, "p")
			return err
		},
		"RemoveHook": func(ctx context.Context, c *azuredevops.Client) error {
			return c.RemoveHook(ctx, guid, "workitem.updated")
		},
		"Validate": func(ctx context.Context, c *azuredevops.Client) error {
			d := draft()
			d.Fields = append(d.Fields, item.FieldValue{Reference: "System.AssignedTo", Value: "user@contoso.com", Person: true})
			c.Validate(ctx, d)
			return nil
		},
		// The links of what is read are followed as the engine follows them.
		"WorkItem": func(ctx context.Context, c *azuredevops.Client) error {
			w, err := c.WorkItem(ctx, 1)
			for _, a := range w.Attachments {
				_ = openAndClose(ctx, c, a)
			}
			return err
		},
		"Comments": func(ctx context.Context, c *azuredevops.Client) error {
			comments, err := c.Comments(ctx, "", 1)
			for _, one := range comments {
				_, source, _ := strings.Cut(one.Text, `src="`)
				source, _, _ = strings.Cut(source, `"`)
				_, _, ours := c.AttachmentOfURL(source)
				if opened := openAndClose(ctx, c, item.Attachment{ID: guid, Name: "x", URL: source}); !ours && !fault.Is(opened, fault.Refused) {
					return fmt.Errorf("%s was opened: %w", source, opened)
				}
			}
			return err
		},
		"OpenFile": func(ctx context.Context, c *azuredevops.Client) error {
			return openAndClose(ctx, c, item.Attachment{ID: guid, Name: "x"})
		},
		"UploadFile": func(ctx context.Context, c *azuredevops.Client) error {
			address, err := c.UploadFile(ctx, "", upload(3))
			if err == nil {
				_, err = c.AttachFile(ctx, 1, 0, address, "")
			}
			return err
		},
		"UploadFile in pieces": func(ctx context.Context, c *azuredevops.Client) error {
			_, err := c.UploadFile(ctx, "", upload(30))
			return err
		},
	}
}

func openAndClose(ctx context.Context, c *azuredevops.Client, a item.Attachment) error {
	content, _, _, err := c.OpenFile(ctx, a)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, content)
	_ = content.Close()
	return err
}

// TestEveryCallIsTried: a method that sends something and is missing in everyCall would go unproved.
func TestEveryCallIsTried(t *testing.T) {
	t.Parallel()
	client := reflect.TypeFor[*azuredevops.Client]()
	for method := range client.Methods() {
		if method.Type.NumIn() > 1 && method.Type.In(1) == reflect.TypeFor[context.Context]() && everyCall()[method.Name] == nil {
			t.Errorf("%s is not among the calls that are proved to keep the credential home", method.Name)
		}
	}
}

// home is a server that is asked, and what else is reached because of its answers.
type home struct {
	url string

	mu      sync.Mutex
	asked   int
	strayed []string
}

func (h *home) stray(r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _, credential := r.BasicAuth()
	h.strayed = append(h.strayed, fmt.Sprintf("%s http://%s%s, credential %v", r.Method, r.Host, r.URL, credential || r.Header.Get("Authorization") != ""))
}

// took gives how often the server was asked, and what strayed since the last time.
func (h *home) took() (int, []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	strayed := h.strayed
	h.strayed = nil
	return h.asked, strayed
}

// lure starts a configured server that answers with trick, which is given the address of a foreign one. Whatever reaches
// the foreign server, or the configured one under another name or outside the organisation, has strayed.
func lure(t *testing.T, trick func(h *home, elsewhere string, w http.ResponseWriter, r *http.Request)) *home {
	t.Helper()
	h := &home{}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.stray(r)
		answerJSON(w, http.StatusOK, `{"id":1,"rev":1}`)
	}))
	configured := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if "http://"+r.Host != h.url || !strings.HasPrefix(r.URL.Path, "/contoso/") {
			h.stray(r)
			return
		}
		if _, password, _ := r.BasicAuth(); password != pat {
			t.Errorf("%s %s came without the credential", r.Method, r.URL)
		}
		h.mu.Lock()
		h.asked++
		h.mu.Unlock()
		trick(h, elsewhere.URL, w, r)
	}))
	h.url = configured.URL
	t.Cleanup(func() {
		elsewhere.Close()
		configured.Close()
	})
	return h
}

// tryAll makes every call, each with a client of its own, and checks that nothing strayed.
func (h *home) tryAll(t *testing.T) {
	t.Helper()
	transport, err := outbound.Transport("")
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	for name, call := range everyCall() {
		before, _ := h.took()
		c, err := azuredevops.New(azuredevops.Options{
			ProjectURL: h.url + "/contoso/Alvaoproject", Base: transport, Now: clock, ChunkAbove: 10, Chunk: 10,
			Credential: azuredevops.PAT(func() (string, error) { return pat, nil }),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := call(t.Context(), c); err != nil {
			if _, isFault := fault.As(err); !isFault || strings.Contains(err.Error(), pat) {
				t.Errorf("%s: %v", name, err)
			}
		}
		after, strayed := h.took()
		if len(strayed) > 0 {
			t.Errorf("%s: reached %s", name, strings.Join(strayed, "; "))
		}
		if after == before {
			t.Errorf("%s asked nobody, so it proves nothing", name)
		}
	}
}

// TestCredentialStaysHome: neither a redirect nor a link in an answer takes the credential to another place, whatever
// is called. Modelled, not recorded.
func TestCredentialStaysHome(t *testing.T) {
	t.Parallel()
	targets := map[string]func(h *home, elsewhere, path string) string{
		"another port": func(_ *home, elsewhere, path string) string { return elsewhere + path },
		"no scheme":    func(_ *home, elsewhere, path string) string { return strings.TrimPrefix(elsewhere, "http:") + path },
		"another name": func(h *home, _, path string) string {
			return strings.Replace(h.url, "127.0.0.1", "localhost", 1) + path
		},
		"another scheme":       func(h *home, _, path string) string { return strings.Replace(h.url, "http:", "https:", 1) + path },
		"another organisation": func(h *home, _, path string) string { return h.url + strings.Replace(path, "/contoso/", "/evil/", 1) },
		"outside by dots":      func(h *home, _, _ string) string { return h.url + "/contoso/../evil/_apis" },
		"with a user": func(_ *home, elsewhere, path string) string {
			return strings.Replace(elsewhere, "http://", "http://u:p@", 1) + path
		},
		"the own host as user": func(h *home, elsewhere, path string) string {
			return "http://" + strings.TrimPrefix(h.url, "http://") + "@" + strings.TrimPrefix(elsewhere, "http://") + path
		},
		"sign-in": func(_ *home, elsewhere, _ string) string { return elsewhere + "/_signin?realm=x" },
	}
	for name, target := range targets {
		t.Run("redirect/"+name, func(t *testing.T) {
			t.Parallel()
			for _, status := range []int{301, 302, 303, 307, 308} {
				lure(t, func(h *home, elsewhere string, w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Location", target(h, elsewhere, r.URL.RequestURI()))
					w.WriteHeader(status)
				}).tryAll(t)
			}
		})
		t.Run("link/"+name, func(t *testing.T) {
			t.Parallel()
			lure(t, func(h *home, elsewhere string, w http.ResponseWriter, r *http.Request) {
				linked(w, r, func(path string) string { return target(h, elsewhere, path) })
			}).tryAll(t)
		})
	}
}

// linked answers every call with success, and with links that all lead to another place.
func linked(w http.ResponseWriter, r *http.Request, to func(path string) string) {
	file := to("/contoso/_apis/wit/attachments/" + guid + "?fileName=x.png")
	page := to("/contoso/Alvaoproject/_apis/wit/workItems/1/comments?continuationToken=t2")
	for _, name := range []string{"Location", "Content-Location", "X-Next", "Refresh"} {
		w.Header().Set(name, file)
	}
	w.Header().Set("Link", "<"+page+`>; rel="next"`)
	person := fmt.Sprintf(`{"id":%q,"displayName":"Jana","providerDisplayName":"Jana","uniqueName":%q,"isActive":true,"imageUrl":%q,"url":%q,"_links":{"avatar":{"href":%q}},`+
		`"properties":{"Account":{"$value":%q},"SchemaClassName":{"$value":"User"}}}`, guid, jana, file, file, file, jana)
	it := fmt.Sprintf(`{"id":1,"rev":1,"url":%q,"_links":{"self":{"href":%q}},"fields":{"System.Tags":"","System.State":"To Do","System.AssignedTo":%s},`+
		`"relations":[{"rel":"AttachedFile","url":%q,"attributes":{"name":"x.png"}},{"rel":"Hyperlink","url":%q}]}`, file, file, person, file, file)
	path := strings.ToLower(r.URL.Path)
	answer := it
	switch {
	case strings.HasSuffix(path, "/connectiondata"):
		answer = fmt.Sprintf(`{"authenticatedUser":%s,"locationServiceData":{"defaultAccessMappingMoniker":"x","accessMappings":[{"accessPoint":%q}]}}`, person, file)
	case strings.Contains(path, "/_apis/projects/"):
		answer = fmt.Sprintf(`{"id":%q,"name":"Alvaoproject","url":%q}`, guid, file)
	case strings.HasSuffix(path, "/identities"):
		answer = `{"count":1,"value":[` + person + `]}`
	case strings.HasSuffix(path, "/wiql"):
		answer = fmt.Sprintf(`{"workItems":[{"id":1,"url":%q}]}`, file)
	case strings.HasSuffix(path, "/workitemsbatch"):
		answer = `{"count":1,"value":[` + it + `]}`
	case strings.HasSuffix(path, "/comments") && r.Method == http.MethodGet:
		comment := func(id int, source string) string {
			return fmt.Sprintf(`{"id":%d,"version":1,"text":%q,"url":%q,"createdBy":%s}`, id, `<p><img src="`+source+`"></p>`, file, person)
		}
		answer = fmt.Sprintf(`{"count":2,"comments":[%s,%s],"nextPage":%q}`, comment(1, file), comment(2, to("/x.png")), page)
	case strings.HasSuffix(path, "/attachments"):
		answer = fmt.Sprintf(`{"id":%q,"url":%q}`, guid, file)
	case strings.Contains(path, "/attachments/"):
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.WriteString(w, "content")
		return
	case strings.Contains(path, "/hooks/subscriptions"):
		hook := fmt.Sprintf(`{"id":%q,"status":"enabled","eventType":"workitem.updated","url":%q,"_links":{"self":{"href":%q}},"consumerInputs":{"url":%q}}`, guid, file, file, file)
		answer = hook
		if r.Method == http.MethodGet {
			answer = `{"count":1,"value":[` + hook + `]}`
		}
	case strings.HasSuffix(path, "/fields"), strings.HasSuffix(path, "/states"), strings.HasSuffix(path, "/workitemtypes"):
		answer = fmt.Sprintf(`{"count":1,"value":[{"name":"To Do","category":"Proposed","referenceName":"System.Title","type":"string","url":%q}]}`, file)
	case strings.Contains(path, "/workitemtypes/"):
		answer = fmt.Sprintf(`{"name":"Task","url":%q,"icon":{"url":%q},"transitions":{"":[{"to":"To Do"}]}}`, file, file)
	}
	answerJSON(w, http.StatusOK, answer)
}

// TestCredentialOfServices: with an address of Azure DevOps Services the credential goes to the organisation on its two
// hosts, encrypted, and nowhere else.
func TestCredentialOfServices(t *testing.T) {
	t.Parallel()
	for project, allowed := range map[string][]string{
		projectURL: {"https://dev.azure.com/contoso/", "https://vssps.dev.azure.com/contoso/"},
		"https://contoso.visualstudio.com/Alvaoproject": {"https://contoso.visualstudio.com/"},
		"https://tfs.example:8443/tfs/Coll/P":           {"https://tfs.example:8443/tfs/Coll/"},
	} {
		t.Run(project, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			reached := map[string]bool{}
			for name, call := range everyCall() {
				c, err := azuredevops.New(azuredevops.Options{
					ProjectURL: project, Credential: azuredevops.PAT(func() (string, error) { return pat, nil }), Now: clock, ChunkAbove: 10, Chunk: 10,
					Base: replies(func(r *http.Request) *http.Response {
						within := slices.IndexFunc(allowed, func(a string) bool { return strings.HasPrefix(r.URL.String(), a) })
						if within < 0 || r.Host != "" && r.Host != r.URL.Host {
							t.Errorf("%s: %s %s", name, r.Method, r.URL)
							return plainAnswer(http.StatusForbidden, nil)
						}
						mu.Lock()
						reached[allowed[within]] = true
						mu.Unlock()
						if r.Body != nil {
							_, _ = io.Copy(io.Discard, r.Body)
						}
						w := httptest.NewRecorder()
						linked(w, r, func(path string) string { return "https://evil.example" + path })
						return w.Result()
					}),
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := call(t.Context(), c); err != nil {
					if _, isFault := fault.As(err); !isFault {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
			if len(reached) != len(allowed) {
				t.Errorf("reached %v of %v", reached, allowed)
			}
		})
	}
}

// TestURLsWithUsers: a project URL that names a user would send somebody's password, or hide the host.
func TestURLsWithUsers(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"https://u:p4ss@dev.azure.com/contoso/P", "https://dev.azure.com@evil.example/contoso/P", "https://dev.azure.com%2f@evil.example/contoso/P"} {
		_, err := azuredevops.New(azuredevops.Options{ProjectURL: raw, Credential: azuredevops.PAT(func() (string, error) { return pat, nil }), Now: clock})
		if !fault.Is(err, fault.Misconfigured) || strings.Contains(err.Error(), "p4ss") {
			t.Errorf("%s: %v", url.PathEscape(raw), err)
		}
	}
}
