//go:build e2e

package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browse starts a headless Chromium, or skips where there is none. CI has one.
func browse(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		const text = "there is no Chromium; install the package chromium"
		if os.Getenv("CI") == "true" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1500, 1000))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	// The first call starts the browser, and must not have the deadline of a step.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// What a person changes on the page on one side is seen to follow on the other.
func TestPageFollowsBothWays(t *testing.T) {
	t.Parallel()
	ctx := browse(t)
	s := start(t)
	ticket := strconv.Itoa(newTicket(t, s, "New"))
	card := `[data-ticket="` + ticket + `"]`
	steps := func(what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		for i, action := range actions {
			step, cancel := context.WithTimeout(ctx, 20*time.Second)
			err := chromedp.Do(step, action)
			cancel()
			if err != nil {
				t.Fatalf("%s, action %d: %v", what, i+1, err)
			}
		}
	}
	// A person's choice comes with an event, which the page waits for.
	choose := func(selector, value string) chromedp.Action[chromedp.Void] {
		return chromedp.Steps(chromedp.SetValue(css(selector), value), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.querySelector(`+strconv.Quote(selector)+`).dispatchEvent(new Event("change"))`))
			return err
		}))
	}
	steps("opening", chromedp.Navigate(s.PageURL+"/"), chromedp.WaitVisible(css(`#live[data-live="true"]`)), chromedp.WaitVisible(css(card+`[data-status="New"]`)))
	steps("the ticket enters Development",
		choose("#status-ticket-"+ticket, "Development"),
		chromedp.WaitVisible(css(`.row:has(`+card+`):has([data-work-item="1"][data-state="To Do"])`)),
		chromedp.WaitVisible(css(`.row:has(`+card+`) .link[data-link="both"]`)))
	steps("the work item goes to Doing",
		choose("#state-work-item-1", "Doing"),
		chromedp.WaitVisible(css(card+`[data-status="Development pending"]`)))
	steps("the ticket goes to Testing",
		choose("#status-ticket-"+ticket, "Testing"),
		chromedp.WaitVisible(css(`[data-work-item="1"][data-state="Done"]`)))
	if file := os.Getenv("TANDEM_SCREENSHOT"); file != "" {
		picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(file, picture, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// css is a selector as the page's own script writes it.
func css(selector string) chromedp.CSS { return chromedp.CSS(selector) }
