//! The real binary as a service manager runs it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use reqwest::Client;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::UnixDatagram,
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use super::service::{Answer, Plan, answer};

/// A running `oidc-mirror run`, killed when dropped, and its service manager's socket.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    log: watch::Receiver<Vec<String>>,
    pub(crate) notifications: UnixDatagram,
    _directory: TempDir,
}

impl Process {
    /// Runs what is planned, until it says where it serves.
    pub(crate) async fn run(plan: &Plan) -> Self {
        Self::run_with(Command::new(env!("CARGO_BIN_EXE_oidc-mirror")), plan).await
    }

    /// As [`run`](Self::run), by a command that takes the arguments of the binary.
    pub(crate) async fn run_with(mut command: Command, plan: &Plan) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("notify");
        let notifications = UnixDatagram::bind(&socket).unwrap();
        let mut child = command
            .arg("run")
            .args(plan.arguments())
            .env_clear()
            .env("NOTIFY_SOCKET", socket)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|log: &mut Vec<String>| log.push(line));
            }
        });
        let line = line_with(log.clone(), "serving address=").await;
        let (_, fields) = line.split_once("serving address=").unwrap();
        let address = fields.split(' ').next().unwrap().parse();
        Self {
            child,
            // A Unix socket has none.
            address: address.unwrap_or_else(|_| (Ipv4Addr::UNSPECIFIED, 0).into()),
            log,
            notifications,
            _directory: directory,
        }
    }

    /// The first line of the log with this text, as soon as there is one.
    pub(crate) async fn logged(&self, text: &str) -> String {
        line_with(self.log.clone(), text).await
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// A client that finds every host of the plan here.
    pub(crate) fn client(&self, plan: &Plan) -> Client {
        plan.client(self.address).build().unwrap()
    }

    /// One GET on a connection of its own.
    pub(crate) async fn get(&self, plan: &Plan, url: &str) -> Answer {
        answer(self.client(plan).get(url)).await
    }

    /// The next notification, if one comes.
    pub(crate) async fn notification(&self) -> String {
        let mut text = vec![0; 4096];
        let receiving = self.notifications.recv(&mut text);
        let length = timeout(LONG, receiving).await.unwrap().unwrap();
        text.truncate(length);
        String::from_utf8(text).unwrap()
    }

    /// Waits for the notification of the service manager that has this line.
    pub(crate) async fn notified(&self, line: &str) {
        while !self.notification().await.lines().any(|it| it == line) {}
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Sends a signal, by its name.
    pub(crate) async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.id());
        let killed = Command::new("sh").args(["-c", &kill]).status().await;
        assert!(killed.unwrap().success());
    }

    /// Waits for the end; shows the log if it does not come.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        match timeout(LONG, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("it did not end: {:#?}", self.log()),
        }
    }
}

async fn line_with(mut log: watch::Receiver<Vec<String>>, text: &str) -> String {
    let has_text = |line: &&String| line.contains(text);
    let found = log.wait_for(|log| log.iter().any(|line| line.contains(text)));
    if let Ok(Ok(log)) = timeout(LONG, found).await {
        return log.iter().find(has_text).unwrap().clone();
    }
    panic!("no line with {text:?}: {:#?}", log.borrow());
}

/// Far longer than anything that goes well takes.
const LONG: Duration = Duration::from_secs(20);
