package alvao

import (
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FuzzParseSigned: what is accepted says exactly what was sent.
func FuzzParseSigned(f *testing.F) {
	hexDigits := strings.Repeat("0aF9", 16)
	f.Add("1790000000", hexDigits)
	f.Add("0", hexDigits)
	f.Add("", "")
	f.Add("-1", hexDigits)
	f.Add("1790000000", hexDigits[:63])
	f.Add("999999999999", strings.Repeat("g", 64))
	f.Add("1_790", hexDigits)
	f.Fuzz(func(t *testing.T, timestamp, signature string) {
		got, err := parseSigned(timestamp, signature)
		if err != nil {
			if got != (signed{}) {
				t.Fatalf("parseSigned(%q, %q) returns something beside an error", timestamp, signature)
			}
			return
		}
		if got.timestamp != timestamp || hex.EncodeToString(got.signature[:]) != strings.ToLower(signature) {
			t.Fatalf("parseSigned(%q, %q) = %+v", timestamp, signature, got)
		}
		if strings.TrimLeft(timestamp, "0") != strings.TrimLeft(strconv.FormatInt(got.at.Unix(), 10), "0") {
			t.Fatalf("parseSigned(%q) reads %v", timestamp, got.at)
		}
	})
}

// TestReplaysStayBounded: under pressure the oldest go, never the latest.
func TestReplaysStayBounded(t *testing.T) {
	t.Parallel()
	const limit = 64
	s := newReplays(2*Window, limit)
	now := time.Unix(1_790_000_000, 0)
	for i := range 10 * limit {
		signature := [32]byte{byte(i), byte(i >> 8)}
		if !s.add(signature, now) {
			t.Fatalf("signature %d is taken for a replay", i)
		}
		if s.add(signature, now) {
			t.Fatalf("signature %d is forgotten at once", i)
		}
		if held := len(s.young) + len(s.old); held > limit {
			t.Fatalf("%d signatures are held, want at most %d", held, limit)
		}
	}
}
