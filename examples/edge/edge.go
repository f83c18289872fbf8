// A local backend's side of leases, to copy from. Go 1.19 or later, nothing else.
//
// Core decides, and touches neither network, disk nor clock; the rest feeds
// it. The same core is in edge.py, edge.mjs and Edge.java, under the same names,
// and all are held to vectors/leases.json. docs/edge.md tells the rules.
//
//	SITEWARDEN_URL=https://licences.example.com SITEWARDEN_SITE_ID=… \
//	SITEWARDEN_SITE_KEY=… SITEWARDEN_JWKS=jwks.json go run edge.go [--once]
//
// SITEWARDEN_JWKS names the file of pinned keys (a copy of /.well-known/jwks.json),
// SITEWARDEN_CACERT one with the certificate to trust, LEASE_FILE where the lease
// is kept (default: lease.json). `go run edge.go vectors FILE` runs the test vectors.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	version                                = "2.4.1"
	leaseType                              = "vnd.sitewarden.lease+jwt"
	interval, jitter, firstRetry, maxRetry = 6 * 3600.0, 0.1, 30.0, 1800.0
	leastWait, mostWait                    = 300.0, 86400.0 // what a Retry-After may ask for
	timeout, maxAnswerBytes                = 30 * time.Second, 65536
	tickSeconds, saveEvery, clockJump      = 60, 3600, 60
)

var b64 = base64.RawURLEncoding.Strict()

// Refused: the text is no lease for us, by the rule that it names.
type Refused string

func (r Refused) Error() string { return string(r) }

type Jwk struct{ Crv, Kty, X, Y string }

type Claims struct {
	Sub, Nonce       string
	Iat, Exp, Rev    *int64
	Licensed, Locked *bool
	LockAt           *time.Time `json:"lock_at"`
	LockUntil        *time.Time `json:"lock_until"`
	NextJwk          *Jwk       `json:"next_jwk"`
}

// thumbprint is that of RFC 7638.
func thumbprint(jwk Jwk) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf(`{"crv":%q,"kty":%q,"x":%q,"y":%q}`, jwk.Crv, jwk.Kty, jwk.X, jwk.Y)))
	return b64.EncodeToString(sum[:])
}

// opened gives the claims of a lease that one of the keys signed (RFC 7515).
func opened(text string, keys map[string]Jwk) (*Claims, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || strings.ContainsAny(text, "\r\n") { // the decoder would skip line ends
		return nil, Refused("form")
	}
	var raw [3][]byte
	var header struct {
		Alg, Typ, Kid string
		Crit          json.RawMessage
	}
	var object map[string]json.RawMessage
	for i, part := range parts {
		var err error
		if raw[i], err = b64.DecodeString(part); err != nil {
			return nil, Refused("form")
		}
		if i < 2 && (!utf8.Valid(raw[i]) || json.Unmarshal(raw[i], &object) != nil || object == nil) {
			return nil, Refused("form")
		}
	}
	_ = json.Unmarshal(raw[0], &header) // what has another type stays empty, and is refused below
	if header.Crit != nil {
		return nil, Refused("form")
	}
	if header.Alg != "ES256" {
		return nil, Refused("alg")
	}
	if header.Typ != leaseType {
		return nil, Refused("typ")
	}
	jwk, known := keys[header.Kid]
	if !known {
		return nil, Refused("kid")
	}
	x, errX := b64.DecodeString(jwk.X)
	y, errY := b64.DecodeString(jwk.Y)
	key := ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)}
	if errX != nil || errY != nil || len(raw[2]) != 64 || !key.Curve.IsOnCurve(key.X, key.Y) {
		return nil, Refused("signature")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:])
	if !ecdsa.Verify(&key, sum[:], r, s) {
		return nil, Refused("signature")
	}
	var claims Claims
	if json.Unmarshal(raw[1], &claims) != nil || claims.Iat == nil || claims.Exp == nil || claims.Rev == nil ||
		claims.Licensed == nil || claims.Locked == nil {
		return nil, Refused("claims")
	}
	return &claims, nil
}

