//! Answers made smaller on the wire, for those who ask for it (RFC 9110,
//! section 12.5.3).
//!
//! Never an answer that holds a secret: what is compressed beside something
//! that an attacker can choose tells by its length what it is (BREACH). So
//! each route is named that may be compressed, and a new one is not until it
//! has been thought about.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use poem::http::HeaderMap;
use poem::http::header::{self, HeaderValue};
use poem::{Body, Response};

/// The routes whose `GET` may be compressed: they tell of sites, admins and
/// changes, and of no key, token or password. Not a single site, which is
/// small, and whose `ETag` is that of a revision and not of bytes.
pub(super) const ROUTES: [&str; 3] = ["/api/sites", "/api/audit", "/api/admins"];

/// Below this many bytes the head is most of the answer.
pub(super) const WORTH_IT: usize = 1024;

/// Whether the client takes gzip, and no less gladly than the bytes as they
/// are. One that says nothing of codings gets none.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for member in values.flat_map(|value| value.split(',')) {
        let (coding, parameters) = member.split_once(';').unwrap_or((member, ""));
        let Some(weight) = weight(parameters) else { continue };
        let place = match coding.trim() {
            coding if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => {
                &mut gzip
            }
            coding if coding.eq_ignore_ascii_case("identity") => &mut identity,
            "*" => &mut any,
            _ => continue,
        };
        *place = Some(weight);
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// A weight in thousandths (RFC 9110, section 12.4.2); `None` when it is none.
fn weight(parameters: &str) -> Option<u16> {
    let parameters = parameters.trim();
    if parameters.is_empty() {
        return Some(1000);
    }
    let (name, value) = parameters.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = format!("{fraction:0<3}").parse().ok().filter(|_| digits)?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// Packs the body of an answer where that is worth it, and says that the
/// answer depends on what was asked for.
pub(super) async fn pack(response: &mut Response, accepted: bool) {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if !accepted {
        return;
    }
    // Whole in memory already, so reading it cannot fail.
    let body = response.take_body().into_bytes().await.unwrap_or_default();
    match packed(&body, Compression::fast()) {
        Some(packed) => {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response.set_body(Body::from(packed));
        }
        None => response.set_body(Body::from(body)),
    }
}

/// The bytes packed; `None` where that is not worth it.
pub(super) fn packed(bytes: &[u8], level: Compression) -> Option<Bytes> {
    if bytes.len() < WORTH_IT {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).ok()?;
    Some(encoder.finish().ok()?.into())
}

/// What `packed` holds; `None` when it is no gzip.
pub(super) fn unpacked(packed: &[u8]) -> Option<Bytes> {
    let mut bytes = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut bytes).ok()?;
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        is_accepted(&headers)
    }

    #[test]
    fn gzip_is_taken_where_it_is_wanted_at_least_as_much_as_nothing() {
        for yes in [
            "gzip",
            "GZip",
            "x-gzip",
            "deflate, gzip;q=1.0, *;q=0.5",
            "gzip;q=0.001",
            "*",
            "br, *;q=0.1",
            "gzip ; q = 0.5",
            "identity;q=0.5, gzip;q=0.5",
            "identity;q=0, gzip",
            "gzip, gzip;q=0.3",
        ] {
            assert!(accepts(&[yes]), "{yes}");
        }
        for no in [
            "",
            "identity",
            "br",
            "gzip;q=0",
            "gzip;q=0.000",
            "*;q=0",
            "gzip;q=0, *",
            "identity, gzip;q=0.9",
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.0001",
            "gzip;q=-1",
            "gzip;q=",
            "gzip;level=9",
            "gzipped",
        ] {
            assert!(!accepts(&[no]), "{no}");
        }
        assert!(!accepts(&[]));
        assert!(accepts(&["br", "gzip"]) && !accepts(&["gzip", "identity", "gzip;q=0.5"]));
    }

    #[test]
    fn what_is_packed_is_the_same_unpacked_and_small_things_are_left() {
        let text = "a site ".repeat(1000);
        let packed = packed(text.as_bytes(), Compression::fast()).unwrap();
        assert!(packed.len() < text.len() / 10);
        assert_eq!(unpacked(&packed).unwrap(), text);
        assert_eq!(super::packed(&[b'x'; WORTH_IT - 1], Compression::fast()), None);
        assert_eq!(unpacked(b"no gzip"), None);
    }
}
