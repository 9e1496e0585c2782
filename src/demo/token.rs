//! The claims of a service-account token as the `TokenRequest` API writes them.
//!
//! Format: `pkg/serviceaccount/claims.go` of Kubernetes, before it added `jti` in 1.29.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The claims of a service-account token; the order of the fields is the order in the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Who may accept the token.
    aud: Vec<String>,
    /// When it expires, in seconds since 1970.
    exp: u64,
    /// When it was issued, in seconds since 1970.
    iat: u64,
    /// The issuer: the API server's first `--service-account-issuer`.
    iss: String,
    /// Whom Kubernetes knows the bearer as.
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
    /// When it begins to be valid, in seconds since 1970.
    nbf: u64,
    /// The bearer: `system:serviceaccount:<namespace>:<name>`.
    sub: String,
}

impl Claims {
    /// The claims of a token of `account` for `audience`, valid for `lifetime` from `now` on.
    pub fn new(
        issuer: &str,
        account: &ServiceAccount,
        audience: &str,
        lifetime: Duration,
        now: SystemTime,
    ) -> Self {
        // A clock before 1970 gives a token that has expired, which whoever reads it will say.
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            aud: vec![audience.to_owned()],
            exp: (now + lifetime).as_secs(),
            iat: now.as_secs(),
            iss: issuer.to_owned(),
            kubernetes: Kubernetes {
                namespace: account.namespace.clone(),
                serviceaccount: Named {
                    name: account.name.clone(),
                    uid: account.uid.clone(),
                },
            },
            nbf: now.as_secs(),
            sub: account.subject(),
        }
    }
}

/// The claim `kubernetes.io`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Kubernetes {
    /// The namespace of the service account.
    namespace: String,
    /// The service account.
    serviceaccount: Named,
}

/// A reference to an object of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Named {
    /// Its name.
    name: String,
    /// Its unique id.
    uid: String,
}

/// A service account of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its unique id.
    pub uid: String,
}

impl ServiceAccount {
    /// The subject of its tokens.
    pub fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_claims_are_those_of_a_real_token() {
        let recorded: Value = serde_json::from_str(include_str!(
            "../../tests/fixtures/kubernetes-1.20.2/a-rsa/tokenrequest-sts-aud.json"
        ))
        .unwrap();
        let token = recorded["status"]["token"].as_str().unwrap();
        let payload = URL_SAFE_NO_PAD
            .decode(token.split('.').nth(1).unwrap())
            .unwrap();
        let account = ServiceAccount {
            namespace: "default".to_owned(),
            name: "mirror".to_owned(),
            uid: "aa490eb7-ac1a-496d-aa08-22761fd9d889".to_owned(),
        };
        let claims = Claims::new(
            "https://kubernetes.mydomain.lan",
            &account,
            "sts.amazonaws.com",
            Duration::from_hours(24),
            UNIX_EPOCH + Duration::from_secs(1_795_465_225),
        );
        assert_eq!(serde_json::to_vec(&claims).unwrap(), payload);
    }
}