// Kept is what is to be on disk.
type Kept struct {
	Lease     *string  `json:"lease"`
	Announced []string `json:"announced"`
	Time      int64    `json:"time"`
	Skew      int64    `json:"skew"`
	Applied   *int64   `json:"applied"`
}

type Decision struct {
	MayServe bool   `json:"may_serve"`
	Why      string `json:"why"`
	Warning  bool   `json:"warning"`
}

// Core is what this site may do, and since when it knows. Times are seconds
// since 1970: wall is the till's clock, mono one that nobody can set.
type Core struct {
	siteID     string
	keys       map[string]Jwk
	announced  []string
	text       *string
	lease      *Claims
	mono       int64
	Time, Skew int64
	Applied    *int64
}

func NewCore(siteID string, pins []Jwk, kept *Kept, mono, wall int64) *Core {
	c := &Core{siteID: siteID, keys: map[string]Jwk{}, announced: []string{}, mono: mono, Time: wall}
	for _, jwk := range pins {
		c.keys[thumbprint(jwk)] = jwk
	}
	if kept == nil || kept.Lease == nil {
		return c
	}
	// What the server did not sign counts as if it were not there.
	for _, text := range kept.Announced {
		claims, err := opened(text, c.keys)
		if err != nil {
			return c
		}
		c.adopt(text, claims)
	}
	claims, err := opened(*kept.Lease, c.keys)
	if err != nil || claims.Sub != siteID {
		return c
	}
	// The till's clock counts for no less than the last known time, and less
	// what it was ahead when last looked at.
	ahead := kept.Skew
	if ahead < 0 {
		ahead = 0
	}
	for _, at := range []int64{kept.Time, *claims.Iat, wall - ahead} {
		if c.lease == nil || at > c.Time {
			c.Time, c.lease = at, claims
		}
	}
	c.Skew, c.text, c.Applied = wall-c.Time, kept.Lease, kept.Applied
	return c
}

// Tick: time goes on by mono alone. How far the till's clock is off is only noted.
func (c *Core) Tick(mono, wall int64) {
	if mono > c.mono {
		c.Time += mono - c.mono
	}
	c.mono, c.Skew = mono, wall-c.Time
}

// Answer: a lease has come, for a request with this nonce. An error tells why it is refused.
func (c *Core) Answer(text, nonce string, mono, wall int64) error {
	c.Tick(mono, wall)
	claims, err := opened(text, c.keys)
	switch {
	case err != nil:
		return err
	case claims.Sub != c.siteID:
		return Refused("sub")
	case claims.Nonce != nonce:
		return Refused("nonce")
	case c.lease != nil && *claims.Iat < *c.lease.Iat:
		return Refused("iat")
	case *claims.Exp <= *claims.Iat:
		return Refused("exp")
	}
	c.adopt(text, claims)
	c.text, c.lease, c.Time, c.Skew = &text, claims, *claims.Iat, wall-*claims.Iat
	return nil
}

func (c *Core) adopt(text string, claims *Claims) {
	jwk := claims.NextJwk
	if jwk == nil || jwk.Kty != "EC" || jwk.Crv != "P-256" {
		return
	}
	if _, known := c.keys[thumbprint(*jwk)]; !known {
		c.keys[thumbprint(*jwk)] = *jwk
		c.announced = append(c.announced, text)
	}
}

// Apply: the till does what Decision says, and the lease is on disk.
func (c *Core) Apply() {
	if c.lease != nil {
		c.Applied = c.lease.Rev
	}
}

func (c *Core) Decision() Decision {
	lease, now := c.lease, c.Time
	if lease == nil {
		return Decision{Why: "no_lease"}
	}
	begun := *lease.Locked || (lease.LockAt != nil && now >= lease.LockAt.Unix())
	over := lease.LockUntil != nil && now >= lease.LockUntil.Unix()
	why := "licensed"
	switch {
	case begun && !over:
		why = "locked"
	case !*lease.Licensed:
		why = "unlicensed"
	case now >= *lease.Exp:
		why = "offline"
	}
	serves := why == "licensed"
	return Decision{serves, why, serves && 2*(now-*lease.Iat) >= *lease.Exp-*lease.Iat}
}

