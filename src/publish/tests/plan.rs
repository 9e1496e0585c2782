//! Tables of cases for the reader.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    super::{board::Board, object::*, plan::*},
    sample::*,
};
use crate::{
    config::settings::{OnDrift, Upkeep},
    oidc::{Ledger, State},
};

fn missing() -> Found {
    Found {
        standing: Standing::Missing,
        version: None,
    }
}

fn unreadable() -> Found {
    Found {
        standing: Standing::Unreadable,
        version: None,
    }
}

fn present(object: Object) -> Found {
    Found {
        version: Some(format!("{:?}", object.body)),
        standing: Standing::Present(object),
    }
}

fn text(body: &'static str) -> Found {
    present(Object {
        body: Bytes::from_static(body.as_bytes()),
        content_type: None,
        cache_control: None,
    })
}

fn nothing() -> Reads {
    Reads {
        jwks: missing(),
        discovery: missing(),
        state: missing(),
    }
}

/// What stands there once a plan is carried out.
fn after(mut reads: Reads, plan: &Plan) -> Reads {
    for change in &plan.changes {
        let slot = match change.name {
            Name::State => &mut reads.state,
            Name::Jwks => &mut reads.jwks,
            Name::Discovery => &mut reads.discovery,
        };
        *slot = present(change.wanted.clone());
    }
    reads
}

fn shown(plan: &Plan) -> Vec<String> {
    plan.changes.iter().map(Change::to_string).collect()
}

/// What is published after `publishers` have had their turns one after the other.
fn publish(publishers: &[(&str, &str)]) -> Reads {
    publishers.iter().fold(nothing(), |reads, (name, kids)| {
        let plan = job(name, &snapshot(kids, true)).plan(&reads).unwrap();
        after(reads, &plan)
    })
}

fn versions(reads: &Reads) -> Versions {
    Versions {
        state: reads.state.version.clone(),
        jwks: reads.jwks.version.clone(),
        discovery: reads.discovery.version.clone(),
    }
}

#[test]
fn an_empty_target_gets_the_state_then_the_keys_then_the_discovery_document() {
    let snapshot = snapshot("a", true);
    let plan = job("one", &snapshot).plan(&nothing()).unwrap();
    let [state, jwks, discovery] = plan.changes.as_slice() else {
        panic!("{:?}", plan.changes)
    };
    assert_eq!(state.name, Name::State);
    assert_eq!(state.wanted.cache_control.as_deref(), Some("no-store"));
    assert_eq!(jwks.name, Name::Jwks);
    assert_eq!(jwks.wanted.body, plan.published.jwks.body);
    assert!(jwks.wanted.body.starts_with(&snapshot.jwks.body));
    let content_type = jwks.wanted.content_type.as_deref();
    assert_eq!(content_type, Some("application/jwk-set+json"));
    assert_eq!(jwks.wanted.cache_control.as_deref(), Some("no-cache"));
    assert_eq!(discovery.name, Name::Discovery);
    assert!(discovery.wanted.body.starts_with(&snapshot.discovery.body));
    let content_type = discovery.wanted.content_type.as_deref();
    assert_eq!(content_type, Some("application/json"));
}

#[test]
fn only_what_differs_is_written() {
    let same = publish(&[("one", "a")]);
    let replace_jwks = "replace openid/v1/jwks";
    let cases = [
        (same.clone(), vec![]),
        (
            Reads {
                jwks: text("<html>"),
                ..same.clone()
            },
            vec![replace_jwks],
        ),
        (
            Reads {
                discovery: missing(),
                ..same.clone()
            },
            vec!["create .well-known/openid-configuration"],
        ),
        (
            Reads {
                jwks: unreadable(),
                ..same
            },
            vec!["write unread openid/v1/jwks"],
        ),
    ];
    for (reads, expected) in cases {
        let plan = job("one", &snapshot("a", true)).plan(&reads).unwrap();
        assert_eq!(shown(&plan), expected);
    }
}

#[test]
fn other_metadata_is_a_difference() {
    let reads = publish(&[("one", "a")]);
    let mut job = job("one", &snapshot("a", true));
    let mut duty = duty("one");
    duty.metadata = Some(metadata("public, max-age=60"));
    job.duty = Arc::new(duty);
    assert_eq!(shown(&job.plan(&reads).unwrap()).len(), 2);
}

