//! One certificate: account, order, checks, signature.

use std::time::Duration;

use base64::Engine as _;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::advice;
use super::transport::{Demand, Transport};
use crate::config::{Acme, ExternalAccount};
use crate::domain::Timestamp;
use crate::server::challenges::Challenges;
use crate::store::{AcmeAccount, AcmeCertificate, Store, Unavailable};

/// How often the server is asked whether it has come further.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// Why there is no certificate.
#[derive(Debug)]
pub(super) struct Failed {
    /// For the operator: what is in the way, and what to do.
    pub(super) reason: String,
    /// How long the server wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// The server checked the names and was not convinced.
    pub(super) at_check: bool,
    /// The server does not know the account.
    account_unknown: bool,
}

impl Failed {
    /// For this reason.
    pub(super) fn because(reason: String) -> Self {
        Self { reason, retry_after: None, at_check: false, account_unknown: false }
    }
}

impl From<Unavailable> for Failed {
    fn from(error: Unavailable) -> Self {
        Self::because(format!("the database cannot be used: {error}"))
    }
}

/// The suggested window for a renewal, and how long that word stands.
pub(super) type Suggestion = ((Timestamp, Timestamp), Duration);

/// Orders with the configured server.
pub(super) struct Orders<'a> {
    store: &'a Store,
    settings: &'a Acme,
    challenges: &'a Challenges,
    demand: Demand,
}

impl<'a> Orders<'a> {
    /// With the account in `store`; checks are answered through `challenges`.
    pub(super) fn new(store: &'a Store, settings: &'a Acme, challenges: &'a Challenges) -> Self {
        Self { store, settings, challenges, demand: Demand::default() }
    }

    /// When the server suggests to renew the certificate (RFC 9773); `None`
    /// when it does not say such things.
    pub(super) async fn renewal_window(&self, chain: &[Vec<u8>]) -> Result<Option<Suggestion>, Failed> {
        let Some(id) = identifier_of(chain) else { return Ok(None) };
        let account = self.account().await?;
        let (info, again) = match account.renewal_info(&id).await {
            Ok(info) => info,
            Err(Error::Unsupported(_)) => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
        };
        let time = |seconds| Timestamp::from_unix(seconds);
        let window = info.suggested_window;
        let window = time(window.start.unix_timestamp()).zip(time(window.end.unix_timestamp()));
        Ok(window.map(|window| (window, again)))
    }

    /// Orders a certificate. `failed_checks` so far decide which way of being
    /// checked is tried now; `replaces` is the chain that the new one is for.
    pub(super) async fn certificate(
        &self,
        failed_checks: u64,
        replaces: Option<&[Vec<u8>]>,
    ) -> Result<AcmeCertificate, Failed> {
        match self.attempt(failed_checks, replaces).await {
            Err(failed) if failed.account_unknown => {
                tracing::warn!("the ACME server does not know the account any more; a new one is made");
                self.new_account().await?;
                self.attempt(failed_checks, replaces).await
            }
            ordered => ordered,
        }
    }

    async fn attempt(
        &self,
        failed_checks: u64,
        replaces: Option<&[Vec<u8>]>,
    ) -> Result<AcmeCertificate, Failed> {
        let account = self.account().await?;
        let names: Vec<Identifier> = self.settings.domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = self.new_order(&account, &names, replaces).await?;
        let way = self.way(failed_checks);
        if order.state().status == OrderStatus::Pending {
            self.be_checked(&mut order, &way).await?;
        }
        let state = order.poll_ready(&POLL).await;
        match state {
            Ok(OrderStatus::Ready) => {}
            Ok(_) | Err(Error::Api(_)) => return Err(self.failed_check(&mut order, &way, state.err()).await),
            Err(error) => return Err(self.failed(&error)),
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unsigned)?;
        let mut params = CertificateParams::new(self.settings.domains.clone()).map_err(unsigned)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(unsigned)?;
        order.finalize_csr(request.der()).await.map_err(|error| self.failed(&error))?;
        let pem = order.poll_certificate(&POLL).await.map_err(|error| self.failed(&error))?;
        let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .filter_map(Result::ok)
            .map(|certificate| certificate.to_vec())
            .collect();
        Ok(AcmeCertificate {
            directory_url: self.settings.directory_url.clone(),
            chain,
            private_key: key.serialize_der(),
        })
    }

    /// TLS-ALPN-01 on the HTTPS port; HTTP-01 first where there is a plain
    /// listener, and each in turn while checks fail.
    fn way(&self, failed_checks: u64) -> ChallengeType {
        if !self.settings.http_listen.is_empty() && failed_checks.is_multiple_of(2) {
            ChallengeType::Http01
        } else {
            ChallengeType::TlsAlpn01
        }
    }

    async fn new_order(
        &self,
        account: &Account,
        names: &[Identifier],
        replaces: Option<&[Vec<u8>]>,
    ) -> Result<Order, Failed> {
        if let Some(id) = replaces.and_then(identifier_of) {
            // What a server dislikes about a replacement (RFC 9773, section
            // 5: it may have been replaced already) is nothing to fail for.
            match account.new_order(&NewOrder::new(names).replaces(id)).await {
                Ok(order) => return Ok(order),
                Err(error) => {
                    tracing::debug!(%error, "the order is repeated without naming what it replaces")
                }
            }
        }
        account.new_order(&NewOrder::new(names)).await.map_err(|error| self.failed(&error))
    }

