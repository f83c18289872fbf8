//! How long texts and how great numbers may be, from the constants by which
//! requests are read: the domain's, and those of the API.

use serde_json::{Map, Value, json};

use crate::api::batch::MAX_ITEMS;
use crate::api::bulk::MAX_EXPECTED;
use crate::api::heartbeat::MAX_UPTIME_SECONDS;
use crate::domain::licence::MAX_EXTEND_DAYS;
use crate::domain::site::MAX_OVERLAP_HOURS;
use crate::domain::{
    AppVersion, ContactEmail, Features, GraceDays, LockReason, NewPassword, Notes, OfflineHours, OwnerName,
    SiteName, Tags, TimeZoneName, TokenName, TokenNetworks, Username,
};

/// What a field may hold, the least and the most.
enum Bounds {
    /// Characters of a text.
    Characters(usize, usize),
    /// A whole number.
    Number(Value, Value),
    /// Members of an array.
    Members(usize, usize),
}

use Bounds::{Characters, Members, Number};

/// One letter on each side of the `@`, as a form can tell; the domain asks for
/// more.
const SHORTEST_EMAIL: usize = 3;

const SITE_NAME: Bounds = Characters(SiteName::MIN, SiteName::MAX);
const OWNER_NAME: Bounds = Characters(OwnerName::MIN, OwnerName::MAX);
const EMAIL: Bounds = Characters(SHORTEST_EMAIL, ContactEmail::MAX);
const REASON: Bounds = Characters(LockReason::MIN, LockReason::MAX);
const USERNAME: Bounds = Characters(1, Username::MAX);
const NEW_PASSWORD: Bounds = Characters(NewPassword::MIN_CHARACTERS, NewPassword::MAX_BYTES);

/// The bounds of each field of a request that has any.
fn bounds() -> Vec<(&'static str, &'static str, Bounds)> {
    let extend_days = || Number(json!(1.0), json!(f64::from(MAX_EXTEND_DAYS)));
    let mut bounds = vec![
        ("Batch", "items", Members(1, MAX_ITEMS)),
        ("BatchItem", "name", SITE_NAME),
        ("BatchItem", "owner_name", OWNER_NAME),
        ("BatchItem", "contact_email", EMAIL),
        ("BatchItem", "extend_days", extend_days()),
        ("BatchItem", "reason", REASON),
        ("BatchItem", "tags", Members(1, Tags::MOST)),
        ("Bulk", "name", SITE_NAME),
        ("Bulk", "owner_name", OWNER_NAME),
        ("Bulk", "contact_email", EMAIL),
        ("Bulk", "extend_days", extend_days()),
        ("Bulk", "reason", REASON),
        ("Bulk", "tags", Members(1, Tags::MOST)),
        ("Bulk", "expect", Number(json!(0.0), json!(MAX_EXPECTED))),
        ("Heartbeat", "version", Characters(AppVersion::MIN, AppVersion::MAX)),
        ("Heartbeat", "uptime_seconds", Number(json!(0.0), json!(MAX_UPTIME_SECONDS))),
        ("Lock", "reason", REASON),
        ("Login", "username", USERNAME),
        ("Login", "password", Characters(1, NewPassword::MAX_BYTES)),
        ("NewAdmin", "username", USERNAME),
        ("NewAdmin", "password", NEW_PASSWORD),
        ("NewPassword", "password", NEW_PASSWORD),
        ("NewSite", "name", SITE_NAME),
        ("NewSite", "owner_name", OWNER_NAME),
        ("NewSite", "contact_email", EMAIL),
        ("NewToken", "name", Characters(1, TokenName::MAX)),
        ("NewToken", "networks", Members(0, TokenNetworks::MAX)),
        ("NewToken", "admin", USERNAME),
        ("Rotation", "overlap_hours", Number(json!(0.0), json!(f64::from(MAX_OVERLAP_HOURS)))),
        ("SiteChange", "name", SITE_NAME),
        ("SiteChange", "owner_name", OWNER_NAME),
        ("SiteChange", "contact_email", EMAIL),
        ("SiteChange", "extend_days", extend_days()),
    ];
    for body in ["BatchItem", "NewSite", "SiteChange"] {
        let (days, hours) = (GraceDays::RANGE.into_inner(), OfflineHours::RANGE.into_inner());
        bounds.extend([
            (body, "tags", Members(0, Tags::MOST)),
            (body, "notes", Characters(Notes::MIN, Notes::MAX)),
            (body, "features", Members(0, Features::MOST)),
            (body, "time_zone", Characters(1, TimeZoneName::MAX)),
            (body, "grace_days", Number(json!(f64::from(days.0)), json!(f64::from(days.1)))),
            (body, "offline_hours", Number(json!(f64::from(hours.0)), json!(f64::from(hours.1)))),
        ]);
    }
    bounds
}

/// Writes them into the schemas of the document.
pub(super) fn write_bounds(schemas: &mut Value) {
    for (schema, field, bounds) in bounds() {
        let property = schemas.pointer_mut(&format!("/{schema}/properties/{field}"));
        if let Some(property) = property.and_then(Value::as_object_mut) {
            bounds.write(property);
        }
    }
}

