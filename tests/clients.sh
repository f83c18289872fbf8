#!/usr/bin/env bash
# The main job with clients that are none of ours, over verified TLS: curl as
# the sysadmin uses it, and Python's standard library as a local backend might.
# What the README shows is run as it stands there, in bash and in zsh.
#
#     tests/clients.sh PATH/TO/sitewarden
set -euo pipefail

program=$(realpath "$1")
readme=$(realpath "$(dirname "$0")/../README.md")
room=$(mktemp -d)
server=
cleanup() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    wait
    rm -rf "$room"
}
trap cleanup EXIT
cd "$room"

fail() {
    echo "clients: $*" >&2
    cat "$room/log" >&2
    exit 1
}

start() {
    # Its stdout is a pipe: reading it waits for the line, and for its end.
    exec {out}< <(exec "$program" serve --listen 127.0.0.1:0 2>>"$room/log")
    server=$!
    url=
    while IFS= read -r -u "$out" line; do
        [[ $line =~ \"listening\ on\",\"url\":\"([^\"]*)\" ]] && url=${BASH_REMATCH[1]} && break
    done
    [[ -n $url ]] || fail "it did not start"
}

stop() {
    kill -TERM "$server"
    # The pipe ends with the process.
    cat <&"$out" >/dev/null
    exec {out}<&-
    server=
}

# curl_ ARGUMENT…: prints the body and leaves the status in the file status.
curl_() {
    curl --silent --show-error --cacert data/tls-certificate.pem --output - --write-out '%{stderr}%{http_code}' \
        "$@" 2>status
}

expect() {
    [[ $(<status) == "$1" ]] || fail "expected status $1, got $(<status)"
}

field() {
    python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

start

# A client that does not trust the certificate gets nowhere.
if curl --silent --output /dev/null "$url/health"; then fail "curl trusted a stranger"; fi

# As the OAuth2 form of Swagger UI's Authorize dialog, and as JSON.
curl_ --data-urlencode username=sysadmin --data-urlencode "password@data/initial-admin-password" \
    "$url/api/auth/login" >refused
expect 401 # the file ends with a line feed, which is not part of the password
password=$(<data/initial-admin-password)
curl_ --data-urlencode username=sysadmin --data-urlencode "password=$password" "$url/api/auth/login" >login
expect 200
token=$(field access_token <login)
curl_ --json "{\"username\":\"sysadmin\",\"password\":\"$password\"}" "$url/api/auth/login" >login
expect 200
bearer="Authorization: Bearer $token"

curl_ --header "$bearer" --json '{
    "name": "Trattoria Da Mario",
    "owner_name": "Mario Rossi",
    "contact_email": "mario@example.com",
    "license_expires_at": "2099-12-31T00:00:00Z"
}' "$url/api/sites" >site
expect 201
site_id=$(field site_id <site)
secret_key=$(field secret_key <site)

# By both versions of HTTP.
for version in --http1.1 --http2; do
    curl_ "$version" --header "X-Site-ID: $site_id" --header "X-Site-Key: $secret_key" \
        --json '{"version":"2.4.1","uptime_seconds":86400}' "$url/api/heartbeat" >verdict
    expect 200
    want='{"licensed":true,"locked":false,"lock_reason":null,"expires_at":"2099-12-31T00:00:00Z"}'
    [[ $(<verdict) == "$want" ]] || fail "another verdict: $(<verdict)"
done

curl_ --header "$bearer" --json '{"reason":"Payment overdue since March"}' "$url/api/sites/$site_id/lock" >locked
expect 200

cat >backend.py <<'PYTHON'
"""A local backend that sends one heartbeat and prints the verdict."""
import json, os, ssl, sys, urllib.request

request = urllib.request.Request(
    sys.argv[1] + "/api/heartbeat/",
    method="POST",
    headers={
        "X-Site-ID": os.environ["SITE_ID"],
        "X-Site-Key": os.environ["SITE_KEY"],
        "Content-Type": "application/json",
    },
    data=json.dumps({"version": "2.4.1", "uptime_seconds": 86400}).encode(),
)
trust = ssl.create_default_context(cafile="data/tls-certificate.pem")
with urllib.request.urlopen(request, context=trust, timeout=30) as answer:
    verdict = json.load(answer)
assert list(verdict) == ["licensed", "locked", "lock_reason", "expires_at"], verdict
print(verdict["locked"], verdict["lock_reason"])
PYTHON
backend() {
    SITE_ID=$site_id SITE_KEY=$secret_key python3 backend.py "$url"
}
[[ $(backend) == "True Payment overdue since March" ]] || fail "the backend did not learn of the lock"

stop
start
[[ $(backend) == "True Payment overdue since March" ]] || fail "the lock did not survive a restart"
curl_ --header "$bearer" --request POST "$url/api/sites/$site_id/unlock" >unlocked
expect 200
[[ $(backend) == "False None" ]] || fail "the backend did not learn of the unlock"

# The README's blocks of one kind, as they are pasted, but for the address.
blocks() {
    awk -v kind="$1" '$0 == "```" kind {on = 1; next} $0 == "```" {on = 0} on' "$readme" | sed "s|^api=.*|api=$url|"
}
blocks sh >readme.sh
grep -q "^api=$url\$" readme.sh || fail "the README does not say where the server is"
sed '/^site=/,$d' readme.sh >login.sh
# A zsh that is typed into takes no comments.
if grep -n '#' readme.sh; then fail "a comment in the README's commands"; fi
for shell in "bash -u" "zsh -f -u"; do
    $shell login.sh <<<"a wrong password" >told 2>&1 || true
    grep -q '"status":401' told || fail "$shell: a wrong password passed unseen: $(<told)"
    $shell readme.sh <<<"$password" >told 2>&1 || fail "$shell: $(<told)"
    verdicts=$(grep -o '"locked":[a-z]*,"lock_reason":[^,]*' told)
    want='"locked":false,"lock_reason":null
"locked":true,"lock_reason":"Payment overdue since March"'
    [[ $verdicts == "$want" ]] || fail "$shell: the README's commands gave: $(<told)"
done
blocks python >readme.py
told=$(SITEWARDEN_URL=$url SITEWARDEN_SITE_ID=$site_id SITEWARDEN_SITE_KEY=$secret_key \
    SITEWARDEN_CACERT=data/tls-certificate.pem python3 readme.py)
[[ $told == "{'licensed': True, 'locked': False, 'lock_reason': None, 'expires_at': '2099-12-31T00:00:00Z'}" ]] ||
    fail "the README's call gave: $told"

# openssl agrees about the certificate, by name and by the printed fingerprint.
openssl verify -CAfile data/tls-certificate.pem -verify_hostname localhost data/tls-certificate.pem >/dev/null
openssl x509 -in data/tls-certificate.pem -noout -text | grep -q 'ASN1 OID: prime256v1'
stop

for secret in "$password" "$token" "$secret_key"; do
    if grep -qF -- "$secret" log; then fail "a secret in the log"; fi
done
echo "$(zsh --version | cut -d" " -f1,2), curl $(curl --version | cut -d' ' -f2 | head -1), $(python3 --version), $(openssl version | cut -d' ' -f1,2): the main job works"
