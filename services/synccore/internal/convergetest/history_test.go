package convergetest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// The length of the suite, and one history to play alone.
var (
	histories = flag.Int("histories", 40, "how many random histories are played")
	oneSeed   = flag.Uint64("history", 0, "the seed of the one history to be played")
	onlySteps = flag.String("only", "", "of its steps only these, by number")
	verbose   = flag.Bool("story", false, "tell what happens")
	noShorter = flag.Bool("as-is", false, "do not look for a shorter history that goes wrong")
	retold    = flag.Int("retold", 3, "how many histories are told twice")
	parallel  = flag.Int("worlds", 2, "how many histories are played at once")
)

// history is one random history.
type history struct {
	*world

	ctx      context.Context
	said     []*said
	files    []*filed
	tickets  []int
	count    int
	problems []string
	// wiped tells that Redis was emptied and the links were not made anew yet; had is what
	// belonged together then, and lost are the tickets of which no mark was left that tells.
	wiped bool
	had   map[int]int64
	lost  map[int]bool
	began time.Time
	// known are the links as they were read last.
	known map[int]item.Link
}

func (h *history) failf(format string, args ...any) {
	const most = 20
	if len(h.problems) < most {
		h.problems = append(h.problems, fmt.Sprintf(format, args...))
	}
}

// scriptOf draws what happens in a history.
func scriptOf(seed uint64) []step {
	r := rand.New(rand.NewPCG(seed, 1))
	all := deeds()
	total := 0
	for _, d := range all {
		total += d.weight
	}
	script := []step{{what: "open a ticket", seed: r.Uint64()}, {what: "open a ticket", seed: r.Uint64(), blind: true}, {what: "turn the weather", seed: r.Uint64()}}
	for range 10 + r.IntN(30) {
		n := r.IntN(total)
		for _, d := range all {
			if n -= d.weight; n < 0 {
				s := step{what: d.name, seed: r.Uint64(), blind: r.IntN(3) == 0}
				switch r.IntN(6) {
				case 0:
					s.after = time.Duration(r.IntN(120)) * time.Second
				case 1, 2, 3:
					s.after = time.Duration(r.IntN(8000)) * time.Millisecond
				default:
				}
				script = append(script, s)
				break
			}
		}
	}
	for i := range script {
		script[i].number = i
	}
	return script
}

// chosen are the steps of a script that are asked for.
func chosen(script []step, only string) ([]step, error) {
	if only == "" {
		return script, nil
	}
	var some []step
	for text := range strings.SplitSeq(only, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n >= len(script) {
			return nil, fmt.Errorf("no step %q", text)
		}
		some = append(some, script[n])
	}
	return some, nil
}

// play plays a script and gives what was wrong in the end.
func play(t *testing.T, seed uint64, script []step) []string {
	t.Helper()
	problems, _ := tale(t, seed, script)
	return problems
}

// tale also gives all that Tandem wrote, in order.
func tale(t *testing.T, seed uint64, script []step) ([]string, []string) {
	t.Helper()
	return taleOf(t, seed, shapeOf(seed), script, func(*history) {})
}

// taleOf plays a script in a world of any shape, and has the end looked at.
func taleOf(t *testing.T, seed uint64, shape shape, script []step, look func(*history)) ([]string, []string) {
	t.Helper()
	return taleOver(t, seed, shape, script, inMemory, look)
}

// taleOver also does so over any Redis.
func taleOver(t *testing.T, seed uint64, shape shape, script []step, redis func() memory, look func(*history)) ([]string, []string) {
	t.Helper()
	var problems, writes []string
	synctest.Test(t, func(t *testing.T) {
		logger := silent()
		if *verbose {
			logger = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
		}
		w, err := newWorldOver(t.Context(), seed, shape, logger, redis)
		if err != nil {
			t.Fatal(err)
		}
		h := &history{world: w, ctx: t.Context(), known: map[int]item.Link{}, had: map[int]int64{}, lost: map[int]bool{}, began: time.Now()}
		if *verbose {
			w.weather.log = func(format string, args ...any) { fmt.Fprintf(os.Stdout, "  ~ "+format+"\n", args...) }
		}
		err = h.run(script)
		writes = h.writes()
		look(h)
		if err := errors.Join(err, w.close()); err != nil {
			h.failf("the test itself failed: %v", err)
		}
		problems = h.problems
	})
	return problems, writes
}