func (c *Core) Kept() Kept { return Kept{c.text, c.announced, c.Time, c.Skew, c.Applied} }

// nextCall gives the seconds until the next call, after so many failures in a
// row; retryAfter below 0 is none.
func nextCall(failures int, retryAfter float64, draw float64) float64 {
	asked := 0.0
	if retryAfter >= 0 {
		asked = min(max(retryAfter, leastWait), mostWait)
	}
	if failures > 0 {
		bound := firstRetry
		for i := 1; i < failures && bound < maxRetry; i++ {
			bound *= 2
		}
		return asked + min(bound, maxRetry)*draw
	}
	if retryAfter >= 0 {
		return asked
	}
	return interval * (1 + jitter*(2*draw-1))
}

func min(a, b float64) float64 {
	if a < b {
		return a
	}
	return b
}

func max(a, b float64) float64 { return -min(-a, -b) }

func read(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// save is whole or not at all, and for nobody else to read.
func save(file string, kept Kept) error {
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

var started = time.Now()

func monotonic() int64 { return int64(time.Since(started) / time.Second) }
func wall() int64      { return time.Now().Unix() }

// call sends one heartbeat: the text of the lease and Retry-After (-1: none).
func call(client *http.Client, core *Core, nonce string) (string, float64, error) {
	body := fmt.Sprintf(`{"version":%q,"uptime_seconds":%d}`, version, monotonic())
	url := strings.TrimRight(os.Getenv("SITEWARDEN_URL"), "/") + "/api/heartbeat"
	request, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		return "", -1, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/"+leaseType)
	request.Header.Set("X-Lease-Nonce", nonce)
	request.Header.Set("X-Site-ID", os.Getenv("SITEWARDEN_SITE_ID"))
	request.Header.Set("X-Site-Key", os.Getenv("SITEWARDEN_SITE_KEY"))
	if core.Applied != nil {
		request.Header.Set("X-Verdict-Revision", strconv.FormatInt(*core.Applied, 10))
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", -1, err
	}
	defer answer.Body.Close()
	retryAfter := -1.0
	if seconds, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 32); err == nil {
		retryAfter = float64(seconds)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes))
	if err == nil && answer.StatusCode != 200 {
		err = fmt.Errorf("the server answered %d", answer.StatusCode)
	}
	return string(text), retryAfter, err
}

func run(once bool) int {
	file := os.Getenv("LEASE_FILE")
	if file == "" {
		file = "lease.json"
	}
	var pins struct{ Keys []Jwk }
	if err := read(os.Getenv("SITEWARDEN_JWKS"), &pins); err != nil {
		fmt.Fprintln(os.Stderr, "SITEWARDEN_JWKS must name a file of pinned keys, a copy of the server's /.well-known/jwks.json:", err)
		return 1
	}
	trust := &tls.Config{}
	if path := os.Getenv("SITEWARDEN_CACERT"); path != "" {
		pem, err := os.ReadFile(path)
		trust.RootCAs = x509.NewCertPool()
		if err != nil || !trust.RootCAs.AppendCertsFromPEM(pem) {
			fmt.Fprintln(os.Stderr, "SITEWARDEN_CACERT names no file with a certificate:", path)
			return 1
		}
	}
	client := &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment},
		// Who redirects a heartbeat would be sent the site's key.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var kept *Kept
	if read(file, &kept) != nil {
		kept = nil
	}
	core := NewCore(os.Getenv("SITEWARDEN_SITE_ID"), pins.Keys, kept, monotonic(), wall())
	tell := func() { text, _ := json.Marshal(core.Decision()); fmt.Println(string(text)) }
	random := rand.New(rand.NewSource(time.Now().UnixNano()))
	failures, due, saved := 0, 0.0, int64(0)
	for {
		if float64(monotonic()) >= due {
			raw := make([]byte, 24)
			_, err := crand.Read(raw)
			nonce, text, retryAfter := b64.EncodeToString(raw), "", -1.0
			if err == nil {
				text, retryAfter, err = call(client, core, nonce)
			}
			if err == nil {
				if err = core.Answer(text, nonce, monotonic(), wall()); err != nil {
					err = errors.New("it is no lease for this site: " + err.Error())
				}
			}
			if err == nil {
				if err = save(file, core.Kept()); err == nil {
					tell() // here the till obeys
					core.Apply()
					err = save(file, core.Kept())
				}
			}
			failures++
			if err == nil {
				failures = 0
			} else {
				fmt.Fprintf(os.Stderr, "no lease (%v); the kept one holds\n", err)
			}
			due = float64(monotonic()) + nextCall(failures, retryAfter, random.Float64())
			if once && err != nil {
				tell()
				return 1
			}
			if once {
				return 0
			}
		}
		time.Sleep(time.Duration(min(tickSeconds, max(1, due-float64(monotonic()))) * float64(time.Second)))
		before := core.Skew
		core.Tick(monotonic(), wall())
		tell() // and here: a lock may have begun
		every := int64(saveEvery)
		if failures > 0 {
			every = tickSeconds
		}
		if monotonic()-saved >= every || core.Skew-before >= clockJump || before-core.Skew >= clockJump {
			saved = monotonic()
			if err := save(file, core.Kept()); err != nil {
				fmt.Fprintln(os.Stderr, "cannot keep the lease:", err)
			}
		}
	}
}

