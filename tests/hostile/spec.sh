#!/bin/sh
# schemathesis over the whole specification, all checks, with a token and
# without: no 5xx, and no answer that the specification does not have.
#
#   tests/hostile/spec.sh [path/to/sitewarden]   (default: target/release/sitewarden)
#
# Needs curl, and Python with venv, of which it makes an environment with
# schemathesis in target/hostile. Limits on logins and
# heartbeats are off, since 429 to everything would prove nothing.
set -eu
binary=${1:-target/release/sitewarden}
room=${CARGO_TARGET_DIR:-target}/hostile/venv
[ -x "$room/bin/python" ] || python3 -m venv "$room"
"$room/bin/pip" install --quiet --disable-pip-version-check schemathesis==4.32.0
work=$(mktemp -d)
cat > "$work/sitewarden.toml" <<END
data_dir = "$work/data"
listen = ["127.0.0.1:0"]
metrics_listen = ""
[log]
level = "warn"
[auth]
token_minutes = 1440
[limits]
failed_logins_per_minute = 0
failed_heartbeats_per_minute = 0
heartbeats_per_hour = 0
END
"$binary" serve --config "$work/sitewarden.toml" > "$work/out" 2> "$work/log" &
server=$!
trap 'kill $server; wait $server 2>/dev/null || true' EXIT
until url=$(sed -n 's/.*"listening on","url":"\([^"]*\)".*/\1/p' "$work/out") && [ -n "$url" ]; do sleep 0.1; done
until [ -s "$work/data/initial-admin-password" ]; do sleep 0.1; done
password=$(cat "$work/data/initial-admin-password")
ca=$work/data/tls-certificate.pem
token=$(curl -sS --cacert "$ca" -d "grant_type=password&username=sysadmin" --data-urlencode "password=$password" \
    "$url/api/auth/login" | sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p')
[ -n "$token" ]
missed=0
run() {
    "$room/bin/schemathesis" --config-file tests/hostile/schemathesis.toml run "$url/openapi.json" --tls-verify "$ca" --checks all --max-examples "${EXAMPLES:-25}" \
        --seed "${SEED:-1}" --workers 1 --no-color "$@" || missed=1
}
echo "== without a token"
run
echo "== with a token"
run --header "Authorization: Bearer $token"
echo "== heartbeats of a site"
site=$(curl -sS --cacert "$ca" -H "Authorization: Bearer $token" --json '{"name": "A", "owner_name": "",
    "contact_email": "a@example.com", "license_expires_at": "2099-01-01T00:00:00Z"}' "$url/api/sites")
field() { printf %s "$site" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
run --include-path /api/heartbeat --header "X-Site-ID: $(field site_id)" --header "X-Site-Key: $(field secret_key)"
if grep -E 'panicked|"level":"ERROR"' "$work/log"; then echo "MISS: the log has errors"; missed=1; fi
[ $missed = 0 ] && echo "ok   no 5xx and nothing outside the specification"
exit $missed
