// A local backend's side of leases, to copy from. Java 17 or later, nothing else.
//
// Core decides, and touches neither network, disk nor clock; the rest feeds it.
// The same core is in edge.py, edge.mjs and edge.go, under the same names, and
// all are held to vectors/leases.json. docs/edge.md tells the rules.
//
//     SITEWARDEN_URL=https://licences.example.com SITEWARDEN_SITE_ID=… \
//     SITEWARDEN_SITE_KEY=… SITEWARDEN_JWKS=jwks.json java Edge.java [--once]
//
// SITEWARDEN_JWKS names the file of pinned keys (a copy of /.well-known/jwks.json),
// SITEWARDEN_CACERT one with the certificate to trust, LEASE_FILE where the lease
// is kept (default: lease.json). `java Edge.java vectors FILE` runs the test vectors.

import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Edge {
    static final String VERSION = "2.4.1", TYPE = "vnd.sitewarden.lease+jwt";
    static final double INTERVAL = 6 * 3600, JITTER = 0.1, FIRST_RETRY = 30, MAX_RETRY = 1800;
    static final double LEAST_WAIT = 300, MOST_WAIT = 86400; // what a Retry-After may ask for
    static final int TIMEOUT = 30, MAX_ANSWER_BYTES = 65536, TICK = 60, SAVE_EVERY = 3600, CLOCK_JUMP = 60;

    /** The text is no lease for us; the message says which rule it broke. */
    static class Refused extends Exception {
        Refused(String why) { super(why); }
    }

    static byte[] decode(String part) throws Refused {
        try {
            byte[] raw = Base64.getUrlDecoder().decode(part);
            if (encode(raw).equals(part)) return raw;
        } catch (IllegalArgumentException e) { /* refused below */ }
        throw new Refused("form");
    }

    static String encode(byte[] raw) { return Base64.getUrlEncoder().withoutPadding().encodeToString(raw); }

    static Map<String, Object> object(String part) throws Refused {
        try {
            var text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(decode(part))).toString();
            if (Json.parse(text) instanceof Map<?, ?> map) return cast(map);
        } catch (CharacterCodingException | IllegalArgumentException e) { /* refused below */ }
        throw new Refused("form");
    }

    @SuppressWarnings("unchecked")
    static <T> T cast(Object value) { return (T) value; }

    /** RFC 7638. */
    static String thumbprint(Map<String, Object> jwk) throws GeneralSecurityException {
        var point = new LinkedHashMap<String, Object>();
        for (var name : List.of("crv", "kty", "x", "y")) point.put(name, jwk.get(name));
        return encode(MessageDigest.getInstance("SHA-256").digest(Json.write(point).getBytes(StandardCharsets.UTF_8)));
    }

    /** The claims of a lease that one of the keys signed (RFC 7515). */
    static Map<String, Object> opened(String text, Map<String, Map<String, Object>> keys) throws Refused {
        String[] parts = text == null ? new String[0] : text.split("\\.", -1);
        if (parts.length != 3) throw new Refused("form");
        var header = object(parts[0]);
        var claims = object(parts[1]);
        byte[] signature = decode(parts[2]);
        if (header.containsKey("crit")) throw new Refused("form");
        if (!"ES256".equals(header.get("alg"))) throw new Refused("alg");
        if (!TYPE.equals(header.get("typ"))) throw new Refused("typ");
        var jwk = keys.get(header.get("kid"));
        if (jwk == null) throw new Refused("kid");
        boolean valid;
        try {
            var parameters = AlgorithmParameters.getInstance("EC");
            parameters.init(new ECGenParameterSpec("secp256r1"));
            var point = new ECPoint(new BigInteger(1, decode((String) jwk.get("x"))), new BigInteger(1, decode((String) jwk.get("y"))));
            var spec = new ECPublicKeySpec(point, parameters.getParameterSpec(ECParameterSpec.class));
            var verifier = Signature.getInstance("SHA256withECDSAinP1363Format");
            verifier.initVerify(KeyFactory.getInstance("EC").generatePublic(spec));
            verifier.update((parts[0] + "." + parts[1]).getBytes(StandardCharsets.US_ASCII));
            valid = verifier.verify(signature);
        } catch (GeneralSecurityException | Refused | ClassCastException e) {
            valid = false;
        }
        if (!valid) throw new Refused("signature");
        for (var name : List.of("licensed", "locked")) if (!(claims.get(name) instanceof Boolean)) throw new Refused("claims");
        for (var name : List.of("iat", "exp", "rev")) if (!(claims.get(name) instanceof Long)) throw new Refused("claims");
        try { // times as text, like all of the server's but iat and exp
            for (var name : List.of("lock_at", "lock_until"))
                if (claims.get(name) != null) claims.put(name, Instant.parse((String) claims.get(name)).getEpochSecond());
        } catch (ClassCastException | DateTimeException e) {
            throw new Refused("claims");
        }
        return claims;
    }

    /** What this site may do, and since when it knows. Times are seconds since
     * 1970: `wall` is the till's clock, `mono` one that nobody can set. */
    static class Core {
        final String siteId;
        final Map<String, Map<String, Object>> keys = new HashMap<>();
        final List<Object> announced = new ArrayList<>();
        String text;
        Map<String, Object> lease;
        long mono, time, skew;
        Long applied;

        Core(String siteId, Map<String, Object> pins, Map<String, Object> kept, long mono, long wall) throws GeneralSecurityException {
            this.siteId = siteId;
            this.mono = mono;
            this.time = wall;
            for (Object jwk : (List<?>) pins.get("keys")) keys.put(thumbprint(cast(jwk)), cast(jwk));
            if (kept == null) return;
            try {
                for (Object old : (List<?>) kept.get("announced")) adopt((String) old, opened((String) old, keys));
                var claims = opened((String) kept.get("lease"), keys);
                long keptTime = (Long) kept.get("time"), keptSkew = (Long) kept.get("skew");
                if (!siteId.equals(claims.get("sub"))) return;
                // The till's clock counts for no less than the last known time,
                // and less what it was ahead when last looked at.
                time = Math.max(Math.max(keptTime, (Long) claims.get("iat")), wall - Math.max(0, keptSkew));
                skew = wall - time;
                applied = (Long) kept.get("applied");
                text = (String) kept.get("lease");
                lease = claims;
            } catch (Refused | ClassCastException | NullPointerException e) {
                // None, or somebody wrote it who is not the server: as if there were none.
            }
        }

        /** Time goes on by `mono` alone. How far the till's clock is off is only noted. */
        void tick(long mono, long wall) {
            time += Math.max(0, mono - this.mono);
            this.mono = mono;
            skew = wall - time;
        }

        /** A lease has come, for a request with this nonce. Null, or why it is refused. */
        String answer(String text, String nonce, long mono, long wall) throws GeneralSecurityException {
            tick(mono, wall);
            Map<String, Object> claims;
            try {
                claims = opened(text, keys);
            } catch (Refused refused) {
                return refused.getMessage();
            }
            long iat = (Long) claims.get("iat");
            if (!siteId.equals(claims.get("sub"))) return "sub";
            if (!nonce.equals(claims.get("nonce"))) return "nonce";
            if (lease != null && iat < (Long) lease.get("iat")) return "iat";
            if ((Long) claims.get("exp") <= iat) return "exp";
            adopt(text, claims);
            this.text = text;
            lease = claims;
            time = iat;
            skew = wall - iat;
            return null;
        }

        private void adopt(String text, Map<String, Object> claims) throws GeneralSecurityException {
            if (!(claims.get("next_jwk") instanceof Map<?, ?> map)) return;
            Map<String, Object> jwk = cast(map);
            if (!"EC".equals(jwk.get("kty")) || !"P-256".equals(jwk.get("crv"))) return;
            if (!(jwk.get("x") instanceof String) || !(jwk.get("y") instanceof String)) return;
            if (keys.putIfAbsent(thumbprint(jwk), jwk) == null) announced.add(text);
        }

        /** The till does what `decision` says, and the lease is on disk. */
        void apply() { applied = lease == null ? null : (Long) lease.get("rev"); }

        Map<String, Object> decision() {
            String why = "no_lease";
            boolean warning = false;
            if (lease != null) {
                Long at = (Long) lease.get("lock_at"), until = (Long) lease.get("lock_until");
                long iat = (Long) lease.get("iat"), exp = (Long) lease.get("exp");
                boolean begun = (Boolean) lease.get("locked") || (at != null && time >= at);
                boolean over = until != null && time >= until;
                if (begun && !over) why = "locked";
                else if (!(Boolean) lease.get("licensed")) why = "unlicensed";
                else why = time < exp ? "licensed" : "offline";
                warning = why.equals("licensed") && 2 * (time - iat) >= exp - iat;
            }
            var decision = new LinkedHashMap<String, Object>();
            decision.put("may_serve", why.equals("licensed"));
            decision.put("why", why);
            decision.put("warning", warning);
            return decision;
        }

        /** What is to be on disk. */
        Map<String, Object> kept() {
            var kept = new LinkedHashMap<String, Object>();
            kept.put("lease", text);
            kept.put("announced", announced);
            kept.put("time", time);
            kept.put("skew", skew);
            kept.put("applied", applied);
            return kept;
        }
    }

    /** Seconds until the next call, after so many failures in a row; null: nothing asked. */
    static double nextCall(int failures, Double retryAfter, double draw) {
        double asked = retryAfter == null ? 0 : Math.min(Math.max(retryAfter, LEAST_WAIT), MOST_WAIT);
        if (failures > 0) return asked + Math.min(MAX_RETRY, FIRST_RETRY * Math.pow(2, Math.min(failures - 1, 16))) * draw;
        return retryAfter != null ? asked : INTERVAL * (1 + JITTER * (2 * draw - 1));
    }

    static Map<String, Object> read(String file) {
        try {
            return Json.parse(Files.readString(Path.of(file))) instanceof Map<?, ?> map ? cast(map) : null;
        } catch (IOException | IllegalArgumentException e) {
            return null;
        }
    }

    /** Whole or not at all, and for nobody else to read. */
    static void save(String file, Map<String, Object> kept) throws IOException {
        Path path = Path.of(file), beside = Path.of(file + ".new");
        boolean posix = Files.getFileStore(path.toAbsolutePath().getParent()).supportsFileAttributeView("posix");
        Files.deleteIfExists(beside);
        if (posix) Files.createFile(beside, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        else Files.createFile(beside); // on Windows the folder's access list decides
        try (var channel = FileChannel.open(beside, StandardOpenOption.WRITE)) {
            var bytes = ByteBuffer.wrap(Json.write(kept).getBytes(StandardCharsets.UTF_8));
            while (bytes.hasRemaining()) channel.write(bytes);
            channel.force(true);
        }
        Files.move(beside, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    static final long STARTED = System.nanoTime();
    static long monotonic() { return (System.nanoTime() - STARTED) / 1_000_000_000L; }
    static long wall() { return System.currentTimeMillis() / 1000; }

    static HttpClient client(String cacert) throws GeneralSecurityException, IOException {
        // Redirects are not followed: who redirects a heartbeat would be sent the site's key.
        var client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(TIMEOUT)).followRedirects(HttpClient.Redirect.NEVER);
        if (cacert != null && !cacert.isEmpty()) {
            var store = KeyStore.getInstance(KeyStore.getDefaultType());
            store.load(null, null);
            try (var pem = Files.newInputStream(Path.of(cacert))) {
                for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(pem))
                    store.setCertificateEntry("trusted" + store.size(), certificate);
            }
            var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(store);
            var context = SSLContext.getInstance("TLS");
            context.init(null, trust.getTrustManagers(), null);
            client.sslContext(context);
        }
        return client.build();
    }

    record Answer(int status, String retryAfter, String text) {}

    static Answer call(HttpClient client, Map<String, String> env, Core core, String nonce) throws IOException, InterruptedException {
        var url = env.get("SITEWARDEN_URL").replaceAll("/+$", "") + "/api/heartbeat";
        var request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(TIMEOUT))
            .header("Content-Type", "application/json").header("Accept", "application/" + TYPE)
            .header("X-Lease-Nonce", nonce)
            .header("X-Site-ID", env.get("SITEWARDEN_SITE_ID")).header("X-Site-Key", env.get("SITEWARDEN_SITE_KEY"))
            .POST(HttpRequest.BodyPublishers.ofString("{\"version\":\"" + VERSION + "\",\"uptime_seconds\":" + monotonic() + "}"));
        if (core.applied != null) request.header("X-Verdict-Revision", core.applied.toString());
        var coming = client.sendAsync(request.build(), HttpResponse.BodyHandlers.ofInputStream()).thenApplyAsync(answer -> {
            try (var body = answer.body()) {
                var text = new String(body.readNBytes(MAX_ANSWER_BYTES), StandardCharsets.ISO_8859_1);
                return new Answer(answer.statusCode(), answer.headers().firstValue("Retry-After").orElse(""), text);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
        try {
            return coming.get(TIMEOUT, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException e) {
            throw new IOException(e);
        }
    }

    static int run(Map<String, String> env, boolean once) throws Exception {
        String file = env.getOrDefault("LEASE_FILE", "lease.json");
        var pins = read(env.getOrDefault("SITEWARDEN_JWKS", ""));
        if (pins == null) {
            System.err.println("SITEWARDEN_JWKS must name a file of pinned keys: a copy of the server's /.well-known/jwks.json");
            return 1;
        }
        var client = client(env.get("SITEWARDEN_CACERT"));
        var core = new Core(env.get("SITEWARDEN_SITE_ID"), pins, read(file), monotonic(), wall());
        var random = new SecureRandom();
        int failures = 0;
        double due = 0;
        long saved = 0;
        while (true) {
            if (monotonic() >= due) {
                byte[] raw = new byte[24];
                random.nextBytes(raw);
                Double retryAfter = null;
                try {
                    var answer = call(client, env, core, encode(raw));
                    if (answer.retryAfter().matches("[0-9]{1,9}")) retryAfter = Double.valueOf(answer.retryAfter());
                    if (answer.status() != 200) throw new IOException("the server answered " + answer.status());
                    var refused = core.answer(answer.text(), encode(raw), monotonic(), wall());
                    if (refused != null) throw new IOException("it is no lease for this site: " + refused);
                    save(file, core.kept());
                    System.out.println(Json.write(core.decision())); // here the till obeys
                    core.apply();
                    save(file, core.kept());
                    failures = 0;
                } catch (IOException e) {
                    failures++;
                    System.err.println("no lease (" + e + "); the kept one holds");
                }
                due = monotonic() + nextCall(failures, retryAfter, random.nextDouble());
                if (once && failures > 0) System.out.println(Json.write(core.decision()));
                if (once) return failures > 0 ? 1 : 0;
            }
            Thread.sleep((long) (1000 * Math.min(TICK, Math.max(1, due - monotonic()))));
            long before = core.skew;
            core.tick(monotonic(), wall());
            System.out.println(Json.write(core.decision())); // and here: a lock may have begun
            if (monotonic() - saved >= (failures > 0 ? TICK : SAVE_EVERY) || Math.abs(core.skew - before) >= CLOCK_JUMP) {
                saved = monotonic();
                try {
                    save(file, core.kept());
                } catch (IOException e) {
                    System.err.println("cannot keep the lease: " + e);
                }
            }
        }
    }

    /** Runs the test vectors: 0 when all of them hold. */
    static int vectors(String path) throws GeneralSecurityException {
        var document = read(path);
        String siteId = cast(document.get("site_id"));
        Map<String, Object> pins = cast(document.get("pins"));
        int failed = 0;
        List<Map<String, Object>> cases = cast(document.get("cases"));
        for (var test : cases) {
            Core core = null;
            int number = 0;
            List<Map<String, Object>> steps = cast(test.get("steps"));
            for (var step : steps) {
                String refused = null;
                long mono = (Long) step.getOrDefault("mono", 0L), wall = (Long) step.getOrDefault("wall", 0L);
                switch ((String) step.get("event")) {
                    case "start" -> core = new Core(siteId, pins, null, mono, wall);
                    case "restart" -> core = new Core(siteId, pins, cast(Json.parse(Json.write(core.kept()))), mono, wall);
                    case "tick" -> core.tick(mono, wall);
                    case "answer" -> refused = core.answer((String) step.get("lease"), (String) step.get("nonce"), mono, wall);
                    case "apply" -> core.apply();
                }
                var seen = core.decision();
                seen.put("refused", refused);
                seen.put("time", core.time);
                seen.put("applied", core.applied);
                if (!Objects.equals(seen, step.get("expect"))) {
                    failed++;
                    System.err.println(test.get("name") + ", step " + number + ": " + seen + ", not " + step.get("expect"));
                }
                number++;
            }
        }
        List<Map<String, Object>> waits = cast(document.get("waits"));
        for (var wait : waits) {
            Number asked = cast(wait.get("retry_after")), draw = cast(wait.get("draw")), expect = cast(wait.get("expect"));
            double seen = nextCall(((Long) wait.get("failures")).intValue(), asked == null ? null : asked.doubleValue(), draw.doubleValue());
            if (Math.abs(seen - expect.doubleValue()) > 0.001) {
                failed++;
                System.err.println(wait + ": " + seen);
            }
        }
        System.out.println(cases.size() + " cases, " + failed + " steps failed");
        return failed > 0 ? 1 : 0;
    }

    public static void main(String[] arguments) throws Exception {
        boolean vectors = arguments.length > 1 && arguments[0].equals("vectors");
        System.exit(vectors ? vectors(arguments[1]) : run(System.getenv(), Arrays.asList(arguments).contains("--once")));
    }

    /** As much of JSON (RFC 8259) as a lease needs: whole numbers are Long, others Double. */
    static class Json {
        private final String text;
        private int at;

        private Json(String text) { this.text = text; }

        static Object parse(String text) {
            var json = new Json(text);
            Object value = json.value(0);
            json.blank();
            if (json.at != text.length()) throw new IllegalArgumentException("more than one value");
            return value;
        }

        private void blank() { while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++; }

        private boolean next(String word) {
            blank();
            boolean here = text.startsWith(word, at);
            if (here) at += word.length();
            return here;
        }

        private void need(String word) { if (!next(word)) throw new IllegalArgumentException("no " + word + " at " + at); }

        private Object value(int depth) {
            if (depth > 50) throw new IllegalArgumentException("too deep");
            if (next("{")) {
                var map = new LinkedHashMap<String, Object>();
                if (next("}")) return map;
                do {
                    need("\"");
                    String name = string();
                    need(":");
                    map.put(name, value(depth + 1));
                } while (next(","));
                need("}");
                return map;
            }
            if (next("[")) {
                var list = new ArrayList<Object>();
                if (next("]")) return list;
                do list.add(value(depth + 1)); while (next(","));
                need("]");
                return list;
            }
            if (next("\"")) return string();
            if (next("true")) return true;
            if (next("false")) return false;
            if (next("null")) return null;
            int from = at;
            while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) at++;
            String number = text.substring(from, at);
            if (number.matches("-?(0|[1-9][0-9]*)")) return Long.valueOf(number);
            return Double.valueOf(number); // NumberFormatException is an IllegalArgumentException
        }

        private String string() {
            var out = new StringBuilder();
            while (at < text.length()) {
                char c = text.charAt(at++);
                if (c == '"') return out.toString();
                if (c < ' ') break;
                if (c == '\\') {
                    int escape = at < text.length() ? "\"\\/bfnrtu".indexOf(text.charAt(at++)) : -1;
                    if (escape < 0) break;
                    c = "\"\\/\b\f\n\r\t".charAt(Math.min(escape, 7));
                    if (escape == 8) {
                        if (at + 4 > text.length()) break;
                        c = (char) Integer.parseInt(text.substring(at, at += 4), 16);
                    }
                }
                out.append(c);
            }
            throw new IllegalArgumentException("a text without an end");
        }

        static String write(Object value) {
            if (value instanceof Map<?, ?> map) {
                var parts = new ArrayList<String>();
                map.forEach((name, part) -> parts.add(write(name) + ":" + write(part)));
                return "{" + String.join(",", parts) + "}";
            }
            if (value instanceof List<?> list) return "[" + String.join(",", list.stream().map(Json::write).toList()) + "]";
            if (!(value instanceof String text)) return String.valueOf(value);
            var out = new StringBuilder("\"");
            for (char c : text.toCharArray())
                if (c < ' ' || c == '"' || c == '\\') out.append(String.format("\\u%04x", (int) c)); else out.append(c);
            return out.append('"').toString();
        }
    }
}
