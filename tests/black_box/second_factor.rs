//! The second factor: setting it up, logging in with it, what asks for it
//! again, and the day on which the device is lost.

use chrono::Utc;
use redb::{Database, ReadableTable as _, TableDefinition};
use serde_json::{Value, json};
use sitewarden::domain::{OtpSecret, Timestamp};

use crate::client::Answer;
use crate::server::{Server, Setup};
use crate::transcript::Transcript;

/// An authenticator app.
struct App(OtpSecret);

impl App {
    /// That has taken the secret of this answer, as it is typed.
    fn with(secret: &str) -> Self {
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
        for letter in secret.chars() {
            bits = bits << 5 | u32::try_from(alphabet.find(letter).unwrap()).unwrap();
            held += 5;
            if held >= 8 {
                held -= 8;
                bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
            }
        }
        Self(OtpSecret::from_random_bits(bytes.try_into().unwrap()))
    }

    /// The code `steps` from now.
    fn code(&self, steps: i64) -> String {
        self.0.code_at(Timestamp::from_unix(Utc::now().timestamp() + steps * 30).unwrap())
    }

    /// Six digits that are no code of around now.
    fn wrong_code(&self) -> String {
        let around: Vec<String> = (-3..=3).map(|step| self.code(step)).collect();
        (0..).map(|number| format!("{number:06}")).find(|code| !around.contains(code)).unwrap()
    }
}

/// A server with limits on guessing switched off, whose admin has a second
/// factor; the code of the last step was used to confirm it.
struct Protected {
    server: Server,
    password: String,
    app: App,
    recovery: Vec<String>,
    token: String,
}

impl Protected {
    fn start() -> Self {
        Self::of(Setup::new().config("[limits]\nfailed_logins_per_minute = 0\n").start())
    }

    fn of(server: Server) -> Self {
        let (password, token) = (server.password(), server.login());
        let begun = server.post("/api/admins/sysadmin/otp").bearer(&token).send();
        assert_eq!(begun.status, 200, "{}", begun.text());
        let app = App::with(begun.json()["secret"].as_str().unwrap());
        let body = json!({ "otp": app.code(-1) });
        let confirmed = server.post("/api/admins/sysadmin/otp/confirm").bearer(&token).json(&body).send();
        assert_eq!(confirmed.status, 200, "{}", confirmed.text());
        let recovery = confirmed.json()["recovery_codes"].as_array().unwrap().clone();
        let recovery = recovery.iter().map(|code| code.as_str().unwrap().to_owned()).collect();
        Self { server, password, app, recovery, token }
    }

    fn login(&self, otp: Option<&str>) -> Answer {
        let mut body = json!({ "username": "sysadmin", "password": self.password });
        if let Some(otp) = otp {
            body["otp"] = otp.into();
        }
        self.server.post("/api/auth/login").json(&body).send()
    }

    fn form(&self, password: &str) -> Answer {
        let form = format!("grant_type=password&username=sysadmin&password={}", password.replace(' ', "+"));
        self.server.post("/api/auth/login").form(&form).send()
    }

    fn me(&self, token: &str) -> Answer {
        self.server.get("/api/auth/me").bearer(token).send()
    }

    fn step_up(&self, token: &str, otp: &str) -> Answer {
        self.server.post("/api/auth/step-up").bearer(token).json(&json!({ "otp": otp })).send()
    }
}

fn token_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

fn audit(server: &Server, token: &str) -> Vec<Value> {
    server.get("/api/audit?limit=100").bearer(token).send().json().as_array().unwrap().clone()
}

#[test]
fn from_its_confirmation_on_a_login_needs_a_code_and_each_code_opens_once() {
    let protected = Protected::start();
    assert_eq!(protected.me(&protected.token).json()["second_factor"], true);
    protected.login(None).assert_problem(401);
    protected.login(Some(&protected.app.wrong_code())).assert_problem(401);
    // Two steps behind, and the one that confirmed it.
    protected.login(Some(&protected.app.code(-2))).assert_problem(401);
    let code = protected.app.code(0);
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    let token = token_of(&protected.login(Some(&spaced)));
    protected.login(Some(&code)).assert_problem(401);
    let me = protected.me(&token).json();
    assert_eq!((&me["means"], &me["recovery_codes_left"]), (&json!("password+totp"), &json!(10)));
    assert_eq!(me["scope"], "admin");
    assert!(me["expires_at"].is_string() && me["second_factor_at"].is_string(), "{me}");
    protected.login(Some("12345a")).assert_names(422, &["otp"]);
}

