#!/usr/bin/env node
// A local backend's side of leases, to copy from. Node 18 or later, nothing else.
//
// `Core` decides, and touches neither network, disk nor clock; the rest feeds
// it. The same core is in edge.py, edge.go and Edge.java, under the same names,
// and all are held to vectors/leases.json. docs/edge.md tells the rules.
//
//     SITEWARDEN_URL=https://licences.example.com SITEWARDEN_SITE_ID=… \
//     SITEWARDEN_SITE_KEY=… SITEWARDEN_JWKS=jwks.json node edge.mjs [--once]
//
// SITEWARDEN_JWKS names the file of pinned keys (a copy of /.well-known/jwks.json),
// SITEWARDEN_CACERT one with the certificate to trust, LEASE_FILE where the lease
// is kept (default: lease.json). `edge.mjs vectors FILE` runs the test vectors.

import crypto from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import { setTimeout as sleep } from "node:timers/promises";

const VERSION = "2.4.1";
const TYPE = "vnd.sitewarden.lease+jwt";
const [INTERVAL, JITTER, FIRST_RETRY, MAX_RETRY] = [6 * 3600, 0.1, 30, 1800];
const [LEAST_WAIT, MOST_WAIT] = [300, 86400]; // what a Retry-After may ask for
const [TIMEOUT, MAX_ANSWER_BYTES] = [30, 65536];
const [TICK, SAVE_EVERY, CLOCK_JUMP] = [60, 3600, 60];

/** The text is no lease for us; the message says which rule it broke. */
class Refused extends Error {}

function decode(part) {
  const raw = Buffer.from(part, "base64url");
  if (raw.toString("base64url") !== part) throw new Refused("form");
  return raw;
}

function parsed(part) {
  try {
    const value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(decode(part)));
    if (value && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {}
  throw new Refused("form");
}

// RFC 7638
const thumbprint = ({ crv, kty, x, y }) =>
  crypto.createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");

/** The claims of a lease that one of the keys signed (RFC 7515). */
function opened(text, keys) {
  const parts = typeof text === "string" ? text.split(".") : [];
  if (parts.length !== 3) throw new Refused("form");
  const [header, claims, signature] = [parsed(parts[0]), parsed(parts[1]), decode(parts[2])];
  if ("crit" in header) throw new Refused("form");
  if (header.alg !== "ES256") throw new Refused("alg");
  if (header.typ !== TYPE) throw new Refused("typ");
  if (typeof header.kid !== "string" || !keys.has(header.kid)) throw new Refused("kid");
  let valid = false;
  try {
    const { crv, kty, x, y } = keys.get(header.kid);
    const key = crypto.createPublicKey({ key: { crv, kty, x, y }, format: "jwk" });
    valid = crypto.verify("sha256", Buffer.from(`${parts[0]}.${parts[1]}`), { key, dsaEncoding: "ieee-p1363" }, signature);
  } catch {}
  if (!valid) throw new Refused("signature");
  const ok =
    ["licensed", "locked"].every((name) => typeof claims[name] === "boolean") &&
    ["iat", "exp", "rev"].every((name) => Number.isSafeInteger(claims[name]));
  if (!ok) throw new Refused("claims");
  for (const name of ["lock_at", "lock_until"]) {
    // Times as text, like all of the server's but iat and exp.
    if (claims[name] == null) continue;
    const text = claims[name];
    if (typeof text !== "string" || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text)) throw new Refused("claims");
    claims[name] = Date.parse(text) / 1000;
    if (Number.isNaN(claims[name])) throw new Refused("claims");
  }
  return claims;
}

/** What this site may do, and since when it knows. Times are seconds since
 * 1970: `wall` is the till's clock, `mono` one that nobody can set. */
class Core {
  constructor(siteId, pins, kept, mono, wall) {
    Object.assign(this, { siteId, mono, time: wall, skew: 0, applied: null, text: null, lease: null, announced: [] });
    this.keys = new Map(pins.keys.map((jwk) => [thumbprint(jwk), jwk]));
    try {
      for (const text of kept.announced) this.adopt(text, opened(text, this.keys));
      const claims = opened(kept.lease, this.keys);
      if (claims.sub !== siteId || !Number.isFinite(kept.time) || !Number.isFinite(kept.skew)) return;
      // The till's clock counts for no less than the last known time, and
      // less what it was ahead when last looked at.
      this.time = Math.max(kept.time, claims.iat, wall - Math.max(0, kept.skew));
      this.skew = wall - this.time;
      Object.assign(this, { text: kept.lease, lease: claims, applied: kept.applied });
    } catch {} // none, or somebody wrote it who is not the server: as if there were none
  }

