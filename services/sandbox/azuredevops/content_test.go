package azuredevops_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
)

func (w *world) item(id int) string { return fmt.Sprintf("/Alvaoproject/_apis/wit/workitems/%d", id) }

func TestRelations(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id, other := w.task("x"), w.task("other")
	ticket := "https://alvao.example/Alvao/Ticket/7"
	r := w.must(200, "PATCH", w.item(id), []op{relation("Hyperlink", ticket)})
	if r.get("rev") != 2.0 || r.get("relations", 0, "url") != ticket || r.get("relations", 0, "attributes", "comment") != "c" {
		t.Errorf("a hyperlink makes a revision: %s", r.raw)
	}
	r = w.must(400, "PATCH", w.item(id), []op{relation("Hyperlink", strings.ToUpper(ticket))})
	if r.get("typeKey") != "RelationAlreadyExistsException" || r.get("message") != "Relation already exists." {
		t.Errorf("%s", r.raw)
	}
	target := fmt.Sprintf("%s/_apis/wit/workItems/%d", w.URL(), other)
	r = w.must(200, "PATCH", w.item(id), []op{relation("System.LinkTypes.Hierarchy-Forward", target)})
	if r.get("rev") != 2.0 || len(r.list("relations")) != 2 {
		t.Errorf("a link between work items makes no revision: %s", r.raw)
	}
	back := w.must(200, "GET", w.item(other)+"?$expand=relations", nil)
	if back.get("rev") != 1.0 || back.get("relations", 0, "rel") != "System.LinkTypes.Hierarchy-Reverse" || back.field("System.Parent") != float64(id) {
		t.Errorf("the other end: %s", back.raw)
	}
	updates := w.must(200, "GET", w.item(id)+"/updates", nil)
	if updates.get("count") != 3.0 || updates.get("value", 2, "rev") != 2.0 || updates.get("value", 2, "fields") != nil || updates.get("value", 2, "relations", "added", 0, "rel") == nil {
		t.Errorf("%s", updates.raw)
	}
	w.must(400, "PATCH", w.item(other), []op{relation("System.LinkTypes.Hierarchy-Reverse", fmt.Sprintf("%s/_apis/wit/workItems/%d", w.URL(), w.task("second parent")))})

	index := slices.IndexFunc(r.list("relations"), func(v any) bool { return walk(v, "rel") == "Hyperlink" })
	r = w.must(200, "PATCH", w.item(id), []op{{"remove", fmt.Sprintf("/relations/%d", index), nil}})
	if r.get("rev") != 3.0 || r.get("relations", 0, "rel") != "System.LinkTypes.Hierarchy-Forward" {
		t.Errorf("%s", r.raw)
	}
	r = w.must(200, "PATCH", w.item(id), []op{{"remove", "/relations/0", nil}})
	if r.get("rev") != 3.0 || r.get("relations") != nil {
		t.Errorf("%s", r.raw)
	}
	if got, _ := w.WorkItem(other); len(got.Relations) != 0 {
		t.Errorf("the other end is still there: %v", got.Relations)
	}
	revision := w.must(200, "GET", w.item(id)+"/revisions/2?$expand=all", nil)
	if n := len(revision.list("relations")); n != 2 {
		t.Errorf("revision 2 had both relations, has %d: %s", n, revision.raw)
	}
	for _, o := range []op{
		{"remove", "/relations/0", nil},
		relation("Nonsense", "x"), relation("Hyperlink", ""), relation("Hyperlink", "not/absolute"),
		relation("System.LinkTypes.Related", w.URL()+"/_apis/wit/workItems/"+strconv.Itoa(id)), relation("AttachedFile", w.URL()+"/_apis/wit/attachments/nope"),
	} {
		w.must(400, "PATCH", w.item(id), []op{o})
	}
	w.must(404, "PATCH", w.item(id), []op{relation("System.LinkTypes.Related", w.URL()+"/_apis/wit/workItems/4711")})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	w := setup(t, func(o *azuredevops.Options) {
		o.Limits = azuredevops.Limits{Attachment: 10, AttachmentsPerItem: 2, LinksPerItem: 3, TagsPerItem: 2, TextLength: 20, Revisions: 5}
	})
	upload := func(content string, status int) string {
		r := w.must(status, "POST", "/_apis/wit/attachments?fileName=a.txt", []byte(content))
		if status == 400 && !strings.HasPrefix(r.text("message"), "TF237082: ") {
			t.Errorf("%s", r.raw)
		}
		url, _ := r.get("url").(string)
		return url
	}
	upload("12345678901", 400)
	id := w.task("x")
	w.must(200, "PATCH", w.item(id), []op{relation("AttachedFile", upload("1", 201)), relation("AttachedFile", upload("2", 201))})
	r := w.must(400, "PATCH", w.item(id), []op{relation("AttachedFile", upload("3", 201))})
	if !strings.HasPrefix(r.text("message"), "VS403313: ") {
		t.Errorf("%s", r.raw)
	}
	w.must(400, "PATCH", w.item(id), []op{relation("Hyperlink", "https://a.example/"), relation("Hyperlink", "https://b.example/")})
	w.must(400, "PATCH", w.item(id), []op{add("System.Tags", "a;b;c")})
	w.must(400, "PATCH", w.item(id), []op{add("System.Description", strings.Repeat("x", 21))})
	w.must(400, "POST", w.item(id)+"/comments", map[string]string{"text": strings.Repeat("x", 21)})
	for i := range 3 {
		w.must(200, "PATCH", w.item(id), []op{title(strconv.Itoa(i))})
	}
	w.must(400, "PATCH", w.item(id), []op{title("once more")})
}

