use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::Report;

/// A directory with a kubeconfig in `config` of one context; JSON is YAML.
fn written(cluster: &Value, user: &Value) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = json!({
        "current-context": "prod",
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "mirror"}}],
        "clusters": [{"name": "prod", "cluster": cluster}],
        "users": [{"name": "mirror", "user": user}],
    });
    fs::write(directory.path().join("config"), kubeconfig.to_string()).unwrap();
    directory
}

fn read_in(directory: &TempDir) -> Result<Material, CredentialError> {
    read(&[directory.path().join("config")], None)
}

fn refusal(cluster: &Value, user: &Value) -> String {
    let error = read_in(&written(cluster, user)).unwrap_err();
    let report = Report(&error).to_string();
    assert!(!report.contains("s3cr3t"), "{report}");
    report
}

#[test]
fn a_token_and_a_server_are_enough() {
    let cluster = json!({"server": "https://10.0.0.11:6443"});
    let material = read_in(&written(&cluster, &json!({"token": "abc"}))).unwrap();
    assert_eq!(material.server.unwrap().as_str(), "https://10.0.0.11:6443/");
    assert_eq!(material.authorization.unwrap(), "Bearer abc");
    assert_eq!(material.trust, Trust::System);
    assert!(material.identity.is_none() && material.plugin.is_none());
}

#[test]
fn the_token_file_comes_before_the_token() {
    let directory = written(&json!({}), &json!({"token": "old", "tokenFile": "token"}));
    fs::write(directory.path().join("token"), "new\n").unwrap();
    let material = read_in(&directory).unwrap();
    assert_eq!(material.authorization.unwrap(), "Bearer new");
}

#[test]
fn what_is_unsafe_or_not_supported_is_refused_with_its_name() {
    let token = json!({"token": "s3cr3t"});
    for (cluster, what) in [
        (
            json!({"insecure-skip-tls-verify": true}),
            "insecure-skip-tls-verify",
        ),
        (json!({"proxy-url": "http://10.0.0.1:3128"}), "proxy-url"),
        (json!({"server": "s3cr3t"}), "server"),
        (json!({"tls-server-name": "10.0.0.1"}), "10.0.0.1"),
        (
            json!({"certificate-authority-data": "s3cr3t!"}),
            "certificate-authority-data",
        ),
        (
            json!({"certificate-authority-data": "czNjcjN0"}),
            "certificate-authority-data",
        ),
        (json!({"certificate-authority": "absent.crt"}), "absent.crt"),
    ] {
        let message = refusal(&cluster, &token);
        assert!(message.contains(what), "{message}");
    }
    for (user, what) in [
        (json!({"as": "admin", "token": "s3cr3t"}), "impersonation"),
        (
            json!({"auth-provider": {"name": "gcp", "config": {"access-token": "s3cr3t"}}}),
            "auth-provider",
        ),
        (
            json!({"username": "admin", "password": "s3cr3t"}),
            "username and password",
        ),
        (json!({"client-certificate": "absent.crt"}), "absent.crt"),
        (json!({"client-key-data": "czNjcjN0"}), "only one of"),
        (json!({"token": "s3cr3t\n two"}), "bearer token"),
        (json!({"tokenFile": "absent"}), "absent"),
        (json!({"exec": {"apiVersion": "v1"}}), "no command"),
    ] {
        let message = refusal(&json!({}), &user);
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn verification_that_is_not_skipped_is_no_reason_to_refuse() {
    let cluster = json!({"insecure-skip-tls-verify": false, "proxy-url": ""});
    read_in(&written(&cluster, &json!({}))).unwrap();
}

#[test]
fn what_is_no_yaml_is_located_but_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    fs::write(&path, "users:\n- name: a\n  user:\n    token: [s3cr3t\n").unwrap();
    let error = read(&[path], None).unwrap_err();
    let report = format!("{} {error:?}", Report(&error));
    assert!(report.contains("line"), "{report}");
    assert!(!report.contains("s3cr3t"), "{report}");
}

#[test]
fn the_context_can_be_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    let context = |name: &str, cluster: &str, user: &str| json!({"name": name, "context": {"cluster": cluster, "user": user}});
    let kubeconfig = json!({
        "contexts": [
            context("prod", "prod", "mirror"),
            context("no-cluster", "gone", "mirror"),
            context("no-user", "prod", "gone"),
            context("anonymous", "prod", ""),
        ],
        "clusters": [{"name": "prod", "cluster": {}}],
        "users": [{"name": "mirror", "user": {"token": "abc"}}],
    });
    fs::write(&path, kubeconfig.to_string()).unwrap();
    let read = |context| read(std::slice::from_ref(&path), context);
    assert!(read(Some("prod")).unwrap().authorization.is_some());
    assert!(read(Some("anonymous")).unwrap().authorization.is_none());
    for (context, what) in [
        (None, "no current-context"),
        (Some("absent"), "no context \"absent\""),
        (Some("no-cluster"), "names a cluster"),
        (Some("no-user"), "names a user"),
    ] {
        let message = read(context).unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn of_several_files_the_first_to_name_something_wins() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    // Relative files are relative to the kubeconfig that names them.
    fs::create_dir(path("b")).unwrap();
    fs::write(path("b/token"), "from-b").unwrap();
    let first = json!({
        "current-context": "prod",
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "mirror"}}],
        "clusters": [{"name": "prod", "cluster": {"server": "https://a.example.com"}}],
    });
    let second = json!({
        "current-context": "other",
        "clusters": [{"name": "prod", "cluster": {"server": "https://b.example.com"}}],
        "users": [{"name": "mirror", "user": {"tokenFile": "token"}}],
    });
    fs::write(path("a"), first.to_string()).unwrap();
    fs::write(path("b/config"), second.to_string()).unwrap();
    let material = read(&[path("absent"), path("a"), path("b/config")], None).unwrap();
    assert_eq!(material.server.unwrap().as_str(), "https://a.example.com/");
    assert_eq!(material.authorization.unwrap(), "Bearer from-b");

    let none = read(&[path("absent"), path("absent-too")], None).unwrap_err();
    assert!(matches!(none, CredentialError::NotFound { .. }), "{none:?}");
    let one = read(&[path("absent")], None).unwrap_err();
    assert!(matches!(one, CredentialError::Read { .. }), "{one:?}");
}
