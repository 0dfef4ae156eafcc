module github.com/tandem-sync/tandem/services/sandbox

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	go.uber.org/goleak v1.3.0
)

require (
	github.com/alecthomas/kong v1.17.0
	github.com/alecthomas/participle/v2 v2.1.4
	github.com/aymerick/douceur v0.2.0
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
	github.com/getkin/kin-openapi v0.152.0
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875
	github.com/google/uuid v1.6.0
	github.com/gorilla/css v1.0.1
	github.com/microcosm-cc/bluemonday v1.0.27
	github.com/tidwall/btree v1.8.2
	golang.org/x/net v0.26.0
	golang.org/x/sync v0.24.0
	pgregory.net/rapid v1.3.0
)
