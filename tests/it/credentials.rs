//! Credentials of every kind, over real TLS.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use oidc_mirror::{
    Report,
    config::settings::{CredentialFiles, Credentials, KeyPairFiles},
    upstream::{CredentialError, Upstream, connect},
};
use serde_json::{Value, json};

use crate::support::{ApiServer, Tls, connect_with, files_of, mirror_of, p256, write_script};

fn started() -> ApiServer {
    let server = ApiServer::start();
    server.set_keys(&[p256()]);
    server
}

fn client_pair(server: &ApiServer) -> KeyPairFiles {
    KeyPairFiles {
        cert_file: server.client_cert_file(),
        key_file: server.client_key_file(),
    }
}

/// Writes a kubeconfig of one context; JSON is YAML.
fn write_kubeconfig(path: &Path, cluster: &Value, user: &Value) -> Credentials {
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "mirror"}}],
        "clusters": [{"name": "prod", "cluster": cluster}],
        "users": [{"name": "mirror", "user": user}],
    });
    fs::write(path, kubeconfig.to_string()).unwrap();
    kubeconfig_at(path, None)
}

fn kubeconfig_at(path: &Path, context: Option<&str>) -> Credentials {
    Credentials::Kubeconfig {
        file: Some(path.to_owned()),
        context: context.map(str::to_owned),
    }
}

fn cluster_of(server: &ApiServer) -> Value {
    json!({"server": server.url(), "certificate-authority": server.ca_file()})
}

/// The upstream that the kubeconfig alone names.
async fn connect_alone(credentials: Credentials) -> Result<Upstream, CredentialError> {
    Ok(connect(&mirror_of(&[], credentials)).await?.remove(0))
}

#[tokio::test]
async fn a_client_certificate_is_enough() {
    let server = ApiServer::start_with(Tls::ClientCertificate);
    server.set_keys(&[p256()]);
    let files = CredentialFiles {
        token_file: None,
        client_certificate: Some(client_pair(&server)),
        ..files_of(&server)
    };
    let mut upstream = connect_with(&server, Credentials::Files(files.clone()))
        .await
        .unwrap();
    upstream.fetch().await.unwrap();
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .all(|request| !request.headers.contains_key("authorization"))
    );

    let without = CredentialFiles {
        client_certificate: None,
        ..files
    };
    let mut upstream = connect_with(&server, Credentials::Files(without))
        .await
        .unwrap();
    // In TLS 1.3 the server refuses after the handshake, as far as the client is concerned.
    let error = upstream.fetch().await.unwrap_err().to_string();
    assert!(error.contains("or wants one"), "{error}");
}