#[test]
fn a_wrong_password_an_unknown_name_and_a_wrong_or_missing_code_are_answered_alike() {
    let protected = Protected::start();
    let wrong_code = protected.login(Some(&protected.app.wrong_code()));
    let wrong_password = protected.server.try_login("sysadmin", "not the password");
    let unknown = protected.server.try_login("nobody-of-this-name", "not the password");
    for other in [&wrong_password, &unknown, &protected.login(None)] {
        assert_eq!(wrong_code.but_for_its_id(), other.but_for_its_id());
        assert_eq!(wrong_code.header("WWW-Authenticate"), other.header("WWW-Authenticate"));
    }
}

#[test]
fn a_recovery_code_opens_once_in_the_place_of_a_code() {
    let protected = Protected::start();
    assert_eq!(protected.recovery.len(), 10);
    let token = token_of(&protected.login(Some(&protected.recovery[0])));
    let me = protected.me(&token).json();
    assert_eq!((&me["means"], &me["recovery_codes_left"]), (&json!("password+recovery_code"), &json!(9)));
    protected.login(Some(&protected.recovery[0])).assert_problem(401);
    token_of(&protected.form(&format!("{} {}", protected.password, protected.recovery[1].to_uppercase())));
}

#[test]
fn in_the_oauth2_form_the_code_follows_the_password_after_a_space() {
    let protected = Protected::start();
    protected.form(&protected.password).assert_problem(401);
    token_of(&protected.form(&format!("{} {}", protected.password, protected.app.code(0))));
    // A password with spaces and digits at its end, with a code and, for who
    // has no second factor, without.
    let (server, token) = (&protected.server, &protected.token);
    let password = "horse battery 123456";
    let create = json!({ "username": "anna", "password": password });
    assert_eq!(server.post("/api/admins").bearer(token).json(&create).send().status, 201);
    let form = |password: &str| {
        let form = format!("username=anna&password={}", password.replace(' ', "+"));
        server.post("/api/auth/login").form(&form).send()
    };
    let hers = token_of(&form(password));
    form("horse battery").assert_problem(401);
    let begun = server.post("/api/admins/anna/otp").bearer(&hers).send();
    let app = App::with(begun.json()["secret"].as_str().unwrap());
    let body = json!({ "otp": app.code(-1) });
    assert_eq!(server.post("/api/admins/anna/otp/confirm").bearer(&hers).json(&body).send().status, 200);
    form(password).assert_problem(401);
    token_of(&form(&format!("{password} {}", app.code(0))));
    let code = app.code(1);
    token_of(&form(&format!("{password} {} {}", &code[..3], &code[3..])));
}

#[test]
fn begun_twice_the_later_secret_counts_and_one_that_is_on_is_not_replaced() {
    let server = Server::start();
    let token = server.login();
    let begin = || server.post("/api/admins/sysadmin/otp").bearer(&token).send();
    let confirm = |otp: &str| {
        server.post("/api/admins/sysadmin/otp/confirm").bearer(&token).json(&json!({ "otp": otp })).send()
    };
    confirm("123456").assert_problem(409);
    let first = begin();
    assert_eq!(first.fields(), ["secret", "uri", "qr_svg"]);
    let second = begin();
    let [first, second] = [first, second].map(|begun| App::with(begun.json()["secret"].as_str().unwrap()));
    confirm(&first.code(0)).assert_names(422, &["otp"]);
    confirm("letters").assert_names(422, &["otp"]);
    // Nothing is asked for yet.
    assert_eq!(server.try_login("sysadmin", &server.password()).status, 200);
    assert_eq!(confirm(&second.code(0)).status, 200);
    confirm(&second.code(1)).assert_problem(409);
    begin().assert_problem(409);
}

#[test]
fn only_the_admin_sets_up_and_takes_off_the_own_second_factor() {
    let server = Server::start();
    let token = server.login();
    let create = json!({ "username": "anna", "password": "correct horse battery" });
    assert_eq!(server.post("/api/admins").bearer(&token).json(&create).send().status, 201);
    server.post("/api/admins/anna/otp").bearer(&token).send().assert_problem(403);
    server.delete("/api/admins/anna/otp").bearer(&token).send().assert_problem(403);
    server.delete("/api/admins/sysadmin/otp").bearer(&token).send().assert_problem(409);
    server.post("/api/admins/sysadmin/otp").send().assert_problem(401);
}

