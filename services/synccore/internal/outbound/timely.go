package outbound

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/tandem-sync/tandem/services/synccore/internal/tenure"
)

// ErrLate tells that the right to change something ended before it was sent whole, so the
// other side can't have acted on it.
var ErrLate = errors.New("the right to make this change has ended")

// timely lets a request that changes something be sent only as long as its context's tenure
// lasts. It looks before the request is sent and whenever something of its body is: after
// the wait for a free place, and after the connection was made. What is left is the moment
// between the last look and the write to the network.
func timely(r *http.Request) (*http.Request, error) {
	if reads(r) {
		return r, nil
	}
	ended := func() error {
		if err := tenure.Ended(r.Context()); err != nil {
			return fmt.Errorf("%w: %w", ErrLate, err)
		}
		return nil
	}
	if err := ended(); err != nil {
		closeBody(r)
		return nil, err
	}
	if r.Body == nil || r.Body == http.NoBody {
		return r, nil
	}
	out := r.WithContext(r.Context())
	out.Body = &timelyBody{r.Body, ended}
	if again := r.GetBody; again != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return &timelyBody{body, ended}, nil
		}
	}
	return out, nil
}

// timelyBody is a body that is read no further once the right has ended.
type timelyBody struct {
	io.ReadCloser

	ended func() error
}

// Read implements io.Reader.
func (b *timelyBody) Read(p []byte) (int, error) {
	if err := b.ended(); err != nil {
		return 0, err
	}
	return b.ReadCloser.Read(p)
}
