//! The records of the audit trail, and of the failed logins beside it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::bytes::{DecodeError, time};
use crate::domain::{Action, Actor, ActorKind, AuditEntry, FieldChange, SiteId, Timestamp};

/// An entry of the audit trail. The number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct AuditRow {
    pub(super) at: i64,
    pub(super) actor_kind: String,
    pub(super) actor_name: String,
    pub(super) ip: Option<IpAddr>,
    pub(super) action: String,
    pub(super) site_id: Option<u128>,
    pub(super) admin: Option<String>,
    pub(super) changes: Vec<(String, Option<String>, Option<String>)>,
}

impl AuditRow {
    /// Whether it tells of something that changed nothing.
    pub(in crate::store) fn is_in_passing(&self) -> bool {
        Action::named(&self.action).is_some_and(Action::is_in_passing)
    }

    /// When it happened.
    pub(in crate::store) fn at(&self) -> Result<Timestamp, DecodeError> {
        time("at", self.at)
    }

    pub(in crate::store) fn from_entry(entry: &AuditEntry) -> Self {
        let changes = entry.changes.iter();
        Self {
            at: entry.at.unix(),
            actor_kind: entry.actor.kind.as_str().to_owned(),
            actor_name: entry.actor.name.clone(),
            ip: entry.actor.ip,
            action: entry.action.as_str().to_owned(),
            site_id: entry.site_id.map(SiteId::as_u128),
            admin: entry.admin.clone(),
            changes: changes.map(|c| (c.field.clone(), c.before.clone(), c.after.clone())).collect(),
        }
    }

    pub(in crate::store) fn into_entry(self, id: u64) -> Result<AuditEntry, DecodeError> {
        // As version 0.1.0 kept failed logins here.
        let kind = match self.actor_kind.as_str() {
            "unproven" => Some(ActorKind::Stranger),
            name => ActorKind::named(name),
        };
        let changes = self.changes.into_iter();
        Ok(AuditEntry {
            id,
            at: time("at", self.at)?,
            actor: Actor {
                kind: kind.ok_or(DecodeError::Field("actor_kind"))?,
                name: self.actor_name,
                ip: self.ip,
            },
            action: Action::named(&self.action).ok_or(DecodeError::Field("action"))?,
            site_id: self.site_id.map(SiteId::from_u128),
            admin: self.admin,
            changes: changes.map(|(field, before, after)| FieldChange { field, before, after }).collect(),
        })
    }
}

/// A failed login. The number is the key of its table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::store) struct StrangerRow {
    pub(in crate::store) at: i64,
    pub(in crate::store) ip: Option<IpAddr>,
    pub(in crate::store) admin: Option<String>,
}

impl StrangerRow {
    /// When it happened.
    pub(in crate::store) fn at(&self) -> Result<Timestamp, DecodeError> {
        time("at", self.at)
    }

    pub(in crate::store) fn into_entry(self, id: u64) -> Result<AuditEntry, DecodeError> {
        Ok(AuditEntry {
            id,
            at: time("at", self.at)?,
            actor: Actor {
                kind: ActorKind::Stranger,
                name: self.admin.clone().unwrap_or_default(),
                ip: self.ip,
            },
            action: Action::LoginFailed,
            site_id: None,
            admin: self.admin,
            changes: Vec::new(),
        })
    }
}
