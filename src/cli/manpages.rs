//! `sitewarden manpages`, for the package: a page for each command, and one
//! for the configuration file.

mod commands;
mod sections;
mod settings;

pub(super) use self::commands::run;
