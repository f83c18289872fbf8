//! What an ACME server's refusal means, in words for the operator: what is in
//! the way, and what to do.

use instant_acme::{ChallengeType, Error, Problem};

use crate::config::Acme;
use crate::outbound::ClientError;

/// What all problem types begin with (RFC 8555, section 6.7).
const TYPE_PREFIX: &str = "urn:ietf:params:acme:error:";

/// The short name of a problem's type; empty when it has none.
pub(super) fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix(TYPE_PREFIX).unwrap_or(kind)
}

/// What a failed check of `name` means.
pub(super) fn on_check(problem: &Problem, name: &str, way: &ChallengeType) -> String {
    let (port, listen) = match way {
        ChallengeType::Http01 => (80, "the port in tls.http_listen"),
        _ => (443, "the port in listen"),
    };
    let detail = detail(problem);
    match kind(problem) {
        kind if kind == "dns" || (kind == "malformed" && detail.contains("resolve")) => format!(
            "DNS: the ACME server cannot find the address of {name}: make an A or AAAA record that leads to this host ({detail})"
        ),
        "connection" => format!(
            "port: the ACME server cannot connect to {name}: let port {port} through the firewall, and to {listen} of this host ({detail})"
        ),
        "tls" => format!(
            "port: something else than this server answers on port {port} of {name}: let it through to {listen} of this host, with no proxy that ends TLS between ({detail})"
        ),
        "unauthorized" | "incorrectResponse" => format!(
            "DNS or port: another server answered for {name}: make all its A and AAAA records lead to this host, and port {port} to {listen} ({detail})"
        ),
        "caa" => format!(
            "CAA: the DNS of {name} does not permit this certificate authority: add it to the CAA records of the domain, or choose another tls.directory_url ({detail})"
        ),
        _ => on_refusal(problem),
    }
}

/// What a refusal that is not about a check means.
pub(super) fn on_refusal(problem: &Problem) -> String {
    let detail = match problem.subproblems.as_slice() {
        [] => detail(problem).to_owned(),
        subproblems => {
            let all: Vec<String> = subproblems.iter().map(ToString::to_string).collect();
            format!("{}: {}", detail(problem), all.join(", "))
        }
    };
    match kind(problem) {
        "rateLimited" => format!(
            "rate limit: the ACME server wants fewer orders; nothing is to be done but to wait ({detail})"
        ),
        "caa" => format!(
            "CAA: the DNS of the domain does not permit this certificate authority: add it to the CAA records, or choose another tls.directory_url ({detail})"
        ),
        "dns" => format!(
            "DNS: the ACME server cannot look up the domain: make an A or AAAA record that leads to this host ({detail})"
        ),
        "rejectedIdentifier" | "unsupportedIdentifier" => {
            format!("name: the ACME server does not certify a name in tls.domains: correct it ({detail})")
        }
        "externalAccountRequired" => format!(
            "account: the ACME server takes known customers only: set tls.eab_kid and tls.eab_hmac_key_file ({detail})"
        ),
        "invalidContact" | "unsupportedContact" => {
            format!("account: the ACME server does not accept tls.contact: correct it ({detail})")
        }
        "userActionRequired" => {
            format!("account: the ACME server wants its operator's terms to be read and agreed to ({detail})")
        }
        "serverInternal" => format!("the ACME server has trouble of its own ({detail})"),
        "" => format!("the ACME server refused ({detail})"),
        other => format!("the ACME server refused: {other} ({detail})"),
    }
}

/// What an error means that is not about a check.
pub(super) fn on_error(error: &Error, settings: &Acme) -> String {
    let url = &settings.directory_url;
    match error {
        Error::Api(problem) => on_refusal(problem),
        Error::Json(_) => {
            format!(
                "what answers at {url} is no ACME server, or has trouble of its own: check tls.directory_url"
            )
        }
        Error::Timeout(_) => "the ACME server took too long over its check".to_owned(),
        Error::Other(source) => match source.downcast_ref::<ClientError>() {
            Some(ClientError::Unreachable { host, reason }) => format!(
                "the ACME server {host} cannot be reached: let this host's calls to it through, and check its DNS and tls.directory_url ({reason})"
            ),
            Some(ClientError::NotTrusted(reason)) => {
                format!("the certificate of the ACME server is not trusted: check tls.ca_file ({reason})")
            }
            Some(ClientError::Roots { path, reason }) => format!(
                "the certificates to trust cannot be read from {} ({reason}): check tls.ca_file",
                path.display()
            ),
            Some(ClientError::BadUrl(url)) => format!("{url} is not a URL: check tls.directory_url"),
            // No socket is an ACME server.
            Some(ClientError::Stranger { .. }) | None => {
                format!("the ACME server cannot be used: {source}")
            }
        },
        other => format!("the ACME server cannot be used: {other}"),
    }
}

fn detail(problem: &Problem) -> &str {
    problem.detail.as_deref().unwrap_or("it gave no details")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str) -> Problem {
        Problem {
            r#type: Some(format!("{TYPE_PREFIX}{kind}")),
            detail: Some("words of the server".into()),
            status: None,
            subproblems: Vec::new(),
        }
    }

    #[test]
    fn the_words_name_what_is_in_the_way_and_what_to_do() {
        let on_check =
            |kind: &str, way: &ChallengeType| on_check(&problem(kind), "licences.example.com", way);
        let tls = &ChallengeType::TlsAlpn01;
        assert!(on_check("dns", tls).starts_with("DNS: "), "{}", on_check("dns", tls));
        assert!(on_check("connection", tls).contains("port 443"));
        assert!(on_check("connection", &ChallengeType::Http01).contains("port 80"));
        assert!(on_check("caa", tls).starts_with("CAA: "));
        assert!(on_check("rateLimited", tls).starts_with("rate limit: "));
        assert!(on_refusal(&problem("rateLimited")).starts_with("rate limit: "));
        assert!(on_refusal(&problem("externalAccountRequired")).contains("tls.eab_kid"));
        for kind in ["dns", "connection", "tls", "unauthorized", "caa", "somethingNew"] {
            assert!(on_check(kind, tls).contains("words of the server"), "{kind}");
        }
    }
}
