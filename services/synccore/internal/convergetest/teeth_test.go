//go:build teeth

package convergetest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// plant is a bug, as another text in one file of the product.
type plant struct {
	name, file, old, bug string
}

func plants() []plant {
	return []plant{
		{
			"forget to look for the mark before creating", "plan/pairing.go",
			"	if !sides.Searched {\n", "	if false {\n",
		},
		{
			"forget the mark when creating", "reconcile/steps.go",
			"rules.Draft(data, fields, MarkOf(ticket.ID), ", "rules.Draft(data, fields, MarkOf(1), ",
		},
		{
			"remember a state before applying it", "reconcile/steps.go",
			"	case plan.SetState:\n", "	case plan.SetState:\n		if err := r.wrote(ctx, step); err != nil {\n			return err\n		}\n",
		},
		{
			"remember a message before posting it", "reconcile/carry.go",
			"	target, err := deed(ctx, step, hash)\n",
			"	if err := r.mirror(ctx, step.Source, item.Mirror{Target: \"1\", Hash: hash}); err != nil {\n		return err\n	}\n	target, err := deed(ctx, step, hash)\n",
		},
		{
			"drop the echo check", "reconcile/marks.go",
			"	if !ok || ref.System != from || ref.Item != of {\n", "	if !ok || ref.System != from || ref.Item != of || true {\n",
		},
		{
			"compare comments unnormalised", "reconcile/messages.go",
			"		normal := text.Normal()\n", "		normal := comment.Text\n",
		},
		{
			"ignore the conflict rule", "plan/states.go",
			"	switch rules.Conflict {\n", "	switch mapping.ConflictAlvao {\n",
		},
	}
}

// TestTeeth plants bugs, one at a time, and sees the suite fail: it shows that the suite
// would notice them. Nothing in the working tree is changed (go's -overlay).
func TestTeeth(t *testing.T) {
	for _, p := range plants() {
		t.Run(p.name, func(t *testing.T) {
			p.bite(t, "did not converge", "-run=^TestRandomHistoriesConverge$", "-histories=2000", "-as-is")
		})
	}
}

// TestRebuildTeeth plants bugs that only a lost Redis brings to light, and that a random
// history hardly meets, as a person must have meddled with the marks as well.
func TestRebuildTeeth(t *testing.T) {
	for _, p := range []plant{
		{
			"a rebuild that forgets which work item bears a ticket's mark", "rebuild/rebuild.go",
			"	if marks := w.marks[ticket.ID]; len(marks) > 0 {\n", "	if marks := w.marks[ticket.ID]; false {\n",
		},
		{
			"take over what bears another ticket's mark, once Redis was lost", "plan/pairing.go",
			"	if sides.Bearer != 0 && !sides.Ours {\n", "	if false {\n",
		},
	} {
		t.Run(p.name, func(t *testing.T) {
			p.bite(t, "did not converge", "-run=^TestLinksMadeAnew$")
		})
	}
}

// TestCrashTeeth plants bugs that only a death at the wrong moment brings to light, and sees
// the crashes after every step of the table, without any sample, find them.
func TestCrashTeeth(t *testing.T) {
	for _, p := range []plant{
		{
			"forget to look for the mark before creating", "plan/pairing.go",
			"	if !sides.Searched {\n", "	if false {\n",
		},
		{
			"remember a message before posting it", "reconcile/carry.go",
			"	target, err := deed(ctx, step, hash)\n",
			"	if err := r.mirror(ctx, step.Source, item.Mirror{Target: \"1\", Hash: hash}); err != nil {\n		return err\n	}\n	target, err := deed(ctx, step, hash)\n",
		},
		{
			"forget the mark when creating", "reconcile/steps.go",
			"rules.Draft(data, fields, MarkOf(ticket.ID), ", "rules.Draft(data, fields, MarkOf(1), ",
		},
		{
			"forget that a note was begun", "plan/life.go",
			"	case !sides.NoteSought:\n		return", "	case false:\n		return",
		},
	} {
		t.Run(p.name, func(t *testing.T) {
			p.bite(t, "with a death after each of", "-run=^TestCrashAfterEveryStep$", "-crashes=0")
		})
	}
}

// bite plants the bug, and sees tests fail and say so.
func (p plant) bite(t *testing.T, sign string, args ...string) {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("..", filepath.FromSlash(p.file)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), p.old); n != 1 {
		t.Fatalf("%s holds %d times what the bug replaces; mend the plant", p.file, n)
	}
	dir := t.TempDir()
	planted := filepath.Join(dir, "planted.go")
	if err := os.WriteFile(planted, []byte(strings.Replace(string(text), p.old, p.bug, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: planted}})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	all := append([]string{"test", "-overlay=" + list, "-vet=off", "."}, args...)
	out, err := exec.CommandContext(t.Context(), "go", all...).CombinedOutput()
	switch {
	case err == nil:
		t.Error("the suite did not notice")
	case !strings.Contains(string(out), sign):
		t.Errorf("the suite failed otherwise: %s", out)
	default:
		at := strings.Index(string(out), sign)
		line, _, _ := strings.Cut(strings.TrimSpace(string(out[at+len(sign):])), "\n  ")
		t.Logf("noticed: %.400s", line)
	}
}
