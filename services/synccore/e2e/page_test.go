//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// browse starts a headless Chromium, or skips where there is none. CI has one.
func browse(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		const text = "no Chromium in PATH (Debian: apt-get install chromium)"
		if os.Getenv("CI") == "true" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1400, 900), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	// The first call starts the browser, and must not have the deadline of a step.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// TestPage changes a status and a state on the page and sees the other side follow on
// the page: everything between is Tandem's work.
func TestPage(t *testing.T) {
	t.Parallel()
	ctx := browse(t)
	s := start(t, stack.Options{})
	ticket := open(t, s, "Printer is on fire")
	do := func(name string, step chromedp.Action[chromedp.Void]) {
		t.Helper()
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := chromedp.Do(limited, step); err != nil {
			shoot(t, ctx, "failed.png")
			t.Fatalf("%s: %v", name, err)
		}
	}
	css := func(format string, args ...any) chromedp.CSS { return chromedp.CSS(fmt.Sprintf(format, args...)) }
	began := time.Now()
	do("opening the page", chromedp.Navigate(s.PageURL+"/"))
	do("the page is live", chromedp.WaitVisible(css(`#live[data-live="true"]`)))
	do("acting as the solver", chromedp.SetValue(css("#acting-as"), alvao.Solver))

	do("choosing Development", choose(fmt.Sprintf("#status-ticket-%d", ticket), "Development"))
	do("the work item appears beside its ticket", chromedp.WaitVisible(
		css(`.row:has([data-ticket="%d"][data-status="Development"]):has([data-work-item="1"][data-state="To Do"]) .link[data-link="both"]`, ticket)))

	do("choosing Doing", choose("#state-work-item-1", "Doing"))
	do("the ticket follows", chromedp.WaitVisible(css(`[data-ticket="%d"][data-status="Development pending"][data-moved-by="Tandem"]`, ticket)))

	do("choosing Testing", choose(fmt.Sprintf("#status-ticket-%d", ticket), "Testing"))
	do("the work item follows", chromedp.WaitVisible(css(`[data-work-item="1"][data-state="Done"][data-moved-by="Tandem"]`)))

	do("choosing To Do", choose("#state-work-item-1", "To Do"))
	do("the ticket follows back", chromedp.WaitVisible(css(`[data-ticket="%d"][data-status="Development"][data-moved-by="Tandem"]`, ticket)))
	t.Logf("the page showed four changes there and back within %s", time.Since(began).Round(time.Millisecond))

	do("nobody was refused anything", chromedp.WaitNotVisible(css("#toast")))

	// What the page shows is what is.
	item, _ := s.Box.AzureDevOps.WorkItem(1)
	if found, _ := s.Box.Alvao.Ticket(ticket); found.Status != "Development" || item.State != "To Do" || item.Title != "Printer is on fire" {
		t.Errorf("got %+v and %+v", found, item)
	}
	shoot(t, ctx, "page.png")
}

// choose picks from a list, with the events that picking by hand causes.
func choose(selector, value string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.SetValue(chromedp.CSS(selector), value))
}

// shoot keeps a picture of the page in TANDEM_SCREENSHOTS, for people, if that is set.
func shoot(t *testing.T, ctx context.Context, name string) { //nolint:revive // the browser's context, not the test's
	t.Helper()
	dir := os.Getenv("TANDEM_SCREENSHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Logf("no picture: %v", err)
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name), picture, 0o600); err != nil {
		t.Error(err)
	}
}
