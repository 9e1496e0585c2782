//! The account at the ACME server: made once, then kept.

use std::path::Path;

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use instant_acme::{Account, AccountBuilder, AccountCredentials, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{client::Client, disk, error::AcmeError};
use crate::config::settings;

/// The account as it is kept.
#[derive(Deserialize, Serialize)]
struct Saved {
    contact: Vec<String>,
    /// [`AccountCredentials`], which holds the private key.
    credentials: serde_json::Value,
}

/// Opens the account that is kept at `path`, or makes one and keeps it there.
pub(super) async fn open(acme: &settings::Acme, path: &Path) -> Result<Account, AcmeError> {
    let client = Client::open(acme.ca_file.as_deref()).await?;
    let builder = Account::builder_with_http(Box::new(client));
    let Some(mut saved) = read(path).await? else {
        return make(acme, path, builder).await;
    };
    let credentials = AccountCredentials::deserialize(&saved.credentials);
    let credentials = credentials.map_err(|_| damaged(path))?;
    let account = builder.from_credentials(credentials).await?;
    if saved.contact != acme.contact {
        account.update_contacts(&contact(acme)).await?;
        saved.contact.clone_from(&acme.contact);
        write(path, &saved).await?;
    }
    Ok(account)
}

/// Removes the account that is kept at `path`, if it is still this one.
pub(super) async fn forget(path: &Path, id: &str) -> Result<(), AcmeError> {
    let saved = read(path).await?;
    if saved.is_none_or(|saved| saved.credentials["id"] != id) {
        return Ok(());
    }
    disk::remove(path).await.map_err(|source| AcmeError::Write {
        path: path.to_owned(),
        source,
    })
}

async fn make(
    acme: &settings::Acme,
    path: &Path,
    builder: AccountBuilder,
) -> Result<Account, AcmeError> {
    let external = match &acme.external_account {
        Some(external) => Some(external_key(external).await?),
        None => None,
    };
    let new = NewAccount {
        contact: &contact(acme),
        // Settings without it are refused.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let directory = acme.directory.to_string();
    let (account, credentials) = builder.create(&new, directory, external.as_ref()).await?;
    let saved = Saved {
        contact: acme.contact.clone(),
        credentials: serde_json::to_value(credentials).expect("credentials are plain JSON"),
    };
    write(path, &saved).await?;
    let kept = path.display();
    info!(directory = %acme.directory, %kept, "an account was made at the ACME server");
    Ok(account)
}

fn contact(acme: &settings::Acme) -> Vec<&str> {
    acme.contact.iter().map(String::as_str).collect()
}

async fn external_key(
    external: &settings::ExternalAccount,
) -> Result<ExternalAccountKey, AcmeError> {
    let path = &external.key_file;
    let text = disk::read_required(path).await?;
    match BASE64URL.decode(text.trim_ascii()) {
        Ok(key) if !key.is_empty() => Ok(ExternalAccountKey::new(external.key_id.clone(), &key)),
        Ok(_) | Err(_) => Err(AcmeError::ExternalKey { path: path.clone() }),
    }
}

async fn read(path: &Path) -> Result<Option<Saved>, AcmeError> {
    let text = disk::read(path).await.map_err(|source| AcmeError::Read {
        path: path.to_owned(),
        source,
    })?;
    // What is wrong with it may show a part of the key.
    text.map(|text| serde_json::from_slice(&text).map_err(|_| damaged(path)))
        .transpose()
}

fn damaged(path: &Path) -> AcmeError {
    AcmeError::Account {
        path: path.to_owned(),
    }
}

async fn write(path: &Path, saved: &Saved) -> Result<(), AcmeError> {
    let text = serde_json::to_vec_pretty(saved).expect("it is plain JSON");
    let written = disk::write(path, text).await;
    written.map_err(|source| AcmeError::Write {
        path: path.to_owned(),
        source,
    })
}

/// CAs give the key with padding or without.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
