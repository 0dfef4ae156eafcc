package convergetest_test

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

var (
	crashes   = flag.Int("crashes", 10, "how many deaths there are beyond one after each step of the table, alone and in pairs; -1: all there can be")
	oneAct    = flag.String("act", "", "the one act to be played, by name")
	oneCrash  = flag.String("crash", "", `when its processes die: "step#nth", separated by " then "`)
	crashSeed = flag.Uint64("crash-seed", 0, "the seed of the sample of pairs; 0: by the clock")
)

// ending is when a process dies: after it took a step the nth time.
type ending struct {
	step string
	nth  int
	seen int
}

func (e *ending) String() string { return fmt.Sprintf("%s#%d", e.step, e.nth) }

// at counts a step, and tells whether it is the last one.
func (e *ending) at(step string) bool {
	if e == nil || e.step != step {
		return false
	}
	e.seen++
	return e.seen == e.nth
}

// nextEnding is when the next process dies; nil: it does not.
func (w *world) nextEnding() *ending {
	if len(w.endings) == 0 {
		return nil
	}
	next := w.endings[0]
	w.endings = w.endings[1:]
	return next
}

// performance is what came of playing an act.
type performance struct {
	problems []string
	// lives are the steps of each process, deaths how many of them died.
	lives  [][]string
	deaths int
	// kinds are the kinds of steps that rounds took.
	kinds map[string]bool
}

// perform plays an act whose processes die as told.
func perform(t *testing.T, a act, endings ...ending) performance {
	t.Helper()
	var result performance
	synctest.Test(t, func(t *testing.T) {
		kinds := &kindsTaken{kinds: map[string]bool{}}
		if *verbose {
			kinds.tell = slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug})
		}
		w, err := newWorld(t.Context(), 1, a.shape(), slog.New(kinds))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range endings {
			w.endings = append(w.endings, &ending{step: e.step, nth: e.nth})
		}
		h := &history{world: w, ctx: t.Context(), known: map[int]item.Link{}}
		w.solved = strings.Contains(a.name, "solver")
		err = h.act(a)
		if err := errors.Join(err, w.close()); err != nil {
			h.failf("the test itself failed: %v", err)
		}
		result = performance{problems: h.problems, lives: w.lives, deaths: w.deaths, kinds: kinds.kinds}
	})
	return result
}

// act plays an act and looks at what came of it.
func (h *history) act(a act) error {
	if a.before != nil {
		a.before(h)
	}
	if err := h.begin(); err != nil {
		return err
	}
	for _, do := range a.deeds {
		// One that is dead already hears nothing either.
		deaths := h.deaths
		if h.alive() == nil || h.alive().isDead() {
			deaths = -1
		}
		do(h)
		if err := h.rest(deaths); err != nil || len(h.problems) > 0 {
			return err
		}
	}
	if h.meet() {
		return nil
	}
	h.check()
	h.checkSaidOnce()
	h.checkLetters()
	return nil
}

// begin starts a process and waits until the connector knows what was there before it:
// whatever comes after that is new.
func (h *history) begin() error {
	for range 100 {
		if err := errors.Join(h.revive(h.ctx), h.pass(10*time.Second, time.Second)); err != nil {
			return err
		}
		if complete, err := origin.New(h.observer).IsComplete(h.ctx, name); complete || err != nil {
			return err
		}
	}
	return errors.New("the connector does not start")
}

// rest waits until what was done last has been served. If a process died since there were
// so many deaths, what it was not told is found by the next poll.
func (h *history) rest(deaths int) error {
	for !h.quiet() && h.deaths != deaths {
		deaths = h.deaths
		if err := h.pass(pollEvery+10*time.Second, 5*time.Second); err != nil {
			return err
		}
	}
	return nil
}

// stepsOf counts the steps of lives by name, and gives the names in the order in which
// they first occurred.
func stepsOf(lives ...[]string) ([]string, map[string]int) {
	var names []string
	count := map[string]int{}
	for _, steps := range lives {
		for _, step := range steps {
			if count[step]++; count[step] == 1 {
				names = append(names, step)
			}
		}
	}
	return names, count
}

// rehearsal is what came of playing all acts undisturbed, once for all tests.
var rehearsal struct {
	sync.Once

	of []performance
}

func rehearse(t *testing.T) []performance {
	t.Helper()
	rehearsal.Do(func() {
		for _, a := range acts() {
			rehearsal.of = append(rehearsal.of, perform(t, a))
		}
	})
	return rehearsal.of
}

