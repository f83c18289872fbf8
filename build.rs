//! Takes Swagger UI's files out of the archive that its crate carries, as
//! gzip files (RFC 1952) for the program to hold and to serve as they are.
//! The archive has them deflated already, so nothing is packed or unpacked
//! here: each gets gzip's head and tail in place of the archive's.

use std::error::Error;
use std::io::{Cursor, Read};
use std::path::PathBuf;

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::{CompressionMethod, ZipArchive};

/// The files that the page of `/docs` loads.
const FILES: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];
/// Magic number, method deflate, no flags, no time, unknown system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for file in FILES {
        let wanted = format!("/dist/{file}");
        let name =
            archive.file_names().flatten().find(|name| name.ends_with(&wanted)).map(|name| name.into_owned());
        let name = name.ok_or_else(|| format!("{file} is not in the archive"))?;
        let index = archive.index_for_name(&name).ok_or("a name without a file")?;
        let mut entry = archive.by_index_raw(index)?;
        if entry.compression() != CompressionMethod::DEFLATE {
            return Err(format!("{file} is not deflated").into());
        }
        let mut gzip = GZIP_HEAD.to_vec();
        entry.read_to_end(&mut gzip)?;
        gzip.extend(entry.crc32().to_le_bytes());
        gzip.extend(u32::try_from(entry.size())?.to_le_bytes());
        std::fs::write(out.join(format!("{file}.gz")), gzip)?;
    }
    Ok(())
}
