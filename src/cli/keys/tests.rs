use std::time::Duration;

use serde_json::json;

use super::{
    advice::{Sight, Times, advise, shell_name},
    known::Known,
    report::{Look, Report},
    row::{Row, Share, Source, rows},
    table::{self, Width},
};
use crate::oidc::{
    Admission, Issuer, Key, KeyName, KeySet, Kid, Ledger, Listing, Policy, State, Time,
};
use crate::when::{ago, moment, span};

const ONE: &str = "https://10.0.0.11:6443/";
const TWO: &str = "https://10.0.0.12:6443/";
const LOCAL: &str = "https://127.0.0.1:6443/";

/// Noon of some day, and so many seconds.
fn noon(seconds: u64) -> Time {
    Time::try_from("2026-11-24T12:00:00Z".to_owned()).unwrap() + Duration::from_secs(seconds)
}

/// One of two keys, by its kid.
fn key(kid: &str, number: usize) -> Key {
    let (x, y) = [
        (
            "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        ),
        (
            "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        ),
    ][number];
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y});
    serde_json::from_value(jwk).unwrap()
}

fn policy() -> Policy {
    Policy::default()
}

fn lists(source: &str, keys: &[&Key]) -> Listing {
    let document = json!({ "keys": keys }).to_string();
    let (keys, _) = KeySet::parse(document.as_bytes()).unwrap();
    Listing {
        source: source.to_owned(),
        is_file: !source.starts_with("https"),
        keys: Some(keys),
    }
}

fn step(ledger: &Ledger, round: &[Listing], policy: &Policy, now: Time) -> Ledger {
    ledger.step(round, policy, now).unwrap().0
}

fn times() -> Times {
    Times {
        max_age: Duration::from_mins(1),
        relying_party_cache: Duration::from_mins(15),
        retain_keys: Duration::from_hours(24),
    }
}

fn public(ledger: Ledger, kids: &[&str], now: Time) -> Ledger {
    let kids = kids.iter().filter_map(|kid| Kid::parse(kid)).collect();
    ledger.seen_in_public(&kids, now)
}

