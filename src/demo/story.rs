//! The story of `oidc-mirror demo`: a key rotation, told while a relying party watches.
//!
//! It drives the cluster and looks at the mirror only from outside, through its issuer.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use anstyle::{AnsiColor, Style};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::{Cluster, ClusterError, KeyError, KeyKind, SigningKey};
use crate::{
    Report,
    verify::{RelyingParty, Verified, VerifyError},
};

/// A story being told: what happens, and what was checked, line by line.
#[derive(Debug)]
pub struct Story<W> {
    cluster: Cluster,
    relying_party: RelyingParty,
    tally: Tally,
    out: W,
    clock: fn() -> SystemTime,
}

/// How many verifications held, and how many that should have held did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Verifications that held.
    pub held: u64,
    /// Verifications that did not, and things that did not happen in time.
    pub failed: u64,
}

/// A token that was handed out, and whose it is.
#[derive(Debug)]
struct Minted {
    name: String,
    token: String,
}

/// What a part of the story waits for.
#[derive(Clone, Copy, Debug)]
enum Until<'a> {
    /// The mirror has read this API server, and published what it read.
    Read(usize),
    /// This token verifies.
    Verifies(&'a Minted),
}

impl<W: Write> Story<W> {
    /// A story of a cluster with at least two API servers, whose issuer `relying_party` trusts; it
    /// is told to `out`, with ANSI styles.
    pub fn new(
        cluster: Cluster,
        relying_party: RelyingParty,
        out: W,
        clock: fn() -> SystemTime,
    ) -> Self {
        Self {
            cluster,
            relying_party,
            tally: Tally::default(),
            out,
            clock,
        }
    }

    /// What was verified so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Writes what comes between two parts of the story.
    ///
    /// # Errors
    ///
    /// [`StoryError::Write`] when nobody listens any more.
    pub fn say(&mut self, text: &str) -> Result<(), StoryError> {
        writeln!(self.out, "{text}")?;
        Ok(self.out.flush()?)
    }

    /// The beginning: the mirror has just been started.
    ///
    /// # Errors
    ///
    /// [`StoryError`] when the story cannot go on; a refused token does not end it.
    pub async fn open(&mut self) -> Result<(), StoryError> {
        self.heading("A pod of the cluster is given a token, and a relying party checks it")?;
        let first = self.mint(0)?;
        self.watch(&[], Until::Verifies(&first)).await
    }

    /// Replaces the signing key, one API server at a time, while tokens are verified throughout.
    ///
    /// # Errors
    ///
    /// [`StoryError`] when the story cannot go on; a refused token does not end it.
    pub async fn rotate(&mut self) -> Result<(), StoryError> {
        let old = self.cluster.signing_key(0).clone();
        let new = SigningKey::generate(KeyKind::Rsa2048)?;
        let both = [new.clone(), old.clone()];
        let mut minted = vec![self.mint(0)?, self.mint(1)?];

        self.heading(&format!(
            "The signing key is rotated: key {} is to follow key {}",
            short(new.kid()),
            short(old.kid())
        ))?;
        for (index, other) in [(0, 1), (1, 0)] {
            let number = index + 1;
            self.heading(&format!("API server {number} goes down for its restart"))?;
            self.cluster.stop(index).await;
            self.watch(&minted, Until::Read(other)).await?;

            self.heading(&format!(
                "API server {number} is back: it lists both keys and signs with the new one"
            ))?;
            self.cluster
                .restart(index, both.to_vec(), new.clone())
                .await?;
            let fresh = self.mint(index)?;
            self.watch(&minted, Until::Verifies(&fresh)).await?;
            minted.push(fresh);
        }

        self.heading(
            "API server 1 drops the old key; API server 2 still lists it, so it stays published",
        )?;
        self.cluster.restart(0, vec![new.clone()], new).await?;
        self.watch(&minted, Until::Read(0)).await
    }

    /// Verifies every token of `minted` again and again until something has happened.
    async fn watch(&mut self, minted: &[Minted], until: Until<'_>) -> Result<(), StoryError> {
        let (start, before) = (Instant::now(), self.reads());
        let mut rounds = 0;
        loop {
            // Asked first, so that the tokens are verified once more after it happened.
            let read =
                matches!(until, Until::Read(index) if self.reads()[index] >= before[index] + READS);
            for token in minted {
                match self.verify(token).await {
                    Ok(_) => self.tally.held += 1,
                    Err(error) => return self.failed(&token.name, &error),
                }
            }
            rounds += 1;
            let outcome = match until {
                Until::Read(_) if read => Some(Ok(None)),
                Until::Read(_) => None,
                Until::Verifies(fresh) => match self.verify(fresh).await {
                    Ok(verified) => Some(Ok(Some((fresh, verified)))),
                    Err(error) if start.elapsed() > PATIENCE => Some(Err((&fresh.name, error))),
                    Err(_) => None,
                },
            };
            match outcome {
                Some(Ok(fresh)) => {
                    if let Some((fresh, verified)) = fresh {
                        self.tally.held += 1;
                        self.verified(&fresh.name, &verified, start.elapsed())?;
                    }
                    return self.held(minted, rounds);
                }
                Some(Err((name, error))) => return self.failed(name, &error),
                None if start.elapsed() > PATIENCE => return self.unread(),
                None => sleep(PAUSE).await,
            }
        }
    }

