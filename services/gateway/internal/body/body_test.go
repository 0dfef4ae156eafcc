package body_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tandem-sync/tandem/services/gateway/internal/body"
)

const most = 1 << 20

func read(t *testing.T, r *body.Reader, content io.Reader) (*body.Body, error) {
	t.Helper()
	return r.Read(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", content))
}

func TestReadsWhatIsSent(t *testing.T) {
	t.Parallel()
	r := body.New(most)
	for _, n := range []int{0, 1, 2047, 2048, 2049, 16383, 16384, 16385, 32768, 100_000, most} {
		for range 3 {
			content := bytes.Repeat([]byte{byte(n), byte(n >> 8), 7}, n/3+1)[:n]
			got, err := read(t, r, bytes.NewReader(content))
			if err != nil || !bytes.Equal(got.Bytes(), content) {
				t.Fatalf("of %d bytes: %v", n, err)
			}
			got.Release()
		}
	}
	if _, err := read(t, r, bytes.NewReader(make([]byte, most+1))); !errors.Is(err, body.ErrTooLarge) {
		t.Errorf("a byte too many: %v", err)
	}
	if _, err := read(t, r, io.MultiReader(bytes.NewReader(make([]byte, 100_000)), broken{})); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that breaks off: %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestRoom: large bodies share a room, which nothing is left in when they are gone; short
// ones need none of it.
func TestRoom(t *testing.T) {
	t.Parallel()
	r := body.New(most)
	for range 3 {
		var held []*body.Body
		for {
			b, err := read(t, r, bytes.NewReader(make([]byte, most)))
			if errors.Is(err, body.ErrNoRoom) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if held = append(held, b); len(held) > 10 {
				t.Fatal("there is no end of room")
			}
		}
		if len(held) < 3 {
			t.Errorf("there is room for %d of the largest bodies", len(held))
		}
		for range 100 {
			b, err := read(t, r, bytes.NewReader(make([]byte, 16<<10-1)))
			if err != nil {
				t.Fatalf("a short body without room: %v", err)
			}
			b.Release()
		}
		if _, err := read(t, r, bytes.NewReader(make([]byte, most+1))); err == nil {
			t.Error("a body too large is read")
		}
		for _, b := range held {
			b.Release()
		}
	}
}
