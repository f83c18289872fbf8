//! Examples of what is answered.

use serde_json::{Value, json};

use crate::api::example::{example_day, example_expiry};

/// What records look like in answers.
pub(super) fn examples() -> Vec<(&'static str, Value)> {
    let expires = example_expiry().to_string();
    let site = json!({
        "id": 1,
        "site_id": "6f1d2c0e-93b4-4c55-8a37-2f0e9d1b7c48",
        "name": "Trattoria Da Mario",
        "owner_name": "Mario Rossi",
        "contact_email": "mario@example.com",
        "is_active": true,
        "is_locked": false,
        "lock_reason": null,
        "license_expires_at": expires,
        "license_expires_on": example_day().map(|day| day.to_string()),
        "created_at": "2026-03-02T09:15:00Z",
        "last_seen_at": "2026-03-09T06:02:11Z",
        "last_seen_ip": "203.0.113.7",
        "last_version": "2.4.1",
        "last_uptime_seconds": 86_400,
        "last_key_used": "newest",
        "old_key_valid_until": null,
        "tags": ["rome", "vip"],
        "notes": "",
        "features": ["orders"],
        "time_zone": null,
        "grace_days": 14,
        "offline_hours": null,
        "locked_at": null,
        "lock_until": null,
        "scheduled_lock": null,
        "delivery": {
            "state": "acknowledged",
            "revision": 3,
            "changed_at": "2026-03-08T16:20:00Z",
            "answered_at": "2026-03-08T18:02:09Z",
            "acknowledged_at": "2026-03-09T00:02:10Z",
        },
        "licensed": true,
        "grace_ends_at": "2031-01-14T00:00:00Z",
        "status": "online",
    });
    let secret_key = "swk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
    let mut registered = site.clone();
    if let Some(registered) = registered.as_object_mut() {
        for not_yet in
            ["last_seen_at", "last_seen_ip", "last_version", "last_uptime_seconds", "last_key_used"]
        {
            registered.insert(not_yet.to_owned(), Value::Null);
        }
        let delivery = json!({
            "state": "pending",
            "revision": 1,
            "changed_at": "2026-03-02T09:15:00Z",
            "answered_at": null,
            "acknowledged_at": null,
        });
        registered.insert("delivery".to_owned(), delivery);
        registered.insert("status".to_owned(), json!("never_seen"));
        registered.insert("secret_key".to_owned(), json!(secret_key));
    }
    let admin = json!({
        "id": 1, "username": "sysadmin", "role": "sysadmin", "created_at": "2026-03-02T09:00:00Z",
    });
    let mut me = admin.clone();
    if let (Some(me), Value::Object(login)) = (
        me.as_object_mut(),
        json!({
            "scope": "admin",
            "token": null,
            "expires_at": "2026-03-09T09:30:00Z",
            "session": "5b1f0c2a9d3e4f60",
            "means": "password+totp",
            "second_factor": true,
            "second_factor_at": "2026-03-09T09:15:00Z",
            "recovery_codes_left": 10,
        }),
    ) {
        me.extend(login);
    }
    let token = json!({
        "id": 1,
        "name": "nightly backup",
        "admin": "sysadmin",
        "scope": "backup",
        "created_at": "2026-03-02T09:20:00Z",
        "expires_at": "2026-05-31T09:20:00Z",
        "networks": ["198.51.100.0/24"],
        "last_used_on": "2026-03-09",
    });
    let mut created = token.clone();
    if let Some(created) = created.as_object_mut() {
        created.insert("last_used_on".to_owned(), Value::Null);
        created.insert("token".to_owned(), json!("swt_000000000000000000000000000000003bl6mJ"));
    }
    vec![
        ("Site", site),
        ("RegisteredSite", registered),
        ("RotatedKey", json!({ "secret_key": secret_key, "old_key_valid_until": "2026-03-10T09:15:00Z" })),
        (
            "AccessToken",
            json!({
                "access_token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.…",
                "token_type": "Bearer",
                "expires_in": 900,
                "expires_at": "2026-03-09T09:30:00Z",
            }),
        ),
        ("Me", me),
        ("Token", token),
        ("CreatedToken", created),
        ("Admin", admin),
        (
            "SiteDay",
            json!({
                "date": "2026-03-09",
                "heartbeats": 4,
                "first_at": "2026-03-09T00:02:10Z",
                "last_at": "2026-03-09T18:02:12Z",
                "addresses": ["203.0.113.7"],
                "more_addresses": 0,
                "versions": ["2.4.0", "2.4.1"],
                "more_versions": 0,
            }),
        ),
        (
            "AuditEntry",
            json!({
                "id": 42,
                "at": "2026-03-09T09:15:00Z",
                "actor": "sysadmin",
                "actor_kind": "admin",
                "token": null,
                "ip": "198.51.100.20",
                "action": "site_locked",
                "site_id": "6f1d2c0e-93b4-4c55-8a37-2f0e9d1b7c48",
                "site_name": "Trattoria Da Mario",
                "admin": null,
                "changes": [
                    { "field": "lock_reason", "before": null, "after": "Payment overdue since March" },
                ],
            }),
        ),
    ]
}
