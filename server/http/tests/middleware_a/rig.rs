//! Short ways to ask an application.

use corelane_eventloop::Nanos;
use corelane_http::web::App;
use corelane_http::web::testing::{TestRequest, TestResponse, TestServer};

pub(crate) struct Rig(TestServer<App>);

/// One response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Rig {
    pub(crate) fn new(app: App) -> Rig {
        Rig(TestServer::new(app))
    }

    /// Sends a request: its method and target, and its fields.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask_with(line, fields, b"")
    }

    /// As [`Rig::ask`], with a body.
    #[track_caller]
    pub(crate) fn ask_with(&mut self, line: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let (method, target) = line.split_once(' ').unwrap();
        let mut request = TestRequest::new(method, target);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        Answer::of(&self.0.send(request))
    }

    /// Lets virtual time pass.
    pub(crate) fn pass(&mut self, time: Nanos) {
        self.0.pass(time);
    }
}

impl Answer {
    fn of(response: &TestResponse) -> Answer {
        let field = |(name, value): (&str, &[u8])| {
            (name.to_owned(), String::from_utf8(value.to_vec()).unwrap())
        };
        Answer {
            status: response.status(),
            fields: response.fields().map(field).collect(),
            body: response.text().to_owned(),
        }
    }

    /// The values of all fields of this name; empty without one.
    pub(crate) fn field(&self, name: &str) -> String {
        let fields = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" | ")
    }

    /// The fields whose names begin so.
    pub(crate) fn fields_like(&self, prefix: &str) -> Vec<String> {
        let fields = self.fields.iter().filter(|(name, _)| name.starts_with(prefix));
        fields.map(|(name, value)| format!("{name}: {value}")).collect()
    }
}
