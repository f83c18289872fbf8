#!/bin/sh
# testssl.sh against the real binary: nothing above LOW, apart from what a
# self-signed certificate cannot have (trust, revocation, CA lookups).
#
#   tests/hostile/testssl.sh [path/to/sitewarden]   (default: target/release/sitewarden)
#
# Needs: apt-get install testssl.sh
set -eu
binary=${1:-target/release/sitewarden}
work=$(mktemp -d)
printf 'data_dir = "%s/data"\nlisten = ["127.0.0.1:0"]\nmetrics_listen = ""\n[log]\nlevel = "warn"\n' "$work" > "$work/sitewarden.toml"
"$binary" serve --config "$work/sitewarden.toml" > "$work/out" 2> "$work/log" &
server=$!
trap 'kill $server; wait $server 2>/dev/null || true' EXIT
until url=$(sed -n 's/.*"listening on","url":"\([^"]*\)".*/\1/p' "$work/out") && [ -n "$url" ]; do sleep 0.1; done
timeout 600 testssl --quiet --color 0 --warnings off --jsonfile "$work/found.json" "$url" > "$work/text" 2>&1 || true
python3 - "$work/found.json" <<'END'
import json, sys
found = json.load(open(sys.argv[1]))
# What is about trust in the certificate, which is self-signed here.
trust = {"cert_chain_of_trust", "cert_trust", "cert_caIssuers", "cert_revocation", "cert_crlDistributionPoints",
         "cert_ocspURL", "cert_validityPeriod", "cert_extlifeSpan", "overall_grade", "grade_cap_reason_1", "HSTS"}
bad = [f for f in found if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
for finding in bad:
    kind = "apart (self-signed)" if finding["id"].split(" ")[0] in trust else "MISS"
    print(f"{kind:20} {finding['severity']:8} {finding['id']}: {finding['finding']}")
low = [f["id"] for f in found if f["severity"] == "LOW"]
missed = [f for f in bad if f["id"].split(" ")[0] not in trust]
print(f"{len(found)} findings; LOW: {', '.join(low) or 'none'}")
print("ok   nothing above LOW" if not missed and len(found) > 50 else "MISS")
sys.exit(bool(missed) or len(found) <= 50)
END
