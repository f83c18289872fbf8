#!/usr/bin/env bash
# Holds the metrics, the alert rules and the dashboard to what Prometheus'
# own tool makes of them, against a running server.
#
#     tests/e2e/metrics.sh target/debug/sitewarden
#
# Needs promtool (Debian package prometheus), curl and python3.
set -euo pipefail
binary=$(realpath "${1:?which sitewarden binary?}")
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

mkfifo "$work/log"
(cd "$work" && exec env SITEWARDEN_METRICS_LISTEN=127.0.0.1:0 SITEWARDEN_LOG__FORMAT=json \
    SITEWARDEN_LIMITS__HEARTBEAT_BURST=1 "$binary" serve --listen 127.0.0.1:0 >stdout 2>log) &
server=$!
exec 3<"$work/log"
metrics=
while IFS= read -r -t 60 line <&3; do
    metrics=$(sed -n 's|.*"url":"\(http://[^"]*/metrics\)".*|\1|p' <<<"$line")
    [[ -n $metrics ]] && break
done
[[ -n $metrics ]] || { echo "metrics.sh: the server said no address of its metrics" >&2; exit 1; }
cat <&3 >/dev/null &
reader=$!

cd "$work"
# Counters show from their first event on: a request, a heartbeat, and one that
# comes too soon.
"$binary" site add --json --name A --email a@example.com --expires 2099-12-31T00:00:00Z >site
field() { python3 -c 'import json, sys; site = json.load(open("site")); print(site[sys.argv[1]])' "$1"; }
url=$(sed -n 's/.*"listening on","url":"\([^"]*\)".*/\1/p' stdout)
SITEWARDEN_SITE_ID=$(field site_id)
SITEWARDEN_SITE_KEY=$(field secret_key)
export SITEWARDEN_SITE_ID SITEWARDEN_SITE_KEY
"$binary" heartbeat --url "$url" --cacert data/tls-certificate.pem >/dev/null
if "$binary" heartbeat --url "$url" --cacert data/tls-certificate.pem >/dev/null 2>&1; then
    echo "metrics.sh: a heartbeat that came too soon was accepted" >&2
    exit 1
fi
curl --silent --show-error --fail "$metrics" >scraped
cd - >/dev/null

echo "== promtool check metrics"
promtool check metrics <"$work/scraped"
echo "== promtool check rules"
promtool check rules packaging/monitoring/alerts.yml
echo "== promtool test rules"
promtool test rules tests/e2e/alerts.yml
echo "== every metric that the rules and the dashboard name is served"
python3 - "$work/scraped" packaging/monitoring/alerts.yml packaging/monitoring/grafana-dashboard.json <<'PYTHON'
import json, re, sys
served = set(re.findall(r"^# TYPE (\S+)", open(sys.argv[1]).read(), re.M))
for path in sys.argv[2:]:
    text = open(path).read()
    if path.endswith(".json"):
        json.loads(text)
    named = {re.sub(r"_(bucket|sum|count)$", "", name) if re.sub(r"_(bucket|sum|count)$", "", name) in served else name
             for name in re.findall(r"sitewarden_[a-z0-9_]+", text)}
    if missing := named - served:
        sys.exit(f"{path} names {', '.join(sorted(missing))}, which the server does not serve")
PYTHON
kill "$server"; wait "$server" 2>/dev/null || true; server=
kill "$reader" 2>/dev/null || true
echo "== passed"
