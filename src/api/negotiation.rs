//! Whether a client asks for a lease (RFC 9110, section 12.5.1).

use poem::http::{HeaderMap, header};

use crate::auth::lease_key::MEDIA_TYPE;

/// Whether a lease is preferred to the verdict alone: it is named itself, not
/// by a range, and JSON is not wanted more.
pub(super) fn prefers_lease(headers: &HeaderMap) -> bool {
    let (mut lease, mut json) = (None, Weight::default());
    for value in headers.get_all(header::ACCEPT) {
        // A value that is no text names no type of ours.
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(quality).unwrap_or(1000);
            match name.as_str() {
                MEDIA_TYPE => lease = Some(quality),
                "application/json" => json.note(3, quality),
                "application/*" => json.note(2, quality),
                "*/*" => json.note(1, quality),
                _ => {}
            }
        }
    }
    lease.is_some_and(|quality| quality > 0 && quality >= json.quality)
}

/// The quality of a type by the range that names it most closely.
#[derive(Default)]
struct Weight {
    closeness: u8,
    quality: u16,
}

impl Weight {
    fn note(&mut self, closeness: u8, quality: u16) {
        if closeness >= self.closeness {
            *self = Self { closeness, quality };
        }
    }
}

/// A weight in thousandths; one that cannot be read counts as none given.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim_end().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefers(accept: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, value.parse().unwrap());
        }
        prefers_lease(&headers)
    }

    #[test]
    fn a_lease_goes_to_who_names_it_and_wants_nothing_else_more() {
        let lease = MEDIA_TYPE;
        for yes in [
            lease,
            &lease.to_uppercase(),
            &format!("{lease}, application/json"),
            &format!("application/json;q=0.5, {lease};q=0.6"),
            &format!("{lease};q=0.1"),
            &format!("{lease}; q=0.9, */*;q=0.8"),
            &format!("{lease};q=0.5, application/json;q=0.4, */*"),
            &format!("text/html, {lease}"),
            &format!("{lease};q=two"),
        ] {
            assert!(prefers(&[yes]), "{yes}");
        }
        for no in [
            "",
            "*/*",
            "application/*",
            "application/json",
            "text/html",
            "application/vnd.sitewarden.lease",
            &format!("{lease};q=0"),
            &format!("{lease};q=0.000"),
            &format!("{lease};q=0.5, application/json"),
            &format!("{lease};q=0.5, */*"),
            &format!("{lease};q=0.5, application/*;q=0.6, */*;q=0.1"),
        ] {
            assert!(!prefers(&[no]), "{no}");
        }
        assert!(!prefers(&[]));
        assert!(prefers(&["application/json;q=0.5", lease]), "in two headers");
    }
}