func TestAttachments(t *testing.T) {
	t.Parallel()
	w := setup(t, func(o *azuredevops.Options) { o.Limits = azuredevops.Limits{MemoryPerBlob: 8, MemoryForBlobs: 12} })
	contents := []string{"small", "another", "third one goes to a file as memory is used up", strings.Repeat("0123456789", 20_000)}
	id := w.task("x")
	for i, content := range contents {
		name := fmt.Sprintf("žluť %d.txt", i)
		up := w.must(201, "POST", "/Alvaoproject/_apis/wit/attachments?uploadType=simple&fileName="+strings.ReplaceAll(name, " ", "%20"), []byte(content))
		url, _ := up.get("url").(string)
		if !strings.Contains(url, "/_apis/wit/attachments/"+up.text("id")+"?fileName=") {
			t.Errorf("url %s", url)
		}
		r := w.must(200, "PATCH", w.item(id), []op{{"add", "/relations/-", map[string]any{"rel": "AttachedFile", "url": url}}})
		if r.get("rev") != float64(i+2) {
			t.Errorf("an attachment makes a revision: %v", r.get("rev"))
		}
		path := strings.TrimPrefix(url, w.URL())
		down := w.must(200, "GET", path+"&download=true", nil)
		if string(down.raw) != content || down.header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(down.header.Get("Content-Disposition"), "attachment") {
			t.Errorf("%d bytes, %v", len(down.raw), down.header)
		}
		if inline := w.must(200, "GET", path, nil); !strings.HasPrefix(inline.header.Get("Content-Type"), "text/plain") {
			t.Errorf("%v", inline.header)
		}
	}
	item, _ := w.WorkItem(id)
	sums := map[string]string{}
	for _, r := range item.Relations {
		if strings.Contains(r.URL, "?") {
			t.Errorf("the file name stays out of the relation's url: %s", r.URL)
		}
		sums[r.Attachment.Name] = r.Attachment.SHA256
		body, err := w.OpenAttachment(r.Attachment.ID)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(body)
		body.Close()
		if sum := sha256.Sum256(raw); err != nil || hex.EncodeToString(sum[:]) != r.Attachment.SHA256 || int64(len(raw)) != r.Attachment.Size {
			t.Errorf("%s: %v", r.Attachment.Name, err)
		}
	}
	if len(sums) != len(contents) || sums["žluť 0.txt"] == "" {
		t.Errorf("%v", sums)
	}
	w.must(400, "POST", "/_apis/wit/attachments?fileName=a", []byte("x"), "Content-Type", "text/plain")
	w.must(404, "GET", "/_apis/wit/attachments/00000000-0000-0000-0000-000000000000", nil)
	w.must(404, "DELETE", "/_apis/wit/attachments/00000000-0000-0000-0000-000000000000", nil)
}

func TestTemporaryFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s := azuredevops.New(azuredevops.Options{Limits: azuredevops.Limits{MemoryPerBlob: 1}})
	item, err := s.As(jana).Create("Alvaoproject", "Task", "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.As(jana).Attach(item.ID, "a.txt", strings.NewReader("more than one")); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Fatalf("%v %v", left, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
}

func TestChunkedUpload(t *testing.T) {
	t.Parallel()
	w := setup(t)
	up := w.must(201, "POST", "/_apis/wit/attachments?uploadType=chunked&fileName=big.bin", nil)
	path := "/_apis/wit/attachments/" + up.text("id") + "?uploadType=chunked"
	whole := bytes.Repeat([]byte("chunk"), 1000)
	w.must(404, "GET", path, nil)
	w.must(400, "PATCH", w.item(w.task("early")), []op{relation("AttachedFile", up.text("url"))})
	w.must(200, "PUT", path, whole[:2000], "Content-Range", "bytes 0-1999/5000")
	w.must(400, "PUT", path, whole[:2000], "Content-Range", "bytes 0-1999/5000")
	w.must(400, "PUT", path, whole[3000:], "Content-Range", "bytes 3000-4999/5000")
	w.must(400, "PUT", path, whole[2000:])
	w.must(200, "PUT", path, whole[2000:], "Content-Range", "bytes 2000-4999/5000")
	if r := w.must(200, "GET", path, nil); !bytes.Equal(r.raw, whole) {
		t.Errorf("%d bytes", len(r.raw))
	}
	w.must(200, "PATCH", w.item(w.task("late")), []op{relation("AttachedFile", up.text("url"))})
}