#[test]
fn the_union_of_all_publishers_is_published_in_the_same_order_by_each() {
    let reads = publish(&[("two", "b"), ("one", "a")]);
    let plan = job("two", &snapshot("b", true)).plan(&reads).unwrap();
    assert_eq!(shown(&plan), [""; 0]);
    assert_eq!(kids(&plan.published.keys), "ab");
    assert_eq!(
        plan.report.publishers,
        ["one", "two"].map(str::to_owned).into()
    );
}

#[test]
fn what_one_publisher_revokes_nobody_publishes() {
    let reads = publish(&[("one", "ab"), ("two", "ab")]);
    let ledger = step(&Ledger::default(), [Some("ab"); 2], "a", hours(0));
    let plan = job("one", &snapshot_of(ledger)).plan(&reads).unwrap();
    assert_eq!(kids(&plan.published.keys), "b");
    let reads = after(reads, &plan);
    // The other one still lists it, and has not heard of the revocation but here.
    let plan = job("two", &snapshot("ab", true)).plan(&reads).unwrap();
    assert_eq!(kids(&plan.published.keys), "b");
    assert_eq!(shown(&plan), [""; 0]);
}

#[test]
fn one_shots_count_an_absence_over_their_runs() {
    let mut reads = publish(&[("one", "ab")]);
    for hour in 1..=25 {
        let fresh = step(&Ledger::default(), [Some("b"); 2], "", hours(hour));
        let plan = job("one", &snapshot_of(fresh)).plan(&reads).unwrap();
        let expected = if hour <= 24 { "ba" } else { "b" };
        assert_eq!(kids(&plan.published.keys), expected, "after {hour} hours");
        reads = after(reads, &plan);
    }
}

#[test]
fn one_shots_believe_no_absence_from_a_partial_round() {
    let mut reads = publish(&[("one", "ab")]);
    for hour in 1..=60 {
        let fresh = step(&Ledger::default(), [Some("b"), None], "", hours(hour));
        let plan = job("one", &snapshot_of(fresh)).plan(&reads).unwrap();
        assert_eq!(plan.published.keys.len(), 2);
        reads = after(reads, &plan);
    }
}

#[test]
fn a_silent_publisher_is_counted_on_until_it_expires() {
    let reads = publish(&[("one", "a"), ("two", "b")]);
    let at = |hour| {
        let ledger = step(&Ledger::default(), [Some("a"); 2], "", hours(hour));
        job("one", &snapshot_of(ledger)).plan(&reads).unwrap()
    };
    assert_eq!(kids(&at(7 * 24).published.keys), "ab");
    let plan = at(7 * 24 + 1);
    assert_eq!(kids(&plan.published.keys), "a");
    assert_eq!(plan.report.expired, ["two".to_owned()].into());
    assert_eq!(plan.report.foreign_keys, []);
}

#[test]
fn the_state_is_written_no_more_often_than_needed() {
    let reads = publish(&[("one", "a")]);
    let writes_at = |hour| {
        let ledger = step(&Ledger::default(), [Some("a"); 2], "", hours(hour));
        !job("one", &snapshot_of(ledger))
            .plan(&reads)
            .unwrap()
            .changes
            .is_empty()
    };
    assert!(!writes_at(41));
    assert!(writes_at(42));
}

#[test]
fn what_was_published_before_there_was_a_state_stays_for_a_while() {
    let mut reads = publish(&[("one", "ab")]);
    reads.state = missing();
    let plan = job("one", &snapshot("b", true)).plan(&reads).unwrap();
    assert_eq!(kids(&plan.published.keys), "ba");
    assert_eq!(plan.report.adopted.len(), 1);
    let reads = after(reads, &plan);
    let board = match &reads.state.standing {
        Standing::Present(object) => Board::parse(&object.body).unwrap(),
        other => panic!("{other:?}"),
    };
    let records = board.get("one").unwrap().keys().to_vec();
    let states: Vec<_> = records.iter().map(|record| record.state).collect();
    assert_eq!(states, [State::Active, State::Retiring]);
}

#[test]
fn a_key_that_nobody_knows_is_drift_and_is_removed() {
    let reads = publish(&[("one", "a")]);
    let foreign = Reads {
        jwks: publish(&[("evil", "ah")]).jwks,
        ..reads
    };
    let plan = job("one", &snapshot("a", true)).plan(&foreign).unwrap();
    assert_eq!(plan.report.drifted, [Name::Jwks]);
    assert_eq!(plan.report.foreign_keys.len(), 1);
    assert_eq!(kids(&plan.published.keys), "a");
    assert_eq!(shown(&plan), ["replace openid/v1/jwks"]);
}