func (h *history) run(script []step) error {
	if err := errors.Join(h.revive(h.ctx), h.accompany(h.ctx)); err != nil {
		return err
	}
	if err := h.pass(time.Second, time.Second); err != nil {
		return err
	}
	byName := map[string]func(*history, *rand.Rand){"a Redis fails": (*history).failOver}
	for _, d := range deeds() {
		byName[d.name] = d.do
	}
	for i, s := range script {
		if err := h.pass(s.after, max(time.Second, s.after/8)); err != nil {
			return err
		}
		// A process that died comes back after a while.
		if roll(h.seed, "revive", uint64(i))%3 == 0 {
			if err := h.revive(h.ctx); err != nil {
				return err
			}
		}
		if *verbose {
			fmt.Fprintf(os.Stdout, "%s %v\n", time.Now().Format("15:04:05.000"), s)
		}
		byName[s.what](h, rand.New(rand.NewPCG(s.seed, 2)))
		if !s.blind {
			if err := h.pump(); err != nil {
				return err
			}
		}
	}
	if h.meet() {
		return nil
	}
	h.check()
	if len(h.problems) > 0 {
		return nil
	}
	h.duel(rand.New(rand.NewPCG(h.seed, 3)))
	return nil
}

// meet lets it become quiet, and one resync run. It tells whether that failed.
func (h *history) meet() bool {
	h.calmly(true, 0)
	if p := h.alive(); p != nil {
		p.doom(0, false)
	}
	if err := h.revive(h.ctx); err != nil {
		h.failf("starting: %v", err)
		return true
	}
	if !h.shape.tenant.LogUnreadable {
		// What it does every hour anyway: what was told while nobody listened is told again.
		h.desk.RunApplication()
	} else if h.quiet() || h.round() {
		return true
	}
	return h.quiet() || h.rebuilt() || h.resync() || h.quiet()
}

// round waits until the application has told all records once more.
func (h *history) round() bool {
	for next := h.hourly; !h.hourly.After(next); {
		if err := errors.Join(h.revive(h.ctx), h.pass(time.Minute, 20*time.Second)); err != nil {
			h.failf("passing time: %v", err)
			return true
		}
	}
	return false
}

// quiet waits until nothing is under way. An item may wait for long where a system
// says that it does (an approval).
func (h *history) quiet() bool {
	patience, look := 8*time.Minute, 8*time.Second
	if h.shape.tenant.LogUnreadable {
		// What may have been written already waits for the application's hourly telling, or
		// for the next one where a process died over that.
		patience = 150 * time.Minute
	}
	waited := time.Duration(0)
	for ; waited < patience; waited += look {
		if waited > 4*time.Minute {
			look = time.Minute
		}
		// It may have been doomed by a call that was still under way.
		if err := errors.Join(h.revive(h.ctx), h.pass(look, look/4)); err != nil {
			h.failf("passing time: %v", err)
			return true
		}
		stats, err := h.queue.Stats(h.ctx)
		if err != nil {
			h.failf("looking into the inbox: %v", err)
			return true
		}
		if stats.QueuedLive+stats.QueuedBackground+stats.Running == 0 &&
			(stats.Waiting == 0 || (waited > 3*time.Minute && h.approving())) {
			return false
		}
	}
	stats, _ := h.queue.Stats(h.ctx)
	h.failf("it does not become quiet: %+v", stats)
	return true
}

// approving tells whether an approval runs, for whose end Tandem waits.
func (h *history) approving() bool {
	for _, t := range h.tickets {
		if shown, ok := h.desk.Ticket(t); ok && shown.InApproval {
			return true
		}
	}
	return false
}

