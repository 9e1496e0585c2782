//! Where the certificates of the listeners come from: files, or an ACME server.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use url::{Host, Url};

use super::{
    ConfigError, file,
    place::Place,
    settings::{Acme, Address, Challenge, ExternalAccount, Mirror, Tls},
};

/// Reads `[serve.tls]` or `[serve.acme]`; neither means plain HTTP.
pub(super) fn understand_tls(
    at: &Place,
    serve: &file::Serve,
    state_dir: Option<&Path>,
    mirrors: &[Mirror],
) -> Result<Option<Tls>, ConfigError> {
    match (&serve.tls, &serve.acme) {
        (Some(_), Some(_)) => Err(ConfigError::Together(format!(
            "{} stands beside {}: the certificate comes from files or from an ACME server, choose \
             one",
            at.key("acme"),
            at.key("tls")
        ))),
        (files, None) => Ok(at.key_pair("tls", files.as_ref())?.map(Tls::Files)),
        (None, Some(acme)) => {
            let at = Place::new(&at.key("acme"));
            let acme = understand(&at, acme, state_dir, mirrors)?;
            Ok(Some(Tls::Acme(Box::new(acme))))
        }
    }
}

fn understand(
    at: &Place,
    acme: &file::Acme,
    state_dir: Option<&Path>,
    mirrors: &[Mirror],
) -> Result<Acme, ConfigError> {
    require_agreement(at, acme.terms_of_service_agreed)?;
    let state_dir = state_dir.ok_or_else(|| Place::missing_at("state-dir", STATE_HINT))?;
    let contact = acme.contact.iter().flatten();
    Ok(Acme {
        directory: understand_directory(at, acme.directory.as_deref())?,
        ca_file: acme.ca_file.as_ref().map(PathBuf::from),
        contact: contact
            .map(|text| understand_contact(at, text))
            .collect::<Result<_, _>>()?,
        challenge: understand_challenge(at, acme)?,
        external_account: understand_external_account(at, acme.external_account.as_ref())?,
        domains: understand_domains(at, acme.domains.as_deref(), mirrors)?,
        keep_in: state_dir.join("acme"),
    })
}

fn require_agreement(at: &Place, agreed: Option<bool>) -> Result<(), ConfigError> {
    let name = "terms-of-service-agreed";
    match agreed {
        Some(true) => Ok(()),
        Some(false) => Err(at.invalid(name, "false", &TERMS_HINT)),
        None => Err(at.missing(name, TERMS_HINT)),
    }
}

fn understand_directory(at: &Place, text: Option<&str>) -> Result<Url, ConfigError> {
    let text = text.unwrap_or(LETS_ENCRYPT);
    let url = Url::parse(text).map_err(|error| at.invalid("directory", text, &error))?;
    if !url.username().is_empty() || url.password().is_some() {
        let why = "an ACME account has a key, no password";
        return Err(at.invalid("directory", "…", &why));
    }
    if url.scheme() != "https" {
        // RFC 8555 section 6.1.
        return Err(at.invalid("directory", text, &"an ACME server is reached by https"));
    }
    Ok(url)
}

fn understand_contact(at: &Place, text: &str) -> Result<String, ConfigError> {
    let why = "a contact is a URL, written mailto:ops@example.com";
    match Url::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(at.invalid("contact", text, &why)),
    }
}

fn understand_challenge(at: &Place, acme: &file::Acme) -> Result<Challenge, ConfigError> {
    match (acme.challenge.unwrap_or_default(), &acme.http_listen) {
        (file::Challenge::TlsAlpn01, None) => Ok(Challenge::TlsAlpn01),
        (file::Challenge::TlsAlpn01, Some(_)) => Err(ConfigError::Together(format!(
            "{} is for challenge = \"http-01\"; \"tls-alpn-01\" is answered on serve.listen",
            at.key("http-listen")
        ))),
        (file::Challenge::Http01, Some(listen)) if !listen.is_empty() => {
            let address = |text: &String| {
                Address::from_str(text).map_err(|why| at.invalid("http-listen", text, &why))
            };
            let listen = listen.iter().map(address).collect::<Result<_, _>>()?;
            Ok(Challenge::Http01 { listen })
        }
        (file::Challenge::Http01, _) => Err(at.missing(
            "http-listen",
            "challenge = \"http-01\" is answered on port 80: [\"[::]:80\"]",
        )),
    }
}

fn understand_external_account(
    at: &Place,
    account: Option<&file::ExternalAccount>,
) -> Result<Option<ExternalAccount>, ConfigError> {
    let Some(account) = account else {
        return Ok(None);
    };
    let at = Place::new(&at.key("external-account"));
    let hint = "the CA gives you a key and its name; keep the key in a file";
    let (Some(key_id), Some(key_file)) = (&account.key_id, &account.key_file) else {
        let name = if account.key_id.is_none() {
            "key-id"
        } else {
            "key-file"
        };
        return Err(at.missing(name, hint));
    };
    Ok(Some(ExternalAccount {
        key_id: key_id.clone(),
        key_file: PathBuf::from(key_file),
    }))
}

/// The DNS names that are listed, or else those of the issuers; each once.
fn understand_domains(
    at: &Place,
    listed: Option<&[String]>,
    mirrors: &[Mirror],
) -> Result<Vec<String>, ConfigError> {
    let issuers = || {
        mirrors
            .iter()
            .map(|it| it.issuer.host().to_owned())
            .collect()
    };
    let texts = listed.map_or_else(issuers, <[String]>::to_vec);
    if texts.is_empty() {
        return Err(at.missing("domains", "at least one; left out, those of the issuers"));
    }
    let mut seen = BTreeSet::new();
    let mut domains = Vec::new();
    for text in texts {
        let domain = text.to_ascii_lowercase();
        match Host::parse(&domain) {
            Ok(Host::Domain(host)) if host == domain && !domain.contains('*') => {}
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) => {
                let why = "a certificate is had for DNS names only; use files for an IP address";
                return Err(at.invalid("domains", &text, &why));
            }
            Ok(Host::Domain(_)) | Err(_) => {
                let why = "a DNS name is written oidc.example.com, without *";
                return Err(at.invalid("domains", &text, &why));
            }
        }
        if seen.insert(domain.clone()) {
            domains.push(domain);
        }
    }
    Ok(domains)
}

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const STATE_HINT: &str =
    "serve.acme keeps its account and certificates there: --state-dir /var/lib/oidc-mirror";
const TERMS_HINT: &str = "read the CA's terms of service, named in its directory (Let's Encrypt: \
                          https://letsencrypt.org/repository/), and set it to true when you agree";
