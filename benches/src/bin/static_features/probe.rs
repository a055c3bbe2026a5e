//! What a check works with: one server, up, and the directory it serves.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;

use crate::client::{Answer, Connection, End, request};
use crate::tree::Tree;
use corelane_benches::started::Started;

/// What a check works with.
#[derive(Debug)]
pub(crate) struct Probe<'run> {
    pub(crate) running: &'run mut Started,
    pub(crate) tree: &'run Tree,
}

impl Probe<'_> {
    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// The answer to one request on a connection of its own.
    pub(crate) fn ask(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mut connection = Connection::open(self.address())?;
        let fields = [fields, &[("Connection", "close")]].concat();
        connection.send(&request(method, target, &fields));
        connection.answer(method)
    }

    pub(crate) fn get(&self, target: &str) -> anyhow::Result<Answer> {
        self.ask("GET", target, &[])
    }

    pub(crate) fn get_with(&self, target: &str, name: &str, value: &str) -> anyhow::Result<Answer> {
        self.ask("GET", target, &[(name, value)])
    }

    /// A field of the whole file's answer, which conditions are about.
    pub(crate) fn validator(&self, target: &str, name: &str) -> anyhow::Result<String> {
        let answer = self.get(target)?;
        let value = answer.field(name).with_context(|| format!("no {name}"))?;
        Ok(value.to_owned())
    }

    /// Whether it still serves.
    pub(crate) fn is_up(&self) -> bool {
        self.get("/text.txt").is_ok_and(|answer| answer.status == 200)
    }

    /// How many of `count` requests are not answered rightly within a second, each on a connection
    /// of its own.
    pub(crate) fn unanswered(&self, count: usize) -> usize {
        let is_answered = || -> anyhow::Result<bool> {
            let mut connection = Connection::open(self.address())?;
            connection.allow(Duration::from_secs(1));
            connection.send(&request("GET", "/text.txt", &[("Connection", "close")]));
            Ok(connection.answer("GET")?.status == 200)
        };
        (0..count).filter(|_| !is_answered().unwrap_or(false)).count()
    }

    /// Starts to download a file and stops reading after `read` bytes: the connection, and how many
    /// bytes the body has.
    pub(crate) fn begin_download(&self, target: &str, read: usize) -> anyhow::Result<Connection> {
        let mut connection = Connection::open_slow(self.address())?;
        connection.send(&request("GET", target, &[]));
        anyhow::ensure!(connection.fill(read) == End::Whole, "the download did not begin");
        connection.allow(Duration::from_secs(20));
        Ok(connection)
    }
}