#[tokio::test]
async fn a_client_certificate_must_match_its_key() {
    let (one, other) = (
        ApiServer::start_with(Tls::ClientCertificate),
        ApiServer::start_with(Tls::ClientCertificate),
    );
    let files = CredentialFiles {
        client_certificate: Some(KeyPairFiles {
            cert_file: one.client_cert_file(),
            key_file: other.client_key_file(),
        }),
        ..files_of(&one)
    };
    let error = connect_with(&one, Credentials::Files(files))
        .await
        .unwrap_err();
    assert!(
        matches!(error, CredentialError::Identity { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_when_connecting() {
    let server = started();
    let bad = server.ca_file().with_file_name("bad");
    let absent = server.ca_file().with_file_name("absent");
    fs::write(&bad, "c2VjcmV0 c2VjcmV0").unwrap();
    let files = || files_of(&server);
    let pair = |cert: &PathBuf, key: &PathBuf| {
        Some(KeyPairFiles {
            cert_file: cert.clone(),
            key_file: key.clone(),
        })
    };
    for files in [
        CredentialFiles {
            ca_file: Some(bad.clone()),
            ..files()
        },
        CredentialFiles {
            ca_file: Some(absent.clone()),
            ..files()
        },
        CredentialFiles {
            token_file: Some(bad.clone()),
            ..files()
        },
        CredentialFiles {
            token_file: Some(absent.clone()),
            ..files()
        },
        CredentialFiles {
            client_certificate: pair(&bad, &bad),
            ..files()
        },
        CredentialFiles {
            client_certificate: pair(&server.ca_file(), &bad),
            ..files()
        },
    ] {
        let error = connect_with(&server, Credentials::Files(files))
            .await
            .unwrap_err();
        let report = Report(&error).to_string();
        let names = [&bad, &absent].map(|path| path.display().to_string());
        assert!(names.iter().any(|name| report.contains(name)), "{report}");
        assert!(!report.contains("c2VjcmV0"), "{report}");
    }
}

#[tokio::test]
async fn a_kubeconfig_names_server_and_credentials() {
    let server = started();
    let path = server.ca_file().with_file_name("config");
    let embedded = STANDARD.encode(fs::read(server.ca_file()).unwrap());
    for (cluster, user) in [
        (
            json!({"server": server.url(), "certificate-authority-data": embedded}),
            json!({"token": "token-1"}),
        ),
        // Relative to the kubeconfig.
        (
            json!({"server": server.url(), "certificate-authority": "ca.crt"}),
            json!({"tokenFile": "token"}),
        ),
    ] {
        let credentials = write_kubeconfig(&path, &cluster, &user);
        let mut upstream = connect_alone(credentials).await.unwrap();
        assert_eq!(*upstream.url(), server.url());
        upstream.fetch().await.unwrap();
    }
}

#[tokio::test]
async fn with_upstreams_a_kubeconfig_only_gives_credentials() {
    let (server, elsewhere) = (started(), started());
    let path = server.ca_file().with_file_name("config");
    let mut cluster = cluster_of(&server);
    cluster["server"] = json!(elsewhere.url());
    let credentials = write_kubeconfig(&path, &cluster, &json!({"token": "token-1"}));
    connect_with(&server, credentials)
        .await
        .unwrap()
        .fetch()
        .await
        .unwrap();
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_kubeconfig_is_read_again_when_it_changes() {
    let server = started();
    let path = server.ca_file().with_file_name("config");
    let credentials = write_kubeconfig(&path, &cluster_of(&server), &json!({"token": "token-0"}));
    let mut upstream = connect_alone(credentials).await.unwrap();
    assert_eq!(upstream.fetch().await.unwrap_err().reason(), "unauthorized");
    write_kubeconfig(&path, &cluster_of(&server), &json!({"token": "token-1"}));
    upstream.fetch().await.unwrap();
}

#[tokio::test]
async fn the_server_name_of_a_kubeconfig_is_expected() {
    let server = ApiServer::start_with(Tls::WrongName);
    server.set_keys(&[p256()]);
    let path = server.ca_file().with_file_name("config");
    let mut cluster = cluster_of(&server);
    cluster["tls-server-name"] = json!("api.example.com");
    let credentials = write_kubeconfig(&path, &cluster, &json!({"token": "token-1"}));
    connect_alone(credentials)
        .await
        .unwrap()
        .fetch()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_client_certificate_may_stand_in_the_kubeconfig() {
    let server = ApiServer::start_with(Tls::ClientCertificate);
    server.set_keys(&[p256()]);
    let path = server.ca_file().with_file_name("config");
    let user = json!({
        "client-certificate-data": STANDARD.encode(fs::read(server.client_cert_file()).unwrap()),
        "client-key": "client.key",
    });
    let credentials = write_kubeconfig(&path, &cluster_of(&server), &user);
    connect_alone(credentials)
        .await
        .unwrap()
        .fetch()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let server = started();
    let path = server.ca_file().with_file_name("config");
    let cluster = json!({"server": "http://10.0.0.1:8080"});
    let credentials = write_kubeconfig(&path, &cluster, &json!({"token": "token-1"}));
    let error = connect_alone(credentials).await.unwrap_err();
    assert!(matches!(error, CredentialError::Server { .. }), "{error:?}");
}

#[tokio::test]
async fn a_plugin_gives_out_the_token_and_is_asked_again_after_a_401() {
    let server = started();
    let directory = server.ca_file().parent().unwrap().to_owned();
    // It answers with what is in the file, counts its runs, and checks what it is told.
    write_script(
        &directory.join("plugin"),
        r#"cd "$(dirname "$0")" && echo run >> runs
case "$KUBERNETES_EXEC_INFO" in *'"interactive":false'*) ;; *) exit 3 ;; esac
[ "$1" = get ] && [ "$FLAVOUR" = plain ] || exit 4
printf '{"kind":"ExecCredential","status":{"token":"%s","expirationTimestamp":"2999-01-01T00:00:00Z"}}' "$(cat token)""#,
    );
    let user = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./plugin",
        "args": ["get"],
        "env": [{"name": "FLAVOUR", "value": "plain"}],
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": true,
    }});
    let credentials = write_kubeconfig(&directory.join("config"), &cluster_of(&server), &user);
    let runs = || fs::read_to_string(directory.join("runs")).map_or(0, |runs| runs.lines().count());
    let mut upstream = connect_alone(credentials).await.unwrap();
    assert_eq!(runs(), 0);
    upstream.fetch().await.unwrap();
    upstream.fetch().await.unwrap();
    assert_eq!(runs(), 1);
    // Revoked before its time: asked again, and the same round succeeds.
    server.set_token("token-2");
    server.write_token();
    upstream.fetch().await.unwrap();
    assert_eq!(runs(), 2);
}

#[tokio::test]
async fn a_plugin_may_give_out_a_client_certificate() {
    let server = ApiServer::start_with(Tls::ClientCertificate);
    server.set_keys(&[p256()]);
    let directory = server.ca_file().parent().unwrap().to_owned();
    let answer = json!({"status": {
        "clientCertificateData": fs::read_to_string(server.client_cert_file()).unwrap(),
        "clientKeyData": fs::read_to_string(server.client_key_file()).unwrap(),
    }});
    fs::write(directory.join("answer"), answer.to_string()).unwrap();
    write_script(&directory.join("plugin"), r#"cat "$(dirname "$0")/answer""#);
    let user = json!({"exec": {"command": "./plugin"}});
    let credentials = write_kubeconfig(&directory.join("config"), &cluster_of(&server), &user);
    connect_alone(credentials)
        .await
        .unwrap()
        .fetch()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_plugin_that_fails_is_named_and_what_it_prints_is_not_shown() {
    let server = started();
    let directory = server.ca_file().parent().unwrap().to_owned();
    let plugin = directory.join("plugin");
    let user = json!({"exec": {"command": "./plugin", "args": ["--secret=s3cr3t"]}});
    let credentials = write_kubeconfig(&directory.join("config"), &cluster_of(&server), &user);
    let mut mirror = mirror_of(&[], credentials);
    mirror.timeout = Duration::from_secs(2);
    let mut upstream = connect(&mirror).await.unwrap().remove(0);
    for (script, what) in [
        ("echo s3cr3t; echo s3cr3t >&2; exit 7", "exit status: 7"),
        ("echo s3cr3t", "without a token"),
        (
            r#"echo '{"status":{"token":["s3cr3t"]}}'"#,
            "without a token",
        ),
        (
            r#"echo '{"status":{"token":"s3cr3t two"}}'"#,
            "no bearer token",
        ),
        ("cat; echo '{}'", "without a token"),
        ("exec sleep 600", "in time"),
    ] {
        write_script(&plugin, script);
        let error = upstream.fetch().await.unwrap_err();
        assert_eq!(error.reason(), "credentials", "{script}");
        let report = Report(&error).to_string();
        assert!(report.contains("plugin\""), "{report}");
        assert!(report.contains(what), "{report}");
        let debug = format!("{error:?} {upstream:?}");
        assert!(
            !report.contains("s3cr3t") && !debug.contains("s3cr3t"),
            "{report} {debug}"
        );
    }
    assert!(server.requests().is_empty());
}
