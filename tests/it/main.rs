//! Tests of the whole service over real sockets.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod acme;
mod admin;
mod certificates;
mod cli;
mod credentials;
mod demo;
mod deploy;
mod hostile;
mod keys;
mod layering;
mod limits;
mod listening;
mod memory;
mod outage;
mod outage_service;
mod packaging;
mod publishing;
mod read_back;
mod reload;
mod relying_parties;
mod relying_party;
mod rotation;
mod serving;
mod sharing;
mod shutdown;
mod status;
mod support;