#[test]
fn what_changes_while_the_state_stays_is_drift() {
    let reads = publish(&[("one", "ab")]);
    let mut job = job("one", &snapshot("ab", true));
    job.left = Some(versions(&reads));
    assert_eq!(job.plan(&reads).unwrap().report.drifted, []);
    let less = Reads {
        jwks: publish(&[("other", "a")]).jwks,
        discovery: text("{}"),
        ..reads
    };
    let plan = job.plan(&less).unwrap();
    assert_eq!(plan.report.drifted, [Name::Jwks, Name::Discovery]);
    // Another publisher may be under way: its state is there, its documents are not yet.
    job.left = None;
    assert_eq!(job.plan(&less).unwrap().report.drifted, []);
}

#[test]
fn drift_can_be_left_alone_until_there_is_news() {
    let reads = publish(&[("one", "a")]);
    let left = versions(&reads);
    let drifted = Reads {
        discovery: text("{}"),
        ..reads
    };
    let mut job = job("one", &snapshot("a", true));
    let mut duty = duty("one");
    duty.upkeep = Upkeep {
        on_drift: OnDrift::Report,
        ..Upkeep::default()
    };
    (job.duty, job.left) = (Arc::new(duty), Some(left));
    let plan = job.plan(&drifted).unwrap();
    assert!(plan.report.left_alone);
    assert_eq!(plan.report.drifted, [Name::Discovery]);
    assert_eq!(shown(&plan), [""; 0]);
    job.snapshot = snapshot("ab", true);
    let plan = job.plan(&drifted).unwrap();
    assert!(!plan.report.left_alone);
    assert_eq!(plan.changes.len(), 3);
}

#[test]
fn a_damaged_state_is_written_anew_and_takes_no_key_away() {
    for damage in ["", "{", "[]", r#"{"version":1,"publishers":{"two":{}}}"#] {
        let reads = Reads {
            state: text(damage),
            ..publish(&[("one", "ab")])
        };
        let plan = job("one", &snapshot("b", true)).plan(&reads).unwrap();
        assert!(plan.report.state_lost, "{damage}");
        assert_eq!(kids(&plan.published.keys), "ba");
    }
}

#[test]
fn a_state_that_is_gone_is_noticed_by_who_has_seen_it() {
    let reads = publish(&[("one", "a")]);
    let mut job = job("one", &snapshot("a", true));
    job.left = Some(versions(&reads));
    let gone = Reads {
        state: missing(),
        ..reads
    };
    assert!(job.plan(&gone).unwrap().report.state_lost);
}

#[test]
fn the_state_of_a_later_release_stops_publishing() {
    let reads = Reads {
        state: text(r#"{"version":2,"publishers":{}}"#),
        ..nothing()
    };
    let refusal = job("one", &snapshot("a", true)).plan(&reads).unwrap_err();
    assert_eq!(refusal, Refusal::Newer(2));
}

#[test]
fn another_process_of_the_same_name_is_noticed() {
    let reads = publish(&[("one", "a")]);
    let mut job = job("one", &snapshot("a", true));
    job.offered = Some(hours(0));
    assert!(!job.plan(&reads).unwrap().report.name_taken);
    job.offered = Some(hours(0) - Duration::from_secs(1));
    assert!(job.plan(&reads).unwrap().report.name_taken);
}

#[test]
fn an_incomplete_ledger_may_not_overwrite_what_cannot_be_read() {
    let reads = Reads {
        jwks: unreadable(),
        ..nothing()
    };
    let refusal = job("one", &snapshot("a", false)).plan(&reads).unwrap_err();
    assert_eq!(refusal, Refusal::Unread);
}

#[test]
fn publishers_that_contradict_each_other_change_nothing() {
    let reads = publish(&[("one", "a")]);
    let other = crate::oidc::KeySet::parse(
        &String::from_utf8(keys("c").render())
            .unwrap()
            .replace(r#""kid":"c""#, r#""kid":"a""#)
            .into_bytes(),
    );
    let listing = crate::oidc::Listing {
        source: "https://10.0.0.1/".to_owned(),
        is_file: false,
        keys: Some(other.unwrap().0),
    };
    let (ledger, _) = Ledger::default()
        .step(&[listing], &policy(), hours(0))
        .unwrap();
    let refusal = job("two", &snapshot_of(ledger)).plan(&reads).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains(r#"kid "a" names two different keys"#)
    );
}
