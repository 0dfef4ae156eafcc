package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

const (
	watchPattern = "/v1/{parent=connectors/*}/links:watch"
	// lineTimeout is how long a reader may take for a line. A watch that has nothing to
	// tell sends one in half a minute.
	lineTimeout = 30 * time.Second
)

// handleWatch serves WatchLinks as lines of JSON. grpc-gateway's own form of it tells
// errors otherwise than all other methods do, and the server's time limits would end it.
func handleWatch(mux *runtime.ServeMux, client tandemv1.LinkServiceClient) error {
	err := mux.HandlePath(http.MethodGet, watchPattern, func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		ctx, err := runtime.AnnotateContext(r.Context(), mux, r, tandemv1.LinkService_WatchLinks_FullMethodName, runtime.WithHTTPPathPattern(watchPattern))
		if err != nil {
			writeError(r.Context(), mux, nil, w, r, err)
			return
		}
		request := &tandemv1.WatchLinksRequest{Parent: path["parent"], ResumeToken: r.URL.Query().Get("resumeToken")}
		watch, err := client.WatchLinks(ctx, request)
		if err != nil {
			writeError(ctx, mux, nil, w, r, err)
			return
		}
		first, err := watch.Recv()
		if err != nil {
			writeError(ctx, mux, nil, w, r, err)
			return
		}
		control := http.NewResponseController(w)
		// The request is read; who is gone is noticed when a line can't be sent.
		_ = control.SetReadDeadline(time.Time{}) // not all writers can
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("X-Accel-Buffering", "no")
		for message := first; ; {
			line, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(message)
			if err == nil {
				err = writeLine(w, control, "result", line)
			}
			if err != nil {
				return // nobody is left to tell
			}
			if message, err = watch.Recv(); err != nil {
				if !errors.Is(err, io.EOF) && ctx.Err() == nil {
					_ = writeLine(w, control, "error", problemLine(status.Convert(err), r)) // the last word
				}
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("registering the watch of links: %w", err)
	}
	return nil
}

// writeLine sends one line of the stream.
func writeLine(w io.Writer, control *http.ResponseController, name string, content []byte) error {
	_ = control.SetWriteDeadline(time.Now().Add(lineTimeout)) //nolint:forbidigo // a deadline of a connection is by its clock
	line := make([]byte, 0, len(content)+16)
	line = append(line, `{"`+name+`":`...)
	line = append(append(line, content...), "}\n"...)
	if _, err := w.Write(line); err != nil {
		return err
	}
	return control.Flush()
}

// problemLine is a status as the problem that the same error would be elsewhere.
func problemLine(state *status.Status, r *http.Request) []byte {
	p, _ := problemOf(state)
	p.fill(r)
	line, err := json.Marshal(p)
	if err != nil {
		return []byte(`{}`)
	}
	return line
}