#[test]
fn what_matters_most_asks_for_a_code_of_the_last_ten_minutes_and_step_up_shows_one() {
    let protected = Protected::start();
    let token = token_of(&protected.login(Some(&protected.app.code(0))));
    let id = protected.me(&token).json()["session"].as_str().unwrap().to_owned();
    let site = protected.server.register(&token);
    let bulk = |sites: usize| json!({ "filter": { "q": "nowhere" }, "op": "unlock", "expect": sites });
    let lock = |count: usize| {
        let item = json!({ "op": "lock", "site_id": site["site_id"], "reason": "unpaid" });
        json!({ "all_or_nothing": false, "items": vec![item; count] })
    };
    let server = &protected.server;
    let asked = |token: &str| {
        let create = json!({ "username": "anna", "password": "correct horse battery" });
        let password = json!({ "password": "correct horse battery" });
        let backup = json!({ "name": "nightly", "scope": "backup" });
        vec![
            ("backup", server.get("/api/backup").bearer(token).send()),
            ("create", server.post("/api/admins").bearer(token).json(&create).send()),
            ("passwd", server.put("/api/admins/anna/password").bearer(token).json(&password).send()),
            ("delete", server.delete("/api/admins/anna").bearer(token).send()),
            ("sessions", server.delete("/api/admins/nobody/sessions").bearer(token).send()),
            ("token", server.post("/api/tokens").bearer(token).json(&backup).send()),
            ("end", server.delete("/api/tokens/1").bearer(token).send()),
            ("batch", server.post("/api/sites/batch").bearer(token).json(&lock(11)).send()),
        ]
    };
    for (what, answer) in asked(&token) {
        assert_ne!(answer.status, 401, "{what}: the login showed a code just now");
    }
    // Ten minutes pass.
    let Protected { server: running, password, app, recovery, .. } = protected;
    let setup = running.stop_for_another_start();
    forget_code(&setup, &id);
    let protected = Protected { server: setup.start(), password, app, recovery, token: token.clone() };
    let server = &protected.server;
    let asked = |token: &str| {
        let create = json!({ "username": "bert", "password": "correct horse battery" });
        vec![
            server.get("/api/backup").bearer(token).send(),
            server.post("/api/admins").bearer(token).json(&create).send(),
            server
                .put("/api/admins/sysadmin/password")
                .bearer(token)
                .json(&json!({ "password": "x".repeat(12) }))
                .send(),
            server.delete("/api/admins/sysadmin").bearer(token).send(),
            server.delete("/api/admins/sysadmin/otp").bearer(token).send(),
            server.delete("/api/admins/sysadmin/sessions").bearer(token).send(),
            server.post("/api/signing-key/rotate").bearer(token).send(),
            server.post("/api/tokens").bearer(token).json(&json!({ "name": "shop", "scope": "read" })).send(),
            server.delete("/api/tokens/1").bearer(token).send(),
            server.post("/api/sites/batch").bearer(token).json(&lock(11)).send(),
            server.post("/api/sites/bulk").bearer(token).json(&bulk(11)).send(),
        ]
    };
    for answer in asked(&token) {
        answer.assert_problem(401);
        let challenge = answer.header("WWW-Authenticate");
        assert!(challenge.starts_with("Bearer ") && challenge.contains("max_age=\"600\""), "{challenge}");
        assert!(challenge.contains("error=\"insufficient_user_authentication\""), "{challenge}");
    }
    // The rest goes on, small batches too, and what changes nothing.
    assert_eq!(server.post("/api/sites/bulk").bearer(&token).json(&bulk(10)).send().json()["status"], 409);
    let mut dry_run = bulk(11);
    dry_run["dry_run"] = json!(true);
    assert_eq!(server.post("/api/sites/bulk").bearer(&token).json(&dry_run).send().json()["status"], 409);
    assert_eq!(server.post("/api/sites/batch").bearer(&token).json(&lock(10)).send().status, 200);
    assert_eq!(server.get("/api/admins").bearer(&token).send().status, 200);
    protected.step_up(&token, &protected.app.wrong_code()).assert_problem(401);
    assert_eq!(server.get("/api/backup").bearer(&token).send().status, 401);
    let stepped = protected.step_up(&token, &protected.app.code(1));
    let token = token_of(&stepped);
    assert_eq!(server.get("/api/backup").bearer(&token).send().status, 200);
    assert_eq!(server.post("/api/sites/batch").bearer(&token).json(&lock(11)).send().status, 200);
    protected.step_up(&token, &protected.app.code(1)).assert_problem(401);
}