// resync lets a resync run.
func (h *history) resync() bool {
	began := time.Now()
	for range 4 * int(resyncEvery/time.Minute) {
		at, err := h.origins.Cursor(h.ctx, name, "resync-at")
		if err != nil {
			h.failf("looking for the last resync: %v", err)
			return true
		}
		if last, err := time.Parse(time.RFC3339Nano, at); err == nil && last.After(began) {
			return false
		}
		if err := errors.Join(h.revive(h.ctx), h.pass(time.Minute, 20*time.Second)); err != nil {
			h.failf("passing time: %v", err)
			return true
		}
	}
	h.failf("no resync ran")
	return true
}

func TestMain(m *testing.M) {
	// Each history leaves little behind and makes much garbage.
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// TestRandomHistoriesConverge is the suite: see the package's comment.
func TestRandomHistoriesConverge(t *testing.T) {
	t.Parallel()
	if *oneSeed != 0 {
		script, err := chosen(scriptOf(*oneSeed), *onlySteps)
		if err != nil {
			t.Fatal(err)
		}
		// How long a call waits before it is repeated is up to chance, so that one play in
		// some hundred goes another way.
		for range 5 {
			if problems := play(t, *oneSeed, script); len(problems) > 0 {
				report(t, *oneSeed, script, problems)
				return
			}
		}
		return
	}
	base := uint64(time.Now().UnixNano())
	for n := range *parallel {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			for i := n; i < *histories; i += *parallel {
				seed := base + uint64(i)
				script := scriptOf(seed)
				if problems := play(t, seed, script); len(problems) > 0 {
					report(t, seed, script, problems)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// A seed tells the whole history: played again it goes the same way. Only what several
// workers do at one moment, how long calls that failed wait, and in which order held work is
// let go, is up to chance.
func TestSeedTellsTheHistory(t *testing.T) {
	t.Parallel()
	told := 0
	for seed := uint64(0); told < *retold; seed++ {
		if shapeOf(seed).workers > 1 || shapeOf(seed).two {
			continue
		}
		told++
		script := slices.DeleteFunc(scriptOf(seed), func(s step) bool { return s.what == "turn the weather" || s.what == "refuse the token" })
		_, once := tale(t, seed, script)
		_, again := tale(t, seed, script)
		if diff := cmp.Diff(once, again); diff != "" {
			t.Errorf("seed %d: %s", seed, diff)
		}
	}
}

// report tells of a history that went wrong, in as few steps as still go wrong.
func report(t *testing.T, seed uint64, script []step, problems []string) {
	t.Helper()
	if len(problems) == 0 {
		return
	}
	t.Errorf("history %d (%+v) did not converge:\n  %s", seed, shapeOf(seed), strings.Join(problems, "\n  "))
	if *noShorter {
		return
	}
	short, told := shorten(t, seed, script, problems)
	var lines strings.Builder
	numbers := make([]string, len(short))
	for i, s := range short {
		fmt.Fprintf(&lines, "  %v\n", s)
		numbers[i] = strconv.Itoa(s.number)
	}
	t.Logf("the shortest found, %d steps of %d:\n%s%s", len(short), len(script), lines.String(), "  → "+strings.Join(told, "\n  → "))
	t.Logf("play it again with: go test ./internal/convergetest -run TestRandomHistoriesConverge -story -history %d [-only %s]", seed, strings.Join(numbers, ","))
}

// shorten leaves steps out as long as the history still goes wrong.
func shorten(t *testing.T, seed uint64, script []step, problems []string) ([]step, []string) {
	t.Helper()
	const plays = 100
	left := plays
	for size := len(script) / 2; size > 0 && left > 0; {
		found := false
		for at := 0; at < len(script) && left > 0; {
			shorter := append(append([]step{}, script[:at]...), script[min(at+size, len(script)):]...)
			left--
			if len(shorter) == 0 {
				at += size
				continue
			}
			if told := play(t, seed, shorter); len(told) > 0 {
				script, problems, found = shorter, told, true
				continue
			}
			at += size
		}
		if !found || size > 1 {
			size /= 2
		}
	}
	return script, problems
}
