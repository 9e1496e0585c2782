//! Kubeconfig files: which context, cluster and user are meant, and what they hold.
//!
//! What would be unsafe or silently something else is refused, not ignored: skipping verification,
//! plain HTTP, proxies, impersonation, passwords and the legacy auth providers.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use kube_client::config::{
    AuthInfo, Cluster, ExecAuthCluster, ExecConfig, Kubeconfig, KubeconfigError,
};
use secrecy::ExposeSecret;
use url::Url;

use super::{
    credentials::{self, Identity, Material, Trust},
    error::CredentialError,
    plugin::Plugin,
};

/// Reads `files` as one kubeconfig and takes from it what `context` names.
///
/// # Errors
///
/// [`CredentialError`] naming the file or the member that cannot be used.
pub(super) fn read(files: &[PathBuf], context: Option<&str>) -> Result<Material, CredentialError> {
    let kubeconfig = Merged::read(files)?;
    let (cluster, user) = kubeconfig.select(context)?;
    let material = Material {
        server: kubeconfig.server(&cluster)?,
        trust: kubeconfig.trust(&cluster)?,
        server_name: non_empty(cluster.tls_server_name.as_ref())
            .map(credentials::server_name)
            .transpose()?,
        identity: kubeconfig.identity(&user)?,
        authorization: kubeconfig.authorization(&user)?,
        plugin: user
            .exec
            .as_ref()
            .map(|exec| plugin(exec, &cluster))
            .transpose()?,
    };
    Ok(material)
}

/// Several files as one, by kubectl's rules: the first to name something wins.
struct Merged {
    kubeconfig: Kubeconfig,
    /// For messages: the files it was read from.
    name: String,
}

impl Merged {
    fn read(files: &[PathBuf]) -> Result<Self, CredentialError> {
        let present: Vec<&PathBuf> = match files {
            // Of one file alone we want to say why it cannot be read.
            [file] => vec![file],
            // A list may name files that are not there; kubectl skips them, too.
            files => files.iter().filter(|file| file.exists()).collect(),
        };
        if present.is_empty() {
            return Err(CredentialError::NotFound {
                looked_for: files.to_vec(),
            });
        }
        let mut kubeconfig = Kubeconfig::default();
        for file in &present {
            let next = read_one(file)?;
            kubeconfig = kubeconfig
                .merge(next)
                .map_err(|_| CredentialError::Kubeconfig {
                    name: file.display().to_string(),
                    why: "its kind or apiVersion differs from that of the files before it"
                        .to_owned(),
                })?;
        }
        let names: Vec<_> = present
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        Ok(Self {
            kubeconfig,
            name: names.join(", "),
        })
    }

    fn select(&self, context: Option<&str>) -> Result<(Cluster, AuthInfo), CredentialError> {
        let name = context
            .or_else(|| non_empty(self.kubeconfig.current_context.as_ref()))
            .ok_or_else(|| {
                self.refuse("it sets no current-context: name one with the setting `context`")
            })?;
        let context = self
            .kubeconfig
            .contexts
            .iter()
            .find(|context| context.name == name)
            .and_then(|context| context.context.as_ref())
            .ok_or_else(|| self.refuse(format!("it has no context \"{}\"", name.escape_debug())))?;
        let cluster = self
            .kubeconfig
            .clusters
            .iter()
            .find(|cluster| cluster.name == context.cluster)
            .and_then(|cluster| cluster.cluster.as_ref())
            .ok_or_else(|| {
                self.refuse(format!(
                    "context \"{}\" names a cluster that it does not have",
                    name.escape_debug()
                ))
            })?;
        // A context without a user is anonymous; one that names a missing user is a mistake.
        let user = match non_empty(context.user.as_ref()) {
            None => AuthInfo::default(),
            Some(user) => self
                .kubeconfig
                .auth_infos
                .iter()
                .find(|named| named.name == user)
                .and_then(|named| named.auth_info.clone())
                .ok_or_else(|| {
                    self.refuse(format!(
                        "context \"{}\" names a user that it does not have",
                        name.escape_debug()
                    ))
                })?,
        };
        self.refuse_unsupported(cluster, &user)?;
        Ok((cluster.clone(), user))
    }

    /// Members that change who is asked, or as whom, and that this program does not act on.
    fn refuse_unsupported(
        &self,
        cluster: &Cluster,
        user: &AuthInfo,
    ) -> Result<(), CredentialError> {
        let impersonates = user.impersonate.is_some()
            || user.impersonate_uid.is_some()
            || user.impersonate_groups.is_some()
            || user.impersonate_user_extra.is_some();
        let unsupported = [
            (
                cluster.insecure_skip_tls_verify == Some(true),
                "insecure-skip-tls-verify is refused: whoever sits between could publish keys of \
                 their own; give certificate-authority-data, and tls-server-name if the name differs",
            ),
            (
                non_empty(cluster.proxy_url.as_ref()).is_some(),
                "proxy-url is not supported: the API servers must be reachable directly",
            ),
            (
                user.auth_provider.is_some(),
                "auth-provider is not supported, as in kubectl since 1.26: use an exec plugin",
            ),
            (
                user.username.is_some() || user.password.is_some(),
                "username and password are not supported, as in Kubernetes since 1.19: use a token",
            ),
            (
                impersonates,
                "impersonation (`as`) is not supported: use the credentials of the user meant",
            ),
        ];
        match unsupported.iter().find(|(present, _)| *present) {
            Some((_, why)) => Err(self.refuse(*why)),
            None => Ok(()),
        }
    }

