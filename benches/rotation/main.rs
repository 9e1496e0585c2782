//! For how long does a mirror refuse valid tokens while the control plane rotates its key?
//!
//! `cargo bench --bench rotation` plays two rotations and an outage in simulated time, prints what
//! became of each way of mirroring, and draws `docs/rotation.svg`. It fails when oidc-mirror refused
//! any valid token. A token is refused while its key is missing from the published document; what
//! relying parties cache would only delay that.

#![expect(clippy::print_stdout, reason = "the table is the result")]

mod plane;
mod strategies;
mod timeline;

use std::{error::Error, fs, ops::Range, process::ExitCode};

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use fastrand::Rng;

use crate::{
    plane::{END, HOUR, KEYS, MINUTE, Plane, Second, Token},
    strategies::{Answers, Strategy},
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut rng = Rng::with_seed(SEED);
    let plane = Plane::new(&mut rng)?;
    let tokens = plane.mint(&mut rng);
    let needed = needed(&tokens);
    let outcomes: Vec<_> = strategies::all(rng)
        .into_iter()
        .map(|strategy| Outcome::of(strategy, &plane, &tokens, &needed))
        .collect();
    println!("{}", table(&outcomes, tokens.len()));
    fs::write(PICTURE, timeline::draw(&plane, &needed, &outcomes))?;
    println!("\ndocs/rotation.svg shows when");
    if outcomes[0].refused.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("oidc-mirror refused valid tokens");
    Ok(ExitCode::FAILURE)
}

/// What became of one strategy.
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) detail: &'static str,
    /// When the key of some valid token was missing.
    pub(crate) refused: Vec<Range<Second>>,
    /// How many tokens were refused at some time in their lives.
    tokens_refused: usize,
}

impl Outcome {
    fn of(strategy: Strategy, plane: &Plane, tokens: &[Token], needed: &[PerKey]) -> Self {
        let (name, detail) = (strategy.name, strategy.detail);
        let published = publish(strategy, plane);
        let both = needed.iter().zip(&published);
        let is_refused = both.map(|(needed, has)| (0..KEYS).any(|key| needed[key] && !has[key]));
        let missing: [_; KEYS] =
            std::array::from_fn(|key| stretches(published.iter().map(|has| !has[key])));
        let was_refused = |token: &&Token| {
            let overlaps =
                |it: &Range<Second>| it.start < token.life.end && token.life.start < it.end;
            missing[token.key].iter().any(overlaps)
        };
        Self {
            name,
            detail,
            refused: stretches(is_refused),
            tokens_refused: tokens.iter().filter(was_refused).count(),
        }
    }

    pub(crate) fn refused_for(&self) -> Second {
        self.refused.iter().map(|it| it.end - it.start).sum()
    }
}

/// Something of each key in some second.
pub(crate) type PerKey = [bool; KEYS];

/// Which keys are published in each second.
fn publish(mut strategy: Strategy, plane: &Plane) -> Vec<PerKey> {
    let mut published = [false; KEYS];
    let second = |now| {
        if now % strategy.interval == 0 {
            let answers: Answers = std::array::from_fn(|server| plane.answer(server, now));
            if let Some(document) = (strategy.poll)(&answers, now) {
                published = plane.held(&document);
            }
        }
        published
    };
    (0..END).map(second).collect()
}

/// Which keys have a token that is valid in each second.
fn needed(tokens: &[Token]) -> Vec<PerKey> {
    let mut changes = vec![[0; KEYS]; END as usize + 1];
    for token in tokens {
        changes[token.life.start as usize][token.key] += 1;
        changes[token.life.end as usize][token.key] -= 1;
    }
    let mut valid = [0; KEYS];
    let second = |change: &[i32; KEYS]| {
        valid = std::array::from_fn(|key| valid[key] + change[key]);
        valid.map(|tokens| tokens > 0)
    };
    changes.iter().take(END as usize).map(second).collect()
}

/// The stretches of seconds in which something holds.
pub(crate) fn stretches(holds: impl Iterator<Item = bool>) -> Vec<Range<Second>> {
    let mut stretches = Vec::<Range<Second>>::new();
    for (now, _) in (0..).zip(holds).filter(|(_, holds)| *holds) {
        match stretches.last_mut() {
            Some(last) if last.end == now => last.end += 1,
            _ => stretches.push(now..now + 1),
        }
    }
    stretches
}

fn table(outcomes: &[Outcome], tokens: usize) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "strategy",
        "valid tokens refused for",
        "longest stretch",
        "tokens refused",
    ]);
    for outcome in outcomes {
        let lengths = outcome.refused.iter().map(|it| it.end - it.start);
        let per_mille = outcome.tokens_refused * 1000 / tokens;
        table.add_row([
            format!("{} ({})", outcome.name, outcome.detail),
            readable(outcome.refused_for()),
            readable(lengths.max().unwrap_or(0)),
            format!("{}.{} %", per_mille / 10, per_mille % 10),
        ]);
    }
    table
}

/// A duration as people write it.
pub(crate) fn readable(time: Second) -> String {
    match (time / HOUR, time % HOUR / MINUTE) {
        (0, 0) => format!("{time} s"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// Any seed does; the same one gives the same picture.
const SEED: u64 = 1;
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rotation.svg");
