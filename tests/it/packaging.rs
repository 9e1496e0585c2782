//! What is shipped beside the binary says what the binary understands.

use std::{
    collections::BTreeSet,
    error::Error as _,
    fs,
    path::{Path, PathBuf},
};

use clap::Parser as _;
use oidc_mirror::{
    cli::Cli,
    config::{ConfigError, settings::Settings},
};

#[test]
fn every_example_configuration_is_understood() {
    for name in ["acme", "mirror", "publish", "sidecar"] {
        let file = root().join("config").join(name).with_extension("toml");
        Settings::load(Some(&file), &[]).unwrap();
    }
}

#[test]
fn the_reference_shows_the_defaults() {
    for reference in references() {
        let without_defaults: String = reference
            .lines()
            .filter(|line| line.starts_with('[') || EXAMPLES.iter().any(|key| sets(line, key)))
            .map(|line| format!("{line}\n"))
            .collect();
        let [shown, assumed] = [reference, without_defaults].map(|text| load(&text).unwrap());
        assert_eq!(format!("{shown:?}"), format!("{assumed:?}"));
    }
}

#[test]
fn the_reference_names_every_setting() {
    let reference = references().concat();
    let shown: BTreeSet<_> = reference
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .collect();
    for table in [
        "",
        "[[mirror]]",
        "[[mirror]]\n[[mirror.target]]",
        "[serve]",
        "[serve.acme]",
    ] {
        // The error for an unknown setting lists those that are known.
        let error = load(&format!("{table}\nunknown = 0\n")).unwrap_err();
        let source = error.source().unwrap().to_string();
        let (_, known) = source.split_once("expected one of").unwrap();
        for key in known.split('`').skip(1).step_by(2) {
            let has_table = ["admin", "mirror", "serve", "target"].contains(&key);
            assert!(has_table || shown.contains(key), "{table} {key}");
        }
    }
}

#[test]
fn what_the_reference_leaves_out_can_be_put_in() {
    for reference in references() {
        let lines: Vec<_> = reference.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let Some(setting) = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')) else {
                continue;
            };
            let mut text = lines.clone();
            text[number] = setting;
            match load(&text.join("\n")) {
                // Some exclude what the reference shows instead.
                Ok(_) | Err(ConfigError::Together(_)) => {}
                Err(error) => panic!("{setting}: {error}"),
            }
        }
    }
}

#[test]
fn the_pod_holds_the_configuration_of_the_sidecar() {
    let config = read("config/sidecar.toml");
    let (_, settings) = config.split_once("\n\n").unwrap();
    let pod = read("config/sidecar-pod.yaml");
    let (_, rest) = pod.split_once("  mirror.toml: |\n").unwrap();
    let embedded: String = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .map(|line| line.strip_prefix("    ").unwrap_or(line).to_owned() + "\n")
        .collect();
    assert_eq!(embedded, settings);
}

#[test]
fn the_units_start_what_the_command_line_knows() {
    for unit in ["oidc-mirror.service", "oidc-mirror-publish.service"] {
        let text = read(&format!("systemd/{unit}"));
        let command = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="));
        Cli::try_parse_from(command.unwrap().split(' ')).unwrap();
    }
}

#[test]
fn the_service_may_write_where_its_configuration_keeps_the_state() {
    let unit = read("systemd/oidc-mirror.service");
    let name = unit
        .lines()
        .find_map(|line| line.strip_prefix("StateDirectory="));
    let state_dir = load(&reference()).unwrap().state_dir.unwrap();
    assert_eq!(state_dir, Path::new("/var/lib").join(name.unwrap()));
}

#[test]
fn the_pod_may_write_where_its_configuration_keeps_the_state() {
    let state_dir = load(&read("config/sidecar.toml")).unwrap().state_dir;
    let volume = state_dir.unwrap().parent().unwrap().to_owned();
    let mount = format!("{{name: state, mountPath: {}}}", volume.display());
    assert!(read("config/sidecar-pod.yaml").contains(&mount), "{mount}");
}

#[test]
fn the_tests_that_the_map_names_are_there() {
    let map = read("ARCHITECTURE.md");
    let (_, invariants) = map.split_once("\n## The invariants\n").unwrap();
    let (invariants, _) = invariants.split_once("\n## ").unwrap();
    let tests = sources();
    let rows = invariants.lines().filter(|line| line.starts_with("| "));
    let held_by = rows.filter_map(|row| row.rsplit(" | ").next());
    let mut named = 0;
    for name in held_by.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        let name = name.rsplit("::").next().unwrap();
        // A single word is a module.
        if name.contains('_') && !name.contains('/') && !name.ends_with(".rs") {
            // "…" stands for the rest of a long name.
            let start = name.strip_suffix('…').map(str::to_owned);
            let start = start.unwrap_or_else(|| format!("{name}("));
            assert!(tests.contains(&format!("fn {start}")), "{name}");
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}

/// All Rust code, tests included.
fn sources() -> String {
    let mut folders = vec![root().join("src"), root().join("tests/it")];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                text += &fs::read_to_string(path).unwrap();
            }
        }
    }
    text
}

fn load(text: &str) -> Result<Settings, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, text).unwrap();
    Settings::load(Some(file.path()), &[])
}

fn sets(line: &str, key: &str) -> bool {
    line.split_once(" = ").is_some_and(|(name, _)| name == key)
}

/// Every setting, those of `[serve.acme]` in a file of their own since they exclude others.
fn references() -> [String; 2] {
    [reference(), read("config/acme.toml")]
}

fn reference() -> String {
    read("config/mirror.toml")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The settings of the reference that are shown without being defaults.
const EXAMPLES: [&str; 10] = [
    "state-dir",
    "ca-file",
    "issuer",
    "listen",
    "region",
    "terms-of-service-agreed",
    "tls",
    "token-file",
    "upstreams",
    "url",
];
