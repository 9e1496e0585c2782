//! The binary as its users call it: what it prints, and what its exit codes say.

use std::{
    fs,
    process::{Command, Output},
};

use crate::support::{ApiServer, p256};

/// Runs the binary with nothing of our own environment that it might read.
fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oidc-mirror"))
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

const ISSUER: &str = "https://oidc.example.com";

#[test]
fn a_newcomer_is_told_what_there_is() {
    let help = run(&["--help"]);
    assert_eq!(code(&help), 0);
    for word in [
        "run",
        "publish",
        "check",
        "keys",
        "demo",
        "completions",
        "Examples:",
    ] {
        assert!(stdout(&help).contains(word), "{word}");
    }
    for subcommand in ["run", "publish", "check", "keys", "demo", "completions"] {
        assert_eq!(code(&run(&[subcommand, "--help"])), 0);
    }
    assert!(stdout(&run(&["--version"])).starts_with("oidc-mirror "));
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for arguments in [
        &["frob"][..],
        &[],
        &["run", "--frob"],
        &["publish", "--set", "no-value"],
    ] {
        assert_eq!(code(&run(arguments)), 2, "{arguments:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn a_configuration_that_cannot_work_exits_with_78_and_says_why() {
    for (arguments, expected) in [
        (&["run"][..], "mirror.issuer is missing"),
        (&["run", "--issuer", ISSUER], "there is nothing to do"),
        (
            &[
                "run",
                "--issuer",
                "http://x.example",
                "--listen",
                "127.0.0.1:0",
            ],
            "starts with https://",
        ),
        (
            &["run", "--config", "/no/such/file.toml"],
            "/no/such/file.toml: No such file",
        ),
        (
            &["run", "--issuer", ISSUER, "--listen", "localhost"],
            "127.0.0.1:8443, [::]:443",
        ),
        (
            &["run", "--issuer", ISSUER, "--listen", "127.0.0.1:0"],
            "found no credentials",
        ),
        (
            &[
                "run",
                "--issuer",
                ISSUER,
                "--listen",
                "127.0.0.1:0",
                "--kubeconfig",
                "/no/kubeconfig",
            ],
            "/no/kubeconfig",
        ),
        (
            &[
                "run",
                "--issuer",
                ISSUER,
                "--listen",
                "127.0.0.1:0",
                "--tls-cert-file",
                "/no/tls.crt",
            ],
            "serve.tls.key-file is missing",
        ),
        (
            &[
                "run",
                "--issuer",
                ISSUER,
                "--listen",
                "127.0.0.1:0",
                "--tls-cert-file",
                "/no/tls.crt",
                "--tls-key-file",
                "/no/tls.key",
            ],
            "/no/tls.crt",
        ),
        (&["publish", "--issuer", ISSUER], "say where to publish to"),
        (
            &["publish", "--issuer", ISSUER, "--to", "gs://x"],
            "a target is s3://",
        ),
        (
            &["check", "--issuer", ISSUER, "--set", "mirror.frob=1"],
            "unknown field `frob`",
        ),
    ] {
        let output = run(arguments);
        assert!(
            stderr(&output).contains(expected),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert_eq!(code(&output), 78, "{arguments:?}");
    }
}

#[test]
fn the_certificate_and_its_key_must_go_together() {
    let directory = tempfile::tempdir().unwrap();
    let [one, other] = [0, 1].map(|number| {
        let authority = oidc_mirror::demo::Authority::new("test").unwrap();
        let [cert, key] =
            ["crt", "key"].map(|end| directory.path().join(format!("{number}.{end}")));
        authority
            .issue(&["localhost"])
            .unwrap()
            .write(&cert, &key)
            .unwrap();
        (
            cert.to_str().unwrap().to_owned(),
            key.to_str().unwrap().to_owned(),
        )
    });
    let output = run(&[
        "run",
        "--issuer",
        ISSUER,
        "--listen",
        "127.0.0.1:0",
        "--tls-cert-file",
        &one.0,
        "--tls-key-file",
        &other.1,
    ]);
    assert_eq!(code(&output), 78);
    assert!(
        stderr(&output).contains("do not go together"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains(&other.1));
}

#[test]
fn a_port_in_use_exits_with_1_and_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["run", "--issuer", ISSUER, "--listen", &address]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains(&format!("could not listen on {address}")),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("--listen"));
}

#[test]
fn settings_come_from_the_environment_too() {
    let output = Command::new(env!("CARGO_BIN_EXE_oidc-mirror"))
        .arg("check")
        .env_clear()
        .envs([
            ("OIDC_MIRROR_ISSUER", ISSUER),
            (
                "OIDC_MIRROR_UPSTREAM",
                "https://10.0.0.11:6443,https://10.0.0.12:6443",
            ),
            ("OIDC_MIRROR_TO", "s3://bucket/prefix"),
            ("OIDC_MIRROR_LISTEN", "[::]:443"),
        ])
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for expected in [
        ISSUER,
        "https://10.0.0.12:6443/",
        "s3://bucket/prefix",
        "[::]:443",
    ] {
        assert!(
            stdout(&output).contains(expected),
            "{expected}: {}",
            stdout(&output)
        );
    }
}

#[test]
fn completions_are_printed_for_a_shell() {
    assert!(stdout(&run(&["completions", "bash"])).contains("oidc-mirror"));
}

/// A directory to publish to, and the arguments of a `publish` from `server` into it.
fn publish(server: &ApiServer, directory: &str) -> Vec<String> {
    [
        "publish",
        "--issuer",
        ISSUER,
        "--upstream",
        server.url().as_str(),
        "--to",
        directory,
        "--set",
        &format!("mirror.ca-file={}", server.ca_file().display()),
        "--set",
        &format!("mirror.token-file={}", server.token_file().display()),
    ]
    .map(str::to_owned)
    .to_vec()
}

async fn run_async(arguments: Vec<String>) -> Output {
    let run_it = move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run_it).await.unwrap()
}

#[tokio::test]
async fn publish_writes_once_and_then_finds_all_equal() {
    let server = ApiServer::start();
    server.set_keys(&[p256()]);
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}", directory.path().display());

    let dry = run_async([publish(&server, &url), vec!["--dry-run".into()]].concat()).await;
    assert_eq!(code(&dry), 0, "{}", stderr(&dry));
    assert!(
        stdout(&dry).contains("+  \"issuer\": \"https://oidc.example.com\""),
        "{}",
        stdout(&dry)
    );
    assert!(
        !stdout(&dry).contains('\u{1b}'),
        "colours belong on a terminal"
    );
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        0,
        "a dry run writes nothing"
    );

    let first = run_async(publish(&server, &url)).await;
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert!(directory.path().join("openid/v1/jwks").exists());
    assert!(
        directory
            .path()
            .join(".well-known/openid-configuration")
            .exists()
    );

    let second = run_async(publish(&server, &url)).await;
    assert_eq!(code(&second), 0);
    assert!(
        stderr(&second).contains("already equal"),
        "{}",
        stderr(&second)
    );
}

#[tokio::test]
async fn publish_without_an_answer_exits_with_1_and_writes_nothing() {
    let server = ApiServer::start();
    server.set_keys(&[p256()]);
    let directory = tempfile::tempdir().unwrap();
    fs::write(server.token_file(), "wrong").unwrap();
    let output = run_async(publish(
        &server,
        &format!("file://{}", directory.path().display()),
    ))
    .await;
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("401 Unauthorized"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn logs_are_json_for_machines() {
    let server = ApiServer::start();
    server.set_keys(&[p256()]);
    let directory = tempfile::tempdir().unwrap();
    let arguments = publish(&server, &format!("file://{}", directory.path().display()));
    let output = run_async([arguments, vec!["--log-format".into(), "json".into()]].concat()).await;
    let lines = stderr(&output);
    assert!(lines.lines().count() > 0);
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(
            line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
}