#[test]
fn a_token_for_programs_is_asked_for_no_code_and_touches_no_second_factor() {
    let protected = Protected::start();
    let server = &protected.server;
    let token = token_of(&protected.login(Some(&protected.app.code(0))));
    let whole = json!({ "name": "nightly", "scope": "admin" });
    let made = server.post("/api/tokens").bearer(&token).json(&whole).send();
    assert_eq!(made.status, 201, "{}", made.text());
    let program = made.json()["token"].as_str().unwrap().to_owned();
    let me = protected.me(&program).json();
    assert_eq!((&me["token"], &me["scope"]), (&json!("nightly"), &json!("admin")));
    assert_eq!(me["second_factor"], true);
    assert_eq!(
        [&me["session"], &me["means"], &me["second_factor_at"], &me["recovery_codes_left"]],
        [&Value::Null; 4]
    );
    assert_eq!(server.get("/api/backup").bearer(&program).send().status, 200);
    let own = |method: &str, rest: &str| {
        let call = server.call(method, &format!("/api/admins/sysadmin/{rest}")).bearer(&program);
        if method == "POST" {
            call.json(&json!({ "otp": protected.app.code(1) })).send()
        } else {
            call.send()
        }
    };
    let id = protected.me(&token).json()["session"].as_str().unwrap().to_owned();
    for (method, rest) in [
        ("POST", "otp"),
        ("POST", "otp/confirm"),
        ("DELETE", "otp"),
        ("DELETE", "sessions"),
        ("DELETE", &format!("sessions/{id}")),
    ] {
        let answer = own(method, rest);
        answer.assert_problem(403);
        assert!(answer.text().contains("no token for programs"), "{method} {rest}: {}", answer.text());
    }
    server.post("/api/auth/logout").bearer(&program).send().assert_problem(409);
    protected.step_up(&program, &protected.app.code(1)).assert_problem(409);
    assert_eq!(protected.me(&token).json()["second_factor"], true, "and the login is still open");
    let trail = audit(server, &token);
    let actions: Vec<_> = trail.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert!(!actions.contains(&"otp_reset") && !actions.contains(&"otp_disabled"), "{actions:?}");
    let backup = trail.iter().find(|entry| entry["action"] == "backup_taken").unwrap();
    assert_eq!((&backup["actor"], &backup["token"]), (&json!("sysadmin"), &json!("nightly")));
}

/// Makes the session look as if it had never shown a code: the ten minutes
/// that would have to pass.
fn forget_code(setup: &Setup, id: &str) {
    let sessions = TableDefinition::<u128, &[u8]>::new("sessions_v1");
    let database = Database::open(setup.data_dir().join("sitewarden.redb")).unwrap();
    let writing = database.begin_write().unwrap();
    {
        let mut table = writing.open_table(sessions).unwrap();
        let key = 1_u128 << 64 | u128::from(u64::from_str_radix(id, 16).unwrap());
        let row = table.get(key).unwrap().unwrap().value().to_vec();
        // An option of a time at the end: there, in the five bytes of a number.
        let end = row.len() - 6;
        assert_eq!(row[end], 1, "{row:?}");
        let forgotten = [&row[..end], &[0]].concat();
        table.insert(key, forgotten.as_slice()).unwrap();
    }
    writing.commit().unwrap();
}

#[test]
fn twenty_wrong_codes_pause_the_codes_of_the_app_and_are_told_in_the_trail() {
    let protected = Protected::start();
    let server = &protected.server;
    // Without the password nobody gets so far as to have a code looked at.
    for _ in 0..25 {
        let body = json!({ "username": "sysadmin", "password": "not the password", "otp": "000000" });
        assert_eq!(server.post("/api/auth/login").json(&body).send().status, 401);
    }
    let token = token_of(&protected.login(Some(&protected.app.code(0))));
    let wrong = protected.app.wrong_code();
    for _ in 0..20 {
        protected.login(Some(&wrong)).assert_problem(401);
    }
    let refused = protected.login(Some(&protected.app.code(1)));
    refused.assert_problem(401);
    assert_eq!(refused.but_for_its_id(), protected.login(Some(&wrong)).but_for_its_id());
    let admin = server.get("/api/admins/sysadmin").bearer(&token).send().json();
    assert!(admin["codes_paused_until"].is_string(), "{admin}");
    let told: Vec<Value> =
        audit(server, &token).into_iter().filter(|entry| entry["action"] == "otp_paused").collect();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["admin"], &told[0]["ip"]), (&json!("sysadmin"), &json!("127.0.0.1")));
    token_of(&protected.login(Some(&protected.recovery[0])));
}

