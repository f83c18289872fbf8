//! All operations as one service, with the words that the specification begins
//! with.

use poem_openapi::{ExtraHeader, OpenApi, OpenApiService};

use super::admins::AdminsApi;
use super::audit::AuditApi;
use super::auth::AuthApi;
use super::backup::BackupApi;
use super::batch::BatchApi;
use super::bulk::BulkApi;
use super::health::HealthApi;
use super::heartbeat::HeartbeatApi;
use super::lease_keys::LeaseKeysApi;
use super::second_factor::SecondFactorApi;
use super::session::SessionApi;
use super::signing_key::SigningKeyApi;
use super::sites::SitesApi;
use super::statistics::StatisticsApi;
use super::tls::TlsApi;
use super::tokens::TokensApi;
use super::watch::WatchApi;

const INTRODUCTION: &str = "\
The licence server for software that runs at many sites.

**The first five minutes**

1. Press **Authorize**, enter the name and password of an admin in the *password* form (leave `client_id` and \
`client_secret` empty) and press **Authorize** there.
2. Under **Sites**, open `POST /api/sites`, press **Try it out**, fill in the site and press **Execute**. Note \
`site_id` and `secret_key` from the answer: the key is shown this once.
3. Under **Heartbeat**, open `POST /api/heartbeat`, enter both as `X-Site-ID` and `X-Site-Key` and execute: this is \
what the site's local backend does every 6 hours.
4. Lock the site with `POST /api/sites/{site_id}/lock`, with a reason in the place of the placeholder, and send the \
heartbeat again: the answer says so, with your reason. `POST /api/sites/{site_id}/unlock` takes it back.

**Every day**

- Who has gone silent: `GET /api/sites` with `status` `silent`.
- Another year: `PUT /api/sites/{site_id}` with `{\"extend_days\": 365}`.
- A new key without downtime: `POST /api/sites/{site_id}/rotate-key` with an overlap; when the site shows \
`last_key_used` `newest`, its local backend has it.
- Who changed what: `GET /api/audit`.
- A token for a program, which may do its job and no more: `POST /api/tokens`.

A login lasts 15 minutes unless configured otherwise. When answers turn to 401, press **Authorize**, **Logout**, and \
log in again.

Times are RFC 3339 in UTC with whole seconds; any offset is accepted. Errors are problem details (RFC 9457) with the \
`request_id` that the server's log has too. Every path is answered with and without a trailing slash.";

/// The type of the groups given, and their values: tuples, as poem-openapi
/// takes them. One has at most 16 members, which may be tuples of groups.
macro_rules! groups {
    ($($group:tt,)*) => {
        /// The groups of operations, in the order of the specification.
        pub(super) type Groups = ($($group,)*);

        fn groups() -> Groups {
            ($($group,)*)
        }
    };
}

groups! {
    AuthApi,
    SessionApi,
    (SitesApi, WatchApi, BatchApi, BulkApi, StatisticsApi),
    HeartbeatApi,
    LeaseKeysApi,
    AdminsApi,
    SecondFactorApi,
    TokensApi,
    AuditApi,
    BackupApi,
    TlsApi,
    SigningKeyApi,
    HealthApi,
}

/// All operations.
pub(super) fn service() -> OpenApiService<Groups, ()> {
    describe(OpenApiService::new(groups(), "sitewarden", env!("CARGO_PKG_VERSION")))
}

/// Gives the specification its words.
fn describe<A: OpenApi>(service: OpenApiService<A, ()>) -> OpenApiService<A, ()> {
    service.description(INTRODUCTION).extra_response_header::<String, _>(
        ExtraHeader::new("X-Request-Id").description("Id of this request, as in the server's log."),
    )
}