/// The word and the sentence for each key of one ledger.
fn told(ledger: &Ledger, sight: Sight, now: Time) -> Vec<(&'static str, String)> {
    let rows = rows(&[(None, ledger.clone())]);
    let advice = advise(&rows, |_| sight, &times(), now);
    advice
        .iter()
        .map(|it| (it.word(), it.sentence(now)))
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn a_key_is_safe_once_it_was_public_for_as_long_as_anybody_caches() {
    let fresh = step(
        &Ledger::default(),
        &[lists(ONE, &[&key("a", 0)])],
        &policy(),
        noon(0),
    );
    let public = public(fresh.clone(), &["a"], noon(180));
    let (known, unknown) = (&public, &fresh);
    for (ledger, sight, now, word, sentence) in [
        (
            unknown,
            Sight::Missing,
            9999,
            "not-public",
            "not public yet: do not sign with it; the public key set does not list it",
        ),
        (
            unknown,
            Sight::NotAsked,
            9999,
            "not-public",
            "not public yet: do not sign with it; it was never seen at the public issuer",
        ),
        (
            unknown,
            Sight::Unreadable,
            9999,
            "not-public",
            "not public yet: do not sign with it; the public key set cannot be read from here",
        ),
        // Since when it is public is not known, so it may be since just now.
        (
            unknown,
            Sight::Listed,
            0,
            "wait",
            "public, but not known since when; wait until 12:15:00 UTC: relying parties may use an older key set for 15m",
        ),
        (
            known,
            Sight::Missing,
            9999,
            "not-public",
            "not public any more: do not sign with it; the public key set does not list it",
        ),
        (
            known,
            Sight::Listed,
            180,
            "wait",
            "wait until 12:18:00 UTC: relying parties may use an older key set for 15m",
        ),
        (
            known,
            Sight::NotAsked,
            1079,
            "wait",
            "wait until 12:18:00 UTC: relying parties may use an older key set for 15m",
        ),
        (
            known,
            Sight::Unreadable,
            1080,
            "safe",
            "safe to sign with since 12:18:00 UTC",
        ),
        (
            known,
            Sight::Listed,
            86400,
            "safe",
            "safe to sign with since 2026-11-24 12:18:00 UTC",
        ),
    ] {
        assert_eq!(
            told(ledger, sight, noon(now)),
            [(word, sentence.to_owned())]
        );
    }
}

#[test]
fn the_longer_of_both_caches_counts() {
    let ledger = step(
        &Ledger::default(),
        &[lists(ONE, &[&key("a", 0)])],
        &policy(),
        noon(0),
    );
    let rows = rows(&[(None, public(ledger, &["a"], noon(0)))]);
    let hour = Times {
        max_age: Duration::from_hours(1),
        ..times()
    };
    let advice = advise(&rows, |_| Sight::Listed, &hour, noon(1800));
    assert_eq!(advice[0].safe_from(), Some(noon(3600)));
    assert_eq!(advice[0].word(), "wait");
}

#[test]
fn a_key_that_an_api_server_lacks_is_not_safe() {
    let (old, new) = (key("old", 0), key("new", 1));
    let both = step(
        &Ledger::default(),
        &[lists(ONE, &[&old]), lists(TWO, &[&old])],
        &policy(),
        noon(0),
    );
    let round = [lists(ONE, &[&old, &new]), lists(TWO, &[&old])];
    let rolling = public(
        step(&both, &round, &policy(), noon(60)),
        &["old", "new"],
        noon(60),
    );
    let [first, second] = <[_; 2]>::try_from(told(&rolling, Sight::Listed, noon(120))).unwrap();
    assert_eq!(first.0, "keep");
    assert!(
        first
            .1
            .starts_with("go on signing with it until a newer key is safe; "),
        "{}",
        first.1
    );
    assert_eq!(
        second,
        (
            "wait",
            "wait until 12:16:00 UTC: relying parties may use an older key set for 15m; not on \
             https://10.0.0.12:6443 yet"
                .to_owned()
        )
    );
    let [first, second] = <[_; 2]>::try_from(told(&rolling, Sight::Listed, noon(2000))).unwrap();
    assert!(first.1.starts_with("go on signing"), "{}", first.1);
    assert_eq!(
        second,
        (
            "not-everywhere",
            "known to relying parties since 12:16:00 UTC, but not on https://10.0.0.12:6443 yet: \
             those would refuse its tokens"
                .to_owned()
        )
    );
}

#[test]
fn a_key_that_only_a_file_has_is_safe_to_give_to_the_api_servers() {
    let (old, new) = (key("old", 0), key("new", 1));
    let both = [lists(ONE, &[&old]), lists(TWO, &[&old])];
    let both = step(&Ledger::default(), &both, &policy(), noon(0));
    let round = [
        lists(ONE, &[&old]),
        lists(TWO, &[&old]),
        lists("/sa.pub", &[&new]),
    ];
    let prepared = public(
        step(&both, &round, &policy(), noon(60)),
        &["old", "new"],
        noon(60),
    );
    let [first, second] = <[_; 2]>::try_from(told(&prepared, Sight::Listed, noon(2000))).unwrap();
    assert_eq!(second.0, "safe");
    assert_eq!(
        first,
        (
            "keep",
            "remove it from the API servers only after its last token has expired: 24h after the \
             last of them stopped signing with it"
                .to_owned()
        )
    );
}

#[test]
fn an_old_key_that_is_not_public_is_not_called_fine() {
    let (old, new) = (key("old", 0), key("new", 1));
    let ledger = step(
        &Ledger::default(),
        &[lists(ONE, &[&old])],
        &policy(),
        noon(0),
    );
    let ledger = step(&ledger, &[lists(ONE, &[&old, &new])], &policy(), noon(60));
    let told = told(&ledger, Sight::Missing, noon(120));
    assert_eq!([told[0].0, told[1].0], ["not-public", "not-public"]);
}

#[test]
fn keys_that_are_not_active_say_when_they_go_or_went() {
    let (a, b) = (key("a", 0), key("b c", 1));
    let mut policy = policy();
    let first = step(&Ledger::default(), &[lists(ONE, &[&a])], &policy, noon(0));
    policy.admission = Admission::Hold;
    let held = step(&first, &[lists(ONE, &[&a, &b])], &policy, noon(60));
    let advice = told(&held, Sight::Listed, noon(60));
    let approve = format!(
        "not published: oidc-mirror keys approve {} (or, with admission = \"pinned\", pinned-keys)",
        b.thumbprint()
    );
    assert_eq!(advice[1], ("approve", approve));

    let gone = step(&first, &[lists(ONE, &[&b])], &policy, noon(60));
    let gone = step(&gone, &[lists(ONE, &[&b])], &policy, noon(60 + 3000));
    let advice = told(&gone, Sight::Listed, noon(3060));
    assert_eq!(
        advice[1],
        (
            "retires",
            "retires in 23h 10m at the earliest, when tokens signed with it have expired \
             (retain-keys 24h)"
                .to_owned()
        )
    );
    policy.revoked = [KeyName::parse("a").unwrap()].into();
    let revoked = step(&first, &[lists(ONE, &[&a])], &policy, noon(61));
    assert_eq!(
        told(&revoked, Sight::Listed, noon(100)),
        [(
            "revoked",
            "withdrawn since 12:01:01 UTC: its tokens are refused".to_owned()
        )]
    );
    policy.revoked.clear();
    policy.retain_keys = Duration::from_secs(24);
    let retired = (0..40).fold(first, |ledger, second| {
        step(&ledger, &[lists(ONE, &[&b])], &policy, noon(60 + second))
    });
    let advice = told(&retired, Sight::Listed, noon(200));
    assert_eq!(advice[1], ("retired", "gone since 12:01:24 UTC".to_owned()));
}

#[test]
fn publishers_are_read_together_and_revocation_counts_for_all() {
    let (a, b) = (key("a", 0), key("b", 1));
    let share = |name: &str, ledger| (Some(name.to_owned()), ledger);
    let one = step(
        &Ledger::default(),
        &[lists(LOCAL, &[&a, &b])],
        &policy(),
        noon(0),
    );
    let one = step(&one, &[lists(LOCAL, &[&b])], &policy(), noon(60));
    let two = step(
        &Ledger::default(),
        &[lists(LOCAL, &[&a])],
        &policy(),
        noon(30),
    );
    let rows_of = |shares: &[Share]| -> Vec<Row> { rows(shares) };
    let merged = rows_of(&[share("node-1", one.clone()), share("node-2", two.clone())]);
    let find = |rows: &[Row], key: &Key| rows.iter().find(|it| it.key == *key).unwrap().clone();
    let row = find(&merged, &a);
    assert_eq!((row.state, row.first_seen), (State::Active, noon(0)));
    let hosts = |row: &Row| row.seen_by.iter().map(Source::host).collect::<Vec<_>>();
    assert_eq!(hosts(&row), ["node-2/127.0.0.1:6443"]);
    assert_eq!(row.missing_on.len(), 1, "one address, two API servers");
    assert_eq!(hosts(&find(&merged, &b)), ["node-1/127.0.0.1:6443"]);

    let mut revoking = policy();
    revoking.revoked = [KeyName::parse(&a.thumbprint()).unwrap()].into();
    let (two, _) = two.decide(&revoking, noon(90)).unwrap();
    let merged = rows_of(&[share("node-1", one), share("node-2", two)]);
    assert_eq!(find(&merged, &a).state, State::Revoked);
    assert_eq!(find(&merged, &b).state, State::Active);
}

#[test]
fn one_address_that_several_publishers_read_is_one_api_server_as_last_read() {
    let (a, b) = (key("a", 0), key("b", 1));
    let round = [lists(ONE, &[&a]), lists(TWO, &[&a])];
    let ledger = step(&Ledger::default(), &round, &policy(), noon(0));
    let round = [lists(ONE, &[&a, &b]), lists(TWO, &[&a])];
    let later = step(&ledger, &round, &policy(), noon(9));
    for shares in [
        [("x", &ledger), ("y", &later)],
        [("x", &later), ("y", &ledger)],
    ] {
        let shares = shares.map(|(name, ledger)| (Some(name.to_owned()), ledger.clone()));
        let rows = rows(&shares);
        let names =
            |sources: &[Source]| -> Vec<String> { sources.iter().map(Source::to_string).collect() };
        let [first, second] = <[Row; 2]>::try_from(rows).unwrap();
        assert_eq!(first.last_seen, noon(9));
        assert_eq!(first.seen_by.len(), 2);
        assert_eq!(names(&second.seen_by), ["https://10.0.0.11:6443"]);
        assert_eq!(names(&second.missing_on), ["https://10.0.0.12:6443"]);
    }
}

#[test]
fn the_only_publisher_needs_no_name_beside_its_api_server() {
    let a = key("a", 0);
    let ledger = step(
        &Ledger::default(),
        &[lists(LOCAL, &[&a])],
        &policy(),
        noon(0),
    );
    let rows = rows(&[(Some("node-1".to_owned()), ledger)]);
    assert_eq!(rows[0].seen_by[0].host(), "127.0.0.1:6443");
}

#[test]
fn a_hostile_name_breaks_no_line_and_paints_nothing() {
    let kid = "e\n\u{1b}[31m\u{2060}<b>`rm`\u{202e}'";
    let hostile = key(kid, 0);
    assert_eq!(shell_name(&hostile), hostile.thumbprint());
    let name = "node\u{1b}[2J\n1".to_owned();
    let source = "https://x\u{7}\u{2060}\n/";
    let ledger = step(
        &Ledger::default(),
        &[lists(source, &[&hostile])],
        &policy(),
        noon(0),
    );
    let known = Known {
        name: "default".to_owned(),
        issuer: Issuer::parse("https://oidc.example.com").unwrap(),
        times: times(),
        from: "s3://b\u{1b}[31m\nx".to_owned(),
        shares: vec![(Some(name), ledger)],
        unheeded: vec![KeyName::parse("\u{1b}]0;x\n").unwrap()],
    };
    let report = Report::new(known, Look::NotAsked, noon(9));
    for (width, lines) in [(Width::Wide, 5), (Width::Narrow, 6)] {
        let styled = table::render(std::slice::from_ref(&report), width);
        let own = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[32m"];
        let text = own
            .iter()
            .fold(styled.clone(), |text, it| text.replace(it, ""));
        assert_eq!(text.lines().count(), lines, "{text}");
        let is_plain = |it: char| it == '\n' || (!it.is_control() && it != '\u{202e}');
        assert!(text.chars().all(is_plain), "{text:?}");
        assert!(!text.contains('\u{2060}'), "{text:?}");
        assert!(styled.contains("\u{1b}[32mactive\u{1b}[0m"), "{styled:?}");
    }
}

#[test]
fn a_name_can_be_copied_into_a_shell() {
    for (kid, expected) in [("abc_-.1", "abc_-.1"), ("-abc", "-- -abc")] {
        assert_eq!(shell_name(&key(kid, 0)), expected);
    }
}

#[test]
fn times_are_short_and_never_too_early() {
    let spans = [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m 1s"),
        (83400, "23h 10m"),
        (86400, "24h"),
        (180_000, "2d 2h"),
    ];
    for (seconds, expected) in spans {
        assert_eq!(span(Duration::from_secs(seconds)), expected);
    }
    assert_eq!(ago(noon(0), noon(7300)), "2h ago");
    assert_eq!(ago(noon(9), noon(0)), "0s ago");
    let late = noon(0) + Duration::from_millis(1);
    assert_eq!(moment(late, noon(0)), "12:00:01 UTC");
}
