package azuredevops

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// attachmentJSON is the answer to an upload.
type attachmentJSON struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

func (c *call) attachmentJSON(s *Server, b *blob) attachmentJSON {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at := s.here()
	if c.project != nil {
		at = at.at(c.project)
	}
	return attachmentJSON{b.id, at.scope + "/_apis/wit/attachments/" + b.id + "?fileName=" + url.QueryEscape(b.name)}
}

// binary checks the media type of an upload.
func (c *call) binary() error {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/octet-stream" {
		return badRequest("VssRequestContentTypeNotSupportedException", fmt.Sprintf("The request indicated a Content-Type of \"%s\" for method type \"%s\" which is not supported. Valid content types for this method are: application/octet-stream.", kind, c.r.Method))
	}
	return nil
}

// serveUpload takes a whole file, or with uploadType=chunked only announces one.
func (s *Server) serveUpload(c *call) (answer, error) {
	chunked := strings.EqualFold(c.query("uploadType"), "chunked")
	if !chunked {
		if err := c.binary(); err != nil {
			return answer{}, err
		}
	}
	if !chunked && c.r.ContentLength > s.opts.Limits.Attachment {
		// Refused before any of it is read, so that the refusal is not lost with a connection that is cut while sending.
		return answer{}, uploadError(errTooLarge)
	}
	b := s.blobs.add(uuid.NewString(), orElse(c.query("fileName"), "attachment"), toMillis(s.opts.Now()))
	if chunked {
		return reply(http.StatusCreated, c.attachmentJSON(s, b))
	}
	if err := s.blobs.write(b, 0, c.r.Body); err != nil {
		s.blobs.drop(b)
		return answer{}, uploadError(err)
	}
	s.uploaded(b, c.user, true)
	return reply(http.StatusCreated, c.attachmentJSON(s, b))
}

func uploadError(err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		return badRequest("WorkItemAttachmentExceedsMaxSizeException", "TF237082: The file you are trying to upload exceeds the supported file upload size.")
	case errors.Is(err, errBadOffset):
		return badRequest("WorkItemAttachmentIncorrectOffsetException", "The chunk does not begin where the attachment ends.")
	}
	return err
}

// uploaded completes a file and writes the ledger.
func (s *Server) uploaded(b *blob, by *User, rest bool) {
	s.blobs.finish(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(Write{Kind: WriteUpload, By: by.UniqueName, REST: rest, At: b.at, Attachment: b.id, Size: s.blobs.length(b)})
}

// serveChunk takes the next piece of a chunked upload.
func (s *Server) serveChunk(c *call) (answer, error) {
	if err := c.binary(); err != nil {
		return answer{}, err
	}
	b, complete, found := s.blobs.get(c.args[0])
	if !found || complete {
		return answer{}, errNoAttachment(c.args[0])
	}
	var first, last, total int64
	if n, err := fmt.Sscanf(c.r.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &total); err != nil || n != 3 || first > last || last >= total {
		return answer{}, badRequest("ArgumentException", "The Content-Range header is missing or not valid.")
	}
	if total > s.opts.Limits.Attachment {
		return answer{}, uploadError(errTooLarge)
	}
	if err := s.blobs.write(b, first, io.LimitReader(c.r.Body, last-first+1)); err != nil {
		return answer{}, uploadError(err)
	}
	if s.blobs.length(b) == total {
		s.uploaded(b, c.user, true)
	}
	return reply(http.StatusOK, c.attachmentJSON(s, b))
}

func errNoAttachment(id string) *Error {
	return &Error{Status: http.StatusNotFound, TypeKey: "AttachmentNotFoundException", Message: "The attachment with id " + id + " does not exist or you do not have permission to read it."}
}

// serveDownload streams a file.
func (s *Server) serveDownload(c *call) (answer, error) {
	b, complete, _ := s.blobs.get(c.args[0])
	if !complete {
		return answer{}, errNoAttachment(c.args[0])
	}
	content, err := s.blobs.open(b)
	if err != nil {
		return answer{}, err
	}
	name := orElse(c.query("fileName"), b.name)
	h := http.Header{}
	h.Set("Content-Type", orElse(mime.TypeByExtension(filepath.Ext(name)), "application/octet-stream"))
	h.Set("Content-Length", strconv.FormatInt(s.blobs.length(b), 10))
	disposition := "inline"
	if c.flag("download") {
		disposition = "attachment"
		h.Set("Content-Type", "application/octet-stream")
	}
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": name}))
	return answer{status: http.StatusOK, header: h, stream: content}, nil
}