#[test]
fn a_wrong_code_counts_as_a_failed_login_of_its_address() {
    let protected = Protected::of(Setup::new().config("[limits]\nfailed_logins_per_minute = 3\n").start());
    for _ in 0..3 {
        protected.login(Some(&protected.app.wrong_code())).assert_problem(401);
    }
    let throttled = protected.login(Some(&protected.app.code(0)));
    throttled.assert_problem(429);
    protected.step_up(&protected.token, &protected.app.code(0)).assert_problem(429);
}

#[test]
fn logins_tell_their_means_and_a_logout_ends_the_token_at_once() {
    let protected = Protected::start();
    let server = &protected.server;
    let token = token_of(&protected.login(Some(&protected.app.code(0))));
    let other = token_of(&protected.login(Some(&protected.recovery[0])));
    assert_eq!(server.post("/api/auth/logout").bearer(&token).send().status, 204);
    protected.me(&token).assert_problem(401);
    server.post("/api/auth/logout").bearer(&token).send().assert_problem(401);
    assert_eq!(protected.me(&other).status, 200);
    let told: Vec<(String, String)> = audit(server, &other)
        .iter()
        .map(|entry| {
            let means = entry["changes"][0]["after"].as_str().unwrap_or_default();
            assert_eq!(entry["ip"], "127.0.0.1");
            (entry["action"].as_str().unwrap().to_owned(), means.to_owned())
        })
        .collect();
    let expected = [
        ("logged_out", ""),
        ("login_succeeded", "password+recovery_code"),
        ("login_succeeded", "password+totp"),
        ("otp_enabled", ""),
        ("login_succeeded", "password"),
    ];
    let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    assert_eq!(told, expected);
}

#[test]
fn the_open_logins_of_an_admin_are_listed_and_ended_one_by_one_or_all() {
    let server = Server::start();
    let [first, second, third] = [server.login(), server.login(), server.login()];
    let me = |token: &str| server.get("/api/auth/me").bearer(token).send();
    let sessions = |token: &str| {
        let admin = server.get("/api/admins/SysAdmin").bearer(token).send();
        assert_eq!(admin.status, 200, "{}", admin.text());
        admin.json()["sessions"].as_array().unwrap().clone()
    };
    let open = sessions(&first);
    assert_eq!(open.len(), 3);
    assert_eq!(
        open[0].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["id", "created_at", "expires_at", "ip", "means", "second_factor_at"]
    );
    let id = me(&second).json()["session"].as_str().unwrap().to_owned();
    let end = |id: &str| server.delete(&format!("/api/admins/sysadmin/sessions{id}")).bearer(&first).send();
    end("/0123456789abcdef").assert_problem(404);
    end("/nonsense").assert_problem(404);
    assert_eq!(end(&format!("/{id}")).status, 204);
    assert_eq!((me(&first).status, me(&second).status, me(&third).status), (200, 401, 200));
    assert_eq!(sessions(&first).len(), 2);
    assert_eq!(end("").status, 204);
    assert_eq!((me(&first).status, me(&third).status), (401, 401));
    server.get("/api/admins/nobody").bearer(&server.login()).send().assert_problem(404);
}

#[test]
fn a_login_outlives_a_restart_and_the_oldest_of_too_many_ends() {
    let server = Setup::new().start();
    let tokens: Vec<String> = (0..201).map(|_| server.login()).collect();
    let server = server.restart();
    let me = |token: &str| server.get("/api/auth/me").bearer(token).send().status;
    let open = server.get("/api/admins/sysadmin").bearer(&tokens[200]).send();
    assert_eq!(open.json()["sessions"].as_array().unwrap().len(), 200);
    assert_eq!(tokens.iter().filter(|token| me(token) == 401).count(), 1);
}

