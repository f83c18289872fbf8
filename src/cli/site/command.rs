//! The verbs, and which of them runs.

use clap::Subcommand;

use super::add::Add;
use super::export::Export;
use super::extend::Extend;
use super::history::History;
use super::import::Import;
use super::list::List;
use super::lock::Lock;
use super::remove::Remove;
use super::rotate_key::RotateKey;
use super::show::Show;
use super::tag::{Tag, Untag};
use super::unlock::Unlock;
use super::update::Update;
use super::watch::Watch;
use crate::cli::client::Target;
use crate::cli::screen::Ended;

/// Sites: register them, extend their licences, lock and unlock them.
#[derive(Debug, Subcommand)]
pub(crate) enum Site {
    #[command(visible_alias = "create")]
    Add(Add),
    List(List),
    Show(Show),
    History(History),
    Update(Update),
    Extend(Extend),
    Import(Import),
    Export(Export),
    Lock(Lock),
    Unlock(Unlock),
    Watch(Watch),
    Tag(Tag),
    Untag(Untag),
    RotateKey(RotateKey),
    #[command(visible_alias = "delete")]
    Rm(Remove),
}

impl Site {
    pub(crate) fn run(&self, target: &Target) -> Ended {
        let ended = match self {
            Self::Add(add) => add.run(target),
            Self::List(list) => list.run(target),
            Self::Show(show) => show.run(target),
            Self::History(history) => history.run(target),
            Self::Update(update) => update.run(target),
            Self::Extend(extend) => extend.run(target),
            Self::Import(import) => import.run(target),
            Self::Export(export) => export.run(target),
            Self::Lock(lock) => lock.run(target),
            Self::Unlock(unlock) => unlock.run(target),
            Self::Watch(watch) => watch.run(target),
            Self::Tag(tag) => tag.run(target),
            Self::Untag(untag) => untag.run(target),
            Self::RotateKey(rotate_key) => rotate_key.run(target),
            Self::Rm(remove) => remove.run(target),
        };
        ended.unwrap_or_else(|error| error.tell())
    }
}