impl Bounds {
    fn write(self, property: &mut Map<String, Value>) {
        let (greatest, least) = match self {
            Characters(least, most) => (("maxLength", json!(most)), ("minLength", json!(least))),
            Members(least, most) => (("maxItems", json!(most)), ("minItems", json!(least))),
            Number(least, most) => (("maximum", most), ("minimum", least)),
        };
        property.insert(greatest.0.to_owned(), greatest.1);
        // Nothing is shorter than nothing.
        if least != ("minLength", json!(0)) && least != ("minItems", json!(0)) {
            property.insert(least.0.to_owned(), least.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::batch::Batch;
    use crate::api::fields::{Fields, Readable};
    use crate::api::login::Login;
    use crate::api::object::Object;
    use crate::api::specification::json as document;
    use crate::domain::{Heartbeat, NewLock, NewSite, SiteChange};

    fn reads<T: Readable>(body: &Value) -> bool {
        let read = Object::read(body.to_string().as_bytes(), T::IGNORES_ALL_BUT);
        read.and_then(Fields::read::<T>).is_ok()
    }

    /// An address of so many characters.
    fn address(characters: usize) -> String {
        let domain = "b".repeat(63) + "." + &"c".repeat(63) + "." + &"d".repeat(63);
        format!("{}@{}", "a".repeat(64), domain.get(..characters - 65).unwrap())
    }

    fn text(field: &str, characters: u64) -> Value {
        let characters = usize::try_from(characters).unwrap();
        json!(if field == "contact_email" { address(characters) } else { "x".repeat(characters) })
    }

    #[test]
    fn each_bound_is_the_one_by_which_requests_are_read() {
        let document: Value = serde_json::from_str(document()).unwrap();
        let new = json!({
            "name": "x", "contact_email": "a@example.com", "license_expires_at": "2030-01-01T00:00:00Z",
        });
        let beat = json!({ "version": "1", "uptime_seconds": 0 });
        type Reader = fn(&Value) -> bool;
        let bodies: [(&str, Value, Reader); 4] = [
            ("NewSite", new, reads::<NewSite>),
            ("SiteChange", json!({}), reads::<SiteChange>),
            ("Lock", json!({ "reason": "x" }), reads::<NewLock>),
            ("Heartbeat", beat, reads::<Heartbeat>),
        ];
        let mut tried = 0;
        for (schema, body, reads) in bodies {
            let properties = &document["components"]["schemas"][schema]["properties"];
            for (field, property) in properties.as_object().unwrap() {
                let mut with = |value: Value, taken: bool| {
                    let mut body = body.clone();
                    body[field] = value;
                    assert_eq!(reads(&body), taken, "{schema}: {body}");
                    tried += 1;
                };
                if let Some(most) = property["maxLength"].as_u64() {
                    with(text(field, most), true);
                    with(text(field, most + 1), false);
                    if let (Some(least), "name" | "reason" | "version") =
                        (property["minLength"].as_u64(), field.as_str())
                    {
                        with(text(field, least), true);
                        with(text(field, least - 1), false);
                    }
                }
                if property["type"] == "integer" {
                    let whole = |bound: &str| property[bound].as_f64().unwrap();
                    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
                    let (least, most) = (whole("minimum") as i64, whole("maximum") as i64);
                    with(json!(least - 1), false);
                    with(json!(least), true);
                    with(json!(most), true);
                    with(json!(most + 1), false);
                }
            }
        }
        assert_eq!(
            tried,
            3 * 2 + 2 + 3 * 2 + 2 + 4 + 4 + 8 + 2 * (2 * 2 + 2 * 4),
            "a field has lost its bounds"
        );
    }

    #[test]
    fn a_login_and_a_batch_are_read_to_their_bounds_and_not_beyond() {
        let document: Value = serde_json::from_str(document()).unwrap();
        let schemas = &document["components"]["schemas"];
        let bound = |place: &str| usize::try_from(schemas.pointer(place).unwrap().as_u64().unwrap()).unwrap();
        for field in ["username", "password"] {
            let least = bound(&format!("/Login/properties/{field}/minLength"));
            let most = bound(&format!("/Login/properties/{field}/maxLength"));
            for (length, taken) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
                let mut login = json!({ "username": "x", "password": "x" });
                login[field] = json!("x".repeat(length));
                assert_eq!(reads::<Login>(&login), taken, "{field} of {length}");
            }
        }
        let least = bound("/Batch/properties/items/minItems");
        let most = bound("/Batch/properties/items/maxItems");
        for (items, taken) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
            assert_eq!(reads::<Batch>(&json!({ "items": vec![0; items] })), taken, "{items} items");
        }
    }

    #[test]
    fn names_and_passwords_of_admins_have_the_bounds_of_the_domain() {
        let name = |characters: usize| "x".repeat(characters).parse::<Username>().is_ok();
        assert!(name(1) && name(Username::MAX) && !name(0) && !name(Username::MAX + 1));
        let password = |characters: usize| "x".repeat(characters).parse::<NewPassword>().is_ok();
        let (least, most) = (NewPassword::MIN_CHARACTERS, NewPassword::MAX_BYTES);
        assert!(password(least) && password(most) && !password(least - 1) && !password(most + 1));
    }
}
