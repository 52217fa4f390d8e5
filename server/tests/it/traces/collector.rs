//! The OpenTelemetry collector `rotel`, and the spans that it prints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::Program;
use crate::starting::free_address;

/// The file with what it prints.
const OUTPUT: &str = "spans";

/// A span, as the collector has received it.
#[derive(Debug, Default, Clone)]
pub(super) struct Span {
    pub(super) trace: String,
    /// Empty for the first span of a trace.
    pub(super) parent: String,
    pub(super) id: String,
    pub(super) name: String,
    /// Without `SPAN_KIND_`.
    pub(super) kind: String,
    attributes: BTreeMap<String, String>,
    /// Trace and span.
    pub(super) links: Vec<(String, String)>,
}

impl Span {
    /// An attribute as text; empty if there is none.
    pub(super) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// A running collector; killed when it is dropped.
pub(super) struct Collector {
    _program: Program,
    address: SocketAddr,
    folder: TempDir,
}

impl Collector {
    pub(super) fn start() -> Self {
        let (folder, address) = (tempfile::tempdir().expect("a temporary folder"), free_address());
        let mut command = Command::new(program());
        command.args(["start", "--exporter", "blackhole", "--debug-log", "traces"]);
        command.args(["--debug-log-verbosity", "detailed", "--disable-batching"]);
        command.args(["--otlp-http-endpoint", &address.to_string()]);
        command.args(["--otlp-grpc-endpoint", &free_address().to_string()]);
        Self { _program: Program::start(command, folder.path(), OUTPUT, address), address, folder }
    }

    /// For `--otlp-endpoint`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(OUTPUT)).expect("its output")
    }

    /// All spans so far. It prints a delivery before it answers it.
    pub(super) fn spans(&self) -> Vec<Span> {
        read(&self.printed())
    }
}

fn program() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "how xtask tells the tests where its Python is")]
    let python = std::env::var("CASTELLAN_TEST_PYTHON")
        .expect("this test needs a Python: run it with `cargo xtask test`, which makes one");
    let ask = "import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
    let asked = Command::new(python).args(["-c", ask]).output().expect("Python starts");
    assert!(asked.status.success(), "{asked:?}");
    String::from_utf8(asked.stdout).expect("a path").trim().into()
}

/// Reads the text in which the collector shows spans.
fn read(text: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    // Resources have attributes, too.
    let mut is_in_span = false;
    for line in text.lines() {
        if line.starts_with("Span #") {
            spans.push(Span::default());
            is_in_span = true;
        } else if line.starts_with("ResourceSpans") {
            is_in_span = false;
        }
        let Some(span) = spans.last_mut().filter(|_| is_in_span) else { continue };
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim().to_owned();
        match key.trim() {
            "Trace ID" => span.trace = value,
            "Parent ID" => span.parent = value,
            "ID" => span.id = value,
            "Name" => span.name = value,
            "Kind" => value.trim_start_matches("SPAN_KIND_").clone_into(&mut span.kind),
            "-> Trace ID" => span.links.push((value, String::new())),
            "-> ID" => span.links.last_mut().expect("a link begins with its trace").1 = value,
            attribute => {
                if let Some(name) = attribute.strip_prefix("-> ")
                    && let Some((_, text)) = value.split_once('(')
                {
                    let text = text.strip_suffix(')').unwrap_or(text);
                    span.attributes.insert(name.to_owned(), text.to_owned());
                }
            }
        }
    }
    spans
}
