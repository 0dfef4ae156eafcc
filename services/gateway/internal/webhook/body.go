package webhook

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxDepth is how deep objects and arrays may be nested. Work item events stay
	// under 10.
	maxDepth = 100
	// bufferSize is what a pooled buffer starts with; an event is about 5 KB.
	bufferSize = 16 << 10
	// keptBuffer is the largest buffer that goes back to the pool.
	keptBuffer = 256 << 10
)

// checkHeaders judges method, media type and announced size.
func (p *Pipeline) checkHeaders(r *http.Request) *RefusalError {
	if r.Method != http.MethodPost {
		return &RefusalError{Outcome: WrongMethod, Text: "Webhooks are received by POST only."}
	}
	if !isJSON(r.Header.Get("Content-Type")) {
		return &RefusalError{Outcome: WrongMediaType, Text: "Send the body as application/json in UTF-8."}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return &RefusalError{Outcome: WrongMediaType, Text: "Send the body without compression."}
	}
	if r.ContentLength > p.maxBody {
		return p.tooLarge()
	}
	return nil
}

func (p *Pipeline) tooLarge() *RefusalError {
	return &RefusalError{Outcome: TooLarge, Text: "The body is larger than " + strconv.FormatInt(p.maxBody, 10) + " bytes."}
}

// isJSON accepts application/json, in UTF-8 if a charset is named.
func isJSON(contentType string) bool {
	// What Azure DevOps and .NET send; mime.ParseMediaType allocates.
	if contentType == "application/json; charset=utf-8" || contentType == "application/json" {
		return true
	}
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/json" {
		return false
	}
	charset, named := parameters["charset"]
	return !named || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}

// read reads the body into buf. It grows with what really arrives, so that a
// sender that only announces much takes no memory.
func (p *Pipeline) read(w http.ResponseWriter, r *http.Request, buf []byte) ([]byte, *RefusalError) {
	body := http.MaxBytesReader(w, r.Body, p.maxBody)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return buf, p.tooLarge()
		}
		return buf, &RefusalError{Outcome: Interrupted, Text: "The body did not arrive whole in time; send it again.", Cause: err.Error()}
	}
}

// text strips the byte order mark that some deliveries begin with (azure-devops.md
// §1.2) and checks what every source needs.
func text(raw []byte) ([]byte, *RefusalError) {
	body := bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(body) {
		return nil, Refused("The body is not valid UTF-8.")
	}
	if tooDeep(body) {
		return nil, Refused("The body is nested more than " + strconv.Itoa(maxDepth) + " levels deep.")
	}
	return body, nil
}

// tooDeep tells whether a JSON text is nested deeper than maxDepth. For what is no
// JSON the answer means nothing.
func tooDeep(body []byte) bool {
	// Fewer brackets than levels settle it at the speed of memory.
	if bytes.Count(body, []byte{'{'})+bytes.Count(body, []byte{'['}) <= maxDepth {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
