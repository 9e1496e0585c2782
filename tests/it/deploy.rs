//! Alert rules, dashboard and runbook: they ask for what there is, and belong together.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    ApiServer,
    service::{Plan, answer},
};

#[tokio::test]
async fn every_metric_that_is_asked_for_is_exposed() {
    let server = ApiServer::start();
    let service = Plan::new()
        .mirror("https://oidc.example.com", &[&server])
        .set("admin.listen=127.0.0.1:0")
        .start()
        .await;
    let client = service.plan().client(service.admin()).build().unwrap();
    let metrics = client.get(format!("http://{}/metrics", service.admin()));
    let text = String::from_utf8(answer(metrics).await.body.to_vec()).unwrap();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let exposed: BTreeSet<_> = families
        .flat_map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let suffixes: &[_] = match kind {
                "histogram" => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
        })
        .collect();
    let missing: BTreeSet<_> = [ALERTS, ALERTS_TEST, DASHBOARD, RUNBOOK]
        .into_iter()
        .flat_map(|file| metrics_in(&read(file)))
        .filter(|name| !exposed.contains(name))
        .collect();
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn every_alert_has_its_section_and_its_test() {
    let runbook = read(RUNBOOK);
    let (_, sections) = runbook.split_once("\n## ").unwrap();
    let mut sections = sections.split("\n## ");
    let tests = read(ALERTS_TEST);
    let alerts = read(ALERTS);
    for alert in alerts.split("- alert: ").skip(1) {
        let (name, rule) = alert.split_once('\n').unwrap();
        let section = format!("{RUNBOOK}#{}", name.to_lowercase());
        assert_eq!(value(rule, "runbook"), section);
        let severity = match value(rule, "severity") {
            "critical" => "*Critical.*",
            "warning" => "*Warning.*",
            severity => panic!("{name} is {severity}"),
        };
        let section = sections.next().unwrap_or_default();
        let start = format!("{name}\n\n{severity} ");
        assert!(section.starts_with(&start), "{start}{section}");
        for part in ["**Affected:**", "**Look at", "**do"] {
            let has_part = section.to_lowercase().contains(&part.to_lowercase());
            assert!(has_part, "{name} does not say {part}");
        }
        let fires = format!("alertname=\"{name}\"");
        assert!(tests.contains(&fires), "no test lets {name} fire");
    }
    assert_eq!(sections.next(), None, "an alert that there is not");
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let pages = fs::read_dir(root().join("docs")).unwrap();
    let pages = pages.map(|entry| entry.unwrap().path());
    let pages: Vec<_> = pages
        .filter(|path| path.extension().is_some_and(|it| it == "md"))
        .chain([root().join("README.md"), root().join("ARCHITECTURE.md")])
        .collect();
    let mut links = 0;
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1) {
            let (link, _) = link.split_once(')').unwrap();
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let found = anchors(&fs::read_to_string(target).unwrap()).contains(anchor);
                assert!(found, "{}: {link}", page.display());
            }
            links += 1;
        }
    }
    assert!(links > 50, "{links}");
}

#[test]
fn every_panel_of_the_dashboard_is_explained_and_at_its_place() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let [x, y, width, height] =
            ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
        assert!(x + width <= GRID_COLUMNS, "{title} is too wide");
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{title} overlaps another panel");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().unwrap().ends_with('.'));
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string());
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for source in targets.iter().chain([panel]) {
            assert_eq!(source["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}

#[test]
fn prometheus_understands_every_query_of_the_dashboard() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|it| it["targets"].as_array());
    let rules: Vec<_> = targets
        .flatten()
        .enumerate()
        .map(|(number, target)| {
            let query = target["expr"].as_str().unwrap();
            let query = query
                .replace("$mirror", ".*")
                .replace("$__rate_interval", "1m");
            assert!(!query.contains('$'), "{query}");
            json!({"record": format!("query:{number}"), "expr": query})
        })
        .collect();
    assert!(rules.len() > 20, "{}", rules.len());
    // JSON is YAML, too.
    let rules = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, rules.to_string()).unwrap();
    let checked = Command::new("promtool")
        .args(["check", "rules"])
        .arg(file.path())
        .output();
    match checked {
        Ok(output) => assert!(output.status.success(), "{output:#?}"),
        // .ci/run installs it before the tests; without it, they need nothing but Rust.
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
    }
}

fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_lowercase() || character == '_';
    text.split(|character| !is_part(character))
        .filter(|word| word.starts_with("oidc_mirror_"))
        .map(str::to_owned)
        .collect()
}

/// What the first line with this key sets it to.
fn value<'a>(yaml: &'a str, key: &str) -> &'a str {
    let mut lines = yaml.lines().filter_map(|line| line.split_once(": "));
    let (_, value) = lines.find(|(name, _)| name.trim_start() == key).unwrap();
    value
}

/// The names under which the headings of a page can be linked to.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim();
            let characters = heading.to_lowercase();
            let characters = characters.chars().filter_map(|character| match character {
                ' ' => Some('-'),
                '-' | '_' => Some(character),
                character => character.is_alphanumeric().then_some(character),
            });
            characters.collect()
        })
        .collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

const ALERTS: &str = "deploy/prometheus/alerts.yaml";
const ALERTS_TEST: &str = "deploy/prometheus/alerts_test.yaml";
const DASHBOARD: &str = "deploy/grafana/dashboard.json";
const RUNBOOK: &str = "docs/runbook.md";

/// How wide Grafana takes a dashboard to be.
const GRID_COLUMNS: u64 = 24;