// vectors runs the test vectors: 0 when all of them hold.
func vectors(path string) int {
	type seen struct {
		Decision
		Refused *string `json:"refused"`
		Time    int64   `json:"time"`
		Applied *int64  `json:"applied"`
	}
	var document struct {
		SiteID string `json:"site_id"`
		Pins   struct{ Keys []Jwk }
		Cases  []struct {
			Name  string
			Steps []struct {
				Event, Lease, Nonce string
				Mono, Wall          int64
				Expect              seen
			}
		}
		Waits []struct {
			Failures     int
			RetryAfter   *float64 `json:"retry_after"`
			Draw, Expect float64
		}
	}
	if err := read(path, &document); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	failed := 0
	for _, test := range document.Cases {
		var core *Core
		for number, step := range test.Steps {
			var refused *string
			switch step.Event {
			case "start":
				core = NewCore(document.SiteID, document.Pins.Keys, nil, step.Mono, step.Wall)
			case "restart":
				var kept Kept
				text, _ := json.Marshal(core.Kept())
				_ = json.Unmarshal(text, &kept)
				core = NewCore(document.SiteID, document.Pins.Keys, &kept, step.Mono, step.Wall)
			case "tick":
				core.Tick(step.Mono, step.Wall)
			case "answer":
				if err := core.Answer(step.Lease, step.Nonce, step.Mono, step.Wall); err != nil {
					why := err.Error()
					refused = &why
				}
			case "apply":
				core.Apply()
			}
			got, _ := json.Marshal(seen{core.Decision(), refused, core.Time, core.Applied})
			want, _ := json.Marshal(step.Expect)
			if !bytes.Equal(got, want) {
				failed++
				fmt.Fprintf(os.Stderr, "%s, step %d: %s, not %s\n", test.Name, number, got, want)
			}
		}
	}
	for _, wait := range document.Waits {
		asked := -1.0
		if wait.RetryAfter != nil {
			asked = *wait.RetryAfter
		}
		if seen := nextCall(wait.Failures, asked, wait.Draw); max(seen-wait.Expect, wait.Expect-seen) > 0.001 {
			failed++
			fmt.Fprintf(os.Stderr, "%+v: %v\n", wait, seen)
		}
	}
	fmt.Printf("%d cases, %d steps failed\n", len(document.Cases), failed)
	if failed > 0 {
		return 1
	}
	return 0
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "vectors" {
		os.Exit(vectors(os.Args[2]))
	}
	os.Exit(run(len(os.Args) > 1 && os.Args[1] == "--once"))
}
