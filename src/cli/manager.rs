//! What the service manager is told: `sd_notify(3)`.
//!
//! Does nothing where no service manager listens.

use std::{sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::{error, info, warn};

use crate::{
    admin::{View, Views},
    mirror::{Snapshots, Statuses},
};

/// Tells the service manager when every mirror has something to serve.
pub(super) async fn announce(snapshots: Vec<Snapshots>) {
    notify(&[NotifyState::Status(
        "waiting for the first answer of the API servers",
    )]);
    for mut snapshots in snapshots {
        // The channel is closed when the configuration was replaced, which is announced by itself.
        if snapshots.wait_for(Option::is_some).await.is_err() {
            return std::future::pending().await;
        }
    }
    info!("every mirror has its documents");
    notify(&[NotifyState::Ready]);
    std::future::pending::<()>().await;
}

/// Tells the service manager that the configuration is read again; [`reloaded`] ends it.
pub(super) fn reloading() {
    // Type=notify-reload asks for the time (systemd 253).
    let now = NotifyState::monotonic_usec_now().ok();
    let states: Vec<_> = [NotifyState::Reloading].into_iter().chain(now).collect();
    notify(&states);
}

pub(super) fn reloaded() {
    notify(&[NotifyState::Ready]);
}

pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Keeps the line of `systemctl status` true, for ever.
pub(super) async fn describe(views: watch::Receiver<Arc<Views>>) {
    let mut told = String::new();
    loop {
        sleep(DESCRIBE_INTERVAL).await;
        let words = words(&views.borrow());
        if words != told {
            notify(&[NotifyState::Status(&words)]);
            told = words;
        }
    }
}

fn words(views: &Views) -> String {
    let mirrors = &views.mirrors;
    let count = |is_so: fn(&View) -> bool| mirrors.iter().filter(|it| is_so(it)).count();
    let ready = count(|it| it.snapshots.borrow().is_some());
    let unread = count(|it| {
        let status = it.statuses.borrow();
        status.upstreams.iter().any(|it| it.failure.is_some())
    });
    let unpublished = count(|it| it.progress.iter().any(|it| it.borrow().failure.is_some()));
    let mut words = format!("{ready} of {} mirrors have documents", mirrors.len());
    for (count, what) in [
        (unread, "cannot read an API server"),
        (unpublished, "cannot publish"),
    ] {
        if count > 0 {
            words.push_str(&format!(", {count} {what}"));
        }
    }
    words
}

/// Tells the service manager that all goes on, as often as it wants to hear it, until a mirror
/// hangs.
pub(super) async fn watchdog(views: watch::Receiver<Arc<Views>>) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut pulses = Pulses::default();
    loop {
        let present = Arc::clone(&views.borrow());
        match pulses.first_silent(&present, Instant::now()) {
            None => notify(&[NotifyState::Watchdog]),
            Some(mirror) => error!(
                mirror,
                "the mirror has made no round for far too long; the service manager is left to \
                 restart this process. This is a bug, please report it"
            ),
        }
        sleep(interval / 3).await;
    }
}

/// When each mirror last made a round.
#[derive(Default)]
struct Pulses {
    of: Arc<Views>,
    mirrors: Vec<(Statuses, Instant)>,
}

impl Pulses {
    /// The first mirror that should have made a round long ago.
    fn first_silent<'a>(&mut self, views: &'a Arc<Views>, now: Instant) -> Option<&'a str> {
        if !Arc::ptr_eq(&self.of, views) {
            let mirrors = views.mirrors.iter();
            self.mirrors = mirrors.map(|it| (it.statuses.clone(), now)).collect();
            self.of = Arc::clone(views);
        }
        for ((statuses, last), view) in self.mirrors.iter_mut().zip(&views.mirrors) {
            if statuses.has_changed().unwrap_or(true) {
                statuses.mark_unchanged();
                *last = now;
            }
            if now.duration_since(*last) > view.patience.saturating_mul(MISSED_ROUNDS) {
                return Some(&view.name);
            }
        }
        None
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "could not tell the service manager how it goes");
    }
}

const DESCRIBE_INTERVAL: Duration = Duration::from_secs(5);
/// After how many rounds, each as long as it may last, a mirror is taken to hang.
const MISSED_ROUNDS: u32 = 10;
