//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// mostMemory is how much memory sync-core may ever take, in bytes.
const mostMemory = 200 << 20

// highWater is the most memory that a process ever took, in bytes.
func highWater(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil && runtime.GOOS != "linux" {
		t.Skipf("only Linux tells how much memory a process took: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("Linux tells no VmHWM, how much memory a process took")
	return 0
}

// withoutDetector runs a test once more in a process without the race detector, which
// takes several times the memory and the time, and tells whether it did.
func withoutDetector(t *testing.T) bool {
	t.Helper()
	if !raceEnabled {
		return false
	}
	command := exec.CommandContext(t.Context(), "go", "test", "-buildvcs=false", "-vet=off", "-tags=e2e", "-count=1", "-v", "-run=^"+t.Name()+"$", ".")
	out, err := command.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("without the race detector: %v", err)
	}
	return true
}

// startLean is start for tests of memory: many items are served at once, and calls to
// Alvao are not held back.
func startLean(t *testing.T) *stack.Stack {
	t.Helper()
	o := stack.Options{
		Bin: programs, Dir: t.TempDir(), Redis: redistest.Start(t).URL(), CoreArgs: []string{"--workers", "64"},
		Alvao: "      limit: {perSecond: 5000, concurrent: 64}\n", Connector: "    pollInterval: 1s\n",
	}
	o.Sandbox.AzureDevOps.Limits.MemoryForBlobs = 1
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := stack.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stopping: %v", err)
		}
		inspect(t, s.Core)
	})
	return s
}

// attachedTo are the sizes of the files of a name at a work item.
func attachedTo(s *stack.Stack, workItem int, name string) []int64 {
	var sizes []int64
	shown, _ := s.Box.AzureDevOps.WorkItem(workItem)
	for _, relation := range shown.Relations {
		if relation.Attachment != nil && relation.Attachment.Name == name {
			sizes = append(sizes, relation.Attachment.Size)
		}
	}
	return sizes
}

// filesOf are the sizes of the files of a name in a ticket's log.
func filesOf(s *stack.Stack, ticket int, name string) []int64 {
	var sizes []int64
	for _, record := range s.Box.Alvao.Records(ticket) {
		for _, file := range record.Attachments {
			if file.Name == name {
				sizes = append(sizes, int64(len(file.Content)))
			}
		}
	}
	return sizes
}

// TestMemoryOfAttachments: files cross in pieces, so that sync-core stays small however
// many and large they are. Nothing else runs meanwhile.
func TestMemoryOfAttachments(t *testing.T) { //nolint:paralleltest // it measures memory
	if testing.Short() {
		t.Skip("moves 2 GiB")
	}
	if withoutDetector(t) {
		return
	}
	t.Run("fifty of 20 MiB each way", fiftyAttachments) //nolint:paralleltest // as above
	t.Run("one of 1 GiB each way", giganticAttachments) //nolint:paralleltest // as above
}

// fiftyAttachments: fifty files of 20 MiB cross at once, first to Azure DevOps, then to
// Alvao.
func fiftyAttachments(t *testing.T) {
	const n, size, within = 50, 20 << 20, 4 * time.Minute
	s := startLean(t)
	tickets, items := make([]int, n), make([]int, n)
	for i := range n {
		tickets[i] = open(t, s, fmt.Sprintf("Heavy %d", i))
		setStatus(t, s, tickets[i], "Development")
	}
	for i := range n {
		items[i] = awaitPair(t, s, tickets[i])
	}
	rest(t, s)
	before := highWater(t, s.Core.PID())
	for i := range n {
		_, err := s.Box.Alvao.AddMessage(t.Context(), alvao.Requester, tickets[i], alvao.Message{
			Subject: "A dump", HTML: "<p>See the file.</p>", Attachments: []alvao.NewAttachment{{Name: "to-boards.bin", Zeros: size}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		await(t, within, "the file at a work item", func() (bool, string) {
			got := attachedTo(s, items[i], "to-boards.bin")
			return len(got) == 1 && got[0] == size, fmt.Sprintf("there is %v", got)
		})
	}
	rest(t, s)
	middle := highWater(t, s.Core.PID())
	for i := range n {
		if _, err := s.Box.AzureDevOps.As(developer).AttachZeros(items[i], "to-desk.bin", size); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		await(t, within, "the file in a ticket", func() (bool, string) {
			got := filesOf(s, tickets[i], "to-desk.bin")
			return len(got) == 1 && got[0] == size, fmt.Sprintf("there is %v", got)
		})
	}
	rest(t, s)
	after := highWater(t, s.Core.PID())
	t.Logf("sync-core took at most %d MiB before, %d MiB after 50 × 20 MiB to Azure DevOps, %d MiB after as much to Alvao", before>>20, middle>>20, after>>20)
	if after > mostMemory {
		t.Errorf("sync-core took %d MiB, more than %d MiB", after>>20, int64(mostMemory)>>20)
	}
}

// giganticAttachments: a file of 1 GiB is refused on either side with a note, and read
// neither into memory nor to its end.
func giganticAttachments(t *testing.T) {
	const size = 1 << 30
	s := startLean(t)
	ticket, workItem := develop(t, s, "Gigantic")
	rest(t, s)
	before := highWater(t, s.Core.PID())
	if _, err := s.Box.Alvao.AddMessage(t.Context(), alvao.Requester, ticket, alvao.Message{
		Subject: "A dump", HTML: "<p>See the file.</p>", Attachments: []alvao.NewAttachment{{Name: "desk.bin", Zeros: size}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Box.AzureDevOps.As(developer).AttachZeros(workItem, "boards.bin", size); err != nil {
		t.Fatal(err)
	}
	await(t, patience, "the note at the work item", func() (bool, string) {
		var texts []string
		for _, comment := range s.Box.AzureDevOps.Comments(workItem) {
			if strings.Contains(comment.Text, "desk.bin") && strings.Contains(comment.Text, "1024 MiB") {
				return true, ""
			}
			texts = append(texts, comment.Text)
		}
		return false, strings.Join(texts, "\n")
	})
	await(t, patience, "the note in the ticket", func() (bool, string) {
		var texts []string
		for _, record := range s.Box.Alvao.Records(ticket) {
			if strings.Contains(record.HTML, "boards.bin") && strings.Contains(record.HTML, "1024 MiB") {
				return true, ""
			}
			texts = append(texts, record.HTML)
		}
		return false, strings.Join(texts, "\n")
	})
	rest(t, s)
	if got := append(attachedTo(s, workItem, "desk.bin"), filesOf(s, ticket, "boards.bin")...); len(got) != 0 {
		t.Errorf("files of %v bytes crossed", got)
	}
	after := highWater(t, s.Core.PID())
	t.Logf("sync-core took at most %d MiB before and %d MiB after", before>>20, after>>20)
	if after > mostMemory || after-before > 32<<20 {
		t.Errorf("sync-core took %d MiB, %d MiB more than before", after>>20, (after-before)>>20)
	}
}
