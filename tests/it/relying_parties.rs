//! Libraries of others verify tokens of a real API server with the documents that we serve.
//!
//! Tokens and documents are those of `tests/fixtures`. The hosts are the recorded ones: only their
//! addresses are the tests'.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::header::CONTENT_TYPE;
use jsonwebtoken::{DecodingKey, TokenData, Validation, jwk::JwkSet};
use oidc_mirror::verify::Token;
use openidconnect::{
    ClaimsVerificationError, ClientId, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    core::{CoreIdToken, CoreIdTokenVerifier, CoreJwsSigningAlgorithm, CoreProviderMetadata},
};
use serde_json::Value;

use crate::support::{
    ApiServer, DISCOVERY, JWKS, Reply,
    service::{Documents, Plan, Running},
};

const AUDIENCE: &str = "sts.amazonaws.com";

/// A recorded API server: what it serves, and a token that it issued.
struct Recording {
    directory: PathBuf,
    token: String,
    claims: Value,
}

impl Recording {
    fn open(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/kubernetes-1.20.2")
            .join(name);
        let answer = fs::read(directory.join("tokenrequest-sts-aud.json")).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let token = answer["status"]["token"].as_str().unwrap().to_owned();
        let claims = token.split('.').nth(1).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
        Self {
            directory,
            token,
            claims: serde_json::from_slice(&claims).unwrap(),
        }
    }

    fn issuer(&self) -> &str {
        self.claims["iss"].as_str().unwrap()
    }

    /// A moment at which the token was valid.
    fn now(&self) -> SystemTime {
        let issued = self.claims["iat"].as_u64().unwrap();
        UNIX_EPOCH + Duration::from_secs(issued + 1)
    }

    /// The API server as it was, mirrored to the issuer of its tokens.
    async fn mirror(&self) -> (Running, Documents) {
        let server = ApiServer::start();
        for (path, file, content_type) in [
            (
                DISCOVERY,
                "discovery-serviceaccount.body",
                "application/json",
            ),
            (JWKS, "jwks-serviceaccount.body", "application/jwk-set+json"),
        ] {
            let body = fs::read(self.directory.join(file)).unwrap();
            server.always(path, Reply::body(body).header(CONTENT_TYPE, content_type));
        }
        let service = Plan::new().mirror(self.issuer(), &[&server]).start().await;
        // The server ends here: what follows is between the service and relying parties.
        let documents = service.documents(self.issuer()).await;
        (service, documents)
    }

    /// The token with one bit of its signature turned.
    fn forged(&self) -> String {
        let (message, signature) = self.token.rsplit_once('.').unwrap();
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        signature[7] ^= 1;
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Discovers the issuer, its keys included, as the crate `openidconnect` does.
async fn discover(recording: &Recording, service: &Running) -> CoreProviderMetadata {
    let client = service.client();
    let http = |request: HttpRequest| {
        let client = client.clone();
        async move {
            let response = client.execute(request.try_into()?).await?;
            let mut answer = HttpResponse::new(Vec::new());
            *answer.status_mut() = response.status();
            *answer.headers_mut() = response.headers().clone();
            *answer.body_mut() = response.bytes().await?.to_vec();
            Ok::<_, reqwest::Error>(answer)
        }
    };
    let issuer = IssuerUrl::new(recording.issuer().to_owned()).unwrap();
    CoreProviderMetadata::discover_async(issuer, &http)
        .await
        .unwrap()
}

/// Verifies with what was discovered, at a moment when the token was valid.
fn verify_by_openidconnect(
    recording: &Recording,
    token: &str,
    metadata: &CoreProviderMetadata,
) -> Result<String, ClaimsVerificationError> {
    let now = recording.now();
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(AUDIENCE.to_owned()),
        metadata.issuer().clone(),
        metadata.jwks().clone(),
    )
    .set_allowed_algs(metadata.id_token_signing_alg_values_supported().clone())
    .set_time_fn(move || now.into());
    let token: CoreIdToken = token.parse().unwrap();
    let claims = token.claims(&verifier, |_: Option<&Nonce>| Ok(()))?;
    Ok(claims.subject().to_string())
}

#[tokio::test]
async fn openidconnect_discovers_the_issuer_and_verifies_its_tokens() {
    for name in ["a-rsa", "b-multi"] {
        let recording = Recording::open(name);
        let (service, _) = recording.mirror().await;
        let metadata = discover(&recording, &service).await;
        let subject = verify_by_openidconnect(&recording, &recording.token, &metadata).unwrap();
        assert_eq!(subject, recording.claims["sub"].as_str().unwrap());
        let error = verify_by_openidconnect(&recording, &recording.forged(), &metadata);
        assert!(
            matches!(
                error,
                Err(ClaimsVerificationError::SignatureVerification(_))
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn openidconnect_discovers_an_issuer_whose_only_key_it_cannot_use() {
    let recording = Recording::open("d-p521");
    let (service, _) = recording.mirror().await;
    let metadata = discover(&recording, &service).await;
    assert_eq!(
        metadata.id_token_signing_alg_values_supported(),
        &[CoreJwsSigningAlgorithm::EcdsaP521Sha512]
    );
}

/// Verifies as the crate `jsonwebtoken` does, at a moment when the token was valid.
fn verify_by_jsonwebtoken(
    recording: &Recording,
    token: &str,
    documents: &Documents,
) -> jsonwebtoken::errors::Result<TokenData<Value>> {
    let keys: JwkSet = serde_json::from_slice(&documents.jwks.body).unwrap();
    let header = jsonwebtoken::decode_header(token)?;
    let key = keys.find(header.kid.as_deref().unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[recording.issuer()]);
    // It knows no clock but the system's.
    validation.validate_exp = false;
    jsonwebtoken::decode(token, &DecodingKey::from_jwk(key)?, &validation)
}

#[tokio::test]
async fn jsonwebtoken_verifies_with_the_keys_that_are_served() {
    for name in ["a-rsa", "b-multi"] {
        let recording = Recording::open(name);
        let (_service, documents) = recording.mirror().await;
        let verified = verify_by_jsonwebtoken(&recording, &recording.token, &documents).unwrap();
        assert_eq!(verified.claims, recording.claims);
        verify_by_jsonwebtoken(&recording, &recording.forged(), &documents).unwrap_err();
    }
}

#[tokio::test]
async fn every_recorded_token_verifies_with_the_keys_that_are_served() {
    for (name, algorithm) in [
        ("a-rsa", "RS256"),
        ("b-multi", "ES256"),
        ("d-p521", "ES512"),
    ] {
        let recording = Recording::open(name);
        let (_service, documents) = recording.mirror().await;
        let keys: JwkSet = serde_json::from_slice(&documents.jwks.body).unwrap();
        let token = Token::parse(&recording.token).unwrap();
        assert_eq!(token.algorithm(), algorithm);
        token.check_signature(&keys).unwrap();
        token
            .check_claims(recording.issuer(), AUDIENCE, recording.now())
            .unwrap();
        let forged = recording.forged();
        Token::parse(&forged)
            .unwrap()
            .check_signature(&keys)
            .unwrap_err();
    }
}

#[tokio::test]
async fn the_keys_of_a_real_api_server_are_served_as_it_writes_them() {
    for name in ["a-rsa", "b-multi", "d-p521"] {
        let recording = Recording::open(name);
        let (_service, documents) = recording.mirror().await;
        let recorded = fs::read(recording.directory.join("jwks-serviceaccount.body")).unwrap();
        assert!(documents.jwks.body == recorded, "{name}");
    }
}
