//! Parses the command line and hands over.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    sitewarden::cli::Arguments::parse().run()
}
