//! The demo's story through the real binary.

use std::{
    net::TcpListener,
    process::{Command, Output},
};

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oidc-mirror"))
        .args(["demo", "--once"])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn the_story_is_told_and_every_verification_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let output = demo(&["--listen", "127.0.0.1:0", "--directory", path]);
    let told = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}{errors}");
    assert!(
        told.ends_with(" verifications held, 0 failed\n"),
        "{told}{errors}"
    );
    assert!(!told.contains('\u{1b}'), "no colours without a terminal");
    for part in [
        "curl --cacert",
        "API server 1 goes down",
        "API server 2 is back",
        "API server 1 drops the old key",
        "tokens from before held",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    for file in [
        "cluster/token",
        "issuer/ca.crt",
        "published/openid/v1/jwks",
        "published/.well-known/openid-configuration",
    ] {
        assert!(directory.path().join(file).is_file(), "{file}: {told}");
    }
}

#[test]
fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = demo(&["--listen", &address]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains(&address) && errors.contains("--listen"),
        "{errors}"
    );
}