    /// Prepares the answers to all checks and asks for them.
    async fn be_checked(&self, order: &mut Order, way: &ChallengeType) -> Result<(), Failed> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.failed(&error))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(way.clone()) else {
                return Err(Failed {
                    at_check: true,
                    ..Failed::because(format!("the ACME server does not offer to check {name} by {way:?}"))
                });
            };
            let answer = challenge.key_authorization();
            match way {
                ChallengeType::Http01 => {
                    self.challenges.answer_over_http(challenge.token.clone(), answer.as_str().to_owned());
                }
                _ => self
                    .challenges
                    .answer_over_tls(&name, answer.digest().as_ref())
                    .map_err(|error| Failed::because(format!("the check cannot be answered: {error}")))?,
            }
            challenge.set_ready().await.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Which check failed, and why.
    async fn failed_check(&self, order: &mut Order, way: &ChallengeType, told: Option<Error>) -> Failed {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.refresh().await.is_err() {
                break;
            }
            let name = authorization.identifier().to_string();
            let found = authorization.challenges.iter().find_map(|challenge| {
                challenge.error.as_ref().map(|problem| advice::on_check(problem, &name, &challenge.r#type))
            });
            if let Some(reason) = found {
                return Failed { at_check: true, retry_after: self.demand.take(), ..Failed::because(reason) };
            }
        }
        match told {
            Some(error) => Failed { at_check: true, ..self.failed(&error) },
            None => Failed {
                at_check: true,
                ..Failed::because(format!(
                    "the ACME server was not convinced by {way:?} and does not say why"
                ))
            },
        }
    }

    /// The kept account, or a new one.
    async fn account(&self) -> Result<Account, Failed> {
        let kept = self.store.acme_account().await?;
        let kept = kept.filter(|account| account.directory_url == self.settings.directory_url);
        let Some(credentials) = kept.and_then(|account| serde_json::from_str(&account.credentials).ok())
        else {
            return self.new_account().await;
        };
        let builder = Account::builder_with_http(Box::new(self.transport()));
        builder.from_credentials(credentials).await.map_err(|error| self.failed(&error))
    }

    async fn new_account(&self) -> Result<Account, Failed> {
        let contact = self.settings.contact.as_ref().map(|address| format!("mailto:{address}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let external = self.settings.external_account.as_ref().map(external_key).transpose()?;
        let builder = Account::builder_with_http(Box::new(self.transport()));
        let directory_url = self.settings.directory_url.clone();
        let (account, credentials) = builder
            .create(&wanted, directory_url.clone(), external.as_ref())
            .await
            .map_err(|error| self.failed(&error))?;
        let credentials = serde_json::to_string(&credentials)
            .map_err(|error| Failed::because(format!("the account cannot be kept: {error}")))?;
        self.store.keep_acme_account(AcmeAccount { directory_url, credentials }).await?;
        tracing::info!(account = account.id(), "an account with the ACME server was made");
        Ok(account)
    }

    fn transport(&self) -> Transport {
        Transport::new(self.settings.ca_file.clone(), self.demand.clone())
    }

    fn failed(&self, error: &Error) -> Failed {
        let account_unknown =
            matches!(error, Error::Api(problem) if advice::kind(problem) == "accountDoesNotExist");
        Failed {
            retry_after: self.demand.take(),
            account_unknown,
            ..Failed::because(advice::on_error(error, self.settings))
        }
    }
}

fn unsigned(error: rcgen::Error) -> Failed {
    Failed::because(format!("the request for a certificate cannot be made: {error}"))
}

/// The name of a certificate in ARI (RFC 9773, section 4.1).
fn identifier_of(chain: &[Vec<u8>]) -> Option<CertificateIdentifier<'static>> {
    let certificate = CertificateDer::from(chain.first()?.as_slice());
    CertificateIdentifier::try_from(&certificate).ok().map(CertificateIdentifier::into_owned)
}

fn external_key(account: &ExternalAccount) -> Result<ExternalAccountKey, Failed> {
    let path = account.hmac_key_file.display();
    let key = hmac_key(account).map_err(|reason| {
        Failed::because(format!(
            "the key of the external account in {path} cannot be used ({reason}): check tls.eab_hmac_key_file"
        ))
    })?;
    Ok(ExternalAccountKey::new(account.kid.clone(), &key))
}

/// The key in the file of an external account.
///
/// # Errors
/// What is wrong with it.
pub(super) fn hmac_key(account: &ExternalAccount) -> Result<Vec<u8>, String> {
    let text = std::fs::read_to_string(&account.hmac_key_file).map_err(|error| error.to_string())?;
    let text = text.trim().trim_end_matches('=');
    let key = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text);
    key.ok().filter(|key| !key.is_empty()).ok_or_else(|| "it holds no key in base64url".to_owned())
}