#[test]
fn who_has_lost_the_device_gets_back_in_by_one_command_on_the_host_running_or_not() {
    let protected = Protected::of(Server::start());
    let old = protected.password.clone();
    let id = protected.me(&protected.token).json()["session"].as_str().unwrap().to_owned();
    let mut t = Transcript::new("second-factor", protected.server.directory());
    t.run(&["admin", "show", "sysadmin"]);
    t.run_with(&["admin", "passwd", "sysadmin"], "correct horse battery\n", |_| {});
    t.run(&["admin", "otp", "reset", "sysadmin"]);
    t.run(&["admin", "otp", "reset", "sysadmin"]);
    t.run(&["admin", "otp", "reset", "nobody"]);
    assert!(!protected.server.data_dir().join("initial-admin-password").exists());
    let login = |server: &Server, password: &str| server.try_login("sysadmin", password).status;
    assert_eq!(login(&protected.server, "correct horse battery"), 200);
    assert_eq!(login(&protected.server, &old), 401);
    // Once more, with the server down.
    let token = token_of(&protected.server.try_login("sysadmin", "correct horse battery"));
    let server = &protected.server;
    let begun = server.post("/api/admins/sysadmin/otp").bearer(&token).send();
    let body = json!({ "otp": App::with(begun.json()["secret"].as_str().unwrap()).code(0) });
    assert_eq!(server.post("/api/admins/sysadmin/otp/confirm").bearer(&token).json(&body).send().status, 200);
    let setup = protected.server.stop_for_another_start();
    t.run(&["admin", "otp", "reset", "sysadmin"]);
    let server = setup.start();
    assert_eq!(login(&server, "correct horse battery"), 200);
    t.run(&["admin", "show", "sysadmin", "--end-all"]);
    t.run(&["admin", "show", "sysadmin"]);
    t.run(&["audit"]);
    t.check(&[(&id, "<login id 1    >")]);
}

#[test]
fn a_second_factor_is_set_up_and_used_on_the_command_line() {
    let server = Server::start();
    let (url, password) = (server.url().to_owned(), server.password());
    let home = server.directory().to_owned();
    let run = |arguments: &[&str], stdin: &str| {
        let mut t = Transcript::new("", &home);
        let url = ["--url", &url, "--cacert", "data/tls-certificate.pem"];
        t.run_with(&[arguments, &url[..]].concat(), stdin, |command| {
            command.env("HOME", &home);
        });
        t.text().to_owned()
    };
    assert!(run(&["login"], &format!("{password}\n")).ends_with("[exit 0]\n\n"));
    let shown = run(&["admin", "otp", "enroll", "sysadmin"], "");
    assert!(shown.contains("█▀▀▀▀▀█") || shown.contains("▄▄▄▄▄"), "{shown}");
    let secret = shown.split_once("secret: ").unwrap().1.lines().next().unwrap();
    let app = App::with(secret);
    let wrong = run(&["admin", "otp", "confirm", "sysadmin"], &format!("{}\n", app.wrong_code()));
    assert!(wrong.contains("is not the code that the app shows now"), "{wrong}");
    let confirmed = run(&["admin", "otp", "confirm", "sysadmin"], &format!("{}\n", app.code(-1)));
    assert_eq!(confirmed.lines().filter(|line| line.starts_with("  ")).count(), 10, "{confirmed}");
    let refused = run(&["login"], &format!("{password}\n"));
    assert!(refused.contains("a second factor") && refused.ends_with("[exit 1]\n\n"), "{refused}");
    let login = run(&["login"], &format!("{password}\n{}\n", app.code(0)));
    assert!(login.ends_with("[exit 0]\n\n"), "{login}");
    assert!(run(&["logout"], "").contains("logged out at"));
    assert!(run(&["admin", "list"], "").ends_with("[exit 1]\n\n"), "the token is forgotten");
    assert!(run(&["login"], &format!("{password}\n{}\n", app.code(1))).ends_with("[exit 0]\n\n"));
    let off = run(&["admin", "otp", "disable", "sysadmin"], "");
    assert!(off.contains("took off the second factor of sysadmin"), "{off}");
    assert!(run(&["login"], &format!("{password}\n")).ends_with("[exit 0]\n\n"));
}

#[test]
fn a_backup_has_the_second_factor_and_no_open_logins() {
    let protected = Protected::start();
    let backup = protected.server.get("/api/backup").bearer(&protected.token).send();
    assert_eq!(backup.status, 200);
    let file = protected.server.directory().join("copy.redb");
    std::fs::write(&file, &backup.body).unwrap();
    let counts = crate::server::sitewarden(&["check", "--json", file.to_str().unwrap()]).output().unwrap();
    let counts = String::from_utf8(counts.stdout).unwrap();
    let counts: Value = serde_json::from_str(&counts).unwrap();
    assert_eq!(
        (&counts["counts"]["second_factors"], &counts["counts"]["sessions"]),
        (&json!(1), &json!(0)),
        "{counts}"
    );
}