func TestComments(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.task("x")
	path := w.item(id) + "/comments"
	w.must(400, "POST", path, map[string]string{"text": " "})
	w.must(400, "POST", path, map[string]string{})
	w.must(400, "POST", path+"?format=nonsense", map[string]string{"text": "x"})
	w.must(404, "POST", strings.Replace(path, "Alvaoproject", "Agile%20Project", 1), map[string]string{"text": "x"})
	var ids []int
	for i := range 5 {
		format := []string{"", "html", "markdown"}[i%3]
		r := w.must(200, "POST", path+"?format="+format, map[string]string{"text": fmt.Sprintf("<b>%d</b>", i)})
		ids = append(ids, r.id())
		want := "html"
		if format == "markdown" {
			want = "markdown"
		}
		if r.get("format") != want || r.get("version") != 1.0 || r.get("workItemId") != float64(id) || r.get("createdBy", "uniqueName") != service {
			t.Errorf("%s", r.raw)
		}
	}
	item := w.must(200, "GET", w.item(id), nil)
	if item.get("rev") != 6.0 || item.field("System.CommentCount") != 5.0 || item.field("System.History") != "<b>4</b>" || item.get("commentVersionRef", "commentId") != float64(ids[4]) {
		t.Errorf("%s", item.raw)
	}
	var seen []any
	next := path + "?$top=2"
	for next != "" {
		page := w.must(200, "GET", next, nil)
		if page.get("totalCount") != 5.0 {
			t.Errorf("%s", page.raw)
		}
		for _, c := range page.list("comments") {
			seen = append(seen, walk(c, "text"))
		}
		_, query, more := strings.Cut(page.text("nextPage"), "?")
		if next = ""; more {
			next = path + "?" + query
		}
	}
	if diff := cmp.Diff([]any{"<b>4</b>", "<b>3</b>", "<b>2</b>", "<b>1</b>", "<b>0</b>"}, seen); diff != "" {
		t.Error(diff)
	}
	w.must(400, "GET", path+"?continuationToken=nonsense", nil)

	one := fmt.Sprintf("%s/%d", path, ids[2])
	edited := w.must(200, "PATCH", one, map[string]string{"text": "edited"})
	if edited.id() != ids[2] || edited.get("version") != 2.0 || edited.get("format") != "markdown" || edited.get("text") != "edited" {
		t.Errorf("%s", edited.raw)
	}
	deleted := w.must(200, "DELETE", one, nil)
	if deleted.get("isDeleted") != true || deleted.get("version") != 3.0 {
		t.Errorf("%s", deleted.raw)
	}
	w.must(404, "DELETE", one, nil)
	w.must(404, "PATCH", one, map[string]string{"text": "late"})
	w.must(404, "GET", one, nil)
	w.must(200, "GET", one+"?includeDeleted=true", nil)
	if r := w.must(200, "GET", path, nil); r.get("totalCount") != 4.0 {
		t.Errorf("%s", r.raw)
	}
	if r := w.must(200, "GET", path+"?includeDeleted=true&order=asc", nil); r.get("totalCount") != 5.0 || r.get("comments", 2, "isDeleted") != true {
		t.Errorf("%s", r.raw)
	}
	if r := w.must(200, "GET", fmt.Sprintf("%s?ids=%d,%d", path, ids[0], ids[1]), nil); r.get("count") != 2.0 {
		t.Errorf("%s", r.raw)
	}
	versions := w.must(200, "GET", one+"/versions", nil)
	if versions.get("count") != 3.0 || versions.get("value", 2, "text") != "<b>2</b>" {
		t.Errorf("%s", versions.raw)
	}
	w.must(200, "GET", one+"/versions/1", nil)
	w.must(404, "GET", one+"/versions/4", nil)
	item = w.must(200, "GET", w.item(id), nil)
	if item.field("System.CommentCount") != 4.0 || item.get("rev") != 8.0 {
		t.Errorf("%s", item.raw)
	}
}

func TestHistoryIsAComment(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.task("x", add("System.History", "first"))
	w.must(200, "PATCH", w.item(id), []op{add("System.History", "<p>second</p>"), add("System.State", "Doing")})
	r := w.must(200, "PATCH", w.item(id), []op{title("y")})
	if r.field("System.CommentCount") != 2.0 || r.field("System.History") != nil || r.get("commentVersionRef") != nil {
		t.Errorf("only the revision of the comment has it: %s", r.raw)
	}
	all := w.Comments(id)
	if len(all) != 2 || all[0].Text != "first" || all[1].Text != "<p>second</p>" || all[1].CreatedBy != service || all[1].Format != "html" {
		t.Errorf("%+v", all)
	}
	update := w.must(200, "GET", w.item(id)+"/updates/2", nil)
	if update.get("fields", "System.History", "newValue") != "<p>second</p>" {
		t.Errorf("%s", update.raw)
	}
}

func TestCommentIDQuirk(t *testing.T) {
	t.Parallel()
	w := setup(t, func(o *azuredevops.Options) { o.Quirks.CommentIDAsCommentID = true })
	r := w.must(200, "POST", w.item(w.task("x"))+"/comments", map[string]string{"text": "x"})
	if r.get("id") != nil || r.get("commentId") == nil {
		t.Errorf("%s", r.raw)
	}
}
