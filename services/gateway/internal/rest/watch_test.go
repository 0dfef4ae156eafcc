package rest_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

// WatchLinks tells two changes and ends with fail, or at once with it.
func (c *core) WatchLinks(r *tandemv1.WatchLinksRequest, stream grpc.ServerStreamingServer[tandemv1.WatchLinksResponse]) error {
	if r.GetParent() == "connectors/refused" {
		return c.fail
	}
	for _, token := range []string{r.GetResumeToken() + "1", r.GetResumeToken() + "2"} {
		if err := stream.Send(&tandemv1.WatchLinksResponse{Link: &tandemv1.Link{TicketId: 7}, ResumeToken: token}); err != nil {
			return err
		}
	}
	return c.fail
}

func gone(t *testing.T) error {
	t.Helper()
	state, err := status.New(codes.OutOfRange, "Too old.").WithDetails(&errdetails.ErrorInfo{Reason: "RESUME_EXPIRED", Domain: "tandem.v1"})
	if err != nil {
		t.Fatal(err)
	}
	return state.Err()
}

func TestWatchIsLinesOfJSON(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(start(t, &core{fail: gone(t)}))
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/connectors/a/links:watch?resumeToken=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Request-Id", "mine-7")
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/x-ndjson" || response.Header.Get("X-Request-Id") != "mine-7" {
		t.Errorf("%s, %v", response.Status, response.Header)
	}
	var tokens []string
	var last struct{ Reason string }
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		var line struct {
			Result *struct {
				Link        struct{ TicketID string } `json:"link"`
				ResumeToken string                    `json:"resumeToken"`
			} `json:"result"`
			Error *struct{ Reason string } `json:"error"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		if line.Result != nil {
			tokens = append(tokens, line.Result.ResumeToken)
		}
		if line.Error != nil {
			last = *line.Error
		}
	}
	if len(tokens) != 2 || tokens[0] != "x1" || tokens[1] != "x2" || last.Reason != "RESUME_EXPIRED" {
		t.Errorf("told %v and at the end %+v", tokens, last)
	}
}

func TestWatchThatIsRefused(t *testing.T) {
	t.Parallel()
	handler := start(t, &core{fail: gone(t)})
	w := call(t, handler, http.MethodGet, "/v1/connectors/refused/links:watch", "", nil)
	wantProblem(t, w, http.StatusBadRequest, "RESUME_EXPIRED")
}
