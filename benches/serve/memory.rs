//! What a server needs, idle and with many idle connections.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    load::{Client, Connections, Load},
    servers::{Scene, Server},
    support::Failure,
};

/// Memory in KiB: of all processes, except where it says so.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) idle: f64,
    pub(crate) connected: f64,
    /// As `connected`, of the process that serves alone.
    pub(crate) resident: f64,
    connections: f64,
}

impl Memory {
    pub(crate) fn per_connection(&self) -> f64 {
        (self.connected - self.idle) / self.connections
    }
}

/// Measures `server`, which has done nothing before, with `count` connections on each of which one
/// request was answered.
pub(crate) async fn measure(
    load: Load,
    server: &Server,
    scene: &Scene,
    count: u32,
) -> Result<Memory, Failure> {
    sleep(SETTLE).await;
    let idle = server.memory_kib()?;
    let mut openers = JoinSet::new();
    for _ in 0..OPENERS {
        let client = Client::new(load, server, scene, &Arc::default()).await?;
        openers.spawn(open(client, load.connections, count / OPENERS));
    }
    let mut open = Vec::new();
    while let Some(opened) = openers.join_next().await {
        open.extend(opened??);
    }
    sleep(SETTLE).await;
    let memory = Memory {
        idle,
        connected: server.memory_kib()?,
        resident: server.resident_kib()?,
        connections: count.into(),
    };
    drop(open);
    Ok(memory)
}

async fn open(
    client: Client,
    kind: Connections,
    count: u32,
) -> Result<Vec<Box<dyn Send>>, Failure> {
    let mut open = Vec::<Box<dyn Send>>::new();
    for _ in 0..count {
        if let Connections::Multiplexed = kind {
            let mut connection = client.http2().await?;
            connection.ask();
            client.count(connection.answer().await?)?;
            open.push(Box::new(connection));
        } else {
            let mut connection = client.http1().await?;
            client.count(connection.get().await?)?;
            open.push(Box::new(connection));
        }
    }
    Ok(open)
}

/// Connections that are opened at the same time.
const OPENERS: u32 = 50;
const SETTLE: Duration = Duration::from_secs(2);
