package webhook

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tandem-sync/tandem/services/gateway/internal/body"
)

// maxDepth is how deep objects and arrays may be nested. Work item events stay
// under 10.
const maxDepth = 100

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

func overloaded() *RefusalError {
	return &RefusalError{Outcome: Overloaded, Text: "Tandem has too much to do right now; send the event again."}
}

// read reads the body; without a refusal it must be released.
func (h *handler) read(w http.ResponseWriter, r *http.Request) (*body.Body, *RefusalError) {
	held, err := h.bodies.Read(w, r)
	switch {
	case err == nil:
		return held, nil
	case errors.Is(err, body.ErrTooLarge):
		return nil, h.tooLarge()
	case errors.Is(err, body.ErrNoRoom):
		return nil, overloaded()
	default:
		return nil, &RefusalError{Outcome: Interrupted, Text: "The body did not arrive whole in time; send it again.", Cause: err.Error()}
	}
}

// text strips the byte order mark that some deliveries begin with (azure-devops.md
// §1.2) and checks what every source needs.
func text(raw []byte) ([]byte, *RefusalError) {
	content := bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(content) {
		return nil, Refused("The body is not valid UTF-8.")
	}
	if tooDeep(content) {
		return nil, Refused("The body is nested more than " + strconv.Itoa(maxDepth) + " levels deep.")
	}
	return content, nil
}

// tooDeep tells whether a JSON text is nested deeper than maxDepth. For what is no
// JSON the answer means nothing.
func tooDeep(content []byte) bool {
	// Fewer brackets than levels settle it at the speed of memory.
	if bytes.Count(content, []byte{'{'})+bytes.Count(content, []byte{'['}) <= maxDepth {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(content); i++ {
		switch c := content[i]; {
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
