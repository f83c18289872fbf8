//! A QR code as a picture that needs no other file.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

/// Modules of white around the code (ISO/IEC 18004, section 6.3.8).
const QUIET: i32 = 4;

/// The text as a QR code in SVG; `None` where it is too long for one.
pub(super) fn svg(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size() + 2 * QUIET;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            // To a String it cannot fail.
            let _ = write!(path, "M{},{}h1v1h-1z", x + QUIET, y + QUIET);
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0,0h{size}v{size}h-{size}z\"/><path d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_square_of_black_on_white() {
        let picture = svg("otpauth://totp/x").unwrap();
        assert!(
            picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 33 33\""),
            "{picture}"
        );
        // The three corners that every QR code has.
        for corner in ["M4,4h1v1h-1z", "M28,4h1v1h-1z", "M4,28h1v1h-1z"] {
            assert!(picture.contains(corner), "{corner}");
        }
        assert_eq!(svg(&"x".repeat(10_000)), None);
    }
}
