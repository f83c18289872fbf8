//! What spreadsheets make of a file of sites, and what an import makes of that.

use super::session;
use crate::server::Server;

#[test]
fn what_spreadsheets_write_is_read_and_what_cannot_be_is_told() {
    let server = Server::start();
    let directory = server.directory().to_owned();
    let mut t = session("spreadsheets", &server);
    let excel =
        "\u{feff}Name;Contact Email;LICENSE EXPIRES AT\r\nCafé Größe;a@example.com;2099-12-31T00:00:00Z\r\n";
    let latin: Vec<u8> = excel.chars().skip(1).map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let utf_16: Vec<u8> = excel.replace(';', "\t").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let unknown =
        "contact_email,phone,license_expires_at,name,VAT no.\na@example.com,1,2099-12-31T00:00:00Z,A,2\n";
    let days = "name,contact_email,license_expires_at\nA,a@example.com,31/12/2099\nB,b@example.com,30.2.2099\n\
                C,c@example.com,2020-12-31T00:00:00Z\n";
    for (name, bytes) in [
        ("excel.csv", excel.as_bytes().to_vec()),
        ("latin.csv", latin),
        ("unicode.txt", utf_16),
        ("sep.csv", [b"sep=;\r\n", excel.trim_start_matches('\u{feff}').as_bytes()].concat()),
        ("torn.csv", [excel.as_bytes(), b"\xc3;b@example.com;2099-12-31T00:00:00Z\r\n"].concat()),
        ("unknown.csv", unknown.as_bytes().to_vec()),
        ("days.csv", days.as_bytes().to_vec()),
        ("twice.csv", b"name,contact_email,license_expires_at,License Expires At\n".to_vec()),
    ] {
        std::fs::write(directory.join(name), bytes).unwrap();
        t.run(&["site", "import", name]);
    }
    t.run(&["site", "import", "unknown.csv", "--ignore-unknown", "--dry-run"]);
    t.run(&["site", "import", "unknown.csv", "--apply", "--dry-run"]);
    t.run(&["site", "import", "latin.csv", "--apply"]);
    t.run(&["site", "list"]);
    t.check(&[]);
}
