package azuredevops

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// blob is an uploaded file. Small ones stay in memory, others lie in a temporary file.
type blob struct {
	id, name string
	at       time.Time
	total    int64 // announced length of a chunked upload, -1 while unknown

	// What follows is guarded by the store's mutex.
	size   int64
	memory []byte
	path   string
	sum    hash.Hash
	final  bool
	zeros  bool // its content is zero bytes that are not held
}

// blobStore keeps uploaded files within its limits of memory.
type blobStore struct {
	limits Limits
	mu     sync.Mutex
	dir    string
	used   int64 // bytes in memory
	blobs  map[string]*blob
	closed bool
}

var (
	errTooLarge  = errors.New("file is larger than the limit")
	errBadOffset = errors.New("chunk does not continue the file")
	errStopped   = errors.New("the server is closed")
)

func newBlobStore(limits Limits) *blobStore {
	return &blobStore{limits: limits, blobs: map[string]*blob{}}
}

// get finds a file and tells whether all of it has arrived, and whether there is one at all. A complete file never changes.
func (st *blobStore) get(id string) (*blob, bool, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	b, found := st.blobs[strings.ToLower(id)]
	return b, found && b.final, found
}

// add begins a file.
func (st *blobStore) add(id, name string, at time.Time) *blob {
	b := &blob{id: id, name: name, at: at, total: -1, sum: sha256.New()}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.blobs[strings.ToLower(id)] = b
	return b
}

// addZeros makes a file of zero bytes that are not held. Its hash is not told.
func (st *blobStore) addZeros(id, name string, at time.Time, size int64) *blob {
	b := st.add(id, name, at)
	st.mu.Lock()
	defer st.mu.Unlock()
	b.size, b.zeros = size, true
	return b
}

// zeros is an endless content of zero bytes.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// drop forgets a file that failed.
func (st *blobStore) drop(b *blob) {
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.blobs, strings.ToLower(b.id))
	st.used -= int64(len(b.memory))
	if b.path != "" {
		_ = os.Remove(b.path)
	}
}

// write appends what r gives to the file. The offset must be where the file ends now.
func (st *blobStore) write(b *blob, offset int64, r io.Reader) error {
	st.mu.Lock()
	have := b.size
	st.mu.Unlock()
	if have != offset {
		return errBadOffset
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if err := st.append(b, buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading upload: %w", err)
		}
	}
}

func (st *blobStore) append(b *blob, p []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return errStopped
	}
	if b.final {
		return errBadOffset
	}
	if b.size+int64(len(p)) > st.limits.Attachment {
		return errTooLarge
	}
	_, _ = b.sum.Write(p)
	b.size += int64(len(p))
	fits := b.size <= st.limits.MemoryPerBlob && st.used+int64(len(p)) <= st.limits.MemoryForBlobs
	if b.path == "" && fits {
		b.memory = append(b.memory, p...)
		st.used += int64(len(p))
		return nil
	}
	return st.spill(b, p)
}

// spill writes to the blob's temporary file, moving there first what is in memory.
func (st *blobStore) spill(b *blob, p []byte) error {
	if st.dir == "" {
		dir, err := os.MkdirTemp("", "sandbox-azuredevops-")
		if err != nil {
			return fmt.Errorf("making folder for attachments: %w", err)
		}
		st.dir = dir
	}
	if b.path == "" {
		b.path = filepath.Join(st.dir, b.id)
		p = append(b.memory, p...)
		st.used -= int64(len(b.memory))
		b.memory = nil
	}
	f, err := os.OpenFile(b.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening attachment file: %w", err)
	}
	_, err = f.Write(p)
	return errors.Join(err, f.Close())
}

// finish marks the file complete.
func (st *blobStore) finish(b *blob) {
	st.mu.Lock()
	defer st.mu.Unlock()
	b.final = true
}

// open reads the file from its start.
func (st *blobStore) open(b *blob) (io.ReadCloser, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if b.zeros {
		return io.NopCloser(io.LimitReader(zeros{}, b.size)), nil
	}
	if b.path == "" {
		return io.NopCloser(bytes.NewReader(b.memory)), nil
	}
	f, err := os.Open(b.path)
	if err != nil {
		return nil, fmt.Errorf("opening attachment file: %w", err)
	}
	return f, nil
}

// sha256 is the hash of the content in hexadecimal.
func (st *blobStore) sha256(b *blob) string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return hex.EncodeToString(b.sum.Sum(nil))
}

// length is how much of the file has arrived.
func (st *blobStore) length(b *blob) int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return b.size
}

// close removes the temporary files.
func (st *blobStore) close() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	if st.dir == "" {
		return nil
	}
	if err := os.RemoveAll(st.dir); err != nil {
		return fmt.Errorf("removing attachment files: %w", err)
	}
	st.dir = ""
	return nil
}
