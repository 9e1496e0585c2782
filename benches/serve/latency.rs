//! How long an answer takes while a server has time to spare.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::{JoinSet, yield_now},
    time::Instant,
};

use crate::{
    load::{Client, Load},
    servers::{Scene, Server},
    support::Failure,
};

/// The 99th percentile while requests are sent at `rate` a second, each at its time whatever became
/// of those before. An answer is late from the time when its request was due, so a server that
/// stalls is not asked less and does not look better for it.
pub(crate) async fn p99(
    load: Load,
    rate: f64,
    server: &Server,
    scene: &Scene,
    length: Duration,
) -> Result<Duration, Failure> {
    let interval = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
    let start = Instant::now() + Duration::from_secs(1);
    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        let client = Client::new(load, server, scene, &Arc::default()).await?;
        let first = start + interval * number / CONNECTIONS;
        clients.spawn(paced(client, first, interval, start + length));
    }
    let mut latencies = Vec::new();
    while let Some(ended) = clients.join_next().await {
        latencies.extend(ended??);
    }
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100);
    Ok(*p99.ok_or("no requests in so short a time")?)
}

async fn paced(
    client: Client,
    first: Instant,
    interval: Duration,
    end: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut connection = client.http1().await?;
    let mut latencies = Vec::new();
    let mut due = first;
    while due < end {
        // The timer counts in milliseconds, which is far too coarse; this core has nothing else to do.
        while Instant::now() < due {
            yield_now().await;
        }
        client.count(connection.get().await?)?;
        latencies.push(due.elapsed());
        due += interval;
    }
    Ok(latencies)
}

const CONNECTIONS: u32 = 16;
