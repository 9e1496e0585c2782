use std::fs;

use tempfile::TempDir;

use super::*;

/// The environment of a pod whose service account is in `directory`.
fn pod(directory: &Path, host: &str) -> Environment {
    Environment {
        service_host: Some(host.into()),
        service_port: Some("6443".into()),
        service_account: directory.to_owned(),
        ..Environment::default()
    }
}

fn directory_with(names: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        fs::write(directory.path().join(name), "").unwrap();
    }
    directory
}

#[test]
fn a_pod_uses_its_service_account() {
    let directory = directory_with(&["token", "config"]);
    for (host, url) in [
        ("10.96.0.1", "https://10.96.0.1:6443/"),
        ("fd00::1", "https://[fd00::1]:6443/"),
        (
            "kubernetes.default.svc",
            "https://kubernetes.default.svc:6443/",
        ),
    ] {
        let environment = Environment {
            kubeconfig: Some(directory.path().join("config").into()),
            ..pod(directory.path(), host)
        };
        let (source, server) = Source::locate(&Credentials::Ambient, &environment).unwrap();
        let expected = CredentialFiles {
            ca_file: Some(directory.path().join("ca.crt")),
            token_file: Some(directory.path().join("token")),
            ..CredentialFiles::default()
        };
        assert_eq!(source, Source::Files(expected));
        assert_eq!(server.unwrap().as_str(), url);
    }
}

#[test]
fn elsewhere_the_usual_kubeconfig_is_used() {
    let directory = directory_with(&["config"]);
    let config = directory.path().join("config");
    // Also in a pod that has no service account token.
    let environment = Environment {
        kubeconfig: Some(env::join_paths([Path::new(""), Path::new("absent"), &config]).unwrap()),
        home: Some("/home/operator".into()),
        ..pod(directory.path(), "10.96.0.1")
    };
    let (source, server) = Source::locate(&Credentials::Ambient, &environment).unwrap();
    let files = vec!["absent".into(), config];
    let context = None;
    assert_eq!(source, Source::Kubeconfig { files, context });
    assert_eq!(server, None);
}

#[test]
fn without_kubeconfig_in_the_environment_it_is_the_one_in_the_home_directory() {
    let environment = Environment {
        kubeconfig: Some(OsString::new()),
        home: Some("/home/operator".into()),
        ..Environment::default()
    };
    let credentials = Credentials::Kubeconfig {
        file: None,
        context: Some("prod".to_owned()),
    };
    let (source, _) = Source::locate(&credentials, &environment).unwrap();
    let files = vec!["/home/operator/.kube/config".into()];
    let context = Some("prod".to_owned());
    assert_eq!(source, Source::Kubeconfig { files, context });
}

#[test]
fn with_nothing_at_all_the_error_lists_the_choices() {
    for environment in [
        Environment::default(),
        Environment {
            home: Some("/nonexistent".into()),
            ..Environment::default()
        },
    ] {
        let error = Source::locate(&Credentials::Ambient, &environment).unwrap_err();
        let message = error.to_string();
        for choice in ["token-file", "client-certificate", "ca-file", "kubeconfig"] {
            assert!(message.contains(choice), "{message}");
        }
    }
}

#[test]
fn a_token_is_taken_without_the_space_around_it() {
    assert_eq!(
        bearer(" abc.DEF-1_2\r\n", "x").unwrap(),
        "Bearer abc.DEF-1_2"
    );
    for unusable in ["", "\n", "two words", "tab\there", "new\nline", "naïve"] {
        let error = bearer(unusable, "/run/token").unwrap_err().to_string();
        assert!(error.contains("/run/token"), "{error}");
    }
}

#[test]
fn a_token_is_not_shown() {
    assert!(!format!("{:?}", bearer("s3cr3t", "x").unwrap()).contains("s3cr3t"));
}

#[test]
fn a_server_name_is_a_dns_name() {
    assert_eq!(server_name("kubernetes").unwrap(), "kubernetes");
    for unusable in ["", "10.0.0.1", "::1", "a b", "https://a"] {
        server_name(unusable).unwrap_err();
    }
}

#[test]
fn a_file_is_read_as_far_as_the_cap() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large");
    fs::write(&path, vec![b'a'; 1 << 20]).unwrap();
    read_file(&path).unwrap();
    fs::write(&path, vec![b'a'; (1 << 20) + 1]).unwrap();
    let CredentialError::Read { source, .. } = read_file(&path).unwrap_err() else {
        panic!("it was read");
    };
    assert_eq!(source.kind(), io::ErrorKind::FileTooLarge);
}
