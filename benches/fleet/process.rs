//! The program in a process of its own, and what Linux says of it.

use std::{fs, io, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::sleep,
};

use crate::Result;

/// A process that is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    serve: SocketAddr,
    admin: SocketAddr,
}

/// In KiB.
pub(crate) struct Memory {
    pub(crate) resident: u32,
    pub(crate) anonymous: u32,
    pub(crate) peak: u32,
}

impl Process {
    /// Starts `program` with a file of `config` in `directory`, and waits until it is ready.
    pub(crate) async fn start(program: &Path, config: &str, directory: &Path) -> Result<Self> {
        let (serve, admin) = (free_address().await?, free_address().await?);
        let file = directory.join("mirror.toml");
        let listeners = format!("[serve]\nlisten = [\"{serve}\"]\n[admin]\nlisten = \"{admin}\"\n");
        fs::write(&file, [config, &listeners].concat())?;
        let child = Command::new(program)
            .args(["--log-level", "warn", "run", "--config"])
            .arg(file)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut process = Self {
            child,
            serve,
            admin,
        };
        while !process.is_ready().await {
            if let Some(status) = process.child.try_wait()? {
                return Err(format!("the process ended: {status}").into());
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(process)
    }

    async fn is_ready(&self) -> bool {
        let answer = get(self.admin, "localhost", "/readyz").await;
        answer.is_ok_and(|body| body == b"ok\n")
    }

    /// The CPU time it has taken so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        // Behind the name, which may hold anything, the twelfth and the thirteenth field.
        let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u32 = ticks.map(str::parse::<u32>).sum::<Result<_, _>>()?;
        Ok(TICK * ticks)
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = self.proc("status")?;
        let field = |name: &str| -> Result<u32> {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            let value = value.and_then(|it| it.split_whitespace().next());
            Ok(value.ok_or("no memory")?.parse()?)
        };
        Ok(Memory {
            resident: field("VmRSS:")?,
            anonymous: field("RssAnon:")?,
            peak: field("VmHWM:")?,
        })
    }

    fn proc(&self, file: &str) -> Result<String> {
        let id = self.child.id().ok_or("the process ended")?;
        Ok(fs::read_to_string(format!("/proc/{id}/{file}"))?)
    }

    /// What it serves to the public.
    pub(crate) async fn served(&self, host: &str, path: &str) -> io::Result<Vec<u8>> {
        get(self.serve, host, path).await
    }

    pub(crate) async fn metrics(&self) -> io::Result<Vec<u8>> {
        get(self.admin, "localhost", "/metrics").await
    }
}

/// The body of an answer, whatever its status.
async fn get(address: SocketAddr, host: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(HEAD_END.len()).position(|it| it == HEAD_END);
    let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(answer.split_off(end + HEAD_END.len()))
}

async fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").await?.local_addr()
}

const HEAD_END: &[u8] = b"\r\n\r\n";
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// What /proc counts in: `USER_HZ` is 100 on every architecture that matters.
const TICK: Duration = Duration::from_millis(10);
