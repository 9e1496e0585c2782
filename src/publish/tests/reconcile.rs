//! What the loop logs: one line for each change of its state.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tracing::subscriber::with_default;

use super::super::{
    Action, Change, Name, Object, PublishError, Publisher, Standing, reconcile::Course,
};
use crate::{
    config::settings::{Metadata, Target},
    oidc::{Issuer, KeySet, Snapshot},
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

async fn publisher() -> Publisher {
    let metadata = Metadata {
        cache_control: http::HeaderValue::from_static("no-cache"),
        jwks_content_type: http::HeaderValue::from_static("application/json"),
    };
    let target = Target::Directory(PathBuf::from("/srv"));
    Publisher::open(&target, &metadata).await.unwrap()
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

#[tokio::test]
async fn each_change_of_state_is_one_line() {
    let target = publisher().await;
    let issuer = Issuer::parse("https://oidc.example.com").unwrap();
    let snapshot = Arc::new(Snapshot::render(&issuer, KeySet::default(), &[], true));
    let mut course = Course::default();
    let lines = Lines::default();
    let published = |course: &mut Course, found: Option<Standing>| {
        let changes: Vec<_> = found.map(change).into_iter().collect();
        lines.of(|| course.published(&target, Arc::clone(&snapshot), &changes))
    };
    let failed = |course: &mut Course, error: PublishError| {
        Lines::default().of(|| course.failed(&target, &error))
    };

    let first = published(&mut course, Some(Standing::Missing));
    let expected = r#"INFO published target=file:///srv changes="create openid/v1/jwks" keys=0"#;
    assert_eq!(first, [expected]);
    assert!(published(&mut course, None).is_empty());
    // What cannot be read cannot be known to have changed.
    assert!(published(&mut course, Some(Standing::Unreadable)).is_empty());

    assert!(failed(&mut course, timeout())[0].starts_with("WARN could not publish"));
    assert!(failed(&mut course, timeout()).is_empty());
    assert!(failed(&mut course, denied())[0].starts_with("ERROR could not publish"));
    assert!(failed(&mut course, denied()).is_empty());
    let healed = published(&mut course, None);
    let expected = "INFO publishing works again target=file:///srv failures=4";
    assert_eq!(healed, [expected]);

    let repaired = published(&mut course, Some(Standing::Missing));
    assert_eq!(repaired.len(), 1);
    assert!(repaired[0].starts_with("WARN published documents were changed by someone else"));
}
