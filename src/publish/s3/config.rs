//! How the SDK is set up: credentials, region, trust, deadlines.

use std::{path::Path, time::Duration};

use aws_config::{
    BehaviorVersion, Region, SdkConfig,
    environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain,
    profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider},
    provider_config::ProviderConfig,
};
use aws_sdk_s3::config::{
    RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
    SharedHttpClient, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{config::settings::S3Target, publish::PublishError};

/// What does not depend on the endpoint. Credential services have public certificates, so the
/// endpoint's `ca-file` is not for them.
pub(super) async fn shared_config(
    target: &S3Target,
    credentials: Option<SharedCredentialsProvider>,
) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_BACKOFF);
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http_client(TrustStore::default()))
        .timeout_config(timeouts)
        .retry_config(retries)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(region) = &target.region {
        loader = loader.region(Region::new(region.clone()));
    } else if target.endpoint.is_some() {
        // Compatible stores stand where there is no instance metadata to ask.
        loader = loader.region(
            RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
                .or_else(profile_region(target.profile.as_deref()))
                .or_else(Region::from_static(REGION_OF_STORES)),
        );
    }
    if let Some(profile) = &target.profile {
        // Without this the environment's credentials would come before those of the profile.
        let config = ProviderConfig::without_region()
            .with_region(target.region.clone().map(Region::new))
            .with_http_client(http_client(TrustStore::default()));
        let credentials = ProfileFileCredentialsProvider::builder()
            .configure(&config)
            .profile_name(profile)
            .build();
        loader = loader
            .profile_name(profile)
            .credentials_provider(credentials);
    }
    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials);
    }
    loader.load().await
}

fn profile_region(profile: Option<&str>) -> ProfileFileRegionProvider {
    let mut builder = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        builder = builder.profile_name(profile);
    }
    builder.build()
}

/// A client that trusts `trust`, with the one TLS stack of this program.
pub(super) fn http_client(trust: TrustStore) -> SharedHttpClient {
    let context = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .expect("a trust store is all that is set");
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context)
        .build_https()
}

/// Checks the file before the SDK, which panics on a bad one.
pub(super) async fn trust_only(path: &Path) -> Result<TrustStore, PublishError> {
    let unusable = |problem: String| PublishError::CaFile {
        path: path.to_owned(),
        problem,
    };
    let pem = tokio::fs::read(path)
        .await
        .map_err(|error| unusable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no PEM certificate".to_owned()));
    }
    Ok(TrustStore::empty().with_pem_certificate(pem))
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// What compatible stores expect where none is set.
const REGION_OF_STORES: &str = "us-east-1";
