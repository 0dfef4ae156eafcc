#!/usr/bin/env bash
# Proves that what is generated or derived is what the tools make of its
# sources: gen/ from proto/, the schema and the page of the configuration's keys
# from sync-core's tables, each go.mod and go.sum from the imports. Changes
# nothing in the tree and does not care what is committed; `make generate tidy`
# mends what it finds. Formatting is golangci-lint's and buf format's part, in
# `make lint`.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

.bin/buf generate --output "$work"
.ci/openapi.sh "$work/gen/openapi"
diff -ru gen/tandem "$work/gen/tandem" || bad=1
for made in "$work"/gen/openapi/*; do
  diff -u "gen/openapi/${made##*/}" "$made" || bad=1
done
if ((bad)); then echo "gen/ differs from proto/: run make generate"; fi

go run ./services/synccore/cmd/synccore config-schema | diff -u deploy/config.schema.json - &&
  go run ./services/synccore/cmd/synccore config-schema --format=markdown | diff -u deploy/CONFIGURATION.md - ||
  { bad=1 && echo "deploy/config.schema.json or deploy/CONFIGURATION.md differs from what sync-core reads: run make generate"; }

for dir in $(go list -m -f '{{.Dir}}'); do
  GOWORK=off go -C "$dir" mod tidy -diff || { bad=1 && echo "${dir#"$PWD"/}/go.mod is not tidy: run make tidy"; }
done

exit $bad
