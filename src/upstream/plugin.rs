//! Exec plugins: programs that a kubeconfig names to give out credentials
//! (`client.authentication.k8s.io`).
//!
//! A plugin may not ask anybody anything, ends with its deadline, and nothing of what it prints is
//! ever shown: on success that is the token, on failure it may still be.

use std::{
    fmt, io,
    process::{ExitStatus, Stdio},
    time::SystemTime,
};

use http::HeaderValue;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt as _,
    process::Command,
    time::{Duration, Instant, timeout_at},
};

use super::{
    credentials::{self, Identity, MAX_FILE_BYTES},
    error::CredentialError,
};

/// A plugin as a kubeconfig describes it.
#[derive(PartialEq, Eq)]
pub(super) struct Plugin {
    command: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// What the plugin is told in `KUBERNETES_EXEC_INFO`.
    info: String,
}

impl Plugin {
    /// A plugin that is told `api_version` and, if it wants to know, the `cluster`.
    pub(super) fn new(
        command: String,
        args: Vec<String>,
        env: Vec<(String, String)>,
        api_version: Option<&str>,
        cluster: Option<Value>,
    ) -> Self {
        let mut spec = json!({"interactive": false});
        if let Some(cluster) = cluster {
            spec["cluster"] = cluster;
        }
        let info = json!({"apiVersion": api_version, "kind": "ExecCredential", "spec": spec});
        Self {
            command,
            args,
            env,
            info: info.to_string(),
        }
    }

    /// Runs the plugin; past the `deadline` it is killed.
    ///
    /// # Errors
    ///
    /// [`CredentialError::Plugin`] naming the command, never what it printed.
    pub(super) async fn run(&self, deadline: Instant) -> Result<Issued, CredentialError> {
        let output = match timeout_at(deadline, self.output()).await {
            Ok(Ok((status, output))) if status.success() => output,
            Ok(Ok((status, _))) => return Err(self.fail(PluginFault::Exit(status))),
            Ok(Err(error)) => return Err(self.fail(PluginFault::Start(error))),
            Err(_) => return Err(self.fail(PluginFault::Slow)),
        };
        self.parse(&output)
    }

    async fn output(&self) -> io::Result<(ExitStatus, Vec<u8>)> {
        let mut child = Command::new(&self.command)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("KUBERNETES_EXEC_INFO", &self.info)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut output = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            // One that prints more blocks on the full pipe, or dies of it: its deadline ends it.
            let mut stdout = stdout.take(MAX_FILE_BYTES);
            stdout.read_to_end(&mut output).await?;
        }
        Ok((child.wait().await?, output))
    }

    fn parse(&self, output: &[u8]) -> Result<Issued, CredentialError> {
        let from = format!("the answer of the exec plugin \"{}\"", self.name());
        // The error of serde_json may repeat a value.
        let credential: ExecCredential =
            serde_json::from_slice(output).map_err(|_| self.fail(PluginFault::Answer))?;
        let status = credential.status.unwrap_or_default();
        let identity = match (
            status.client_certificate_data.as_deref(),
            status.client_key_data.as_deref(),
        ) {
            (Some(chain), Some(key)) => Some(Identity::parse(
                (chain.as_bytes(), &from),
                (key.as_bytes(), &from),
            )?),
            _ => None,
        };
        let authorization = status
            .token
            .as_deref()
            .filter(|token| !token.is_empty())
            .map(|token| credentials::bearer(token, &from))
            .transpose()?;
        if identity.is_none() && authorization.is_none() {
            return Err(self.fail(PluginFault::Answer));
        }
        Ok(Issued {
            identity,
            authorization,
            renew_at: status.expiration_timestamp.as_deref().and_then(renew_at),
        })
    }

    fn fail(&self, fault: PluginFault) -> CredentialError {
        CredentialError::Plugin {
            command: self.name(),
            fault,
        }
    }

    fn name(&self) -> String {
        self.command.escape_debug().to_string()
    }
}

/// Arguments and variables may hold a secret.
impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// What a plugin gave out: a client certificate, a token, or both.
#[derive(Debug)]
pub(super) struct Issued {
    /// The client certificate.
    pub(super) identity: Option<Identity>,
    /// The value of the `Authorization` header.
    pub(super) authorization: Option<HeaderValue>,
    /// When to ask again; `None` until a 401 says so.
    renew_at: Option<Instant>,
}

impl Issued {
    /// Whether it is time to ask again.
    pub(super) fn is_due(&self) -> bool {
        self.renew_at.is_some_and(|at| at <= Instant::now())
    }
}

/// Why a plugin gave no credentials.
#[derive(Debug)]
pub enum PluginFault {
    /// What it printed is no `ExecCredential` with a token or a client certificate.
    Answer,
    /// It failed.
    Exit(ExitStatus),
    /// It did not end in time.
    Slow,
    /// It could not be started.
    Start(io::Error),
}

impl fmt::Display for PluginFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer => f.write_str("answered without a token or a client certificate"),
            Self::Exit(status) => write!(f, "failed with {status}"),
            Self::Slow => f.write_str("did not end in time"),
            Self::Start(error) => write!(f, "could not be started: {error}"),
        }
    }
}

#[derive(Deserialize)]
struct ExecCredential {
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<String>,
    token: Option<String>,
}

/// A minute before the expiry, so that no request carries a token that ends on its way.
///
/// Kubernetes writes times in UTC; of another form, the server's 401 will tell.
fn renew_at(expiration: &str) -> Option<Instant> {
    let expiration = humantime::parse_rfc3339(expiration).ok()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a plugin dates its token by the wall clock; nothing else depends on it"
    )]
    let left = expiration
        .duration_since(SystemTime::now())
        .unwrap_or(Duration::ZERO);
    Instant::now().checked_add(left.saturating_sub(RENEW_BEFORE))
}

/// How long before its expiry a credential is replaced.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(expiration: Option<&str>) -> Issued {
        let plugin = Plugin::new("plugin".to_owned(), Vec::new(), Vec::new(), None, None);
        let status = json!({"token": "abc", "expirationTimestamp": expiration});
        let answer = json!({"kind": "ExecCredential", "status": status});
        plugin.parse(answer.to_string().as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn what_was_issued_is_due_before_it_expires() {
        for (expiration, due) in [
            (Some("2020-01-01T00:00:00Z"), true),
            (Some("2999-01-01T00:00:00Z"), false),
            // The API server's 401 will tell.
            (Some("2020-01-01T00:00:00+02:00"), false),
            (Some("soon"), false),
            (None, false),
        ] {
            assert_eq!(issued(expiration).is_due(), due, "{expiration:?}");
        }
    }

    #[test]
    fn a_plugin_learns_what_it_is_for() {
        let cluster = json!({"server": "https://10.0.0.11:6443"});
        let version = Some("client.authentication.k8s.io/v1");
        let plugin = Plugin::new(
            "plugin".to_owned(),
            Vec::new(),
            Vec::new(),
            version,
            Some(cluster.clone()),
        );
        let info: Value = serde_json::from_str(&plugin.info).unwrap();
        assert_eq!(
            info,
            json!({
                "apiVersion": version,
                "kind": "ExecCredential",
                "spec": {"interactive": false, "cluster": cluster},
            })
        );
    }
}
