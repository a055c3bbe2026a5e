//! A server of files in memory that a test can change.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use corelane_eventloop::{DirEntry, File, Files, MemFiles, Meta, Nanos, RootId};
use corelane_http::files::StaticFiles;
use corelane_http::web::testing::{TestConfig, TestRequest, TestResponse, TestServer};
use corelane_http::web::{App, Routes};

/// When the files of a rig were last changed, in seconds: a year before the simulator's day.
pub(crate) const THEN: u64 = 752_575_777;
/// The same as a date.
pub(crate) const THEN_DATE: &str = "Sat, 06 Nov 1993 08:49:37 GMT";

/// Files that a test and a server share, and how often the server has asked for anything.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    files: Arc<Mutex<MemFiles>>,
    calls: Arc<AtomicU64>,
    failing: Arc<Mutex<Option<i32>>>,
}

impl Disk {
    pub(crate) fn put(&self, path: &str, contents: &[u8]) {
        self.put_at(path, contents, Nanos::from_secs(THEN));
    }

    pub(crate) fn put_at(&self, path: &str, contents: &[u8], modified: Nanos) {
        self.files.lock().unwrap().add_at(0, path, contents.to_vec(), modified);
    }

    pub(crate) fn remove(&self, path: &str) {
        assert!(self.files.lock().unwrap().remove(0, path));
    }

    /// From now on nothing can be opened: each attempt ends with this error of the system.
    pub(crate) fn fail(&self, error: Option<i32>) {
        *self.failing.lock().unwrap() = error;
    }

    /// How often the server has asked since it was last asked here.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.swap(0, Ordering::Relaxed)
    }

    fn call<T>(&self, call: impl FnOnce(&mut MemFiles) -> io::Result<T>) -> io::Result<T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        call(&mut self.files.lock().unwrap())
    }
}

impl Files for Disk {
    fn open(&mut self, root: RootId, path: &Path) -> io::Result<(File, Meta)> {
        if let Some(error) = *self.failing.lock().unwrap() {
            return Err(io::Error::from_raw_os_error(error));
        }
        self.call(|files| files.open(root, path))
    }

    fn stat(&mut self, root: RootId, path: &Path) -> io::Result<Meta> {
        self.call(|files| files.stat(root, path))
    }

    fn list(&mut self, root: RootId, path: &Path, limit: usize) -> io::Result<Vec<String>> {
        self.call(|files| files.list(root, path, limit))
    }

    fn entries(&mut self, root: RootId, path: &Path, limit: usize) -> io::Result<Vec<DirEntry>> {
        self.call(|files| files.entries(root, path, limit))
    }

    fn read(&mut self, file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.call(|files| files.read(file, offset, into))
    }
}

pub(crate) struct Rig {
    pub(crate) disk: Disk,
    pub(crate) server: TestServer<App>,
}

impl Rig {
    /// A site with these files at its root.
    pub(crate) fn new(site: StaticFiles, files: &[(&str, &[u8])]) -> Rig {
        Rig::routed(site.mount(Routes::new(), ""), files)
    }

    pub(crate) fn routed(routes: Routes, files: &[(&str, &[u8])]) -> Rig {
        let disk = Disk::default();
        files.iter().for_each(|(path, contents)| disk.put(path, contents));
        let config = TestConfig { files: Box::new(disk.clone()), ..TestConfig::default() };
        Rig { disk, server: TestServer::with(routes.build().unwrap(), config) }
    }

    pub(crate) fn get(&mut self, target: &str) -> TestResponse {
        self.server.get(target)
    }

    pub(crate) fn ask(&mut self, target: &str, fields: &[(&str, &str)]) -> TestResponse {
        self.send("GET", target, fields)
    }

    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
    ) -> TestResponse {
        let request = TestRequest::new(method, target);
        let with = |request: TestRequest, (name, value): &(&str, &str)| request.header(name, value);
        self.server.send(fields.iter().fold(request, with))
    }
}
