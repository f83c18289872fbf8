//! Files that are part of the program, served as they are or gzipped, with an
//! `ETag` by which a browser need not get them twice.

use std::sync::OnceLock;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use poem::http::{StatusCode, header};
use poem::{Body, Request, Response};

use super::etag::Tags;
use super::gzip;

/// A file, in the forms in which it is asked for.
pub(super) struct File {
    content_type: &'static str,
    cache_control: &'static str,
    /// `None` when it is too small for that.
    gzipped: Option<Bytes>,
    /// Made when somebody asks for it.
    plain: OnceLock<Bytes>,
    /// Of the content: a strong one for each form is made of it.
    tag: String,
}

impl File {
    /// A file of these bytes.
    pub(super) fn new(content_type: &'static str, cache_control: &'static str, plain: &'static [u8]) -> Self {
        Self {
            content_type,
            cache_control,
            gzipped: gzip::packed(plain, Compression::best()),
            plain: OnceLock::from(Bytes::from_static(plain)),
            tag: tag_of(plain),
        }
    }

    /// A file of what these bytes hold packed.
    pub(super) fn of_gzip(
        content_type: &'static str,
        cache_control: &'static str,
        gzipped: &'static [u8],
    ) -> Self {
        Self {
            content_type,
            cache_control,
            gzipped: Some(Bytes::from_static(gzipped)),
            plain: OnceLock::new(),
            tag: tag_of(gzipped),
        }
    }

    /// In the form that the client takes; 304 when it has that already.
    pub(super) fn answer(&self, request: &Request) -> Response {
        let gzipped = self.gzipped.as_ref().filter(|_| gzip::is_accepted(request.headers()));
        let tag = match gzipped {
            Some(_) => format!("{}-gzip", self.tag),
            None => self.tag.clone(),
        };
        let mut response = Response::builder()
            .header(header::CACHE_CONTROL, self.cache_control)
            .header(header::ETAG, format!("\"{tag}\""));
        if self.gzipped.is_some() {
            response = response.header(header::VARY, "Accept-Encoding");
        }
        let conditions = request.headers().get_all(header::IF_NONE_MATCH).iter();
        let mut known = conditions.filter_map(|value| Tags::read(value.to_str().ok()?));
        if known.any(|tags| tags.weakly_match(&tag)) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        response = response.content_type(self.content_type);
        match gzipped {
            Some(gzipped) => {
                response.header(header::CONTENT_ENCODING, "gzip").body(Body::from_bytes(gzipped.clone()))
            }
            None => response.body(Body::from_bytes(self.plain())),
        }
    }

    fn plain(&self) -> Bytes {
        // What is gzipped here was so by our own build.
        let unpack = || self.gzipped.as_deref().and_then(gzip::unpacked).unwrap_or_default();
        self.plain.get_or_init(unpack).clone()
    }
}

fn tag_of(bytes: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, bytes);
    URL_SAFE_NO_PAD.encode(hash.as_ref().first_chunk::<12>().unwrap_or(&[0; 12]))
}
