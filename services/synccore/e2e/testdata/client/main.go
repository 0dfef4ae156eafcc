// Command client is what somebody else's program may look like: it knows Tandem by the
// client alone that a generator has made of the OpenAPI document, in package tandem. A test
// generates it and runs this against a running Tandem.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"example.com/portal/tandem"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// refused is a problem document as an error.
func refused(p *tandem.Problem) error {
	if p == nil {
		return errors.New("neither an answer nor a problem")
	}
	return fmt.Errorf("%s (%s)", told(p.Detail), told(p.Reason))
}

// told is a value that may be left out.
func told[T any](value *T) T {
	var none T
	if value == nil {
		return none
	}
	return *value
}

func run(ctx context.Context, server, ticket string) error {
	named := func(_ context.Context, r *http.Request) error {
		r.Header.Set("X-Request-Id", "portal-1")
		return nil
	}
	c, err := tandem.NewClientWithResponses(server, tandem.WithRequestEditorFn(named))
	if err != nil {
		return err
	}

	connectors, err := c.ConnectorServiceListConnectorsWithResponse(ctx, nil)
	if err != nil {
		return err
	}
	if connectors.JSON200 == nil {
		return refused(connectors.ApplicationproblemJSONDefault)
	}
	for _, one := range told(connectors.JSON200.Connectors) {
		fmt.Printf("connector %s healthy %t, asked as %s\n", told(one.Name), told(one.Healthy), connectors.HTTPResponse.Header.Get("X-Request-Id"))
	}

	filter, size := "state = ACTIVE", int32(1)
	links, err := c.LinkServiceListLinksWithResponse(ctx, "development", &tandem.LinkServiceListLinksParams{Filter: &filter, PageSize: &size})
	if err != nil {
		return err
	}
	if links.JSON200 == nil {
		return refused(links.ApplicationproblemJSONDefault)
	}
	for _, one := range told(links.JSON200.Links) {
		fmt.Printf("link %s with %s is %s\n", told(one.TicketId), told(one.WorkItemId), told(one.State))
	}

	preview, err := c.ConnectorServicePreviewWorkItemWithResponse(ctx, "development", nil, tandem.ConnectorServicePreviewWorkItemBody{TicketId: &ticket})
	if err != nil {
		return err
	}
	if preview.JSON200 == nil {
		return refused(preview.ApplicationproblemJSONDefault)
	}
	for _, field := range told(preview.JSON200.Fields) {
		if told(field.Reference) == "System.Title" {
			fmt.Printf("previewed a %s called %s\n", told(preview.JSON200.Type), told(field.Value))
		}
	}

	key := "portal-nightly"
	for range 2 {
		started, err := c.ResyncServiceStartResyncWithResponse(ctx, "development", &tandem.ResyncServiceStartResyncParams{IdempotencyKey: &key}, tandem.ResyncServiceStartResyncBody{})
		if err != nil {
			return err
		}
		if started.JSON200 == nil {
			return refused(started.ApplicationproblemJSONDefault)
		}
		fmt.Printf("resync %s\n", told(started.JSON200.Resync.Name))
	}

	if err := watch(ctx, c.ClientInterface); err != nil {
		return err
	}

	missing, err := c.LinkServiceGetLinkWithResponse(ctx, "development", "999999", nil)
	if err != nil {
		return err
	}
	problem := missing.ApplicationproblemJSONDefault
	if problem == nil {
		return errors.New("a link that is not there is no problem")
	}
	if told(problem.Reason) == tandem.UNKNOWNLINK {
		fmt.Printf("problem %d %s: %s\n", told(problem.Status), told(problem.Title), told(problem.Detail))
	}
	return nil
}

// watch reads the first line of a watch.
func watch(ctx context.Context, c tandem.ClientInterface) error {
	response, err := c.LinkServiceWatchLinks(ctx, "development", nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() {
		return fmt.Errorf("the watch ends at once: %w", lines.Err())
	}
	var line tandem.WatchLinksLine
	reader := json.NewDecoder(bytes.NewReader(lines.Bytes()))
	reader.DisallowUnknownFields()
	if err := reader.Decode(&line); err != nil {
		return err
	}
	if line.Result == nil {
		return refused(line.Error)
	}
	fmt.Printf("watching from %t\n", told(line.Result.ResumeToken) != "")
	return nil
}
