//! Writes the database files of the tests into a directory:
//!
//!     cargo run --example test-data -- DIRECTORY
//!
//! What is committed as `v1.redb` was written by version 0.1.0, and stays as
//! it is: files like it are in the field. A version that writes another schema
//! gets a recipe and a file of its own beside it. `newer.redb` may be made
//! again at any time.

#[expect(clippy::unwrap_used, reason = "a recipe that fails is to say so, in the tests as well")]
mod recipe;

use std::path::PathBuf;

#[expect(clippy::expect_used, reason = "a tool for whoever works on sitewarden")]
#[tokio::main]
async fn main() {
    let directory = PathBuf::from(std::env::args_os().nth(1).expect("name a directory to write into"));
    let v1 = directory.join("v1.redb");
    recipe::v1(&v1).await;
    let newer = directory.join("newer.redb");
    std::fs::copy(&v1, &newer).expect("copy the v1 file");
    recipe::newer(&newer);
}
