use std::time::Duration;

use http::HeaderValue;

use super::{Choice, policy, render, time_line::Window};
use crate::{
    admin::{KeyStanding, Standing, Verdict, sample},
    oidc::Time,
};

fn shown(standing: &Standing) -> String {
    render(standing, &Choice::default()).1
}

#[test]
fn nothing_that_others_wrote_is_markup() {
    let page = shown(&sample());
    for part in ["<script", "<img", "<link", "src=", " style="] {
        assert!(!page.contains(part), "{part}");
    }
    assert!(page.contains(
        r#"<bdi>\&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\n\u{202e}gnp.exe\u{1b}[31m</bdi>"#
    ));
    assert!(page.contains("<bdi>new &amp; &quot;empty&quot;</bdi>"));
    assert!(page.contains(r#"href="/?mirror=new+%26+%22empty%22""#));
    assert!(!page.contains(['\u{202e}', '\u{1b}']));
}

#[test]
fn what_does_worst_comes_first_with_what_to_do() {
    let standing = sample();
    let page = shown(&standing);
    assert!(page.contains("<title>✕ 1 of 3 mirrors gives nothing out · oidc-mirror</title>"));
    let at = |name: &str| page.find(&format!("/?mirror={name}")).unwrap();
    assert!(at("new") < at("prod") && at("prod") < at("staging"));
    let checks = standing.mirrors.iter().flat_map(|it| &it.checks);
    let certificates = standing.certificates.iter().map(|it| &it.check);
    for check in checks.chain(certificates) {
        if let Some(advice) = &check.advice {
            let advice = advice.replace('"', "&quot;");
            assert_eq!(page.matches(&format!("<bdi>{advice}</bdi>")).count(), 1);
        }
    }
}

#[test]
fn the_style_is_allowed_by_its_hash_and_nothing_else_is() {
    let text = policy();
    assert_eq!(text, policy());
    let text = HeaderValue::to_str(&text).unwrap();
    assert!(text.starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(!text.contains("unsafe"));
}

#[test]
fn one_mirror_is_shown_by_its_name() {
    let choice = Choice::asked(Some("x=y&mirror=new+%26+%22empty%22"));
    let (is_known, page) = render(&sample(), &choice);
    assert!(is_known && page.contains("oidc.example.com/new"));
    assert!(!page.contains("oidc.example.com/prod"));
    let (is_known, page) = render(&sample(), &Choice::asked(Some("mirror=%3Cb%3E")));
    assert!(!is_known && page.contains("<bdi>&lt;b&gt;</bdi>"));
    assert_eq!(Choice::asked(Some("mirror=")), Choice::default());
    assert_eq!(Choice::asked(None), Choice::default());
}

#[test]
fn ten_thousand_mirrors_make_no_endless_page() {
    let mut standing = sample();
    let [well, troubled] = [0, 1].map(|index| standing.mirrors[index].clone());
    standing.mirrors = (0..10_000)
        .map(|number| {
            let mut mirror = well.clone();
            mirror.name = format!("cluster-{number}");
            mirror
        })
        .chain([troubled])
        .collect();
    standing.verdict = Verdict::Attention;
    let page = shown(&standing);
    assert!(page.len() < 200_000, "{}", page.len());
    let (_, first) = page.split_once("/?mirror=").unwrap();
    assert!(first.starts_with("prod"));
    assert!(page.contains("9981 more mirrors"));
    assert!(page.contains("cluster-518<") && !page.contains("cluster-519<"));
}

#[test]
fn time_lines_show_what_matters_at_any_age() {
    let now = sample().as_of;
    let keys = &sample().mirrors[1].keys;
    let ago = |hours: u64| now - Duration::from_hours(hours);
    // The oldest key is half a year old, and the last one retires in 18 hours.
    let window = Window::of(keys, now);
    let line = window.line(&keys[2]).into_string();
    assert!(
        line.contains(r#"<line class="listed" x1="-100.00%""#),
        "{line}"
    );
    assert!(line.contains(r#"x2="100.00%""#), "{line}");
    assert!(window.scale().into_string().contains("7d ago"));
    // What lies ahead is too short for words.
    assert!(!window.scale().into_string().contains("in 18h"));
    let even = Window::of(
        &[KeyStanding {
            first_seen: ago(18),
            ..keys[2].clone()
        }],
        now,
    );
    assert!(even.scale().into_string().contains("in 18h"));

    let young = Window::of(&keys[..2], now);
    assert_eq!(young.scale().into_string().matches("<text").count(), 2);
    let mut key = keys[0].clone();
    (key.first_seen, key.public_since) = (ago(11), None);
    let line = young.line(&key).into_string();
    assert!(
        line.contains(r#"<line class="listed" x1="50.00%" x2="100.00%""#),
        "{line}"
    );
    assert!(!line.contains("<path"), "{line}");

    // With the clock before the first of all times, or no key at all, there is nothing to divide by.
    for odd in [Window::of(&[], now), Window::of(keys, Time::default())] {
        assert!(!odd.line(&key).into_string().contains("NaN"));
    }
}
