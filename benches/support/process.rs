//! A server that was started, and what the kernel says of it (`proc(5)`).

use std::{
    fs,
    process::{Child, Command},
};

use super::Failure;

/// A process that is told to end, and waited for, when dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        match command.spawn() {
            Ok(child) => Ok(Self(child)),
            Err(error) => {
                let program = command.get_program().display();
                Err(format!("{program} does not start: {error}").into())
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM: killed, a server could not end what it has started itself.
        let id = self.id().to_string();
        _ = Command::new("kill").arg(id).status();
        _ = self.0.wait();
    }
}

/// The number that a file of a process has in the line with this name.
pub(crate) fn field(id: u32, file: &str, name: &str) -> Result<f64, Failure> {
    let path = format!("/proc/{id}/{file}");
    let text = fs::read_to_string(&path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
    Ok(number
        .ok_or_else(|| format!("{path} has no {name}"))?
        .parse()?)
}
