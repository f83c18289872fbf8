//! Writes the database files of the tests into a directory:
//!
//!     cargo run --example test-data -- DIRECTORY
//!
//! What is committed as `v1.redb` was written by version 0.1.0, and what as
//! `v2.redb` by the first build of schema 2. They stay as they are: files like
//! them are in the field. A version that writes another schema gets a recipe
//! and a file of its own beside them. `newer.redb` may be made again at any
//! time.

#[expect(clippy::unwrap_used, dead_code, reason = "a recipe that fails is to say so, in the tests as well")]
mod recipe;

use std::path::PathBuf;

#[expect(clippy::expect_used, reason = "a tool for whoever works on sitewarden")]
#[tokio::main]
async fn main() {
    let directory = PathBuf::from(std::env::args_os().nth(1).expect("name a directory to write into"));
    let v2 = directory.join("v2.redb");
    recipe::v2(&v2).await;
    let newer = directory.join("newer.redb");
    std::fs::copy(&v2, &newer).expect("copy the v2 file");
    recipe::newer(&newer);
}
