#!/usr/bin/env bash
# Holds the protos against what others may already speak: the last release (the
# nearest tag) and the last landed version (origin/main, or, where that is this
# very commit, its parent). AGAINST=commit checks against that one alone.
set -euo pipefail

commit() { git rev-parse --quiet --verify "$1^{commit}" 2>/dev/null || true; }

head=$(commit HEAD)
declare -A seen=()
refs=()
consider() { # a commit's hash, or nothing
  if [[ -n "$1" && -z "${seen[$1]:-}" ]]; then seen[$1]=1 && refs+=("$1"); fi
}

if [[ -n "${AGAINST:-}" ]]; then
  consider "$(commit "$AGAINST")"
else
  consider "$(commit "$(git describe --tags --abbrev=0 HEAD 2>/dev/null || true)")"
  landed=$(commit origin/main)
  if [[ -z "$landed" || "$landed" == "$head" ]]; then landed=$(commit HEAD^); fi
  consider "$landed"
fi

checked=0
for ref in "${refs[@]}"; do
  if [[ -z $(git ls-tree "$ref" buf.yaml) ]]; then continue; fi
  git log -1 --format='protos against %h %s' "$ref"
  .bin/buf breaking --against ".git#ref=$ref"
  checked=1
done
if ((!checked)); then echo "no earlier version holds protos: nothing can break"; fi