  /** Time goes on by `mono` alone. How far the till's clock is off is only noted. */
  tick(mono, wall) {
    this.time += Math.max(0, mono - this.mono);
    this.mono = mono;
    this.skew = wall - this.time;
  }

  /** A lease has come, for a request with this nonce. null, or why it is refused. */
  answer(text, nonce, mono, wall) {
    this.tick(mono, wall);
    let claims;
    try {
      claims = opened(text, this.keys);
    } catch (error) {
      if (error instanceof Refused) return error.message;
      throw error;
    }
    if (claims.sub !== this.siteId) return "sub";
    if (claims.nonce !== nonce) return "nonce";
    if (this.lease && claims.iat < this.lease.iat) return "iat";
    if (claims.exp <= claims.iat) return "exp";
    this.adopt(text, claims);
    Object.assign(this, { text, lease: claims, time: claims.iat, skew: wall - claims.iat });
    return null;
  }

  adopt(text, { next_jwk: jwk }) {
    if (jwk?.kty !== "EC" || jwk.crv !== "P-256" || typeof jwk.x !== "string" || typeof jwk.y !== "string") return;
    if (this.keys.has(thumbprint(jwk))) return;
    this.keys.set(thumbprint(jwk), jwk);
    this.announced.push(text);
  }

  /** The till does what `decision` says, and the lease is on disk. */
  apply() {
    this.applied = this.lease ? this.lease.rev : null;
  }

  decision() {
    const [lease, now] = [this.lease, this.time];
    if (!lease) return { may_serve: false, why: "no_lease", warning: false };
    const begun = lease.locked || (lease.lock_at != null && now >= lease.lock_at);
    const over = lease.lock_until != null && now >= lease.lock_until;
    let why = now < lease.exp ? "licensed" : "offline";
    if (begun && !over) why = "locked";
    else if (!lease.licensed) why = "unlicensed";
    const warning = why === "licensed" && 2 * (now - lease.iat) >= lease.exp - lease.iat;
    return { may_serve: why === "licensed", why, warning };
  }

  /** What is to be on disk. */
  kept() {
    const { text, announced, time, skew, applied } = this;
    return { lease: text, announced, time, skew, applied };
  }
}

/** Seconds until the next call, after so many failures in a row. */
function nextCall(failures, retryAfter = null, draw = Math.random) {
  const asked = retryAfter === null ? null : Math.min(Math.max(retryAfter, LEAST_WAIT), MOST_WAIT);
  if (failures === 0) return asked ?? INTERVAL * (1 + JITTER * (2 * draw() - 1));
  return (asked ?? 0) + Math.min(MAX_RETRY, FIRST_RETRY * 2 ** Math.min(failures - 1, 16)) * draw();
}

function read(file) {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch {
    return null;
  }
}