    async fn verify(&self, minted: &Minted) -> Result<Verified, VerifyError> {
        let now = (self.clock)();
        self.relying_party
            .verify(&minted.token, AUDIENCE, now)
            .await
    }

    fn mint(&self, index: usize) -> Result<Minted, StoryError> {
        let kid = short(self.cluster.signing_key(index).kid());
        Ok(Minted {
            name: format!("a token of API server {}, key {kid},", index + 1),
            token: self.cluster.mint(index, AUDIENCE, (self.clock)())?,
        })
    }

    fn reads(&self) -> Vec<u64> {
        (0..self.cluster.addresses().len())
            .map(|index| self.cluster.reads(index))
            .collect()
    }

    fn heading(&mut self, text: &str) -> Result<(), StoryError> {
        self.say(&format!("\n{BOLD}{text}{BOLD:#}"))
    }

    fn verified(
        &mut self,
        name: &str,
        verified: &Verified,
        waited: Duration,
    ) -> Result<(), StoryError> {
        let Verified {
            algorithm,
            discovery_time,
            jwks_time,
            ..
        } = verified;
        self.say(&format!(
            "  {GREEN}✓{GREEN:#} {name} verifies after {:.1} s ({algorithm}; documents read in {} ms \
             and {} ms)",
            waited.as_secs_f64(),
            discovery_time.as_millis(),
            jwks_time.as_millis()
        ))
    }

    fn held(&mut self, minted: &[Minted], rounds: usize) -> Result<(), StoryError> {
        match minted {
            [] => Ok(()),
            minted => self.say(&format!(
                "  {GREEN}✓{GREEN:#} {} verifications of the {} tokens from before held",
                minted.len() * rounds,
                minted.len()
            )),
        }
    }

    fn failed(&mut self, name: &str, error: &VerifyError) -> Result<(), StoryError> {
        self.tally.failed += 1;
        let report = Report(error);
        self.say(&format!("  {RED}✗{RED:#} {name} does not verify: {report}"))
    }

    fn unread(&mut self) -> Result<(), StoryError> {
        self.tally.failed += 1;
        let seconds = PATIENCE.as_secs();
        self.say(&format!(
            "  {RED}✗{RED:#} the mirror did not read the API server for {seconds} s"
        ))
    }
}

/// As much of a key id as tells the keys of one cluster apart.
fn short(kid: &str) -> String {
    kid.chars().take(8).collect()
}

/// Why the story cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoryError {
    /// The simulated cluster failed.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// No new key can be made.
    #[error("could not make a signing key")]
    Key(#[from] KeyError),
    /// Nobody listens any more.
    #[error("could not write")]
    Write(#[from] io::Error),
}

/// Whom the tokens are for: as in IAM roles for service accounts.
const AUDIENCE: &str = "sts.amazonaws.com";
/// Once an API server was read this often, what was read the first time is published: the mirror
/// begins a round after it has finished the one before.
const READS: u64 = 2;
/// Time between two verifications of a token.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait for the mirror before giving up.
const PATIENCE: Duration = Duration::from_secs(30);
const BOLD: Style = Style::new().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();

#[cfg(test)]
mod tests {
    use std::{fs, time::UNIX_EPOCH};

    use super::*;
    use crate::oidc::Issuer;

    #[tokio::test]
    async fn a_refused_token_is_told_and_counted() {
        let directory = tempfile::tempdir().unwrap();
        // Nobody listens there, so the issuer is down throughout.
        let issuer = "https://localhost:1";
        let cluster = Cluster::start(2, issuer, directory.path(), UNIX_EPOCH)
            .await
            .unwrap();
        let pem = fs::read(cluster.ca_file()).unwrap();
        let issuer = Issuer::parse(issuer).unwrap();
        let relying_party = RelyingParty::new(issuer, Some(&pem)).unwrap();
        let mut out = Vec::new();
        let mut story = Story::new(cluster, relying_party, &mut out, || UNIX_EPOCH);

        let minted = story.mint(0).unwrap();
        story.watch(&[minted], Until::Read(0)).await.unwrap();

        assert_eq!(story.tally(), Tally { held: 0, failed: 1 });
        let told = String::from_utf8(out).unwrap();
        assert!(told.contains('✗') && told.contains("localhost:1"), "{told}");
    }
}
