use http::StatusCode;

use super::*;
use crate::oidc::KeySet;

/// One of each variant, in the order of the enum.
fn all() -> Vec<FetchError> {
    let url = || "https://10.0.0.11:6443/openid/v1/jwks".to_owned();
    let cause = || "connection refused".to_owned();
    let status = StatusCode::SERVICE_UNAVAILABLE;
    vec![
        FetchError::Broken {
            url: url(),
            cause: cause(),
        },
        FetchError::Connect {
            url: url(),
            cause: cause(),
        },
        FetchError::ContentType { url: url() },
        FetchError::Credentials {
            url: url(),
            source: CredentialError::NoServer,
        },
        FetchError::Encoding { url: url() },
        FetchError::Forbidden { url: url() },
        FetchError::NotAcceptable { url: url() },
        FetchError::NotFound { url: url() },
        FetchError::Redirect { url: url(), status },
        FetchError::Rejected {
            url: url(),
            reject: rejection_of(r#"{"keys":[{"d":"x"}]}"#),
        },
        FetchError::Status {
            url: url(),
            status,
            retry_after: Some(Duration::from_secs(1)),
        },
        FetchError::Throttled {
            url: url(),
            retry_after: Some(Duration::from_secs(2)),
        },
        FetchError::Timeout {
            url: url(),
            limit: Duration::from_secs(10),
        },
        FetchError::Tls {
            url: url(),
            advice: "the handshake failed".to_owned(),
            source: Box::new(rustls::Error::DecryptError),
        },
        FetchError::TooLarge { url: url() },
        FetchError::Unauthorized { url: url() },
    ]
}

fn rejection_of(document: &str) -> Reject {
    KeySet::parse(document.as_bytes()).unwrap_err()
}

#[test]
fn each_error_has_its_label() {
    let labels: Vec<_> = all().iter().map(FetchError::reason).collect();
    assert_eq!(
        labels,
        [
            "broken",
            "connect",
            "content-type",
            "credentials",
            "encoding",
            "forbidden",
            "not-acceptable",
            "not-found",
            "redirect",
            "private",
            "status",
            "throttled",
            "timeout",
            "tls",
            "too-large",
            "unauthorized",
        ]
    );
}

#[test]
fn each_message_names_the_url_and_reads_on() {
    for error in all() {
        let message = error.to_string();
        assert!(message.contains("https://10.0.0.11:6443/"), "{message}");
        assert!(!message.ends_with('.'), "{message}");
        assert!(
            message.starts_with(|first: char| first.is_lowercase()),
            "{message}"
        );
    }
}

#[test]
fn only_a_leaked_key_or_a_conflict_needs_a_human() {
    let count = all().iter().filter(|error| error.needs_a_human()).count();
    assert_eq!(count, 1);
    let empty = FetchError::Rejected {
        url: String::new(),
        reject: rejection_of(r#"{"keys":[]}"#),
    };
    assert!(!empty.needs_a_human());
}

#[test]
fn only_an_answer_asks_for_patience() {
    let delays: Vec<_> = all().iter().filter_map(FetchError::retry_after).collect();
    assert_eq!(delays, [1, 2].map(Duration::from_secs));
}
