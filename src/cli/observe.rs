//! What watches over the mirrors of a process: reading back what they give out, and what the
//! operator sees of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{
    sync::OnceCell,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info, warn};

use crate::{
    Report,
    admin::View,
    config::settings,
    mirror::Mirror,
    oidc::{Issuer, Kid, Snapshot},
    publish::Publisher,
    verify::{NotPublic, ReadBack, RelyingParty},
};

/// Makes relying parties, which share their connections and the CAs of the system.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers(Arc<OnceCell<Option<RelyingParty>>>);

impl Readers {
    /// A relying party that trusts `issuer`; `None` when this machine cannot be one, which was
    /// logged.
    async fn trusting(&self, issuer: &Issuer) -> Option<RelyingParty> {
        let open = || async {
            let issuer = issuer.clone();
            // The CAs of the system are many files.
            let opened = tokio::task::spawn_blocking(|| RelyingParty::new(issuer, None)).await;
            match opened.ok()? {
                Ok(relying_party) => Some(relying_party),
                Err(error) => {
                    warn!(
                        error = %Report(&error),
                        "the documents cannot be read back; install the certificates of the public \
                         CAs (ca-certificates), or set read-back = false"
                    );
                    None
                }
            }
        };
        let any = self.0.get_or_init(open).await.as_ref()?;
        Some(any.trusting(issuer.clone()))
    }

    /// Reads back for ever.
    pub(super) async fn run(self, issuer: Issuer, read_back: ReadBack) {
        match self.trusting(&issuer).await {
            Some(relying_party) => read_back.run(relying_party).await,
            None => std::future::pending().await,
        }
    }

    /// The keys that relying parties find now: none when that cannot be told.
    pub(super) async fn public_keys(&self, settings: &settings::Mirror) -> BTreeSet<Kid> {
        let mirror = &settings.name;
        let look = async { Some(self.trusting(&settings.issuer).await?.look().await) };
        match timeout(FIRST_LOOK, look).await {
            Ok(Some(Ok(public))) => return public.kids(),
            Ok(Some(Err(error))) => {
                debug!(mirror, error = %Report(&error), "the public keys cannot be read yet");
            }
            Ok(None) => {}
            Err(_) => debug!(mirror, "the public keys cannot be read in time"),
        }
        BTreeSet::new()
    }

    /// Looks for a short time whether relying parties read one of `published`, and says so.
    pub(super) async fn confirm(&self, settings: &settings::Mirror, published: &[Arc<Snapshot>]) {
        let mirror = &settings.name;
        let Some(relying_party) = self.trusting(&settings.issuer).await else {
            return;
        };
        let start = Instant::now();
        let mut trouble: Option<NotPublic> = None;
        let looking = async {
            for pause in PAUSES {
                sleep(pause).await;
                let seen = relying_party.look().await.map_err(NotPublic::from);
                trouble = seen.and_then(|public| public.compare(published)).err();
                // What cannot be read at all will not be there a moment later.
                if !trouble.as_ref().is_some_and(NotPublic::may_be_a_cache) {
                    return;
                }
            }
        };
        match (timeout(LAST_LOOK, looking).await, trouble) {
            (Ok(()), None) => info!(mirror, took = ?start.elapsed(), "public"),
            (_, Some(error)) => warn!(
                mirror, reason = error.reason(), %error,
                "published, but relying parties do not read it yet"
            ),
            (Err(_), None) => warn!(
                mirror,
                "published, but the public documents did not answer in time"
            ),
        }
    }
}

/// What the operator sees of `mirror`, and what reads its documents back, unless that is not
/// wanted: from where they are served, if they are, and from each target, a directory among them,
/// which a web server serves.
pub(super) fn watch(
    settings: &settings::Mirror,
    mirror: &Mirror,
    is_served: bool,
    publishers: &[Publisher],
) -> (View, Option<ReadBack>) {
    let served = is_served.then(|| mirror.snapshots());
    let published = publishers.iter().map(Publisher::published);
    let given_out: Vec<_> = served.into_iter().chain(published).collect();
    let is_wanted = settings.upkeep.read_back && !given_out.is_empty();
    let read_back = is_wanted.then(|| ReadBack::new(settings, given_out, mirror.public()));
    let view = View {
        name: settings.name.clone(),
        issuer: settings.issuer.as_str().to_owned(),
        patience: settings.poll_interval + settings.timeout,
        max_age: settings.metadata.max_age(),
        keys: settings.keys.clone(),
        statuses: mirror.statuses(),
        snapshots: mirror.snapshots(),
        progress: publishers.iter().map(Publisher::progress).collect(),
        read_back: read_back.as_ref().map(ReadBack::statuses),
    };
    (view, read_back)
}

/// How long a job waits for the public keys before it publishes.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How long a job waits after it has published.
const LAST_LOOK: Duration = Duration::from_secs(10);
/// The pauses before its looks.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
