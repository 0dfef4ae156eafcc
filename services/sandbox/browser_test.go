package sandbox_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
)

// browse starts a headless Chromium, or skips where there is none. CI has one.
func browse(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no Chromium; install the package chromium")
		}
		t.Skip("there is no Chromium; install the package chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1500, 1000))
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
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

// TestPageInABrowser drives the page as a person would: whatever is done on either side is seen in the systems, and what
// happens in the systems is seen on the page.
func TestPageInABrowser(t *testing.T) {
	t.Parallel()
	ctx := browse(t)
	box, base := start(t, sandbox.Options{})
	file := filepath.Join(t.TempDir(), "picture.png")
	if err := os.WriteFile(file, []byte("\x89PNG\r\n\x1a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const mine = `[data-ticket="1001"]`
	do(t, ctx,
		chromedp.Navigate(base+"/"),
		chromedp.WaitVisible(css(`#live[data-live="true"]`)),
		chromedp.SetValue(css("#acting-as"), alvao.Solver),
		chromedp.Click(css("#open-new-ticket")),
		chromedp.SendKeys(css("#new-ticket-title"), "Printer is on fire"),
		chromedp.Click(css("#new-ticket-create")),
		chromedp.WaitVisible(css(mine+`[data-status="New"]`)),
		set("#status-ticket-1001", "Development"),
		chromedp.WaitVisible(css(mine+`[data-status="Development"]`)),
		chromedp.SendKeys(css("#message-ticket-1001"), "Please hurry"),
		chromedp.SetUploadFiles(css("#file-ticket-1001"), []string{file}),
		chromedp.Click(css("#send-ticket-1001")),
		chromedp.WaitVisible(css(mine+` [data-attachment="picture.png"]`)),
	)
	records := box.Alvao.Records(1001)
	last := records[len(records)-1]
	if ticket, _ := box.Alvao.Ticket(1001); ticket.Status != "Development" || last.Plain != "Please hurry" || last.Author != alvao.Solver {
		t.Errorf("got %+v, %+v", ticket, last)
	}

	// What Tandem does appears by itself, joined to its ticket.
	tandem := box.AzureDevOps.As("tandem@contoso.com")
	w, err := tandem.Create(sandbox.Project, "Task", "Printer is on fire")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tandem.Link(w.ID, "Hyperlink", base+"/Alvao/Ticket/1001", ""); err != nil {
		t.Fatal(err)
	}
	if err := box.Alvao.SetField(t.Context(), alvao.ApplicationAccount, 1001, alvao.ExternalIDColumn, strconv.Itoa(w.ID)); err != nil {
		t.Fatal(err)
	}
	do(t, ctx,
		chromedp.WaitVisible(css(`.row:has([data-ticket="1001"]):has([data-work-item="1"]) .link[data-link="both"]`)),
		set("#state-work-item-1", "Doing"),
		chromedp.WaitVisible(css(`[data-work-item="1"][data-state="Doing"]`)),
		chromedp.WaitVisible(css(`#story li[data-side="work-items"][data-verb="moved"]`)),
		chromedp.SendKeys(css("#message-work-item-1"), "On it"),
		chromedp.Click(css("#send-work-item-1")),
		chromedp.WaitVisible(css(`[data-work-item="1"] [data-message]`)),
	)
	if now, _ := box.AzureDevOps.WorkItem(w.ID); now.State != "Doing" || box.AzureDevOps.Comments(w.ID)[0].Text != "On it" {
		t.Errorf("got %+v", now)
	}
	if err := box.Alvao.SetStatus(t.Context(), alvao.ApplicationAccount, 1001, "Development pending"); err != nil {
		t.Fatal(err)
	}
	do(t, ctx, chromedp.WaitVisible(css(mine+`[data-status="Development pending"][data-moved-by="Tandem"]`)))
	told, err := chromedp.Run(ctx, chromedp.Text(css(mine+" [data-moved-text]")))
	if err != nil {
		t.Fatal(err)
	}
	if want := "Tandem moved it from Development,"; len(told) < len(want) || told[:len(want)] != want {
		t.Errorf("the card says %q", told)
	}

	// A refusal is said, and the control shows what is.
	if err := box.Alvao.StartApproval(t.Context(), alvao.ServiceManager, 1001); err != nil {
		t.Fatal(err)
	}
	do(t, ctx,
		set("#status-ticket-1001", "Testing"),
		chromedp.WaitVisible(css("#toast")),
	)
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](`document.querySelector("#status-ticket-1001").value === "Development pending"`)); err != nil {
		t.Fatal(err)
	}
	if file := os.Getenv("TANDEM_SCREENSHOT"); file != "" {
		picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, picture, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// do runs steps one after the other, each with its own deadline, and names the one that fails.
func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) { //nolint:revive // the browser's context, not the test's
	t.Helper()
	for i, step := range steps {
		limited, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := chromedp.Do(limited, step)
		cancel()
		if err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
	}
}

// css is a selector as the page's own script writes it.
func css(selector string) chromedp.CSS { return chromedp.CSS(selector) }

// set chooses from a list as a person does: with the event that the page waits for.
func set(selector, value string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(chromedp.SetValue(css(selector), value), chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.querySelector(`+strconv.Quote(selector)+`).dispatchEvent(new Event("change"))`))
		return err
	}))
}
