#!/usr/bin/env bash
# The man pages render without a warning, and each command has one.
#
#     tests/manpages.sh PATH/TO/sitewarden
set -euo pipefail

program=$(realpath "$1")
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

fail() {
    echo "manpages: $*" >&2
    exit 1
}

"$program" manpages "$room"
for page in sitewarden.1 sitewarden-serve.1 sitewarden-site-add.1 sitewarden.toml.5; do
    [[ -s $room/$page ]] || fail "no $page"
done
count=0
for page in "$room"/*; do
    # As lintian calls it.
    warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
    [[ -z $warnings ]] || fail "${page##*/}: $warnings"
    count=$((count + 1))
done
# With a word that is wrong something is said: the check above can fail.
printf '.TH x 1\n.SH NAME\nx \\- y\n.nosuchmacro\n' >"$room/wrong.1"
warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$room/wrong.1" 2>&1 >/dev/null)
[[ -n $warnings ]] || fail "man --warnings warns of nothing"
echo "$count man pages render without a warning"
