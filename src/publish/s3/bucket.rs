//! A bucket of S3 or of a store that speaks its protocol: `s3://…`.
//!
//! Only `GetObject` and `PutObject` on three keys: no listing, no ACL, no deletion. Checksums are sent
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
    failure::{absent, is_conflict},
};
use crate::{
    config::settings::{Encryption, S3Target},
    publish::{
        error::{Action, PublishError},
        object::{Condition, Found, Name, Object, Standing, Version},
    },
};

/// A bucket and the prefix of the objects in it.
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

    /// What stands in the place of one object.
    pub(in crate::publish) async fn read(&self, name: Name) -> Result<Found, PublishError> {
        let read = async {
            let request = self.client.get_object().bucket(&self.target.bucket);
            let answer = match Box::pin(request.key(self.key(name)).send()).await {
                Ok(answer) => answer,
                Err(error) => {
                    return match absent(&error) {
                        Some(standing) => Ok(Found {
                            standing,
                            version: None,
                        }),
                        None => Err(self.failure(Action::Read, name, error)),
                    };
                }
            };
            let content_type = answer.content_type().map(str::to_owned);
            let cache_control = answer.cache_control().map(str::to_owned);
            let version = answer.e_tag().map(str::to_owned);
            let body = self.body(name, answer.body).await?;
            let object = Object {
                body,
                content_type,
                cache_control,
            };
            Ok(Found {
                standing: Standing::Present(object),
                version,
            })
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
            if body.len() + chunk.len() > name.limit_bytes() {
                return Err(PublishError::TooLarge {
                    object: self.object(name),
                    limit_bytes: name.limit_bytes(),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Writes one object while `condition` holds, as far as the store heeds it; `None` when it
    /// does not hold.
    pub(in crate::publish) async fn write(
        &self,
        name: Name,
        object: &Object,
        condition: &Condition,
    ) -> Result<Option<Version>, PublishError> {
        let write = async {
            let quoted = match condition {
                Condition::IfMissing => return self.put(name, object, None).await,
                Condition::IfVersion(version) => version,
            };
            match self.put(name, object, Some(quoted)).await? {
                // Ceph compares with the bare tag. Where the condition does not hold, it does not
                // hold for that either.
                None => {
                    let bare = quoted.trim_matches('"');
                    self.put(name, object, Some(bare)).await
                }
                written => Ok(written),
            }
        };
        self.in_time(write).await
    }

    /// One conditional `PutObject`: while the object has this ETag, or while there is none.
    async fn put(
        &self,
        name: Name,
        object: &Object,
        etag: Option<&str>,
    ) -> Result<Option<Version>, PublishError> {
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
            .set_server_side_encryption(encryption)
            .set_if_match(etag.map(str::to_owned))
            .set_if_none_match(etag.is_none().then(|| "*".to_owned()));
        match Box::pin(request.send()).await {
            Ok(answer) => Ok(Some(answer.e_tag().unwrap_or_default().to_owned())),
            Err(error) if is_conflict(&error) => Ok(None),
            Err(error) => Err(self.failure(Action::Write, name, error)),
        }
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
