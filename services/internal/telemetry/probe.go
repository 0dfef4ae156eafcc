package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	probeTimeout = 3 * time.Second
	// longestReason is how much of an answer is read and told.
	longestReason = 512
)

// errNotReady says that a program answered that it can take no work; what it said
// stands before it.
var errNotReady = errors.New("not ready")

// Probe asks the program that serves health on this machine at an admin address, such
// as :8081, whether it is ready. It is the health check of the images, which hold no
// other program that could ask. An error says why it is not.
func Probe(ctx context.Context, adminListen string) error {
	host, port, err := net.SplitHostPort(adminListen)
	if err != nil {
		return fmt.Errorf("reading the admin address: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	url := "http://" + net.JoinHostPort(host, port) + "/health/ready"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	// No proxy of the environment stands between a program and itself.
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	reason, err := io.ReadAll(io.LimitReader(resp.Body, longestReason))
	if err != nil {
		return fmt.Errorf("reading the answer about health: %w", err)
	}
	return fmt.Errorf("%s: %w", strings.TrimSpace(string(reason)), errNotReady)
}
