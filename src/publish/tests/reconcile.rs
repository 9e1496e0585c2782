//! What the loop logs: one line for each change of its state.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tracing::subscriber::with_default;

use super::{
    super::{
        Action, Change, Name, Object, Outcome, PublishError, Standing, TurnReport,
        reconcile::Course,
    },
    sample::snapshot,
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The lines since the last call, without their targets.
    fn of(&self, work: impl FnOnce()) -> Vec<String> {
        let lines = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || lines.clone())
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .finish();
        with_default(subscriber, work);
        let text = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(text).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

fn change(found: Standing) -> Change {
    Change {
        name: Name::Jwks,
        found,
        wanted: Object {
            body: Bytes::from_static(b"{}"),
            content_type: None,
            cache_control: None,
        },
    }
}

fn timeout() -> PublishError {
    PublishError::Timeout {
        endpoint: "https://s3".to_owned(),
    }
}

fn denied() -> PublishError {
    PublishError::AccessDenied {
        action: Action::Write,
        object: "s3://b/k".to_owned(),
    }
}

fn outcome(changes: Vec<Change>, report: TurnReport) -> Outcome {
    Outcome {
        changes,
        report,
        published: snapshot("a", true),
        ignores_conditions: false,
    }
}

#[test]
fn each_change_of_state_is_one_line() {
    let mut course = Course::new("file:///srv".to_owned());
    let lines = Lines::default();
    let quiet = || outcome(Vec::new(), TurnReport::default());
    let mut note = |outcome: Result<Outcome, PublishError>| lines.of(|| course.note(&outcome));

    let created = outcome(vec![change(Standing::Missing)], TurnReport::default());
    let expected = r#"INFO published target=file:///srv changes="create openid/v1/jwks" keys=1"#;
    assert_eq!(note(Ok(created)), [expected]);
    assert!(note(Ok(quiet())).is_empty());

    assert!(note(Err(timeout()))[0].starts_with("WARN could not publish"));
    assert!(note(Err(timeout())).is_empty());
    assert!(note(Err(denied()))[0].starts_with("ERROR could not publish"));
    assert!(note(Err(denied())).is_empty());
    let expected = "INFO publishing works again target=file:///srv failures=4";
    assert_eq!(note(Ok(quiet())), [expected]);
}

#[test]
fn what_somebody_must_look_into_is_said() {
    let mut course = Course::new("file:///srv".to_owned());
    let lines = Lines::default();
    let mut note = |report: TurnReport| lines.of(|| course.note(&Ok(outcome(Vec::new(), report))));
    let publishers = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();

    let first = TurnReport {
        publishers: publishers(&["one", "two"]),
        ..TurnReport::default()
    };
    assert!(note(first.clone()).is_empty());
    let joined = TurnReport {
        publishers: publishers(&["one", "two", "x\n"]),
        ..TurnReport::default()
    };
    let said = note(joined);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("WARN a new publisher") && said[0].contains(r"x\n"),
        "{said:?}"
    );

    let drifted = TurnReport {
        drifted: vec![Name::Jwks],
        ..first.clone()
    };
    for _ in 0..2 {
        assert!(
            note(drifted.clone())[0]
                .contains("ERROR somebody else changed what is published; it is repaired")
        );
    }
    let left_alone = TurnReport {
        left_alone: true,
        ..drifted
    };
    assert_eq!(note(left_alone.clone()).len(), 1);
    assert!(note(left_alone).is_empty());
    let taken = TurnReport {
        name_taken: true,
        ..first.clone()
    };
    assert!(note(taken.clone())[0].contains("a name of its own"));
    assert!(note(taken).is_empty());
    let lost = TurnReport {
        state_lost: true,
        ..first
    };
    assert!(note(lost)[0].contains(".oidc-mirror/state.json"));
}

#[test]
fn a_store_that_heeds_no_condition_is_named_once() {
    let mut course = Course::new("file:///srv".to_owned());
    let lines = Lines::default();
    let mut ignoring = outcome(Vec::new(), TurnReport::default());
    ignoring.ignores_conditions = true;
    let outcome = Ok(ignoring);
    assert!(lines.of(|| course.note(&outcome))[0].starts_with("WARN this store takes every write"));
    assert!(lines.of(|| course.note(&outcome)).is_empty());
}
