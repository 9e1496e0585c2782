//! The rules of the tree, read off the source: which room may know which library and which room.

use std::{
    fs,
    path::{Path, PathBuf},
};

#[test]
fn the_pure_parts_know_no_io() {
    let pure = [
        "oidc/",
        "config/",
        "publish/board.rs",
        "publish/object.rs",
        "publish/plan.rs",
        "publish/turn.rs",
        "publish/diff.rs",
        "backoff.rs",
        "report.rs",
        "cli/keys/advice.rs",
        "cli/keys/row.rs",
        "when.rs",
    ];
    let forbidden = [
        "tokio",
        "reqwest",
        "hyper",
        "hyper_util",
        "rustls",
        "tokio_rustls",
        "aws_config",
        "aws_sdk_s3",
        "aws_smithy_http_client",
        "aws_credential_types",
        "kube_client",
        "SystemTime",
        "Instant",
        "TcpStream",
    ];
    refuse(&pure, &forbidden);
    refuse(&["oidc/"], &["fs", "env", "net", "process"]);
}

#[test]
fn stages_do_not_know_each_other() {
    for (room, others) in [
        (
            "oidc/",
            &[
                "config", "upstream", "mirror", "serve", "publish", "verify", "admin", "demo",
                "cli",
            ][..],
        ),
        (
            "config/",
            &[
                "upstream", "mirror", "serve", "publish", "verify", "admin", "demo", "cli",
            ],
        ),
        (
            "upstream/",
            &[
                "mirror", "serve", "publish", "verify", "admin", "demo", "cli",
            ],
        ),
        (
            "serve/",
            &[
                "upstream", "mirror", "publish", "verify", "admin", "demo", "cli",
            ],
        ),
        (
            "publish/",
            &[
                "upstream", "mirror", "serve", "verify", "admin", "demo", "cli",
            ],
        ),
        (
            "mirror/",
            &["serve", "publish", "verify", "admin", "demo", "cli"],
        ),
        (
            "verify/",
            &[
                "upstream", "mirror", "serve", "publish", "admin", "demo", "cli",
            ],
        ),
        ("admin/", &["upstream", "demo", "cli"]),
        (
            "demo/",
            &["upstream", "mirror", "serve", "publish", "admin", "cli"],
        ),
    ] {
        for (file, code) in production_code() {
            for other in others.iter().filter(|_| file.starts_with(room)) {
                let (path, grouped) = (format!("crate::{other}"), format!("{other}::"));
                let is_named = code.contains(&path)
                    || code.lines().any(|line| line.trim().starts_with(&grouped));
                assert!(!is_named, "src/{file} knows {other}");
            }
        }
    }
}

#[test]
fn each_library_has_one_home() {
    for (library, homes) in [
        ("aws_config", &["publish/s3/"][..]),
        ("aws_sdk_s3", &["publish/s3/"]),
        ("aws_smithy_http_client", &["publish/s3/"]),
        ("reqwest", &["verify/", "serve/certificates/acme/"]),
        ("kube_client", &["upstream/"]),
        ("hyper", &["serve/", "admin/", "demo/", "upstream/"]),
        ("hyper_util", &["serve/", "admin/", "demo/", "upstream/"]),
        ("prometheus_client", &["admin/", "serve/counters.rs"]),
        ("comfy_table", &["cli/"]),
        ("rcgen", &["demo/", "serve/certificates/acme/"]),
        ("instant_acme", &["serve/certificates/acme/"]),
        ("x509_cert", &["serve/certificates/"]),
        ("jsonwebtoken", &["demo/", "verify/"]),
        ("toml", &["config/", "cli/"]),
        ("clap", &["cli/", "main.rs"]),
        ("sd_notify", &["cli/manager.rs", "serve/socket.rs"]),
        ("listenfd", &["serve/socket.rs"]),
        ("proxy_header", &["serve/proxy.rs"]),
    ] {
        for (file, code) in production_code() {
            let at_home = homes.iter().any(|home| file.starts_with(home));
            assert!(
                at_home || !mentions(&code, library),
                "src/{file} uses {library}"
            );
        }
    }
}

#[test]
fn a_module_file_is_a_table_of_contents() {
    for (file, code) in production_code()
        .into_iter()
        .filter(|(file, _)| file.ends_with("mod.rs"))
    {
        assert!(!code.contains("fn "), "src/{file} has logic");
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for (file, code) in production_code() {
        assert!(
            code.lines().count() <= 400,
            "src/{file} has {} lines",
            code.lines().count()
        );
    }
}

fn refuse(rooms: &[&str], names: &[&str]) {
    for (file, code) in production_code() {
        let is_inside = rooms.iter().any(|room| file.starts_with(room));
        for name in names.iter().filter(|_| is_inside) {
            assert!(!mentions(&code, name), "src/{file} uses {name}");
        }
    }
}

/// Whether `name` stands in `code` as the first or a later part of a path.
fn mentions(code: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let mut after_each = code.split(name);
    let mut before = after_each.next().unwrap_or_default();
    after_each.any(|after| {
        let is_word = !before.ends_with(is_part) && !after.starts_with(is_part);
        let is_path = after.starts_with("::") || before.ends_with("::");
        let is_listed = before.ends_with(['{', ' ']) && after.starts_with([',', '}']);
        before = after;
        is_word && (is_path || is_listed)
    })
}

/// Every source file by its path below `src`, without comments and without tests.
fn production_code() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 30, "where is the source?");
    files
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            (name, lines.map(|line| format!("{line}\n")).collect())
        })
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
        if path.is_dir() && !is_test {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            files.push(path);
        }
    }
}