/** Whole or not at all, and for nobody else to read. */
function save(file, kept) {
  const beside = file + ".new";
  const fd = fs.openSync(beside, "w", 0o600);
  try {
    fs.writeSync(fd, JSON.stringify(kept));
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
  fs.renameSync(beside, file);
}

const monotonic = () => Number(process.hrtime.bigint() / 1_000_000_000n);
const wall = () => Math.floor(Date.now() / 1000);

/** One heartbeat: status, text and Retry-After of the answer. Redirects are not followed. */
function call(env, core, nonce, started) {
  const url = new URL(env.SITEWARDEN_URL.replace(/\/+$/, "") + "/api/heartbeat");
  const headers = {
    "Content-Type": "application/json",
    Accept: "application/" + TYPE,
    "X-Lease-Nonce": nonce,
    "X-Site-ID": env.SITEWARDEN_SITE_ID,
    "X-Site-Key": env.SITEWARDEN_SITE_KEY,
  };
  if (core.applied !== null) headers["X-Verdict-Revision"] = String(core.applied);
  const ca = env.SITEWARDEN_CACERT ? fs.readFileSync(env.SITEWARDEN_CACERT) : undefined;
  const options = { method: "POST", headers, ca, agent: false, signal: AbortSignal.timeout(TIMEOUT * 1000) };
  return new Promise((resolve, reject) => {
    const request = (url.protocol === "https:" ? https : http).request(url, options, (answer) => {
      let text = "";
      answer.setEncoding("latin1").on("error", reject);
      answer.on("data", (more) => {
        text += more;
        if (text.length > MAX_ANSWER_BYTES) request.destroy(new Error("the answer is too long"));
      });
      const asked = /^\d+$/.test(answer.headers["retry-after"] ?? "") ? Number(answer.headers["retry-after"]) : null;
      answer.on("end", () => resolve([answer.statusCode, text, asked]));
    });
    request.on("error", reject);
    request.end(JSON.stringify({ version: VERSION, uptime_seconds: monotonic() - started }));
  });
}

async function main(env, once) {
  const [file, pins, started] = [env.LEASE_FILE || "lease.json", read(env.SITEWARDEN_JWKS), monotonic()];
  if (!pins) throw new Error("SITEWARDEN_JWKS must name a file of pinned keys: a copy of the server's /.well-known/jwks.json");
  const core = new Core(env.SITEWARDEN_SITE_ID, pins, read(file), started, wall());
  let [failures, due, saved] = [0, started, started];
  for (;;) {
    if (monotonic() >= due) {
      const nonce = crypto.randomBytes(24).toString("base64url");
      let retryAfter = null;
      try {
        const [status, text, asked] = await call(env, core, nonce, started);
        retryAfter = asked;
        if (status !== 200) throw new Error(`the server answered ${status}`);
        const refused = core.answer(text, nonce, monotonic(), wall());
        if (refused) throw new Error("it is no lease for this site: " + refused);
        save(file, core.kept());
        console.log(JSON.stringify(core.decision())); // here the till obeys
        core.apply();
        save(file, core.kept());
        failures = 0;
      } catch (error) {
        failures += 1;
        console.error(`no lease (${error.message}); the kept one holds`);
      }
      due = monotonic() + nextCall(failures, retryAfter);
      if (once) {
        if (failures) console.log(JSON.stringify(core.decision()));
        return failures ? 1 : 0;
      }
    }
    await sleep(1000 * Math.min(TICK, Math.max(1, due - monotonic())));
    const before = core.skew;
    core.tick(monotonic(), wall());
    console.log(JSON.stringify(core.decision())); // and here: a lock may have begun
    if (monotonic() - saved >= (failures ? TICK : SAVE_EVERY) || Math.abs(core.skew - before) >= CLOCK_JUMP) {
      saved = monotonic();
      try {
        save(file, core.kept());
      } catch (error) {
        console.error(`cannot keep the lease: ${error.message}`);
      }
    }
  }
}

/** Runs the test vectors: 0 when all of them hold. */
function vectors(path) {
  const document = read(path);
  let failed = 0;
  for (const { name, steps } of document.cases) {
    let core = null;
    for (const [number, step] of steps.entries()) {
      let refused = null;
      if (step.event === "start") core = new Core(document.site_id, document.pins, null, step.mono, step.wall);
      else if (step.event === "restart")
        core = new Core(document.site_id, document.pins, JSON.parse(JSON.stringify(core.kept())), step.mono, step.wall);
      else if (step.event === "tick") core.tick(step.mono, step.wall);
      else if (step.event === "answer") refused = core.answer(step.lease, step.nonce, step.mono, step.wall);
      else if (step.event === "apply") core.apply();
      const seen = JSON.stringify({ ...core.decision(), refused, time: core.time, applied: core.applied });
      if (seen !== JSON.stringify(step.expect)) {
        failed += 1;
        console.error(`${name}, step ${number}: ${seen}, not ${JSON.stringify(step.expect)}`);
      }
    }
  }
  for (const wait of document.waits) {
    const seen = nextCall(wait.failures, wait.retry_after, () => wait.draw);
    if (Math.abs(seen - wait.expect) > 0.001) {
      failed += 1;
      console.error(`${JSON.stringify(wait)}: ${seen}`);
    }
  }
  console.log(`${document.cases.length} cases, ${failed} steps failed`);
  return failed ? 1 : 0;
}

const [command, path] = process.argv.slice(2);
try {
  process.exitCode = command === "vectors" ? vectors(path) : await main(process.env, command === "--once");
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
