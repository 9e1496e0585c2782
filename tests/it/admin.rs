//! What the operator is told: readiness, metrics, keys, and the limits of asking.

use std::{collections::BTreeMap, fs, time::Duration};

use http::{
    Method, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use oidc_mirror::{
    Report,
    admin::{Admin, KeysAnswer},
    config::settings,
    demo::SigningKey,
    oidc::State,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::support::{
    ApiServer, JWKS, Reply, jwks, p256,
    service::{Answer, Plan, Running, answer, eventually, rounds_pass},
};

const ISSUER: &str = "https://oidc.example.com";

fn lists(keys: &[&SigningKey]) -> ApiServer {
    let server = ApiServer::start();
    server.set_keys(keys);
    server
}

fn plan(servers: &[&ApiServer]) -> Plan {
    Plan::new()
        .mirror(ISSUER, servers)
        .set("admin.listen=127.0.0.1:0")
}

async fn send(service: &Running, method: Method, path: &str) -> Answer {
    let client = service.plan().client(service.admin()).build().unwrap();
    let url = format!("http://{}{path}", service.admin());
    answer(client.request(method, url)).await
}

async fn ask(service: &Running, path: &str) -> (StatusCode, String) {
    let answer = send(service, Method::GET, path).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    (answer.status, text)
}

/// Asks until the answer has `part` in it.
async fn ask_until(service: &Running, path: &str, part: &str) -> (StatusCode, String) {
    eventually(&format!("{path} says {part}"), async || {
        let answer = ask(service, path).await;
        answer.1.contains(part).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn a_mirror_is_ready_with_its_first_documents_and_stays_so_without_api_servers() {
    let mut server = lists(&[&p256()]);
    server.always(JWKS, Reply::status(500, "no"));
    let service = plan(&[&server]).start().await;
    let (status, text) = ask_until(&service, "/readyz", "upstreams failed").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    for line in [
        "[-]mirror-0/snapshot failed: nothing to give out, no API server has answered well yet: ",
        &format!("[-]mirror-0/upstreams failed: {} status for ", server.url()),
        "[+]mirror-0/agreement ok",
        "readyz check failed",
    ] {
        assert!(
            text.lines().any(|it| it.starts_with(line)),
            "{line}\n{text}"
        );
    }
    let live = (StatusCode::OK, "ok\n".to_owned());
    assert_eq!(ask(&service, "/livez").await, live);

    server.behave();
    ask_until(&service, "/readyz", "ok\n").await;
    let (_, text) = ask_until(&service, "/readyz?verbose", "readyz check passed\n").await;
    assert!(
        text.contains("[+]mirror-0/snapshot ok: 1 key, last answer "),
        "{text}"
    );

    server.stop().await;
    let (status, text) = ask_until(&service, "/readyz?verbose", "upstreams failed").await;
    assert_eq!(status, StatusCode::OK);
    let line = format!(
        "[-]mirror-0/upstreams failed: {} connect for ",
        server.url()
    );
    assert!(text.contains(&line), "{text}");
    assert!(text.contains("; see that this API server runs"), "{text}");
    assert!(text.contains("what is marked [-] needs attention (1)\n"));
    assert_eq!(ask(&service, "/readyz").await, live);
}

#[tokio::test]
async fn documents_that_are_too_old_make_it_unready() {
    let mut server = lists(&[&p256()]);
    let plan = plan(&[&server]).set("mirror.max-stale=1m");
    let service = plan
        .start_with(|settings| {
            settings.mirrors[0].keys.max_stale = Some(Duration::from_millis(500));
        })
        .await;
    service.documents(ISSUER).await;
    server.stop().await;
    let (status, text) = ask_until(&service, "/readyz", "freshness failed").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let line =
        "[-]mirror-0/freshness failed: the documents are withheld, max-stale is 500ms: bring an";
    assert!(text.contains(line), "{text}");
    let series = metrics(&service).await;
    assert_eq!(series[r#"oidc_mirror_stale{mirror="mirror-0"}"#], 1.0);
}

#[tokio::test]
async fn what_needs_attention_is_listed_and_keeps_nobody_out() {
    let (key, other) = (p256(), p256());
    let servers = [lists(&[&key]), lists(&[&key])];
    servers[1].set_issuer("https://kubernetes.default.svc");
    let service = plan(&[&servers[0], &servers[1]]).start().await;
    service.documents(ISSUER).await;
    let conflict = jwks(std::slice::from_ref(&other)).replace(other.kid(), key.kid());
    servers[1].always(JWKS, Reply::body(conflict));
    let (status, text) = ask_until(&service, "/readyz?verbose", "agreement failed").await;
    assert_eq!(status, StatusCode::OK);
    let foreign = format!(
        "[-]mirror-0/issuer failed: tokens of {} carry another issuer than {ISSUER}: relying parties",
        servers[1].url()
    );
    assert!(text.contains(&foreign), "{text}");
    assert!(text.contains(key.kid()), "{text}");
    let series = metrics(&service).await;
    let of = |server: &ApiServer| format!("mirror=\"mirror-0\",upstream=\"{}\"", server.url());
    let matches =
        |server| series[&*format!("oidc_mirror_upstream_issuer_matches{{{}}}", of(server))];
    assert_eq!(servers.each_ref().map(matches), [1.0, 0.0]);
    assert_eq!(
        series[r#"oidc_mirror_contradiction{mirror="mirror-0"}"#],
        1.0
    );
}

#[tokio::test]
async fn metrics_tell_of_keys_upstreams_and_targets() {
    let (first, second) = (p256(), p256());
    let server = lists(&[&first, &second]);
    let directory = tempfile::tempdir().unwrap();
    let [good, bad] = ["good", "bad"].map(|name| directory.path().join(name));
    fs::write(&bad, "a file").unwrap();
    let targets = format!(
        r#"mirror.target=[{{url="file://{}"}},{{url="file://{}"}}]"#,
        good.display(),
        bad.display()
    );
    let service = plan(&[&server]).set(&targets).start().await;
    let published = |path: &std::path::Path| {
        format!(r#"{{mirror="mirror-0",target="file://{}""#, path.display())
    };
    let series = eventually("both targets were tried", async || {
        let series = metrics(&service).await;
        let tried = [&good, &bad].map(|path| {
            let labels = published(path);
            let sum = |name: &str| series[&*format!("oidc_mirror_publish_{name}_total{labels}}}")];
            sum("writes") + sum("failures")
        });
        tried.iter().all(|it| *it >= 1.0).then_some(series)
    })
    .await;
    for (name, expected) in [
        (r#"has_snapshot{mirror="mirror-0"}"#.to_owned(), 1.0),
        (r#"stale{mirror="mirror-0"}"#.to_owned(), 0.0),
        (r#"state_saved{mirror="mirror-0"}"#.to_owned(), 1.0),
        (r#"keys{mirror="mirror-0",state="active"}"#.to_owned(), 2.0),
        (r#"keys{mirror="mirror-0",state="held"}"#.to_owned(), 0.0),
        (
            format!(
                r#"upstream_up{{mirror="mirror-0",upstream="{}"}}"#,
                server.url()
            ),
            1.0,
        ),
        (format!("publish_failing{}}}", published(&good)), 0.0),
        (
            format!(r#"publish_failing{},reason="directory"}}"#, published(&bad)),
            1.0,
        ),
        (format!("publish_writes_total{}}}", published(&good)), 1.0),
        (format!("publish_drifts_total{}}}", published(&good)), 0.0),
    ] {
        let name = format!("oidc_mirror_{name}");
        assert_eq!(series.get(&name), Some(&expected), "{name}\n{series:#?}");
    }
}

#[tokio::test]
async fn metrics_tell_of_the_release_the_key_set_and_what_is_down() {
    let mut server = lists(&[&p256()]);
    let service = plan(&[&server]).start().await;
    let etag = service.documents(ISSUER).await.jwks.headers["etag"].clone();
    let hash: String = etag.to_str().unwrap().chars().skip(1).take(12).collect();
    let series = metrics(&service).await;
    let info = format!(r#"oidc_mirror_key_set_info{{mirror="mirror-0",hash="{hash}"}}"#);
    assert_eq!(series[&info], 1.0);
    assert_eq!(
        series[concat!(
            r#"oidc_mirror_build_info{version=""#,
            env!("CARGO_PKG_VERSION"),
            r#""}"#
        )],
        1.0
    );
    server.stop().await;
    let down = format!(
        r#"oidc_mirror_upstream_failing{{mirror="mirror-0",upstream="{}",reason="connect"}}"#,
        server.url()
    );
    eventually("the API server is down", async || {
        metrics(&service)
            .await
            .get(&down)
            .map(|it| assert_eq!(*it, 1.0))
    })
    .await;
}

#[tokio::test]
async fn no_name_breaks_a_line() {
    const HOSTILE: &str = "x\"} 1\n# EOF\noidc_mirror_up 1\n[+]forged ok\r\u{1b}[31m\\";
    let (key, other) = (p256(), p256());
    let server = lists(&[&key]);
    let keys = [key, other.clone()];
    let kid = serde_json::to_string(HOSTILE).unwrap();
    let evil = jwks(&keys).replace(&format!("\"{}\"", other.kid()), &kid);
    server.always(JWKS, Reply::body(evil));
    let service = plan(&[&server])
        .set(r#"mirror.0.name=a "b" \ ü {c}"#)
        .start()
        .await;
    service.documents(ISSUER).await;
    let series = metrics(&service).await;
    let keys = r#"oidc_mirror_keys{mirror="a \"b\" \\ ü {c}",state="active"}"#;
    assert_eq!(series.get(keys), Some(&2.0), "{series:#?}");
    assert!(!series.keys().any(|name| name.contains("forged")));

    // A contradiction names the kid.
    let stranger = p256();
    let own = format!("\"{}\"", stranger.kid());
    let contradicting = jwks(&[stranger]).replace(&own, &kid);
    server.always(JWKS, Reply::body(contradicting));
    let (_, text) = ask_until(&service, "/readyz?verbose", "agreement failed").await;
    let subjects = ["[+]a \"b\"", "[-]a \"b\"", "[+]certificate /"];
    let marked = |line: &str| subjects.iter().any(|it| line.starts_with(it));
    let lines: Vec<_> = text.lines().collect();
    let (last, checks) = lines.split_last().unwrap();
    assert!(checks.iter().all(|line| marked(line)), "{text}");
    assert!(last.starts_with("readyz check passed"), "{text}");
    assert!(!text.contains(['\r', '\u{1b}']), "{text:?}");
}

#[tokio::test]
async fn keys_are_told_with_what_advice_needs() {
    let key = p256();
    let server = lists(&[&key]);
    let service = plan(&[&server]).set("mirror.retain-keys=25h").start().await;
    service.documents(ISSUER).await;
    rounds_pass(&server).await;
    let answer = send(&service, Method::GET, "/keys").await;
    assert_eq!(answer.headers[CONTENT_TYPE], "application/json");
    let keys: KeysAnswer = serde_json::from_slice(&answer.body).unwrap();
    let [mirror] = keys.mirrors.as_slice() else {
        panic!("{keys:?}")
    };
    assert_eq!((&*mirror.name, &*mirror.issuer), ("mirror-0", ISSUER));
    assert_eq!(mirror.max_age_seconds, 60);
    assert_eq!(mirror.relying_party_cache_seconds, 15 * 60);
    assert_eq!(mirror.retain_keys_seconds, 25 * 3600);
    let [record] = mirror.ledger.keys() else {
        panic!("{:?}", mirror.ledger)
    };
    assert_eq!(record.key.kid().as_str(), key.kid());
    assert_eq!(record.state, State::Active);
    assert_eq!(*record.seen_by, [server.url().to_string()]);
    let again: KeysAnswer = serde_json::from_slice(&serde_json::to_vec(&keys).unwrap()).unwrap();
    assert_eq!(again, keys);
}

#[tokio::test]
async fn only_get_and_head_of_known_paths_are_answered() {
    let server = lists(&[&p256()]);
    let service = plan(&[&server]).start().await;
    service.documents(ISSUER).await;
    for (path, content_type) in [
        ("/keys", "application/json"),
        ("/livez", "text/plain; charset=utf-8"),
        ("/", "text/html; charset=utf-8"),
        ("/?mirror=mirror-0", "text/html; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/readyz?verbose", "text/plain; charset=utf-8"),
        ("/status", "application/json"),
    ] {
        let got = send(&service, Method::GET, path).await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        assert_eq!(got.headers[CONTENT_TYPE], content_type);
        assert_eq!(got.headers[CACHE_CONTROL], "no-store");
        assert_eq!(got.headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(got.headers[CONNECTION], "close");
        assert!(!got.body.is_empty());
        let head = send(&service, Method::HEAD, path).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
        let posted = send(&service, Method::POST, path).await;
        assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(posted.headers[ALLOW], "GET, HEAD");
    }
    for path in [
        "/?mirror=nobody",
        "/readyz/",
        "/openid/v1/jwks",
        "/metrics/../keys2",
        "//",
    ] {
        let (status, _) = ask(&service, path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn who_does_not_ask_for_open_metrics_gets_the_text_that_everybody_reads() {
    let server = lists(&[&p256()]);
    let service = plan(&[&server]).start().await;
    service.documents(ISSUER).await;
    let (_, text) = ask(&service, "/metrics").await;
    for line in [
        "# TYPE oidc_mirror_build_info gauge",
        "# TYPE oidc_mirror_publish_writes_total counter",
        "oidc_mirror_has_snapshot{mirror=\"mirror-0\"} 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    assert!(
        !text.contains("# UNIT") && !text.contains("# EOF"),
        "{text}"
    );
    let samples = |text: &str| text.lines().filter(|it| !it.starts_with('#')).count();
    assert_eq!(samples(&text), samples(&open_metrics(&service).await));
}

#[tokio::test]
async fn connections_that_say_nothing_are_limited() {
    let server = lists(&[&p256()]);
    let service = plan(&[&server]).start().await;
    service.documents(ISSUER).await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(service.admin()).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        silent.push(stream);
    }
    let mut waiting = Box::pin(ask(&service, "/livez"));
    let early = timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "there is room for more: {early:?}");
    drop(silent);
    assert_eq!(waiting.await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let first = Admin::bind(settings::Admin { listen }).await.unwrap();
    let listen = first.address().unwrap();
    let error = Admin::bind(settings::Admin { listen }).await.unwrap_err();
    let text = Report(&error).to_string();
    assert!(
        text.contains(&listen.to_string()) && text.contains("another process has it"),
        "{text}"
    );
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_one_is_there() {
    let server = lists(&[&p256()]);
    let service = plan(&[&server]).start().await;
    service.documents(ISSUER).await;
    let text = open_metrics(&service).await;
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let there: Vec<_> = families
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect();
    let page = include_str!("../../docs/operations.md");
    for name in &there {
        let row = format!("| `{name}` |");
        assert!(page.contains(&row), "{name} is not documented");
    }
    let is_part = |character: char| character.is_ascii_lowercase() || character == '_';
    for word in page.split(|character| !is_part(character)) {
        let is_known = !word.starts_with("oidc_mirror_") || there.iter().any(|name| name == word);
        assert!(is_known, "{word} is not there");
    }
}

/// The metrics, read strictly: each series by its name and labels as written.
async fn metrics(service: &Running) -> BTreeMap<String, f64> {
    read(&open_metrics(service).await)
}

async fn open_metrics(service: &Running) -> String {
    let client = service.plan().client(service.admin()).build().unwrap();
    let request = client.get(format!("http://{}/metrics", service.admin()));
    // As Prometheus asks.
    let accepted =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";
    let answer = answer(request.header(ACCEPT, accepted)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let written = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.headers[CONTENT_TYPE], written);
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// Reads `OpenMetrics` text line by line, and panics at the first that is not as it must be.
fn read(text: &str) -> BTreeMap<String, f64> {
    let mut families = Vec::new();
    let mut series = BTreeMap::new();
    let body = text.strip_suffix("# EOF\n").expect("the end");
    let mut lines = body.lines().peekable();
    while let Some(help) = lines.next() {
        let (name, help) = help
            .strip_prefix("# HELP ")
            .unwrap()
            .split_once(' ')
            .unwrap();
        assert!(help.ends_with('.'), "{help}");
        assert!(name.starts_with("oidc_mirror_") && is_name(name), "{name}");
        assert!(!families.contains(&name), "{name} is there twice");
        families.push(name);
        let kind = lines.next().unwrap();
        let kind = kind.strip_prefix(&*format!("# TYPE {name} ")).unwrap();
        if let Some(unit) = name.strip_suffix("_seconds") {
            let unit = format!("# UNIT {unit}_seconds seconds");
            assert_eq!(lines.next(), Some(&*unit));
        }
        let samples: &[&str] = match kind {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_sum", "_count", "_bucket"],
            "info" => &["_info"],
            kind => panic!("{kind}"),
        };
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (sample, _) = line.split_once('{').unwrap();
            let end = sample.strip_prefix(name).unwrap();
            assert!(samples.contains(&end), "{line}");
            let rest = line.strip_prefix(sample).unwrap();
            let (labels, value) = rest.rsplit_once(' ').unwrap();
            check_labels(labels);
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite(), "{line}");
            let before = series.insert(format!("{sample}{labels}"), value);
            assert_eq!(before, None, "twice: {line}");
        }
    }
    series
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
}

/// `{name="value",…}`, in a value only the three escapes that there are.
fn check_labels(labels: &str) {
    const KNOWN: [&str; 12] = [
        "mirror", "upstream", "target", "state", "reason", "hash", "version", "listener", "route",
        "status", "le", "name",
    ];
    let mut rest = labels.strip_prefix('{').unwrap();
    loop {
        let (name, value) = rest.split_once("=\"").unwrap();
        assert!(KNOWN.contains(&name), "{labels}");
        let mut characters = value.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (_, '\\') => {
                    let (_, escaped) = characters.next().unwrap();
                    assert!(['\\', '"', 'n'].contains(&escaped), "{labels}");
                }
                (end, '"') => break end,
                (_, character) => assert!(!character.is_control(), "{labels}"),
            }
        };
        rest = value.get(end + 1..).unwrap();
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => break assert_eq!(rest, "}", "{labels}"),
        }
    }
}
