module github.com/tandem-sync/tandem/services/sandbox

go 1.26

require (
	github.com/google/go-cmp v0.7.0
	go.uber.org/goleak v1.3.0
)
