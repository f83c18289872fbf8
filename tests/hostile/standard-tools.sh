#!/bin/sh
# slowhttptest and h2load against the real binary: the service stays available
# among slow clients, and no request of h2load fails.
#
#   tests/hostile/standard-tools.sh [path/to/sitewarden]   (default: target/release/sitewarden)
#
# Needs: apt-get install slowhttptest nghttp2-client. All connections come from
# one address, so the limit for each address is off. Takes about two minutes.
set -eu
binary=${1:-target/release/sitewarden}
ulimit -n 4096
work=$(mktemp -d)
cat > "$work/sitewarden.toml" <<END
data_dir = "$work/data"
listen = ["127.0.0.1:0"]
metrics_listen = ""
[log]
level = "warn"
[limits]
max_connections_per_address = 0
END
"$binary" serve --config "$work/sitewarden.toml" > "$work/out" 2> "$work/log" &
server=$!
trap 'kill $server; wait $server 2>/dev/null || true' EXIT
until url=$(sed -n 's/.*"listening on","url":"\([^"]*\)".*/\1/p' "$work/out") && [ -n "$url" ]; do sleep 0.1; done
missed=0
miss() { echo "MISS $*"; missed=1; }

# 1000 connections, 200 new ones a second, for 25 s; a probe that is not
# answered within 5 s counts as no service.
slow() {
    name=$1; shift
    slowhttptest "$@" -c 1000 -r 200 -l 25 -p 5 -g -o "$work/slow" > "$work/text" 2>&1 || true
    # The rows of the table: second, closed, pending, connected, available.
    if python3 - "$work/slow.csv" "$name" <<'END'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
column = next(name for name in rows[0] if "available" in name.lower())
connected = next(name for name in rows[0] if "connected" in name.lower())
gone = [row for row in rows if row[column].strip() == "0"]
most = max(int(row[connected]) for row in rows)
ok = len(rows) > 5 and not gone and most >= 500
print(f"{'ok  ' if ok else 'MISS'} {sys.argv[2]}: service available in {len(rows) - len(gone)} of {len(rows)} looks, "
      f"up to {most} connections at once")
sys.exit(not ok)
END
    then :; else missed=1; tail -30 "$work/text"; fi
}
slow "slow heads (-H)" -H -i 5 -u "$url/health"
slow "slow bodies (-B)" -B -i 5 -s 8192 -u "$url/api/auth/login"
slow "slow reads (-X)" -X -w 10 -y 20 -n 5 -z 32 -k 3 -u "$url/docs/swagger-ui-bundle.js"

# As many streams at once as are allowed, over few and over many connections.
load() {
    name=$1; shift
    h2load "$@" > "$work/text" 2>&1 || true
    if grep -E '^requests: ' "$work/text" | grep -q ' 0 failed, 0 errored, 0 timeout'; then
        echo "ok   $name: $(sed -n 's/^finished in //p' "$work/text"), none of $(sed -n 's/^requests: \([0-9]*\) total.*/\1/p' "$work/text") failed"
    else
        miss "$name"; cat "$work/text"
    fi
}
load "64 streams on 4 connections" -n 20000 -c 4 -m 64 "$url/health"
load "1 stream on 500 connections" -n 5000 -c 500 -m 1 "$url/health"
# A head in several frames: each such header is larger than a frame's rest.
load "heads of 12 KB" -n 2000 -c 4 -m 16 -H "x-long: $(head -c 12000 /dev/zero | tr '\0' x)" "$url/health"
load "HTTP/1.1" --h1 -n 5000 -c 50 "$url/health"
if grep -E 'panicked|"level":"ERROR"' "$work/log"; then miss "the log has errors"; fi
exit $missed
