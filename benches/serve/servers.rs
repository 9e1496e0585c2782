//! The two servers: same core, same certificate, same bytes.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use oidc_mirror::demo::{KeyKind, SigningKey};
use rustls::version::TLS13;
use tokio::time::{sleep, timeout};

use crate::support::{Failure, Http1, JWKS, Running, Site, connect, field, free_address, trusting};

/// What both servers serve, and where.
pub(crate) struct Scene {
    pub(crate) site: Site,
    pub(crate) body: Arc<[u8]>,
    binary: PathBuf,
    core: u32,
}

/// A server that answers.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// The process that serves.
    worker: u32,
    running: Running,
}

impl Scene {
    /// A cluster between two keys, and what `binary` makes of it.
    pub(crate) async fn prepare(binary: PathBuf, core: u32) -> Result<Self, Failure> {
        let mut site = Site::start(1).await?;
        let next = SigningKey::generate(KeyKind::Rsa2048)?;
        let present = site.cluster.signing_key(0).clone();
        let keys = vec![present.clone(), next];
        site.cluster.restart(0, keys, present).await?;
        let body = Arc::default();
        let scene = Self {
            site,
            body,
            binary,
            core,
        };
        let body = scene.mirror().await?.body(&scene).await?;
        Ok(Self {
            body: body.into(),
            ..scene
        })
    }

    pub(crate) async fn mirror(&self) -> Result<Server, Failure> {
        let address = free_address()?;
        let mut command = self.on_core(&self.binary);
        command.args(["--log-level", "error"]);
        command.args(self.site.run(address)).args(MIRROR_SETTINGS);
        let running = Running::start(&mut command)?;
        let worker = running.id();
        let server = Server {
            name: "oidc-mirror",
            address,
            worker,
            running,
        };
        server.wait(self).await?;
        Ok(server)
    }

    pub(crate) async fn nginx(&self) -> Result<Server, Failure> {
        let address = free_address()?;
        let path = |name: &str| self.site.path(name);
        self.write_body()?;
        let configuration = include_str!("nginx.conf").replace("ADDRESS", &address.to_string());
        fs::write(path("nginx.conf"), configuration)?;
        let mut command = self.on_core(Path::new("nginx"));
        command
            .arg("-p")
            .arg(path(""))
            .args(["-c", "nginx.conf", "-e", "stderr"]);
        let running = Running::start(&mut command)?;
        let mut server = Server {
            name: "nginx",
            address,
            worker: 0,
            running,
        };
        server.wait(self).await?;
        let master = server.running.id();
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        server.worker = children.trim().parse()?;
        Ok(server)
    }

    pub(crate) async fn bare(&self) -> Result<Server, Failure> {
        let address = free_address()?;
        self.write_body()?;
        let mut command = self.on_core(&std::env::current_exe()?);
        // It sets its own core as the generator does.
        command.args(["--generator-core", &self.core.to_string()]);
        command.args(["--bare", &address.to_string()]);
        let running = Running::start(command.arg(self.site.path("")))?;
        let server = Server {
            name: "bare rustls",
            address,
            worker: running.id(),
            running,
        };
        server.wait(self).await?;
        Ok(server)
    }

    fn write_body(&self) -> Result<(), Failure> {
        let file = self.site.path(&format!("www{JWKS}"));
        fs::create_dir_all(file.parent().ok_or("a file without a directory")?)?;
        Ok(fs::write(file, &self.body)?)
    }

    fn on_core(&self, program: &Path) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.core.to_string()]).arg(program);
        command
    }
}

impl Server {
    /// Waits for the first answer, on a connection that is verified in full.
    async fn wait(&self, scene: &Scene) -> Result<(), Failure> {
        let trying = async {
            while self.body(scene).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let up = timeout(START, trying).await;
        up.map_err(|_| format!("{} does not answer", self.name).into())
    }

    async fn body(&self, scene: &Scene) -> Result<Vec<u8>, Failure> {
        let config = trusting(&scene.site.authority, &TLS13, "http/1.1")?;
        let mut connection = Http1::new(connect(self.address, &Arc::new(config)).await?);
        Ok(connection.get().await?.to_vec())
    }

    /// The time for which the process that serves has had a core.
    pub(crate) fn cpu_time(&self) -> Result<Duration, Failure> {
        cpu_time(self.worker)
    }

    /// The memory of all its processes: what it shares with nobody, and its share of the rest.
    pub(crate) fn memory_kib(&self) -> Result<f64, Failure> {
        let mut processes = vec![self.worker, self.running.id()];
        processes.dedup();
        processes
            .into_iter()
            .map(|id| field(id, "smaps_rollup", "Pss"))
            .sum()
    }

    /// The resident memory of the process that serves.
    pub(crate) fn resident_kib(&self) -> Result<f64, Failure> {
        field(self.worker, "status", "VmRSS")
    }
}

/// The time for which a process has had a core.
pub(crate) fn cpu_time(process: u32) -> Result<Duration, Failure> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path)?;
    // The name of the program comes before, in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or("a process without a name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|it| it.parse::<u32>().ok());
    let (user, system) = ticks().zip(ticks()).ok_or(path + " is not as it was")?;
    Ok(TICK * (user + system))
}

/// No connection is refused or closed while it is measured, and no polling disturbs.
const MIRROR_SETTINGS: [&str; 5] = [
    "--set=serve.max-connections=12000",
    "--set=serve.max-connections-per-address=0",
    "--set=serve.max-requests-per-connection=0",
    "--set=serve.idle-timeout=1h",
    "--set=mirror.poll-interval=1h",
];
const START: Duration = Duration::from_secs(10);
/// The unit of `/proc/PID/stat`, on every architecture that matters.
const TICK: Duration = Duration::from_millis(10);
