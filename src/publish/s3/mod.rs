//! The `s3://` target; the only place that knows the AWS SDK.

mod bucket;
mod config;
mod failure;

pub use aws_sdk_s3::config::SharedCredentialsProvider;
pub(super) use bucket::Bucket;
