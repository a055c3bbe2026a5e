//! The servers: the same two services, each on another library.

use std::fmt;
use std::path::PathBuf;

use clap::ValueEnum;

use corelane_benches::build::Binaries;
use corelane_benches::launch::Launch;
use corelane_benches::scratch::Scratch;
use corelane_benches::started::Started;

/// What a server does with what arrives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Service {
    /// Every byte goes back.
    Echo,
    /// Every line goes to everyone else.
    Broadcast,
}

/// A server to be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Peer {
    /// mio fused by hand: the yardstick
    Mio,
    /// A handler on our library
    Corelane,
    /// tokio on one thread; broadcast by its channel, one write for each line
    Tokio,
    /// The same, with waiting lines gathered into one write
    TokioGather,
    /// may with one worker
    May,
    /// Node's `net`
    Node,
    /// Python's `asyncio`
    Asyncio,
    /// Python's `selectors`
    Selectors,
}

impl Peer {
    /// Where its program is.
    pub(crate) fn program(self, binaries: &Binaries) -> anyhow::Result<PathBuf> {
        match self {
            Self::Mio => binaries.rival("wire_mio"),
            Self::Corelane => binaries.own("wire"),
            Self::Tokio | Self::TokioGather => binaries.rival("wire_tokio"),
            Self::May => binaries.rival("wire_may"),
            Self::Node => binaries.installed("node"),
            Self::Asyncio | Self::Selectors => binaries.installed("python3"),
        }
    }

    /// Why it takes no part in `service`.
    pub(crate) fn unsuited(self, service: Service) -> Option<&'static str> {
        let gathers = self == Self::TokioGather;
        (gathers && service == Service::Echo).then_some("differs from tokio only for broadcast")
    }

    /// Starts it on `core` and waits until it accepts connections.
    pub(crate) fn start(
        self,
        service: Service,
        core: usize,
        binaries: &Binaries,
        scratch: &Scratch,
    ) -> anyhow::Result<Started> {
        let launch = Launch::new(core, self.program(binaries)?);
        let option = match service {
            Service::Echo => "--echo",
            Service::Broadcast => "--broadcast",
        };
        let arguments = |port: u16| {
            let script = self.script(binaries);
            let gather = (self == Self::TokioGather).then_some("--gather");
            let options = [Some(option), gather].into_iter().flatten().map(str::to_owned);
            let port = ["--port".to_owned(), port.to_string()];
            Ok(script.into_iter().chain(options).chain(port).collect())
        };
        Started::start(&self.to_string(), &launch, arguments, scratch)
    }

    /// What its interpreter is to run.
    fn script(self, binaries: &Binaries) -> Option<String> {
        let name = match self {
            Self::Node => "wire.mjs",
            Self::Asyncio => "wire_asyncio.py",
            Self::Selectors => "wire_selectors.py",
            _ => return None,
        };
        Some(binaries.script(name).to_string_lossy().into_owned())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
