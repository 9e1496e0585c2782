//! A bucket of S3 or of a store that speaks its protocol: `s3://…`.
//!
//! Only `GetObject` and `PutObject` on two keys: no listing, no ACL, no deletion. Checksums are sent
//! only where required, because several stores refuse them.

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{Builder, SharedCredentialsProvider},
    primitives::ByteStream,
    types::ServerSideEncryption,
};
use aws_smithy_http_client::tls::TrustStore;
use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::{
    config::{http_client, shared_config, trust_only},
    failure::absent,
};
use crate::{
    config::settings::{Encryption, S3Target},
    oidc::MAX_DOCUMENT_BYTES,
    publish::{
        error::{Action, PublishError},
        plan::{Name, Object, Pair, Standing},
    },
};

/// A bucket and the prefix of the two documents in it.
#[derive(Clone, Debug)]
pub(in crate::publish) struct Bucket {
    client: Client,
    pub(super) target: S3Target,
    /// The endpoint as messages name it.
    pub(super) endpoint: String,
    pub(super) region: String,
}

impl Bucket {
    /// Finds out region and endpoint; talks to no bucket yet. `credentials` replace the usual chain.
    pub(in crate::publish) async fn open(
        target: &S3Target,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, PublishError> {
        let trust = match &target.ca_file {
            Some(path) => trust_only(path).await?,
            None => TrustStore::default(),
        };
        let shared = shared_config(target, credentials).await;
        let Some(region) = shared.region() else {
            return Err(PublishError::RegionMissing {
                target: target.to_string(),
            });
        };
        let endpoint = match (&target.endpoint, shared.endpoint_url()) {
            (Some(endpoint), _) => endpoint.as_str().trim_end_matches('/').to_owned(),
            (None, Some(endpoint)) => endpoint.to_owned(),
            (None, None) => format!("S3 in region {region}"),
        };
        let mut config = Builder::from(&shared)
            .force_path_style(target.path_style)
            .http_client(http_client(trust));
        if target.endpoint.is_some() {
            config = config.endpoint_url(&endpoint);
        }
        Ok(Self {
            client: Client::from_conf(config.build()),
            region: region.to_string(),
            target: target.clone(),
            endpoint,
        })
    }

    /// `s3://bucket/prefix`.
    pub(in crate::publish) fn url(&self) -> String {
        self.target.to_string()
    }

    /// What stands there: one request for each document, both at once.
    pub(in crate::publish) async fn read(&self) -> Result<Pair<Standing>, PublishError> {
        let (jwks, discovery) =
            tokio::try_join!(self.read_one(Name::Jwks), self.read_one(Name::Discovery))?;
        Ok(Pair { jwks, discovery })
    }

    async fn read_one(&self, name: Name) -> Result<Standing, PublishError> {
        let read = async {
            let request = self.client.get_object().bucket(&self.target.bucket);
            let answer = match Box::pin(request.key(self.key(name)).send()).await {
                Ok(answer) => answer,
                Err(error) => {
                    return match absent(&error) {
                        Some(standing) => Ok(standing),
                        None => Err(self.failure(Action::Read, name, error)),
                    };
                }
            };
            let content_type = answer.content_type().map(str::to_owned);
            let cache_control = answer.cache_control().map(str::to_owned);
            let body = self.body(name, answer.body).await?;
            Ok(Standing::Present(Object {
                body,
                content_type,
                cache_control,
            }))
        };
        self.in_time(read).await
    }

    async fn body(&self, name: Name, mut stream: ByteStream) -> Result<Bytes, PublishError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|source| PublishError::Connect {
                endpoint: self.endpoint.clone(),
                source: source.into(),
            })?;
            if body.len() + chunk.len() > MAX_DOCUMENT_BYTES {
                return Err(PublishError::TooLarge {
                    object: self.object(name),
                    limit_bytes: MAX_DOCUMENT_BYTES,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Writes one object: at most one request, but for retries.
    pub(in crate::publish) async fn write(
        &self,
        name: Name,
        object: &Object,
    ) -> Result<(), PublishError> {
        let encryption = match self.target.encryption {
            Encryption::Aes256 => Some(ServerSideEncryption::Aes256),
            Encryption::BucketDefault => None,
        };
        let request = self
            .client
            .put_object()
            .bucket(&self.target.bucket)
            .key(self.key(name))
            .body(object.body.clone().into())
            .set_content_type(object.content_type.clone())
            .set_cache_control(object.cache_control.clone())
            .set_server_side_encryption(encryption);
        let write = async {
            let answer = Box::pin(request.send()).await;
            answer.map_err(|error| self.failure(Action::Write, name, error))
        };
        self.in_time(write).await.map(drop)
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, PublishError>>,
    ) -> Result<T, PublishError> {
        timeout(OPERATION_TIMEOUT, work)
            .await
            .unwrap_or_else(|_| Err(self.timed_out()))
    }

    fn key(&self, name: Name) -> String {
        match self.target.prefix.as_str() {
            "" => name.path().to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }

    pub(super) fn object(&self, name: Name) -> String {
        format!("{}/{name}", self.url())
    }

    pub(super) fn timed_out(&self) -> PublishError {
        PublishError::Timeout {
            endpoint: self.endpoint.clone(),
        }
    }
}

/// One read or write, with its retries and the body.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);
