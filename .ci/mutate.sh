#!/usr/bin/env bash
# Changes the pure packages' code on purpose, one operator at a time, and runs
# their tests against each change. What survives is a line no test holds. Fails
# where a package's score, the share of changes that a test noticed, is below 85 %.
#   mutate.sh [package…]
set -euo pipefail

if (($# == 0)); then set -- item fault plan mapping template crossing redact brake nearest letter weburl; fi

# Go's coverage knows no conditions of a switch and no constants, and gremlins tries
# only what is covered. So it is told that everything is: what no test reaches
# then survives and counts.
go=$(command -v go)
wrap=$PWD/.bin/mutate
mkdir -p "$wrap"
cat >"$wrap/go" <<EOF
#!/usr/bin/env bash
"$go" "\$@" || exit
while ((\$#)) && [[ \$1 != -coverprofile ]]; do shift; done
if ((\$# > 1)); then
  awk -F: 'NR == 1 || !seen[\$1]++ { print NR == 1 ? \$0 : \$1 ":1.1,1000000.1 1 1" }' "\$2" >"\$2.all"
  mv "\$2.all" "\$2"
fi
EOF
chmod +x "$wrap/go"

# gremlins works on copies of the module, from which its siblings can't be seen.
sed "s#=> \.\./#=> $PWD/services/synccore/../#" services/synccore/go.mod >"$wrap/go.mod"
cp services/synccore/go.sum "$wrap/go.sum"
export GOWORK=off GOFLAGS=-modfile=$wrap/go.mod

cd services/synccore
# A copy in which nothing builds would let every change look noticed.
proof=$(mktemp -d)
trap 'rm -rf "$proof"' EXIT
cp -r . "$proof/copy"
(cd "$proof/copy" && go test -count=1 "${@/#/./internal/}" >"$proof/log" 2>&1) || { cat "$proof/log"; echo "the tests fail in an unchanged copy"; exit 1; }

low=()
for package in "$@"; do
  printf '\n── %s\n' "$package"
  PATH=$wrap:$PATH ../../.bin/gremlins unleash --workers 2 --timeout-coefficient 20 "./internal/$package" |
    tee ../../.bin/mutate.log | grep -E 'LIVED|NOT COVERED|^Killed|Timed out' || true
  score=$(awk '/^Killed:/ { gsub(",", ""); killed = $2; all = $2 + $4 + $7 }
    /^Timed out:/ { gsub(",", ""); killed += $3; all += $3 }
    END { printf "%d", all ? 100 * killed / all : 0 }' ../../.bin/mutate.log)
  printf '%s: %d %%\n' "$package" "$score"
  if ((score < 85)); then low+=("$package ($score %)"); fi
done
if ((${#low[@]})); then
  printf '\nbelow 85 %%: %s\n' "${low[*]}"
  exit 1
fi
