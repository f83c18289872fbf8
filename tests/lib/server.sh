# A sitewarden under test, for scripts of bash that source this file:
#
#     . "$(dirname "$0")/../lib/server.sh"
#     start "$program" serve --listen 127.0.0.1:0
#     curl --cacert data/tls-certificate.pem "$url/health"
#     stop
#
# It names the root of the repository $tree and makes the directory $room, which goes with the script, and so does a server
# that still runs then. The log is appended to $room/log. A script with more to
# clear away defines at_end. This is the one reader of "listening on" in the
# shell.

tree=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
room=$(mktemp -d)
server=
url=

end() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    wait
    if declare -F at_end >/dev/null; then at_end; fi
    rm -rf "$room"
}
trap end EXIT

# program [GIVEN [PROFILE]]: the program under test: GIVEN, else $PROGRAM, else
# the one of this profile (default: release) that was built last.
program() {
    realpath "${1:-${PROGRAM:-${CARGO_TARGET_DIR:-$tree/target}/${2:-release}/sitewarden}}"
}

# start COMMAND…: starts a server, and sets $server to its process id and $url
# to where it listens. It is to be told to take a free port.
start() {
    local line
    rm -f "$room/stdout"
    mkfifo "$room/stdout"
    "$@" >"$room/stdout" 2>>"$room/log" &
    server=$!
    # Reading it waits for the line, and for the end of the server.
    exec {server_out}<"$room/stdout"
    url=
    while IFS= read -r -u "$server_out" line; do
        [[ $line =~ \"listening\ on\",\"url\":\"([^\"]*)\" ]] && url=${BASH_REMATCH[1]} && return
    done
    echo "${0##*/}: it did not start: $*" >&2
    cat "$room/log" >&2
    exit 1
}

# stop: ends the server in good order, and gives its exit code.
stop() {
    local pid=$server
    kill -TERM "$pid"
    cat <&"$server_out" >/dev/null
    exec {server_out}<&-
    server=
    wait "$pid"
}

# logged PATTERN: waits for a line of the log that matches PATTERN, and prints
# what of it does (grep -E).
logged() {
    grep -m 1 -o -E -e "$1" < <(tail -n +1 -f --pid="$server" "$room/log")
}

# field NAME: prints that member of the JSON object on stdin.
field() {
    python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}
