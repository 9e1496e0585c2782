//! How long the ledger takes: `cargo bench --bench ledger`.
//!
//! One mirror of five API servers with 100 keys: a round in which nothing changes, and the state as
//! it is stored and read. Fails when the round takes longer than 100 µs.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measures")]
#![expect(clippy::disallowed_types, reason = "what is measured is real time")]

use std::{
    hint::black_box,
    process::ExitCode,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use oidc_mirror::oidc::{KeySet, Ledger, Listing, Policy, Time, parse_stored};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let policy = Policy::default();
    let keys = keys();
    let round: Vec<_> = (0..UPSTREAMS)
        .map(|at| Listing {
            source: format!("https://10.0.0.{at}:6443/"),
            is_file: false,
            keys: Some(keys.clone()),
        })
        .collect();
    let after = |seconds| Time::after_epoch(Duration::from_secs(seconds));
    let step = |ledger: &Ledger, seconds| {
        let stepped = ledger.step(&round, &policy, after(seconds));
        stepped.expect("the upstreams agree").0
    };
    let ledger = step(&Ledger::default(), 1);
    let stored = serde_json::to_vec(&ledger).expect("a ledger can be stored");

    let steps = median(|| {
        black_box(step(&ledger, 16));
    });
    println!(
        "{KEYS} keys, {UPSTREAMS} API servers, {} bytes of state",
        stored.len()
    );
    println!("round    {:>8.1} µs", micros(steps));
    let saved = median(|| {
        black_box(serde_json::to_vec(&ledger).is_ok());
    });
    println!("to JSON  {:>8.1} µs", micros(saved));
    let parsed = median(|| {
        black_box(parse_stored::<Ledger>(&stored).is_ok());
    });
    println!("of JSON  {:>8.1} µs", micros(parsed));
    if steps > LIMIT {
        println!("a round takes longer than {LIMIT:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// RSA keys of 2048 bits. Nobody signs with them, so any odd number does as a modulus.
fn keys() -> KeySet {
    let jwk = |at: u8| -> Value {
        let n = URL_SAFE_NO_PAD.encode([&[0x80 | at; 255][..], &[1]].concat());
        let kid = URL_SAFE_NO_PAD.encode([at; 32]);
        json!({"kty": "RSA", "alg": "RS256", "kid": kid, "n": n, "e": "AQAB"})
    };
    let jwks: Vec<_> = (0..KEYS).map(jwk).collect();
    let document = json!({ "keys": jwks }).to_string();
    KeySet::parse(document.as_bytes())
        .expect("the keys are sound")
        .0
}

/// The median of many samples.
fn median(mut work: impl FnMut()) -> Duration {
    let mut sample = || {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    for _ in 0..SAMPLES / 10 {
        sample();
    }
    let mut samples: Vec<_> = (0..SAMPLES).map(|_| sample()).collect();
    samples.sort_unstable();
    samples[SAMPLES / 2]
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

const KEYS: u8 = 100;
const UPSTREAMS: usize = 5;
const SAMPLES: usize = 2_000;
const LIMIT: Duration = Duration::from_micros(100);
