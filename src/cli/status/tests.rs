use super::table::render;
use crate::admin::{Verdict, sample};

/// Without the styles.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn what_does_worst_comes_last_with_what_to_do() {
    let mut standing = sample();
    let text = plain(&render(&standing));
    let first = "not ready  3 mirrors, as of 12:00:00 UTC, oidc-mirror 0.1.0\n";
    assert!(text.starts_with(first), "{text}");
    let at = |name: &str| {
        text.find(&format!("https://oidc.example.com/{name}  "))
            .unwrap()
    };
    assert!(
        at("staging") < at("prod") && at("prod") < at("new"),
        "{text}"
    );
    for part in [
        "! certificate oidc.example.com for oidc.example.com: expires in 5d\n  → the CA asks",
        "certificate files: expires in 66d, for other.example.com, third.example.com\n",
        "! upstreams: https://10.0.0.12:6443/ connect for 3m 10s\n  → could not connect to",
        "https://10.0.0.12:6443/  connect for 3m 10s  3m ago       matches      0\n",
        "https://10.0.0.11:6443/  read                12s ago      another one  1\n",
        "s3://example-oidc/prod  access-denied  30m ago     4\n",
        "file:///srv/oidc        drifted        3m ago      2\n",
        "retiring  207d ago    6h ago     207d ago      in 18h\n",
        "! snapshot: nothing to give out, no API server has answered well yet\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    standing.verdict = Verdict::Well;
    assert!(render(&standing).starts_with("\u{1b}[32mall well\u{1b}[0m  3 mirrors"));
}

#[test]
fn nothing_that_others_wrote_reaches_the_terminal_as_it_is() {
    let text = plain(&render(&sample()));
    let is_odd = |it: char| it != '\n' && (it.is_control() || it == '\u{202e}' || it == '\u{2060}');
    assert!(!text.contains(is_odd), "{text:?}");
    assert!(
        text.contains(r#"\"><script>alert(1)</script>\n\u{202e}gnp.e…"#),
        "{text}"
    );
}

#[test]
fn of_many_mirrors_those_that_need_attention_are_shown_in_full() {
    let mut standing = sample();
    let well = standing.mirrors[0].clone();
    standing.mirrors.extend(std::iter::repeat_n(well, 100));
    let text = plain(&render(&standing));
    assert_eq!(text.matches("API SERVER").count(), 20);
    assert_eq!(text.matches("all well\n").count(), 101);
    assert!(text.contains("! keys: 1 key held until approved"));
}