    fn server(&self, cluster: &Cluster) -> Result<Option<Url>, CredentialError> {
        let Some(server) = non_empty(cluster.server.as_ref()) else {
            return Ok(None);
        };
        Url::parse(server)
            .map(Some)
            .map_err(|_| self.refuse("the server of the cluster is no URL"))
    }

    fn trust(&self, cluster: &Cluster) -> Result<Trust, CredentialError> {
        let pem = self.data_or_file(
            "certificate-authority-data",
            cluster.certificate_authority_data.as_deref(),
            cluster.certificate_authority.as_ref(),
        )?;
        match pem {
            Some((pem, from)) => Trust::parse(&pem, &from),
            None => Ok(Trust::System),
        }
    }

    fn identity(&self, user: &AuthInfo) -> Result<Option<Identity>, CredentialError> {
        let chain = self.data_or_file(
            "client-certificate-data",
            user.client_certificate_data.as_deref(),
            user.client_certificate.as_ref(),
        )?;
        let key = self.data_or_file(
            "client-key-data",
            user.client_key_data
                .as_ref()
                .map(ExposeSecret::expose_secret),
            user.client_key.as_ref(),
        )?;
        match (chain, key) {
            (None, None) => Ok(None),
            (Some((chain, from)), Some((key, key_from))) => {
                Identity::parse((&chain, &from), (&key, &key_from)).map(Some)
            }
            _ => Err(self.refuse(
                "the user has only one of client certificate and client key: give both or none",
            )),
        }
    }

    /// As in client-go, the file comes before the token that stands in the kubeconfig.
    fn authorization(&self, user: &AuthInfo) -> Result<Option<HeaderValue>, CredentialError> {
        if let Some(path) = non_empty(user.token_file.as_ref()) {
            return credentials::read_token(Path::new(path)).map(Some);
        }
        user.token
            .as_ref()
            .map(ExposeSecret::expose_secret)
            .filter(|token| !token.is_empty())
            .map(|token| credentials::bearer(token, &format!("the member token of {}", self.name)))
            .transpose()
    }

    /// Embedded data comes before a file. Also says where it was found.
    fn data_or_file(
        &self,
        member: &str,
        data: Option<&str>,
        file: Option<&String>,
    ) -> Result<Option<(Vec<u8>, String)>, CredentialError> {
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            let from = format!("the member {member} of {}", self.name);
            let bytes = STANDARD
                .decode(data)
                .map_err(|_| self.refuse(format!("{member} is not base64")))?;
            return Ok(Some((bytes, from)));
        }
        let Some(file) = non_empty(file) else {
            return Ok(None);
        };
        let bytes = credentials::read_file(Path::new(file))?;
        Ok(Some((bytes, file.to_owned())))
    }

    fn refuse(&self, why: impl Into<String>) -> CredentialError {
        CredentialError::Kubeconfig {
            name: self.name.clone(),
            why: why.into(),
        }
    }
}

fn read_one(file: &Path) -> Result<Kubeconfig, CredentialError> {
    Kubeconfig::read_from(file).map_err(|error| match error {
        KubeconfigError::ReadConfig(source, path) => CredentialError::Read { path, source },
        // The YAML error shows the lines around it, which may hold a token: only say where it is.
        KubeconfigError::Parse(error) => CredentialError::Kubeconfig {
            name: file.display().to_string(),
            why: error.location().map_or_else(
                || "it is not the YAML it should be".to_owned(),
                |at| {
                    format!(
                        "it is not the YAML it should be, at line {} column {}",
                        at.line(),
                        at.column()
                    )
                },
            ),
        },
        _ => CredentialError::Kubeconfig {
            name: file.display().to_string(),
            why: "its documents do not belong together".to_owned(),
        },
    })
}

fn plugin(exec: &ExecConfig, cluster: &Cluster) -> Result<Plugin, CredentialError> {
    let command = non_empty(exec.command.as_ref()).ok_or(CredentialError::NoPluginCommand)?;
    let cluster = if exec.provide_cluster_info {
        // Its only failure is an unreadable CA, which was read just before.
        let cluster = ExecAuthCluster::try_from(cluster).ok();
        cluster.and_then(|cluster| serde_json::to_value(cluster).ok())
    } else {
        None
    };
    let env = exec.env.iter().flatten().filter_map(|variable| {
        let (name, value) = (variable.get("name")?, variable.get("value")?);
        Some((name.clone(), value.clone()))
    });
    Ok(Plugin::new(
        command.to_owned(),
        exec.args.clone().unwrap_or_default(),
        env.collect(),
        exec.api_version.as_deref(),
        cluster,
    ))
}

/// kubectl takes an empty string for an absent one.
fn non_empty(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
#[path = "tests/kubeconfig.rs"]
mod tests;