// TestEveryStepIsNamed plays all acts undisturbed: what processes do in them is what the
// table of steps says, and rounds take every kind of step that plan knows. So a step that
// is added is in the table, and an act dies after it.
func TestEveryStepIsNamed(t *testing.T) {
	t.Parallel()
	taken, kinds := map[string]string{}, map[string]bool{}
	for i, result := range rehearse(t) {
		a := acts()[i]
		if len(result.problems) > 0 {
			t.Errorf("%s: undisturbed, it does not converge:\n  %s", a.name, strings.Join(result.problems, "\n  "))
		}
		if len(result.lives) != 1 {
			t.Errorf("%s: %d processes lived", a.name, len(result.lives))
		}
		names, _ := stepsOf(result.lives...)
		for _, name := range names {
			taken[name] = a.name
		}
		maps.Copy(kinds, result.kinds)
	}
	named := map[string]bool{}
	for _, step := range table() {
		named[step] = true
		if taken[step] == "" {
			t.Errorf("no act makes a process take the step %q", step)
		}
	}
	all := append(table(), sometimes()...)
	for step, by := range taken {
		if !named[step] && !slices.Contains(all, step) {
			t.Errorf("the table does not name the step %q, which %q takes", step, by)
		}
	}
	scripts, err := readScripts()
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		if !slices.ContainsFunc(all, func(step string) bool { return step == script || strings.HasPrefix(step, script+" (") }) && testedElsewhere()[script] == "" {
			t.Errorf("no act runs the script %q, and nothing says why", script)
		}
	}
	for _, kind := range kindsOfPlan(t) {
		if !kinds[kind] {
			t.Errorf("no act makes a round take a step of the kind %q", kind)
		}
	}
}

// TestCrashAfterEveryStep lets a process die after each step that it takes, alone and then
// with the next one dying as well: whatever it is, both systems converge and nothing is
// done twice.
func TestCrashAfterEveryStep(t *testing.T) {
	t.Parallel()
	if *oneCrash != "" {
		for _, a := range acts() {
			if a.name == *oneAct {
				tell(t, a, readEndings(t, *oneCrash)...)
			}
		}
		return
	}
	seed := *crashSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("the seed of the sample is %d (-crash-seed)", seed)
	r := rand.New(rand.NewPCG(seed, 11))
	plays := playsOf(rehearse(t), r)
	var at, died, pairs atomic.Int64
	for n := range *parallel {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			for !t.Failed() {
				i := int(at.Add(1)) - 1
				if i >= len(plays) {
					return
				}
				result := tell(t, plays[i].act, plays[i].endings...)
				died.Add(int64(result.deaths))
				if len(plays[i].endings) > 1 && result.deaths > 1 {
					pairs.Add(1)
				}
			}
		})
	}
	t.Cleanup(func() {
		t.Logf("%d steps, %d plays, %d processes died, %d pairs of them", len(table()), at.Load()-int64(*parallel), died.Load(), pairs.Load())
	})
}

// crashPlay is an act with when its processes die.
type crashPlay struct {
	act     act
	endings []ending
}

// playsOf lists the plays: a death after each step of the table alone, and of all others,
// alone and in pairs, as many as asked for.
func playsOf(clean []performance, r *rand.Rand) []crashPlay {
	var plays, more []crashPlay
	done := map[string]bool{}
	for i, a := range acts() {
		names, count := stepsOf(clean[i].lives...)
		for _, name := range names {
			for nth := 1; nth <= count[name]; nth++ {
				one := crashPlay{a, []ending{{step: name, nth: nth}}}
				if done[name] {
					more = append(more, one)
				} else {
					done[name] = true
					plays = append(plays, one)
				}
				// The second process begins anew, and comes to each step sooner or later.
				for _, second := range names {
					if nth == 1 || nth == count[name] {
						more = append(more, crashPlay{a, []ending{{step: name, nth: nth}, {step: second, nth: 1}}})
					}
				}
			}
		}
	}
	r.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
	if *crashes >= 0 {
		more = more[:min(*crashes, len(more))]
	}
	return append(plays, more...)
}

// kindsOfPlan are the kinds of steps that a round can take, as plan's source names them.
func kindsOfPlan(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "plan", "plan.go"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, m := range regexp.MustCompile(`\bKind = "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
		// These are no steps that are taken.
		if m[1] != string(plan.Rest) && m[1] != string(plan.Wait) && m[1] != string(plan.Hold) {
			kinds = append(kinds, m[1])
		}
	}
	if len(kinds) < 10 {
		t.Fatalf("plan.go names only %d kinds of steps", len(kinds))
	}
	return kinds
}

func readEndings(t *testing.T, text string) []ending {
	t.Helper()
	var endings []ending
	for part := range strings.SplitSeq(text, " then ") {
		at := strings.LastIndexByte(part, '#')
		e := ending{step: part, nth: 1}
		if at > 0 {
			e.step = part[:at]
			if _, err := fmt.Sscan(part[at+1:], &e.nth); err != nil {
				t.Fatal(err)
			}
		}
		endings = append(endings, e)
	}
	return endings
}

// tell plays an act with crashes, and reports what was wrong.
func tell(t *testing.T, a act, endings ...ending) performance {
	t.Helper()
	result := perform(t, a, endings...)
	if len(result.problems) > 0 {
		told := make([]string, len(endings))
		for i := range endings {
			told[i] = endings[i].String()
		}
		t.Errorf("%s, with a death after each of: %s\n  %s\nplay it again with: -run TestCrashAfterEveryStep -story -act %q -crash %q",
			a.name, strings.Join(told, ", "), strings.Join(result.problems, "\n  "), a.name, strings.Join(told, " then "))
	}
	return result
}
