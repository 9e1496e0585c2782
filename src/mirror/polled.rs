//! One upstream, and what is remembered of it from round to round.

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::status::UpstreamStatus;
use crate::{
    Report, Trouble,
    alarm::{Alarm, Change},
    clock,
    config::settings,
    oidc::LeftOut,
    upstream::{Answer, FetchError, Upstream},
};

/// One upstream and what is remembered of it from round to round.
#[derive(Debug)]
pub(super) struct Polled {
    upstream: Upstream,
    failing: Alarm,
    foreign_issuer: Alarm,
    hasty: Alarm,
    left_out: Vec<LeftOut>,
    status: UpstreamStatus,
    /// Until when the upstream asked not to be asked again.
    not_before: Option<Instant>,
}

impl Polled {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self {
            status: UpstreamStatus {
                url: upstream.url().to_string(),
                failure: None,
                issuer_matches: None,
                left_out: 0,
            },
            upstream,
            failing: Alarm::default(),
            foreign_issuer: Alarm::default(),
            hasty: Alarm::default(),
            left_out: Vec::new(),
            not_before: None,
        }
    }

    /// The address, by which the ledger knows the upstream.
    pub(super) fn source(&self) -> &str {
        &self.status.url
    }

    pub(super) fn status(&self) -> &UpstreamStatus {
        &self.status
    }

    /// Asks the upstream, unless it asked for a pause that still lasts.
    pub(super) async fn poll(&mut self, mirror: &str) -> Option<Answer> {
        if self.not_before.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let fetched = self.upstream.fetch().await;
        let change = self.failing.set(fetched.is_err());
        match fetched {
            Ok(answer) => {
                let upstream = self.upstream.url();
                if change == Some(Change::Ended) {
                    info!(mirror, %upstream, "the API server can be read again");
                }
                if answer.left_out != self.left_out {
                    for unfit in &answer.left_out {
                        warn!(mirror, %upstream, reason = %unfit, "a key is not published");
                    }
                    self.left_out.clone_from(&answer.left_out);
                }
                self.status.failure = None;
                self.status.left_out = answer.left_out.len();
                Some(answer)
            }
            Err(error) => {
                self.not_before = error.retry_after().map(|pause| Instant::now() + pause);
                let message = Report(&error).to_string();
                let before = self.status.failure.as_ref();
                let trouble = Trouble::after(before, error.reason(), message, clock::now());
                self.status.failure = Some(trouble);
                self.log_failure(mirror, change, &error);
                None
            }
        }
    }

    fn log_failure(&self, mirror: &str, change: Option<Change>, error: &FetchError) {
        let (upstream, reason, report) = (self.upstream.url(), error.reason(), Report(error));
        match change {
            Some(Change::Started) if error.needs_a_human() => {
                error!(mirror, %upstream, reason, error = %report, "the documents of an API server are refused");
            }
            Some(Change::Started) => {
                warn!(mirror, %upstream, reason, error = %report, "could not read an API server");
            }
            _ => {
                debug!(mirror, %upstream, reason, error = %report, "could still not read an API server");
            }
        }
    }

    /// Whether the upstream's tokens carry the public issuer, by its last good answer.
    pub(super) fn compare_issuer(
        &mut self,
        settings: &settings::Mirror,
        answer: Option<&Answer>,
    ) -> bool {
        let Some(answer) = answer else {
            return !self.foreign_issuer.is_raised();
        };
        let agrees = answer.issuer == settings.issuer.as_str();
        self.status.issuer_matches = Some(agrees);
        let (mirror, upstream) = (&settings.name, self.upstream.url());
        match self.foreign_issuer.set(!agrees) {
            Some(Change::Started) => warn!(
                mirror, %upstream, public_issuer = %settings.issuer,
                token_issuer = %answer.issuer.chars().take(ISSUER_SHOWN_CHARS).collect::<String>().escape_debug(),
                "tokens carry another issuer than the documents, so every relying party refuses \
                 them; make the public issuer the first --service-account-issuer of this API \
                 server and keep the present one second"
            ),
            Some(Change::Ended) => info!(mirror, %upstream, "tokens carry the public issuer now"),
            None => {}
        }
        agrees
    }

    /// Warns when a key may sign before relying parties can know it.
    pub(super) fn compare_age(&mut self, settings: &settings::Mirror, answer: Option<&Answer>) {
        let Some(max_age) = answer.and_then(|answer| answer.max_age) else {
            return;
        };
        let needed = settings.poll_interval + settings.metadata.max_age();
        let (mirror, upstream) = (&settings.name, self.upstream.url());
        match self.hasty.set(max_age < needed) {
            Some(Change::Started) => warn!(
                mirror, %upstream, max_age = %humantime::format_duration(max_age),
                needed = %humantime::format_duration(needed),
                "this API server may sign with a new key sooner after listing it than relying \
                 parties can see it here; raise the refresh hint of its external signer, or lower \
                 poll-interval and the max-age of cache-control"
            ),
            Some(Change::Ended) => info!(
                mirror, %upstream,
                "new keys are listed long enough before they sign"
            ),
            None => {}
        }
    }
}

/// As much of a foreign issuer as a log line shows.
const ISSUER_SHOWN_CHARS: usize = 200;
